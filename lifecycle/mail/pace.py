"""How fast mail goes, and when it stops: a token bucket and a circuit breaker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta

from lifecycle.errors import DeliveryError
from lifecycle.ledger.tables import State
from lifecycle.mail.providers import Outcome

LONGEST_RETRY = timedelta(hours=1)
SHORTEST_WAIT_SECONDS = 0.001


class TokenBucket:
    """At most `rate` mails a second over time, and at most a second's worth at once."""

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """A rate of 0 is no limit."""
        self.rate = rate
        self._capacity = max(rate, 1.0)
        self._clock = clock
        self._sleep = sleep
        self._tokens = self._capacity
        self._at = clock()

    def wait(self, mails: int) -> float:
        """The seconds until so many mails may go, or as many as ever may at once."""
        if not self.rate:
            return 0.0
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self.rate)
        self._at = now
        return max(0.0, min(mails, self._capacity) - self._tokens) / self.rate

    def take(self, at_most: int, *, at_least: int = 1) -> int:
        """Wait until `at_least` mails may go, or as many as ever may at once; returns how many
        may go now, up to `at_most`."""
        if not self.rate:
            return at_most
        while (seconds := self.wait(at_least)) > 0:
            self._sleep(max(seconds, SHORTEST_WAIT_SECONDS))
        taken = min(at_most, int(self._tokens))
        self._tokens -= taken
        return taken

    def give_back(self, mails: int) -> None:
        """So many that were taken did not go."""
        self._tokens += mails


class CircuitBreaker:
    """Stops a delivery when the provider takes none of many mails in a row."""

    def __init__(self, provider: str, limit: int) -> None:
        self.provider = provider
        self.limit = limit
        self._refused = 0

    def see(self, outcome: Outcome) -> None:
        """Count one outcome. A mail put off at the provider's own word counts for nothing, and
        neither does one that it was not asked to take."""
        if outcome.state is State.ACCEPTED:
            self._refused = 0
        elif outcome.retry_after is None and outcome.was_asked:
            self._refused += 1
            self._last = outcome

    @property
    def is_open(self) -> bool:
        """Whether the limit is reached. 0 is no limit."""
        return bool(self.limit) and self._refused >= self.limit

    def check(self) -> None:
        """Raise DeliveryError once the limit is reached."""
        if self.is_open:
            raise DeliveryError(
                f"{self.provider} took none of the last {self._refused} mails; the last one is "
                f"{self._last.state}: {self._last.detail}. What is queued stays in the ledger "
                "and goes with the next delivery that works"
            )


def retry_in(attempts: int, asked: timedelta | None, first: timedelta) -> timedelta:
    """How long a mail waits after its nth refused attempt: as asked, else twice as long each
    time up to an hour, with full jitter above `first` so that not all come back at once."""
    if asked is not None:
        return asked
    longest = max(first, min(LONGEST_RETRY, first * (1 << min(attempts, 10))))
    return first + random.random() * (longest - first)
