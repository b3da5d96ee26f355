"""What comes back about mails and addresses: facts from outside, in any order, any number of
times.

A fact is kept once, and what follows from facts is the same in whatever order they came:

- That the provider ever had a mail decides its state, whatever it was thought to be: a mail
  that it reports on is `accepted`, one that it reports delivered is `delivered`. No fact moves
  a mail back, and a bounce or a complaint is no state: it is a fact beside one.
- A mail that a worker holds is decided in the same way. The worker then finds that it holds it
  no more (`delivery.settle`), and its own idea of the outcome, a time-out perhaps, is dropped.
- An address that bounced for good, complained or unsubscribed is never mailed again; one that
  could not be reached five mails in a row is not either.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Row, bindparam, func, select, update

from lifecycle.errors import GateStopped
from lifecycle.ledger import dialect, suppressions
from lifecycle.ledger.states import batches, log
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.suppressions import SOFT, Suppression, normalized
from lifecycle.ledger.tables import State, feedback, feedback_syncs, sends
from lifecycle.masking import mask_addresses


class Kind(StrEnum):
    """What can be heard of a mail or an address."""

    PROCESSED = "processed"
    """The provider has the mail."""
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    """The receiving server asked to wait; the provider tries again."""
    BOUNCED = "bounced"
    """Refused for good: the address does not work."""
    BLOCKED = "blocked"
    """Refused this time, or given up on: a soft bounce."""
    DROPPED = "dropped"
    """The provider has the mail and did not send it."""
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    INVALID = "invalid"
    """No server could take mail for such an address."""


FROM_THE_PROVIDER = frozenset(Kind) - {Kind.UNSUBSCRIBED, Kind.INVALID}
"""Kinds that only somebody who has the mail can report."""

SUPPRESSING = {
    Kind.BOUNCED: "bounced",
    Kind.COMPLAINED: "complained",
    Kind.UNSUBSCRIBED: "unsubscribed",
    Kind.INVALID: "invalid",
}
"""Kinds after which an address is never mailed again, and the reason that is kept."""

LISTS = {"sendgrid": ("bounces", "blocks", "invalid_emails", "spam_reports", "unsubscribes")}
"""By provider: what it keeps about addresses, to be read every so often."""

MAILBOX = "mailbox"
"""The name of the mailbox among the lists."""

SOFT_LIMIT = 5
"""Soft bounces in a row."""
SAME_BOUNCE = timedelta(hours=1)
"""A list tells of a bounce too, about when the event of the mail does."""
LONGEST_DETAIL = 500
LONGEST_ID, LONGEST_EVENT_ID = 32, 128
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What JSON can say and a database cannot hold."""


@dataclass(frozen=True)
class Fact:
    """Something that happened to a mail, or to an address, or to both."""

    source: str
    """Who says so: webhook, link, or the name of a list."""
    kind: Kind
    at: datetime
    """By the clock of who says so, aware."""
    send_id: str | None = None
    address: str | None = None
    event_id: str | None = None
    """The source's own id for it, where it gives one. It may change from one telling to the
    next."""
    detail: str = ""

    @property
    def key(self) -> str:
        """The same for every telling: what happened to whom, to the second."""
        of = self.send_id or normalized(self.address or "")
        facts = [of, self.kind, int(self.at.timestamp())]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def apply(
    ledger: Connection,
    facts: Iterable[Fact],
    received_at: datetime,
    *,
    erasure_key: str = "",
    customers: Customers | None = None,
) -> int:
    """Keep the facts, and do what follows from the new ones, in the caller's transaction.

    Returns how many were new. `received_at` is the wall clock. `erasure_key` is that of
    `[privacy]`: of an erased person nothing is kept but what happened to a mail. Raises
    LedgerError where it is needed and missing.

    Each fact is first made to fit the ledger (`fit`); one that cannot be is left out. So is, where
    `customers` says who they are, what is about no mail of ours and suppresses nobody that we know:
    other applications may use the same account.
    """
    fitted = [fact for reported in facts if (fact := fit(reported))]
    about = _sends_of(ledger, fitted)
    if customers is not None:
        fitted = _ours(ledger, fitted, about, customers)
    fitted = [_with_the_ledgers_address(fact, about) for fact in fitted]
    new = _keep(ledger, _without_erased(ledger, fitted, erasure_key), received_at)
    _acknowledge(ledger, new, about, received_at)
    _suppress(ledger, new, received_at)
    return len(new)


