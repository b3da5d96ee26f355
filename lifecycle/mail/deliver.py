"""Hands due mails to the provider, and records the outcome of each in the ledger."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue

from sqlalchemy import Connection

from lifecycle.errors import ClockError, InputError
from lifecycle.ledger import delivery, erasure_keys, feedback, suppressions, warmup
from lifecycle.ledger.states import last_change
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.suppressions import Suppression
from lifecycle.ledger.tables import State
from lifecycle.mail.live import is_live
from lifecycle.mail.message import dated, outward
from lifecycle.mail.pace import CircuitBreaker, TokenBucket, retry_in
from lifecycle.mail.providers import (
    ALIKE,
    Mail,
    Outcome,
    Provider,
    TellsEach,
    alike,
    open_provider,
)
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
    dropped: dict[str, int] = field(default_factory=dict)
    """Why mails left the queue meanwhile without being sent (a full cap, too late, …): mails."""
    held: int = 0
    """Mails that a person has to decide about from now on."""
    why_none: str | None = None
    """What the provider said last, where mails were handed over and it took none of them."""

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
GATHERS_SECONDS = 0.01
"""Seconds. Answers that come so soon after another are recorded in one transaction."""

Answer = tuple[delivery.Claim, Outcome]


def check_live(settings: Settings, ledger: Ledger, now: datetime) -> None:
    """Check the conditions for a live provider before anything is sent.

    Raises what `refuse_to_replay_live` raises, and GateStopped when bounces and unsubscribes were
    not read for too long.
    """
    refuse_to_replay_live(settings, now)
    if is_live(settings.delivery):
        feedback.check_fresh(
            ledger,
            settings.delivery.provider,
            settings.feedback.max_age,
            datetime.now(UTC),
            mailbox=settings.mailbox.is_read,
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
    with ledger.read() as connection:
        last_seen = last_change(connection)
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
        work.finish()
    finally:
        provider.close()
    _log_result(work.result)
    with ledger.read() as connection:
        work.result.next_due = delivery.next_due(connection, work.now())
        work.result.dropped = delivery.not_sent_since(connection, last_seen)
        if work.warms_up:
            work.result.no_room = warmup.waiting(connection, work.now(), settings.warmup)
    return work.result


def _log_result(result: DeliveryResult) -> None:
    counts = ", ".join(
        f"{count} {state}" for state, count in sorted(result.states.items()) if count
    )
    log.info("delivery: %s", counts or "nothing was due")


class _Delivery:
    """The state of one running delivery.

    Answers are recorded as they come, beside the requests that are still in flight: what a crash
    leaves in doubt is only what nobody had answered yet.
    """

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
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        """What the threads heard, in the order in which they heard it."""
        self._in_flight = 0
        """Mails that were handed over and are not in `_answered` yet."""
        self._answered: list[Answer] = []
        """Not recorded yet: the next claim's transaction records them."""
        self._refused = RefusedInARow()
        self._broke: Exception | None = None
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
        self._hold()

    def _hold(self) -> None:
        """Hand to a person what no evidence will decide any more."""
        horizon = horizon_of(self.settings)
        with self.ledger.write() as connection:
            self.result.held += delivery.hold(connection, self.now(), horizon)

    def deliver_some(self, pool: ThreadPoolExecutor) -> bool:
        """Record the answers that came, claim as many mails as may be in flight, hand them over,
        and wait for the first answers.

        False when nothing was queued and all is answered, or the provider asked for a long pause.
        Raises DeliveryError when the provider accepts nothing.
        """
        if pause := self.provider.rest():
            self.write_down()
            if pause > LONGEST_REST_SECONDS:
                self.result.rests_until = datetime.now(UTC) + timedelta(seconds=pause)
                return False
            time.sleep(pause)
        size = self.provider.batch_size
        places = self._free_places()
        if not places:
            self.write_down()
            self._hear()
            return True
        # Claim only what may leave at once: a mail that waits for its turn has no lease.
        if seconds := self.bucket.wait(size):
            self.write_down()  # Record the known outcomes before the wait.
            if self._in_flight:
                self._hear(seconds)
                return True
        turns = self.bucket.take(places, at_least=size)
        now = self.now()
        with self.ledger.write() as connection:
            self._settle(connection, now)
            begin_by = time.time() + self.lease.total_seconds() / 2
            claims, any_queued = self._claim(connection, now, turns)
            claims = _dated(connection, claims, now)
        self._forget_settled()
        self.bucket.give_back(turns - len(claims))
        self.breaker.check()
        for start in range(0, len(claims), size):
            batch = claims[start : start + size]
            self._in_flight += len(batch)
            pool.submit(self._hand_over, batch, begin_by)
        if self._in_flight:
            self._hear()
            return True
        return any_queued

    def _free_places(self) -> int:
        """How many mails may be claimed now.

        One batch at a time; and after a refusal none, until it is known what became of those in
        flight: where the provider takes nothing, no more than these are to be tried.
        """
        if self.provider.batch_size > 1:
            return 0 if self._in_flight else self.provider.batch_size
        if self._in_flight and self.breaker.in_a_row:
            return 0
        return delivery.IN_FLIGHT - self._in_flight

    def _hand_over(self, claims: list[delivery.Claim], begin_by: float) -> None:
        """Hand over one request, in a thread, and pass each answer on as it comes."""
        open_claims = dict(enumerate(claims))
        mails = [_mail(claim, self.provider) for claim in claims]
        try:
            outcomes: Iterable[tuple[int, Outcome]] = (
                self.provider.send_each(mails, begin_by)
                if isinstance(self.provider, TellsEach)
                else enumerate(self.provider.send(mails, begin_by))
            )
            for place, outcome in outcomes:
                self._answers.put((open_claims.pop(place), outcome))
        except Exception as error:
            # No provider should raise. If one does, the delivery ends, and what it did not answer
            # is uncertain.
            self._broke = error
            unknown = Outcome(State.UNCERTAIN, f"broke off: {type(error).__name__}")
            for claim in open_claims.values():
                self._answers.put((claim, unknown))

    def _hear(self, patience: float | None = None) -> None:
        """Wait for an answer, at most `patience` seconds, and a moment for those right behind it.

        Raises what a provider raised that should not have.
        """
        ends_at = None if patience is None else time.monotonic() + patience
        while self._in_flight:
            wait = None if ends_at is None else max(0.0, ends_at - time.monotonic())
            try:
                answer = self._answers.get(timeout=wait)
            except Empty:
                break
            self._take_note(answer)
            gather_until = time.monotonic() + GATHERS_SECONDS
            ends_at = gather_until if ends_at is None else min(ends_at, gather_until)
        if self._broke is not None:
            raise self._broke

    def _take_note(self, answer: Answer) -> None:
        claim, outcome = answer
        self._in_flight -= 1
        self._answered.append(answer)
        self.breaker.see(outcome)
        self._refused.see(claim, outcome)

    def write_down(self) -> None:
        """Settle the attempts that are answered."""
        while not self._answers.empty():
            self._take_note(self._answers.get())
        if self._answered:
            with self.ledger.write() as connection:
                self._settle(connection, self.now())
            self._forget_settled()

    def finish(self) -> None:
        """Say what is true of the delivery as a whole once everything is answered."""
        self.result.why_none = self.breaker.why_none
        if self.breaker.why_none and self._refused.are_about_us:
            with self.ledger.write() as connection:
                self._put_back(connection, self.now())
            self._forget_put_back()
        elif self._refused.dead_addresses:
            with self.ledger.write() as connection:
                self._suppress(connection, self._refused.dead_addresses, self.now())
        if full := self.room.full:
            with self.ledger.write() as connection:
                delivery.note_full_domains(connection, self.now(), full)
        self._hold()

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
        settlements = [self._settlement(*answer, now) for answer in self._answered]
        delivery.settle_all(connection, settlements, now, worker=self.worker)
        if self.breaker.is_open:
            self._put_back(connection, now)
        self._suppress(connection, self._refused.proved_dead, now)

    def _forget_settled(self) -> None:
        # Only after the commit: where the transaction fails, the answers are still there to record.
        for claim, outcome in self._answered:
            self.result.count(outcome.state, claim.trigger)
        self._answered = []
        self._refused.proved_dead.clear()
        if self.breaker.is_open:
            self._forget_put_back()

    def _put_back(self, connection: Connection, now: datetime) -> None:
        """Queue again what was refused in a row by a provider that takes nothing.

        It said no to us rather than to these mails, so the next delivery tries them again.
        """
        again = [
            delivery.Settlement(claim.send_id, State.QUEUED, answer, self._again_at(claim, now))
            for claim, answer in self._refused.claims
        ]
        delivery.put_back(connection, again, now)

    def _forget_put_back(self) -> None:
        # After the commit, as above.
        self.result.states[State.REJECTED] -= len(self._refused.claims)
        self.result.states[State.QUEUED] += len(self._refused.claims)
        self._refused.clear()

    def _suppress(self, connection: Connection, addresses: list[str], now: datetime) -> None:
        source = self.provider.name
        stops = (Suppression(address, "bounced", now, source) for address in addresses)
        suppressions.stop(connection, stops, now)

    def _settlement(
        self, claim: delivery.Claim, outcome: Outcome, now: datetime
    ) -> delivery.Settlement:
        again_at = None
        if outcome.state is State.QUEUED:
            again_at = self._again_at(claim, now, outcome.retry_after)
        detail = outcome.detail or None
        return delivery.Settlement(claim.send_id, outcome.state, detail, again_at, claim.attempts)

    def _again_at(
        self, claim: delivery.Claim, now: datetime, asked: timedelta | None = None
    ) -> datetime:
        first = timedelta(seconds=self.settings.delivery.retry_seconds)
        return now + retry_in(claim.attempts, asked, first, claim.ends_at - now)


