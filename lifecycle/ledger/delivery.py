"""The states of a send while it is being delivered: release, claim, settle, recover.

`now` is the run's clock in UTC. Leases alone run on the wall clock, because they are about
processes that are alive, not about the day that a run looks at.
"""

from __future__ import annotations

import os
import socket
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Row,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    tuple_,
    update,
)

from lifecycle.caps import Cap, MailCount, local_day
from lifecycle.ledger import approvals, departures, held_losses, same_step, spacing, suppressions
from lifecycle.ledger.states import batches, log_transitions, transition
from lifecycle.ledger.tables import (
    HAS_NOT_LEFT,
    MAILED,
    NOT_LEFT,
    OF_ITS_ENROLLMENT,
    PAUSED,
    State,
    UtcDateTime,
    account_holds,
    enrollments,
    messages,
    send_log,
    sends,
    trigger_stops,
    trigger_versions,
)
from lifecycle.template_names import OWNER_LIST

IN_FLIGHT = 64
"""Single mails a worker may hold at a time, so that a crash leaves no more in doubt."""


@cache
def worker_name() -> str:
    """This process, so that another one on the same machine can tell whether it still lives."""
    import psutil

    me = psutil.Process()
    return f"{socket.gethostname()}:{os.getpid()}:{me.create_time():.2f}"


def is_gone(worker: str, lease_until: datetime) -> bool:
    """Whether nobody will tell any more what became of a worker's attempts.

    One of this machine is looked for, however slow it is; of another machine's nothing is known
    but its lease.
    """
    host, pid, started = worker.rsplit(":", 2)
    if host != socket.gethostname():
        return lease_until <= datetime.now(UTC)
    import psutil

    try:
        process = psutil.Process(int(pid))
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return is_zombie or f"{process.create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class Claim:
    """One mail that this worker alone may hand over now."""

    send_id: str
    trigger: str
    step: str
    address: str
    attempts: int
    """This one included."""
    ends_at: datetime
    """When its window shuts, or it is too late for it (UTC)."""
    mime: bytes


def recover(ledger: Connection, now: datetime) -> int:
    """Attempts whose worker is gone become uncertain, never queued; returns how many."""
    held = ledger.execute(
        select(sends.c.send_id, sends.c.lease_owner, sends.c.lease_until).where(
            sends.c.state == State.ATTEMPTING
        )
    ).all()
    orphans = [row.send_id for row in held if is_gone(row.lease_owner, row.lease_until)]
    for batch in batches(orphans):
        detail = "its worker ended during the attempt"
        transition(ledger, State.UNCERTAIN, detail, now, sends.c.send_id.in_(batch))
    return len(orphans)


def uncertain(ledger: Connection) -> list[Row[Any]]:
    """The sends that only evidence can decide: send_id and trigger."""
    return list(
        ledger.execute(
            select(sends.c.send_id, sends.c.trigger).where(
                sends.c.state.in_([State.UNCERTAIN, State.HELD])
            )
        ).all()
    )


def hold(ledger: Connection, now: datetime, horizon: timedelta) -> int:
    """Sends that nothing has proved either way by the horizon wait for a person's decision.

    Returns how many. What was known of them stays in the ledger's log.
    """
    detail = "nothing can prove whether it left"
    if horizon:
        detail = f"no evidence within {horizon.total_seconds() / 3600:g} hours"
    old = (sends.c.state == State.UNCERTAIN, sends.c.state_at <= now - horizon)
    return len(transition(ledger, State.HELD, detail, now, *old))


def note_full_domains(ledger: Connection, now: datetime, domains: Sequence[str]) -> None:
    """Write at the mails that are due and find no room that their domain had its daily number."""
    for batch in batches(domains):
        ledger.execute(
            update(sends)
            .where(
                sends.c.state == State.QUEUED,
                *may_go(now),
                sends.c.domain.in_(batch),
                sends.c.detail.is_(None),
            )
            .values(detail="its domain had as many mails as it may get in a day ([warmup])")
        )