Customers = Callable[[Collection[str]], set[str] | None]
"""Those of some addresses (normalised) that the CRM knows; None: nobody can tell yet."""


def _ours(
    ledger: Connection, facts: Sequence[Fact], about: dict[str, Row[Any]], customers: Customers
) -> list[Fact]:
    """The facts about our mails, and those that say something of an address that we know."""
    stops = {*SUPPRESSING, Kind.BLOCKED}
    strange = [fact for fact in facts if not fact.send_id or fact.send_id not in about]
    addresses = sorted({fact.address for fact in strange if fact.address and fact.kind in stops})
    known = customers(addresses)
    if known is None:
        return list(facts)
    for batch in batches(addresses):
        mailed = select(sends.c.address).where(sends.c.address.in_(batch)).distinct()
        known.update(ledger.scalars(mailed))
    is_strange = set(map(id, strange))
    return [
        fact
        for fact in facts
        if id(fact) not in is_strange or (fact.kind in stops and fact.address in known)
    ]


def fit(fact: Fact) -> Fact | None:
    """The fact as a ledger can hold it, or None where it then names neither mail nor address.

    What is longer than an id or an address can be, or no text, is none that we ever mailed.
    """
    address = fact.address and normalized(fact.address)
    kept = replace(
        fact,
        send_id=_name(fact.send_id, LONGEST_ID),
        address=_name(address, suppressions.LONGEST_ADDRESS),
        event_id=_name(fact.event_id, LONGEST_EVENT_ID),
        detail=_NO_TEXT.sub("", fact.detail),
    )
    return kept if kept.send_id or kept.address else None


def _name(text: str | None, longest: int) -> str | None:
    return text if text and len(text) <= longest and not _NO_TEXT.search(text) else None


def record_sync(ledger: Connection, source: str, *, read_until: datetime, now: datetime) -> None:
    """Write down that a list was pulled whole, up to a moment of the provider's clock."""
    row = {"source": source, "read_until": read_until, "succeeded_at": now}
    insert = dialect.insert(ledger, feedback_syncs).values(row)
    ledger.execute(
        insert.on_conflict_do_update(
            index_elements=[feedback_syncs.c.source],
            set_={name: insert.excluded[name] for name in ("read_until", "succeeded_at")},
        )
    )


def last_syncs(ledger: Connection) -> dict[str, Row[Any]]:
    """For each list that was ever pulled whole: read_until and succeeded_at."""
    return {row.source: row for row in ledger.execute(select(feedback_syncs))}


def check_fresh(
    ledger: Ledger, provider: str, max_age: timedelta, now: datetime, *, mailbox: bool = False
) -> None:
    """Refuse to send without recent news of bounces, complaints, unsubscribes and, with `mailbox`,
    answers.

    `now` is the wall clock. A provider that keeps no lists is let through. Raises GateStopped.
    """
    with ledger.read() as connection:
        old = stale(connection, provider, max_age, now, mailbox=mailbox)
    if old:
        raise GateStopped("feedback", [*old, "read them with: lifecycle sync-feedback"])


def stale(
    ledger: Connection, provider: str, max_age: timedelta, now: datetime, *, mailbox: bool = False
) -> list[str]:
    """The lists of the provider, and the mailbox, that were not read for too long, a sentence
    each."""
    synced = last_syncs(ledger)
    old = []
    for source in (*LISTS.get(provider, ()), *([MAILBOX] if mailbox else [])):
        row = synced.get(source)
        called = "the mailbox was" if source == MAILBOX else f"{source} were"
        if row is None:
            old.append(f"{called} never read" + (" from the provider" * (source != MAILBOX)))
        elif now - row.succeeded_at > max_age:
            old.append(
                f"{called} last read at {row.succeeded_at:%Y-%m-%d %H:%M} UTC, longer ago "
                f"than {max_age / timedelta(hours=1):g} hours"
            )
    return old


