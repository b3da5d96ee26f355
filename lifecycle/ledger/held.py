"""Mails whose fate a person decides, and is written down: held ones, which nothing proves sent or
unsent, and rejected ones, which go again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, case, func, select

from lifecycle.errors import InputError, UnknownName
from lifecycle.ledger.states import batches, insert, transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, actions, messages, sends
from lifecycle.template_names import OWNER_LIST

Verdict = Literal["resend", "give_up"]


@dataclass(frozen=True)
class Which:
    """Which mails a decision is about: all that every given fact is true of."""

    send_ids: Sequence[str] = ()
    """Empty: whatever their id."""
    trigger: str | None = None
    run_id: str | None = None
    """The run that planned them."""
    reason: str | None = None
    """A part of what the provider said; case does not count."""
    since: datetime | None = None
    """In their state since then, or later (UTC)."""
    until: datetime | None = None
    """In their state since before then (UTC)."""

    def conditions(self, state: State) -> list[ColumnElement[bool]]:
        """What is asked of a row of `sends`."""
        asked = [sends.c.state == state]
        if self.send_ids:
            asked.append(sends.c.send_id.in_(self.send_ids))
        if self.trigger is not None:
            asked.append(sends.c.trigger == self.trigger)
        if self.run_id is not None:
            asked.append(sends.c.run_id == self.run_id)
        if self.reason is not None:
            asked.append(func.lower(sends.c.detail).contains(self.reason.lower(), autoescape=True))
        if self.since is not None:
            asked.append(sends.c.state_at >= self.since)
        if self.until is not None:
            asked.append(sends.c.state_at < self.until)
        return asked

    @property
    def in_words(self) -> str:
        """The facts, for the record of actions."""
        facts = {
            "trigger": self.trigger,
            "run": self.run_id,
            "reason": self.reason,
            "since": self.since and f"{self.since:%Y-%m-%d %H:%M}",
            "until": self.until and f"{self.until:%Y-%m-%d %H:%M}",
        }
        return ", ".join(f"{name} {value}" for name, value in facts.items() if value) or "all"


def held(ledger: Ledger, which: Which | None = None) -> Sequence[Row[Any]]:
    """The sends that wait for a person, oldest first, as rows of `sends`."""
    asked = (which or Which()).conditions(State.HELD)
    query = select(sends).where(*asked).order_by(sends.c.state_at, sends.c.send_id)
    with ledger.read() as connection:
        return connection.execute(query).all()


def decide(ledger: Ledger, send_id: str, verdict: Verdict, *, by: str, why: str) -> None:
    """Send a held mail again, or give it up; recorded with who and why.

    A mail that is sent again goes at its window's next opening, however late it is; an owner's
    list only on its day. Raises UnknownName where no such send is held, InputError for one to
    send again that was erased.
    """
    decide_all(ledger, Which(send_ids=(send_id,)), verdict, by=by, why=why)


def decide_all(ledger: Ledger, which: Which, verdict: Verdict, *, by: str, why: str) -> int:
    """The same for many; returns how many, without those that were erased.

    Nothing is decided where one that is named is not held. Raises as `decide` does.
    """
    now = datetime.now(UTC)
    with ledger.write() as connection:
        asked = which.conditions(State.HELD)
        ids = list(connection.scalars(select(sends.c.send_id).where(*asked)))
        if verdict == "resend" and which.send_ids:
            named = sends.c.send_id.in_(which.send_ids)
            there = list(connection.scalars(select(sends.c.send_id).where(named)))
            if erased := erased_of(connection, there):  # it is not held any more
                raise InputError(
                    f"the mail of send {min(erased)!r} was erased: nothing can be sent again"
                )
        if missing := sorted(set(which.send_ids).difference(ids)):
            raise UnknownName(f"no send {missing[0]!r} is held; `lifecycle held` lists them")
        if verdict == "resend":
            erased = erased_of(connection, ids)
            ids = [send_id for send_id in ids if send_id not in erased]
        detail = f"{verdict} by {by}: {why}"
        if verdict == "resend":
            queue_again(connection, ids, detail, now)
        else:
            for batch in batches(ids):
                transition(connection, State.CANCELLED, detail, now, sends.c.send_id.in_(batch))
        record_action(connection, verdict, ids, by=by, why=why, at=now)
    return len(ids)


def retry(ledger: Ledger, which: Which, *, by: str, why: str) -> int:
    """Queue again the mails that were rejected by mistake; returns how many.

    They go at their window's next opening, however late they are, and are checked once more as
    every mail is when it leaves. One that was erased, or whose address is known not to exist,
    stays rejected. Recorded with who and why.
    """
    now = datetime.now(UTC)
    with ledger.write() as connection:
        asked = which.conditions(State.REJECTED)
        ids = list(connection.scalars(select(sends.c.send_id).where(*asked)))
        erased = erased_of(connection, ids)
        ids = [send_id for send_id in ids if send_id not in erased]
        if not ids:
            raise UnknownName(f"no rejected mail is meant by: {which.in_words}")
        queue_again(connection, ids, f"retry by {by}: {why}", now)
        record_action(connection, "retry", ids, by=by, why=why, at=now)
    return len(ids)


def queue_again(ledger: Connection, send_ids: Sequence[str], detail: str, at: datetime) -> None:
    """Queue mails again, however late; an owner's list only on its day."""
    is_list = sends.c.trigger == OWNER_LIST
    expires_at = case((is_list, sends.c.expires_at), else_=None)
    for batch in batches(send_ids):
        which = sends.c.send_id.in_(batch)
        transition(ledger, State.QUEUED, detail, at, which, expires_at=expires_at)


def record_action(
    ledger: Connection, action: str, subjects: Sequence[str], *, by: str, why: str, at: datetime
) -> None:
    """Write down what a person decided, a row each."""
    rows = (
        {"at": at, "action": action, "subject": subject, "by": by, "why": why}
        for subject in subjects
    )
    insert(ledger, actions, rows)


def erased_of(ledger: Connection, send_ids: Sequence[str]) -> set[str]:
    """Those of the sends whose mail is gone."""
    stored: set[str] = set()
    for batch in batches(send_ids):
        stored.update(
            ledger.scalars(select(messages.c.send_id).where(messages.c.send_id.in_(batch)))
        )
    return set(send_ids) - stored