def not_sent_since(ledger: Connection, change: int) -> dict[str, int]:
    """Why mails left the queue without being sent after that row of the log: mails."""
    query = (
        select(send_log.c.to_state, send_log.c.detail, func.count().label("n"))
        .where(
            send_log.c.id > change,
            or_(
                send_log.c.to_state.in_([State.EXPIRED, State.SUPPRESSED, State.CANCELLED]),
                and_(send_log.c.to_state == State.PLANNED, send_log.c.from_state == State.QUEUED),
            ),
        )
        .group_by(send_log.c.to_state, send_log.c.detail)
    )
    words = {State.PLANNED: "put off"}
    return {
        f"{words.get(row.to_state, row.to_state)}: {row.detail}": row.n
        for row in ledger.execute(query)
    }


def put_back(ledger: Connection, settlements: Sequence[Settlement], now: datetime) -> None:
    """Queue again what was rejected a moment ago by a provider that takes nothing, unless it was
    erased meanwhile: the refusal is about us, and the mail was definitely not taken."""
    for settlement in settlements:
        which = (
            sends.c.send_id == settlement.send_id,
            sends.c.state == State.REJECTED,
            sends.c.send_id.in_(select(messages.c.send_id)),
        )
        detail = f"refused like all others, so it waits: {settlement.detail}"
        transition(ledger, State.QUEUED, detail, now, *which, not_before=settlement.again_at)


def release(ledger: Connection, now: datetime) -> None:
    """Queue the mails whose moment has come, and end those whose use is over.

    Mails of a version that waits, of a paused trigger, of an account on hold or of a run
    that nobody approved stay where they are, and may expire there; so do those whose window has
    shut, until the next run finds them another opening: none, where their sequence was left.
    """
    late = (HAS_NOT_LEFT, sends.c.expires_at <= now)
    why = func.coalesce(sends.c.waiting_for, sends.c.detail)
    for reason in ledger.scalars(select(why).where(*late).distinct()).all():
        detail = (
            f"too late to be useful; it waited: {reason}" if reason else "too late to be useful"
        )
        of_reason = why.is_(None) if reason is None else why == reason
        transition(ledger, State.EXPIRED, detail, now, *late, of_reason)
    has_left = enrollments.c.ended_at.is_not(None) & (enrollments.c.end_reason != "completed")
    shut = (HAS_NOT_LEFT, sends.c.not_before <= now, sends.c.closes_at <= now)
    sequence = select(enrollments.c.account_id).where(OF_ITS_ENROLLMENT, has_left)
    transition(ledger, State.CANCELLED, "left the sequence", now, *shut, sequence.exists())
    transition(ledger, State.QUEUED, None, now, sends.c.state == State.PLANNED, *may_go(now))


class Room:
    """How many more mails each domain may get today, whoever sends them.

    Each claim reads in its own transaction what all workers began since the one before.
    """

    def __init__(
        self, left: Mapping[str, int] | None = None, for_new: int | None = None, seen: int = 0
    ) -> None:
        """`left` is what was left by change number `seen` of the log; `for_new` is what a
        domain gets that was never mailed. None: no domain has a limit."""
        self._left = dict(left or {})
        self._for_new = for_new
        self._seen = seen
        self._taken: Counter[str] = Counter()
        """Since the last look, by the claim that goes on."""

    def look(self, ledger: Connection) -> None:
        """Count what was begun, and what was definitely not taken, since the last look."""
        if self._for_new is None:
            return
        began = send_log.c.to_state == State.ATTEMPTING
        refused = and_(
            send_log.c.from_state == State.ATTEMPTING, send_log.c.to_state.not_in(MAILED)
        )
        query = (
            select(send_log.c.id, send_log.c.to_state, sends.c.domain)
            .join(sends, sends.c.send_id == send_log.c.send_id)
            .where(send_log.c.id > self._seen, began | refused)
        )
        for row in ledger.execute(query).all():
            more = -1 if row.to_state == State.ATTEMPTING else 1
            self._left[row.domain] = self._left.get(row.domain, self._for_new) + more
            self._seen = max(self._seen, row.id)
        self._taken.clear()

    @property
    def full(self) -> list[str]:
        """The domains that may get no more."""
        return [domain for domain, left in self._left.items() if left <= 0]

    def take(self, domain: str) -> bool:
        """Whether one more mail may go there; if so, it is counted."""
        if self._for_new is None:
            return True
        if self._taken[domain] >= self._left.get(domain, self._for_new):
            return False
        self._taken[domain] += 1
        return True