# Keeping. ---------------------------------------------------------------------------------


def _sends_of(ledger: Connection, facts: Sequence[Fact]) -> dict[str, Row[Any]]:
    """The sends that the facts name and the ledger knows."""
    ids = sorted({fact.send_id for fact in facts if fact.send_id})
    columns = (sends.c.send_id, sends.c.state, sends.c.address, sends.c.accepted_at)
    return {
        row.send_id: row
        for batch in batches(ids)
        for row in ledger.execute(select(*columns).where(sends.c.send_id.in_(batch)))
    }


def _with_the_ledgers_address(fact: Fact, about: dict[str, Row[Any]]) -> Fact:
    send = about.get(fact.send_id or "")
    address = (send.address if send is not None else None) or fact.address
    return replace(fact, address=normalized(address) if address else None)


def _without_erased(ledger: Connection, facts: Sequence[Fact], key: str) -> list[Fact]:
    addresses = {fact.address for fact in facts if fact.address}
    reasons = suppressions.reasons(ledger, addresses, key)
    erased = {address for address, reason in reasons.items() if reason == "erased"}
    kept = (replace(fact, address=None) if fact.address in erased else fact for fact in facts)
    return [fact for fact in kept if fact.send_id or fact.address]


def _keep(ledger: Connection, facts: Sequence[Fact], received_at: datetime) -> list[Fact]:
    """Write down those that nobody has told yet, and return them."""
    by_key = {fact.key: fact for fact in facts}
    known_keys = _known(ledger, feedback.c.key, by_key)
    by_event = {fact.event_id: key for key, fact in by_key.items() if fact.event_id}
    known_events = _known(ledger, feedback.c.event_id, by_event)
    new = {
        key: fact
        for key, fact in by_key.items()
        if key not in known_keys
        and fact.event_id not in known_events
        and by_event.get(fact.event_id or "", key) == key
    }
    insert = dialect.insert(ledger, feedback).on_conflict_do_nothing()
    for batch in batches(new.items()):
        ledger.execute(
            insert,
            [
                {
                    "key": key,
                    "send_id": fact.send_id,
                    "address": fact.address,
                    "kind": fact.kind,
                    "at": fact.at,
                    "received_at": received_at,
                    "source": fact.source,
                    "event_id": fact.event_id,
                    "detail": mask_addresses(fact.detail)[:LONGEST_DETAIL] or None,
                }
                for key, fact in batch
            ],
        )
    return list(new.values())


def _known(ledger: Connection, column: Column[Any], values: Collection[str]) -> set[str]:
    return {
        row[0]
        for batch in batches(values)
        for row in ledger.execute(select(column).where(column.in_(batch)))
    }


# States. ----------------------------------------------------------------------------------

_REACHED = {State.ACCEPTED: 1, State.DELIVERED: 2}
"""How far a mail got, of what can be proved. All other states are 0: guesses, or plans."""


class _Proof(NamedTuple):
    state: State
    at: datetime
    fact: Fact


def _acknowledge(
    ledger: Connection, new: Sequence[Fact], about: dict[str, Row[Any]], now: datetime
) -> None:
    """Move each mail as far as the facts prove, never back."""
    proofs: dict[str, _Proof] = {}
    for fact in new:
        if fact.kind in FROM_THE_PROVIDER and fact.send_id and fact.send_id in about:
            proof = _Proof(_proves(fact), min(fact.at, now), fact)
            proofs[fact.send_id] = _joined(proofs.get(fact.send_id, proof), proof)
    moves, changes = [], []
    for send_id, proof in proofs.items():
        send = about[send_id]
        if _REACHED.get(send.state, 0) < _REACHED[proof.state]:
            detail = f"{proof.fact.source}: {proof.fact.kind}"
            moves.append({"of_send": send_id, "to_state": proof.state, "detail": detail})
            changes.append((send_id, send.state, proof.state, detail))
    if moves:
        values = {
            "state": bindparam("to_state"),
            "state_at": now,
            "detail": bindparam("detail"),
            "lease_owner": None,
            "lease_until": None,
        }
        ledger.execute(_one_send.values(**values), moves)
        log(ledger, changes, now)
    earlier = [
        {"of_send": send_id, "accepted_at": proof.at}
        for send_id, proof in proofs.items()
        if (known := about[send_id].accepted_at) is None or proof.at < known
    ]
    if earlier:
        ledger.execute(_one_send.values(accepted_at=bindparam("accepted_at")), earlier)


