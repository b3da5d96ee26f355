"""The pace of delivery: a token bucket for the rate, and a circuit breaker."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from lifecycle.document import counted
from lifecycle.errors import DeliveryError
from lifecycle.ledger.tables import State
from lifecycle.mail.providers import Outcome

LONGEST_RETRY = timedelta(hours=1)
SHORTEST_WAIT_SECONDS = 0.001


class TokenBucket:
    """At most `rate` mails a second over time, and at most a second's worth at once.

    All processes that name the same file share one bucket: the workers of this machine. The file is
    "changed" at the time at which the bucket will be full again.
    """

    def __init__(
        self,
        rate: float,
        file: Path,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """A rate of 0 is no limit. `clock` gives Unix time."""
        self.rate = rate
        self.file = file
        self._capacity = max(rate, 1.0)
        self._clock = clock
        self._sleep = sleep

    def wait(self, mails: int) -> float:
        """Seconds until so many mails may go (at most a full bucket)."""
        if not self.rate:
            return 0.0
        with self._alone() as fd:
            return self._seconds_until(mails, self._tokens(fd))

    def take(self, at_most: int, *, at_least: int = 1) -> int:
        """Wait until `at_least` mails may go, or as many as ever may at once; returns how many
        may go now, up to `at_most`."""
        if not self.rate:
            return at_most
        while True:
            with self._alone() as fd:
                tokens = self._tokens(fd)
                seconds = self._seconds_until(at_least, tokens)
                if not seconds:
                    granted = min(at_most, int(tokens))
                    self._leave(fd, tokens - granted)
                    return granted
            self._sleep(max(seconds, SHORTEST_WAIT_SECONDS))

    def give_back(self, mails: int) -> None:
        """Return tokens whose mails did not go."""
        if self.rate and mails:
            with self._alone() as fd:
                self._leave(fd, self._tokens(fd) + mails)

    @contextmanager
    def _alone(self) -> Iterator[int]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    def _tokens(self, fd: int) -> float:
        # After the clock was set back, the bucket would wait for long: it is never below empty.
        filling = max(0.0, os.fstat(fd).st_mtime - self._clock())
        return max(0.0, self._capacity - filling * self.rate)

    def _leave(self, fd: int, tokens: float) -> None:
        full_at = self._clock() + (self._capacity - min(tokens, self._capacity)) / self.rate
        os.utime(fd, (full_at, full_at))

    def _seconds_until(self, mails: int, tokens: float) -> float:
        return max(0.0, min(mails, self._capacity) - tokens) / self.rate


class CircuitBreaker:
    """Stops a delivery when the provider refuses many mails in a row."""

    def __init__(self, provider: str, limit: int) -> None:
        self.provider = provider
        self.limit = limit
        self.in_a_row = 0
        """Mails that it did not take since the last one that it took."""
        self._took_one = False
        self._is_about_us = False
        self._last: Outcome | None = None

    def see(self, outcome: Outcome) -> None:
        """Count one outcome. A mail that waits because the provider asked for a pause does not
        count, and neither does a mail that was never offered to it."""
        if outcome.state is State.ACCEPTED:
            self.in_a_row = 0
            self._took_one = True
        elif outcome.retry_after is None and outcome.was_asked:
            self.in_a_row += 1
            self._last = outcome
            if outcome.state is not State.UNCERTAIN and not outcome.bounced:
                self._is_about_us = True

    @property
    def is_open(self) -> bool:
        """Whether the limit is reached. 0 is no limit."""
        return bool(self.limit) and self.in_a_row >= self.limit

    @property
    def why_none(self) -> str | None:
        """The last answer of a provider that took nothing at all, however few mails it got.

        None where nothing was offered, or where each mail may have been taken, or was to an
        address that does not exist.
        """
        if self._took_one or not self._is_about_us or self._last is None:
            return None
        return (
            f"{self.provider} took none of {counted(self.in_a_row, 'mail')}; the last one is "
            f"{self._last.state}: {self._last.detail}"
        )

    def check(self) -> None:
        """Raise DeliveryError once the limit is reached."""
        if self.is_open and self._last is not None:
            raise DeliveryError(
                f"{self.provider} took none of the last {self.in_a_row} mails; the last one is "
                f"{self._last.state}: {self._last.detail}. What is queued stays in the ledger "
                "and goes with the next delivery that works, and so does what it refused"
            )


def retry_in(
    attempts: int, asked: timedelta | None, first: timedelta, left: timedelta
) -> timedelta:
    """How long a mail waits after its nth refused attempt: as asked, else twice as long each
    time up to an hour, with full jitter above `first` so that not all come back at once.

    `left` is how long it may still go; where it has the time for one more attempt, that is made
    before half of it is over.
    """
    if asked is not None:
        return asked
    longest = max(first, min(LONGEST_RETRY, first * (1 << min(attempts, 10)), left / 2))
    return first + random.random() * (longest - first)  # nosec B311