def claim(
    ledger: Connection,
    now: datetime,
    *,
    worker: str,
    lease: timedelta,
    limit: int = IN_FLIGHT,
    room: Room | None = None,
    erasure_key: str = "",
) -> tuple[list[Claim], bool]:
    """Take up to `limit` queued mails, each checked once more in this transaction.

    One whose account left, or whose address is suppressed or got the step already, is taken out
    of the queue instead. One whose cap is full waits for the next run; one that would come too
    soon after the mail before it waits for its distance; one whose domain has no room stays in
    the queue. Returns the claims, and whether the queue had anything at all.
    """
    room = room or Room()
    room.look(ledger)
    due = {"now": now, "full": room.full, "at_most": limit}
    rows = ledger.execute(_DUE, due).all()
    suppressed = suppressions.reasons(ledger, {row.address for row in rows}, erasure_key)
    taken: list[Row[Any]] = []
    limits = {row.send_id: list(_limits(row)) for row in rows}
    mailed = _mailed(ledger, rows, limits)
    steps_of = same_step.SameStep(ledger, rows)
    for row in rows:
        if row.ended_at is not None and row.end_reason != "completed":
            refusal = State.CANCELLED, f"left the sequence: {row.end_reason}"
        elif row.address in suppressed:
            refusal = State.SUPPRESSED, f"address suppressed: {suppressed[row.address]}"
        elif full := _full_cap(limits[row.send_id], mailed, local_day(now, row.time_zone)):
            transition(
                ledger, State.PLANNED, full, now, sends.c.send_id == row.send_id, waiting_for=full
            )
            continue
        elif (again_at := spacing.may_follow(row)) > now:
            why = "keeps its distance from the mail before it"
            which = sends.c.send_id == row.send_id
            transition(ledger, State.PLANNED, why, now, which, not_before=again_at)
            continue
        elif other := steps_of.before(row, now):
            refusal = State.SUPPRESSED, f"same_step_recently: {other}"
        else:
            if room.take(row.domain):
                taken.append(row)
                steps_of.take(row, now)
                for holder, _, _ in limits[row.send_id]:
                    mailed.add(holder, local_day(now, row.time_zone))
            continue
        transition(ledger, *refusal, now, sends.c.send_id == row.send_id)
    # Nobody else writes meanwhile; there is no need to look at the rows again.
    ids = [row.send_id for row in taken]
    until = datetime.now(UTC) + lease
    for batch in batches(ids):
        ledger.execute(_ATTEMPT, {"ids": batch, "at": now, "worker": worker, "until": until})
    log_transitions(ledger, ids, State.QUEUED, now)
    return [_claimed(row) for row in taken], bool(rows)


_KEEP_BYTES = (
    update(messages)
    .where(messages.c.send_id == bindparam("of_send"))
    .values(mime=bindparam("new_mime"))
)


def keep_bytes(ledger: Connection, mime_of: Mapping[str, bytes]) -> None:
    """Keep the bytes that leave, by send."""
    rows = [{"of_send": send_id, "new_mime": mime} for send_id, mime in mime_of.items()]
    if rows:
        ledger.execute(_KEEP_BYTES, rows)


def _claimed(row: Row[Any]) -> Claim:
    ends_at = min(row.closes_at, row.expires_at or row.closes_at)
    names = row.trigger, row.step
    return Claim(row.send_id, *names, row.address, row.attempts + 1, ends_at, row.mime)


@dataclass(frozen=True)
class Settlement:
    """What became of one attempt."""

    send_id: str
    state: State
    detail: str | None
    again_at: datetime | None = None
    """QUEUED: when it may be claimed again."""
    attempt: int | None = None
    """Which attempt at the send it was, as its claim says; None: found out by other means."""


_ATTEMPTED = select(sends.c.send_id, sends.c.state, sends.c.attempts, sends.c.lease_owner).where(
    sends.c.send_id.in_(bindparam("ids", expanding=True))
)
_IN_DOUBT = (State.UNCERTAIN, State.HELD)
_LATE = {
    State.ACCEPTED: (*_IN_DOUBT, State.QUEUED),
    State.REJECTED: _IN_DOUBT,
    State.QUEUED: _IN_DOUBT,
}
"""By a definite answer: where it still decides, though the attempt was given up for lost. A
person may have said meanwhile that the mail shall go again: not if it was taken."""