_one_send = update(sends).where(sends.c.send_id == bindparam("of_send"))


def _proves(fact: Fact) -> State:
    return State.DELIVERED if fact.kind is Kind.DELIVERED else State.ACCEPTED


def _joined(proof: _Proof, other: _Proof) -> _Proof:
    further = max(proof, other, key=lambda proof: (_REACHED[proof.state], -proof.at.timestamp()))
    return _Proof(further.state, min(proof.at, other.at), further.fact)


# Addresses. -------------------------------------------------------------------------------


def _suppress(ledger: Connection, new: Sequence[Fact], now: datetime) -> None:
    suppressions.stop(
        ledger,
        (
            Suppression(fact.address, SUPPRESSING[fact.kind], fact.at, fact.source)
            for fact in new
            if fact.address and fact.kind in SUPPRESSING
        ),
        now,
    )
    touched = {
        fact.address for fact in new if fact.address and fact.kind in (Kind.BLOCKED, Kind.DELIVERED)
    }
    _judge_soft(ledger, touched, now)


def _judge_soft(ledger: Connection, addresses: Collection[str], now: datetime) -> None:
    """Suppress the addresses that five mails in a row could not reach, and only these."""
    often = select(feedback.c.address).where(feedback.c.kind == Kind.BLOCKED)
    often = often.group_by(feedback.c.address).having(func.count() >= SOFT_LIMIT)
    suspects = {
        row.address
        for batch in batches(sorted(addresses))
        for row in ledger.execute(often.where(feedback.c.address.in_(batch)))
    }
    history: dict[str, list[Happened]] = defaultdict(list)
    columns = (feedback.c.address, feedback.c.at, feedback.c.kind, feedback.c.send_id)
    for batch in batches(sorted(suspects)):
        query = select(*columns).where(
            feedback.c.address.in_(batch), feedback.c.kind.in_([Kind.BLOCKED, Kind.DELIVERED])
        )
        for row in ledger.execute(query):
            history[row.address].append(Happened(row.at, Kind(row.kind), row.send_id))
    limits_reached = {
        address: reached_soft_limit(happened) for address, happened in history.items()
    }
    suppressions.stop(
        ledger,
        (
            Suppression(address, SOFT, at, "feedback")
            for address, at in limits_reached.items()
            if at
        ),
        now,
    )
    suppressions.lift_soft(
        ledger, [address for address, at in limits_reached.items() if at is None]
    )


class Happened(NamedTuple):
    """A soft bounce of an address, or a delivery to it."""

    at: datetime
    kind: Kind
    send_id: str | None


def reached_soft_limit(happened: Iterable[Happened]) -> datetime | None:
    """When an address first had five soft bounces in a row with no delivery between, if ever.

    A mail counts once, however often it was refused, and one that bounced after all was not
    delivered. A bounce that only a list tells of counts where no mail's own event does.
    """
    events = sorted(happened, key=lambda event: (event.at, event.kind, event.send_id or ""))
    mail_bounces = [event for event in events if event.kind is Kind.BLOCKED and event.send_id]
    bounced = {event.send_id for event in mail_bounces}
    counted: set[str] = set()
    in_a_row = 0
    for event in events:
        if event.kind is Kind.DELIVERED:
            in_a_row = in_a_row if event.send_id in bounced else 0
            continue
        if event.send_id is None:
            if any(abs(event.at - other.at) <= SAME_BOUNCE for other in mail_bounces):
                continue
        elif event.send_id in counted:
            continue
        else:
            counted.add(event.send_id)
        in_a_row += 1
        if in_a_row == SOFT_LIMIT:
            return event.at
    return None
