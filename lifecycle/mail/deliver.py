"""Hands due mails to the provider, and records the outcome of each in the ledger."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from lifecycle.errors import ClockError, InputError
from lifecycle.ledger import delivery, erasure_keys, feedback, suppressions, warmup
from lifecycle.ledger.states import last_change
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.suppressions import Suppression
from lifecycle.ledger.tables import State
from lifecycle.mail.pace import CircuitBreaker, TokenBucket, retry_in
from lifecycle.mail.providers import Mail, Outcome, Provider, is_live, open_provider
from lifecycle.settings import Settings

log = logging.getLogger("lifecycle.mail.deliver")


@dataclass
class DeliveryResult:
    """What one delivery did."""

    states: Counter[State] = field(default_factory=Counter)
    """How many attempts ended in each state; evidence about earlier ones counts here too."""
    by_trigger: Counter[str] = field(default_factory=Counter)
    """Accepted mails by trigger."""
    next_due: datetime | None = None
    """When the next planned mail may go (UTC)."""
    rests_until: datetime | None = None
    """Until when the provider asked for a pause, where that ended the delivery (UTC)."""
    no_room: dict[str, int] = field(default_factory=dict)
    """Domain: mails that wait, because the domain had its daily number while warming up."""

    @property
    def accepted(self) -> int:
        """Mails that the provider accepted."""
        return self.states[State.ACCEPTED]

    def count(self, state: State, trigger: str) -> None:
        """Count one more mail in that state."""
        self.states[state] += 1
        if state is State.ACCEPTED:
            self.by_trigger[trigger] += 1


OLDEST_REAL_CLOCK = timedelta(hours=24)
FASTEST_REAL_CLOCK = timedelta(minutes=5)
LONGEST_REST_SECONDS = 60.0
"""Seconds. Where the provider asks for a longer pause, the next delivery goes on."""
RELEASE_EVERY = timedelta(seconds=1)


def check_live(settings: Settings, ledger: Ledger, now: datetime) -> None:
    """Check the conditions for a live provider before anything is sent.

    Raises what `refuse_to_replay_live` raises, and GateStopped when bounces and unsubscribes were
    not read for too long.
    """
    refuse_to_replay_live(settings, now)
    if is_live(settings.delivery):
        feedback.check_fresh(
            ledger, settings.delivery.provider, settings.feedback.max_age, datetime.now(UTC)
        )


def refuse_to_replay_live(settings: Settings, now: datetime) -> None:
    """Refuse a live provider for a replay of the past, for a clock in the future, and for the demo
    company.

    Raises InputError for the demo company, ClockError for a clock of more than a day ago or in
    the future.
    """
    if not is_live(settings.delivery):
        return
    provider = settings.delivery.provider
    if settings.source.is_synthetic:
        raise InputError(
            f"delivery.provider is {provider!r}, and the demo company must not be mailed; "
            'set source.kind, or delivery.provider = "outbox"'
        )
    if now - datetime.now(UTC) > FASTEST_REAL_CLOCK:
        raise ClockError(
            f"as-of {now:%Y-%m-%d %H:%M} UTC is in the future, and delivery.provider is "
            f"{provider!r}: real people would get mails before their time; look ahead with "
            "`lifecycle preview`"
        )
    if datetime.now(UTC) - now > OLDEST_REAL_CLOCK:
        raise ClockError(
            f"as-of {now:%Y-%m-%d %H:%M} UTC is more than a day ago, and delivery.provider is "
            f"{provider!r}: real people would get mails about the past; replay with "
            "LIFECYCLE__DELIVERY__PROVIDER=outbox in another state folder"
        )


def deliver(
    settings: Settings,
    ledger: Ledger,
    *,
    now: datetime,
    progress: Callable[[str], None] | None = None,
) -> DeliveryResult:
    """Deliver every mail that is due at `now` (UTC).

    Safe to run beside another delivery, and again after a crash: a mail is recorded as `attempting`
    before its first byte leaves, and the provider's evidence decides about an uncertain attempt.
    Raises DeliveryError when the provider cannot be used or takes nothing, and what `check_live`
    raises.
    """
    check_live(settings, ledger, now)
    with ledger.write() as connection:
        erasure_keys.keep_first(connection, settings.privacy.erasure_key.get_secret_value())
    provider = open_provider(settings)
    try:
        work = _Delivery(settings, ledger, provider, now)
        work.resolve()
        try:
            with ThreadPoolExecutor(delivery.IN_FLIGHT, thread_name_prefix="mail") as pool:
                while work.deliver_some(pool):
                    if progress is not None:
                        progress(f"{work.result.accepted} mails accepted")
        finally:
            work.write_down()  # Also after an interrupt: requests in flight finish first.
    finally:
        provider.close()
    _log_result(work.result)
    with ledger.read() as connection:
        work.result.next_due = delivery.next_due(connection, work.now())
        if work.warms_up:
            work.result.no_room = warmup.waiting(connection, work.now(), settings.warmup)
    return work.result


def _log_result(result: DeliveryResult) -> None:
    counts = ", ".join(
        f"{count} {state}" for state, count in sorted(result.states.items()) if count
    )
    log.info("delivery: %s", counts or "nothing was due")


class _Delivery:
    """The state of one running delivery."""

    def __init__(
        self, settings: Settings, ledger: Ledger, provider: Provider, now: datetime
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.provider = provider
        self.result = DeliveryResult()
        self.worker = delivery.worker_name()
        self.lease = timedelta(seconds=settings.delivery.lease_seconds)
        pace = settings.state_dir / f"{provider.name}.pace"
        self.bucket = TokenBucket(settings.delivery.per_second, pace)
        self.breaker = CircuitBreaker(provider.name, settings.delivery.give_up_after)
        self._began, self._now = time.monotonic(), now
        self._released_at: datetime | None = None
        self._handed_over: list[tuple[list[delivery.Claim], Future[list[Outcome]]]] = []
        """Requests whose outcome is not recorded yet: the next claim's transaction records it."""
        self.room = delivery.Room()
        self.warms_up = provider.live and settings.warmup.start > 0
        if self.warms_up:
            with ledger.read() as connection:
                room_left = warmup.remaining(connection, now, settings.warmup)
                last_seen = last_change(connection)
            self.room = delivery.Room(room_left, settings.warmup.start, last_seen)

    def now(self) -> datetime:
        """The delivery clock: it runs for a live provider, and stands still in a replay."""
        if not self.provider.live:
            return self._now
        return self._now + timedelta(seconds=time.monotonic() - self._began)

    def resolve(self) -> None:
        """Resolve uncertain attempts by the provider's evidence; release due mails."""
        with self.ledger.write() as connection:
            delivery.recover(connection, self.now())
            open_ends = delivery.uncertain(connection)
        for row in open_ends:
            evidence = self.provider.resolve(row.send_id)
            if evidence is None:
                continue
            detail = f"evidence of the {self.provider.name}"
            with self.ledger.write() as connection:
                settled = delivery.settle(connection, row.send_id, evidence, detail, self.now())
            if settled and evidence is State.ACCEPTED:
                self.result.count(State.ACCEPTED, row.trigger)
        with self.ledger.write() as connection:
            horizon = timedelta(hours=self.settings.delivery.hold_after_hours)
            delivery.hold(connection, self.now(), horizon)

    def deliver_some(self, pool: ThreadPoolExecutor) -> bool:
        """Record the outcomes of the last mails, claim as many as may be in flight, and hand them
        over.

        False when nothing was queued, or the provider asked for a long pause. Raises DeliveryError
        when the provider accepts nothing.
        """
        if pause := self.provider.rest():
            self.write_down()
            if pause > LONGEST_REST_SECONDS:
                self.result.rests_until = datetime.now(UTC) + timedelta(seconds=pause)
                return False
            time.sleep(pause)
        size = self.provider.batch_size
        # Claim only what may leave at once: a mail that waits for its turn has no lease.
        if self.bucket.wait(size):
            self.write_down()  # Record the known outcomes before the wait.
        turns = self.bucket.take(delivery.IN_FLIGHT if size == 1 else size, at_least=size)
        now = self.now()
        with self.ledger.write() as connection:
            self._settle(connection, now)
            begin_by = time.time() + self.lease.total_seconds() / 2
            claims, any_queued = self._claim(connection, now, turns)
        # Only after the commit: where the transaction fails, the outcomes are still there to
        # record.
        self._handed_over = []
        self.bucket.give_back(turns - len(claims))
        self.breaker.check()
        for start in range(0, len(claims), size):
            batch = claims[start : start + size]
            mails = [Mail(claim.send_id, claim.mime) for claim in batch]
            self._handed_over.append((batch, pool.submit(self.provider.send, mails, begin_by)))
        for _, answer in self._handed_over:
            answer.result()
        return any_queued

    def write_down(self) -> None:
        """Settle the finished attempts."""
        if self._handed_over:
            with self.ledger.write() as connection:
                self._settle(connection, self.now())
            self._handed_over = []

    def _claim(
        self, connection: Connection, now: datetime, limit: int
    ) -> tuple[list[delivery.Claim], bool]:
        if self.breaker.is_open:
            return [], False
        if self._released_at is None or now - self._released_at >= RELEASE_EVERY:
            delivery.release(connection, now)
            self._released_at = now
        return delivery.claim(
            connection,
            now,
            worker=self.worker,
            lease=self.lease,
            limit=limit,
            room=self.room,
            erasure_key=self.settings.privacy.erasure_key.get_secret_value(),
        )

    def _settle(self, connection: Connection, now: datetime) -> None:
        over = [
            pair
            for claims, answer in self._handed_over
            for pair in zip(claims, _outcomes(answer, len(claims)), strict=True)
        ]
        settlements = [self._settlement(*pair, now) for pair in over]
        delivery.settle_all(connection, settlements, now, worker=self.worker)
        if bounced := [claim.address for claim, outcome in over if outcome.bounced]:
            source = self.provider.name
            stops = (Suppression(address, "bounced", now, source) for address in bounced)
            suppressions.stop(connection, stops, now)
        for claim, outcome in over:
            self.breaker.see(outcome)
            self.result.count(outcome.state, claim.trigger)

    def _settlement(
        self, claim: delivery.Claim, outcome: Outcome, now: datetime
    ) -> delivery.Settlement:
        again_at = None
        if outcome.state is State.QUEUED:
            first = timedelta(seconds=self.settings.delivery.retry_seconds)
            time_left = claim.ends_at - now
            again_at = now + retry_in(claim.attempts, outcome.retry_after, first, time_left)
        detail = outcome.detail or None
        return delivery.Settlement(claim.send_id, outcome.state, detail, again_at, claim.attempts)


def _outcomes(answer: Future[list[Outcome]], mails: int) -> list[Outcome]:
    """The outcomes of a finished request."""
    if error := answer.exception():
        # No provider should raise. If one does, the delivery ends, and its outcomes are uncertain.
        return [Outcome(State.UNCERTAIN, f"broke off: {type(error).__name__}")] * mails
    return answer.result()