def _dated(
    connection: Connection, claims: list[delivery.Claim], now: datetime
) -> list[delivery.Claim]:
    """The claims with the moment of their first attempt as the mail's date.

    It is kept, so that each later attempt hands over the same bytes.
    """
    claims = [
        replace(claim, mime=dated(claim.mime, now)) if claim.attempts == 1 else claim
        for claim in claims
    ]
    first = {claim.send_id: claim.mime for claim in claims if claim.attempts == 1}
    delivery.keep_bytes(connection, first)
    return claims


def _mail(claim: delivery.Claim, provider: Provider) -> Mail:
    """What is handed over; whoever reads it outside does not see what we call our triggers."""
    if not provider.live:
        return Mail(claim.send_id, claim.mime)
    names = claim.trigger, claim.step
    return Mail(claim.send_id, outward(claim.mime, *names), *names)


class RefusedInARow:
    """The mails that got a definite no since the provider last took one."""

    def __init__(self) -> None:
        self.claims: list[tuple[delivery.Claim, str]] = []
        """With what the provider said."""
        self.dead_addresses: list[str] = []
        """Addresses that do not exist, by the word of a provider that took nothing since."""
        self.proved_dead: list[str] = []
        """The same, of one that takes other mails: to be suppressed."""

    def see(self, claim: delivery.Claim, outcome: Outcome) -> None:
        """Take note of one answer."""
        if outcome.state is State.ACCEPTED:
            self.proved_dead += self.dead_addresses
            self.clear()
        elif outcome.state is State.REJECTED and outcome.was_asked:
            self.claims.append((claim, outcome.detail))
            if outcome.bounced:
                self.dead_addresses.append(claim.address)

    def clear(self) -> None:
        """Begin anew."""
        self.claims.clear()
        self.dead_addresses = []

    @property
    def are_about_us(self) -> bool:
        """Whether so many got the same answer that it cannot be about each of them."""
        return len(self.claims) >= ALIKE and len({alike(answer) for _, answer in self.claims}) == 1


def horizon_of(settings: Settings) -> timedelta:
    """How long an uncertain mail waits for evidence: no time, where none can come."""
    if settings.delivery.provider == "smtp" and not settings.mailbox.is_read:
        return timedelta(0)
    return timedelta(hours=settings.delivery.hold_after_hours)