def settle_all(
    ledger: Connection,
    settlements: Sequence[Settlement],
    now: datetime,
    *,
    worker: str | None = None,
) -> set[str]:
    """Write what became of attempts; returns the ids of those for which it was written.

    With `worker`, what it was told itself: it decides the attempt that it holds, and also one
    that was declared uncertain in the meantime, where the answer is a definite one. Without,
    evidence about an uncertain or held send. What would go back to the queue, and was erased
    meanwhile, is cancelled.
    """
    written: set[str] = set()
    for batch in batches(settlements):
        attempts = ledger.execute(_ATTEMPTED, {"ids": [settlement.send_id for settlement in batch]})
        rows = {row.send_id: row for row in attempts}
        decisive = [
            settlement
            for settlement in batch
            if (row := rows.get(settlement.send_id)) and _decides(settlement, row, worker)
        ]
        erased = _erased(
            ledger,
            [settlement.send_id for settlement in decisive if settlement.state is State.QUEUED],
        )
        decisive = [
            replace(settlement, state=State.CANCELLED, detail="erased")
            if settlement.send_id in erased
            else settlement
            for settlement in decisive
        ]
        if decisive:
            ledger.execute(_SETTLE, [_settled(settlement, now) for settlement in decisive])
        by_state: defaultdict[State, list[str]] = defaultdict(list)
        for settlement in decisive:
            by_state[rows[settlement.send_id].state].append(settlement.send_id)
        for came_from, ids in by_state.items():
            log_transitions(ledger, ids, came_from, now)
            written.update(ids)
    return written


def _erased(ledger: Connection, send_ids: Sequence[str]) -> set[str]:
    """Those of the sends whose mail is gone."""
    if not send_ids:
        return set()
    stored = select(messages.c.send_id).where(messages.c.send_id.in_(send_ids))
    return set(send_ids).difference(ledger.scalars(stored))


def _decides(settlement: Settlement, send: Row[Any], worker: str | None) -> bool:
    """Whether what was heard is about the send as it is."""
    if worker is None:
        return send.state in _IN_DOUBT
    # Each claim counts the attempts up: whoever knows the number made the attempt.
    if settlement.attempt != send.attempts:
        return False
    if send.state == State.ATTEMPTING:
        return bool(send.lease_owner == worker)
    return send.state in _LATE.get(settlement.state, ())


_SETTLE = (
    update(sends)
    .where(sends.c.send_id == bindparam("of_send"))
    .values(
        state=bindparam("new_state"),
        state_at=bindparam("at"),
        detail=bindparam("new_detail"),
        lease_owner=None,
        lease_until=None,
        accepted_at=case(
            (bindparam("new_state") == State.ACCEPTED, bindparam("at")),
            else_=sends.c.accepted_at,
        ),
        not_before=func.coalesce(bindparam("again", type_=UtcDateTime), sends.c.not_before),
    )
)


def _settled(settlement: Settlement, now: datetime) -> dict[str, Any]:
    return {
        "of_send": settlement.send_id,
        "new_state": settlement.state,
        "new_detail": settlement.detail,
        "at": now,
        "again": settlement.again_at,
    }


def settle(
    ledger: Connection,
    send_id: str,
    state: State,
    detail: str | None,
    now: datetime,
    *,
    worker: str | None = None,
    attempt: int | None = None,
    again_at: datetime | None = None,
) -> bool:
    """Write what became of one attempt, as `settle_all` does. Returns whether it was written."""
    settlement = Settlement(send_id, state, detail, again_at, attempt)
    return bool(settle_all(ledger, [settlement], now, worker=worker))


def next_due(ledger: Connection, now: datetime) -> datetime | None:
    """When the next planned mail may go."""
    moment: datetime | None = ledger.scalar(
        select(func.min(sends.c.not_before, type_=UtcDateTime)).where(
            sends.c.state.in_(NOT_LEFT), ~waits(now)
        )
    )
    return moment


Moment = datetime | BindParameter[datetime]


def may_go(now: Moment) -> tuple[ColumnElement[bool], ...]:
    """Mails that are not put off, whose window is open, and that nothing holds up."""
    return sends.c.not_before <= now, sends.c.closes_at > now, ~waits(now)


def waits(now: Moment) -> ColumnElement[bool]:
    """Mails that stay where they are: read in the transaction that would move them."""
    versions = select(trigger_versions.c.trigger, trigger_versions.c.version)
    paused = select(trigger_stops.c.trigger).where(trigger_stops.c.mode == PAUSED)
    on_hold = select(account_holds.c.account_id).where(account_holds.c.until > now)
    return or_(
        tuple_(sends.c.trigger, sends.c.trigger_version).in_(
            versions.where(trigger_versions.c.waiting_since.is_not(None))
        ),
        sends.c.trigger.in_(paused),
        sends.c.account_id.in_(on_hold),
        sends.c.waiting_for.is_not(None),
        spacing.comes_first(),
        sends.c.address.in_(departures.unconfirmed()),
        sends.c.account_id.in_(held_losses.accounts()),
        and_(sends.c.run_id.in_(approvals.not_approved()), sends.c.trigger != OWNER_LIST),
    )


# Statements of every claim are written once: SQLAlchemy takes longer to build them than SQLite
# to answer them.
_DUE = (
    select(
        *(sends.c[name] for name in ("send_id", "account_id", "address", "domain")),
        *(sends.c[name] for name in ("contact_cap", "account_cap", "trigger", "attempts")),
        *(sends.c[name] for name in ("step", "cycle", "not_again_days", "time_zone")),
        *(sends.c[name] for name in ("closes_at", "expires_at", "not_before", "after_distance")),
        spacing.first.c.accepted_at.label("first_left_at"),
        *(enrollments.c.ended_at, enrollments.c.end_reason, messages.c.mime),
    )
    .join(messages, messages.c.send_id == sends.c.send_id)
    .join(enrollments, OF_ITS_ENROLLMENT, isouter=True)
    .join(spacing.first, spacing.first.c.send_id == sends.c.after_send, isouter=True)
    .where(
        sends.c.state == State.QUEUED,
        *may_go(bindparam("now", type_=UtcDateTime)),
        sends.c.domain.not_in(bindparam("full", expanding=True)),
    )
    .order_by(sends.c.not_before, sends.c.priority.desc(), sends.c.send_id)
    .limit(bindparam("at_most", type_=Integer))
)
_ATTEMPT = (
    update(sends)
    .where(sends.c.send_id.in_(bindparam("ids", expanding=True)))
    .values(
        state=State.ATTEMPTING,
        state_at=bindparam("at"),
        detail=None,
        attempts=sends.c.attempts + 1,
        lease_owner=bindparam("worker"),
        lease_until=bindparam("until"),
    )
)

Holder = tuple[str, str]
"""Whom a cap protects: a column of `sends` and its value."""
Limit = tuple[Holder, Cap, str]
"""The last is how to call the holder."""

_cap = cache(Cap.read)


def _limits(send: Row[Any]) -> Iterator[Limit]:
    if send.contact_cap is not None:
        yield ("address", send.address), _cap(send.contact_cap), "this address"
    if send.account_cap is not None:
        yield ("account_id", send.account_id), _cap(send.account_cap), "this account"


_SENT_TO = {
    # A condition on the state would lead SQLite to all mails that were ever accepted.
    name: select(
        sends.c[name].label("holder"),
        sends.c.trigger,
        sends.c.state,
        func.coalesce(sends.c.accepted_at, sends.c.not_before).label("at"),
    ).where(sends.c[name].in_(bindparam("holders", expanding=True)))
    for name in ("address", "account_id")
}


def _mailed(
    ledger: Connection, rows: Sequence[Row[Any]], limits: Mapping[str, Sequence[Limit]]
) -> MailCount[Holder]:
    """The days on which those were mailed whom these caps protect, by their own calendars."""
    zones = {holder: row.time_zone for row in rows for holder, _, _ in limits[row.send_id]}
    values: defaultdict[str, set[str]] = defaultdict(set)
    for name, value in zones:
        values[name].add(value)
    mailed: MailCount[Holder] = MailCount()
    for name, wanted in values.items():
        for batch in batches(wanted):
            for row in ledger.execute(_SENT_TO[name], {"holders": batch}):
                if row.state in MAILED and row.trigger != OWNER_LIST:
                    holder = name, row.holder
                    mailed.add(holder, local_day(row.at, zones[holder]))
    return mailed


def _full_cap(limits: Iterable[Limit], mailed: MailCount[Holder], today: int) -> str | None:
    for holder, cap, whom in limits:
        if not mailed.allows(holder, today, cap):
            return f"capped: {whom} may get {cap}"
    return None
