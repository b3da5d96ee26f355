"""Mails in a ledger, in whatever state a test needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import event, insert, select

from company import utc
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, enrollments, messages, sends

NOW = utc("2026-06-10 01:00")


@contextmanager
def statements(ledger: Ledger) -> Iterator[list[str]]:
    """The statements that are executed meanwhile: what grows with the input, whatever the
    machine."""
    collected: list[str] = []

    def hear(_: Any, __: Any, statement: str, *___: Any) -> None:
        collected.append(statement)

    event.listen(ledger.engine, "before_cursor_execute", hear)
    try:
        yield collected
    finally:
        event.remove(ledger.engine, "before_cursor_execute", hear)


def send(number: int) -> str:
    """The id of a send."""
    return f"{number:032x}"


def put(ledger: Ledger, number: int, state: State, **more: Any) -> str:
    """One mail in a state, as if delivery had brought it there; run r1 must be there."""
    put_all(ledger, [number], state, **more)
    return send(number)


def put_all(ledger: Ledger, numbers: list[int], state: State, **more: Any) -> None:
    """The same for many."""
    is_held = state is State.ATTEMPTING
    shared = {"trigger": "win_back", "cycle": 1, "run_id": "r1", "trigger_version": "v"}
    entries = [
        {
            **shared,
            "account_id": f"a{number}",
            "entered_version": "v",
            "held_out": False,
            "enrolled_at": NOW,
            "time_zone": "Asia/Tokyo",
            "time_zone_source": "account",
        }
        for number in numbers
    ]
    mails = [
        {
            **shared,
            "account_id": f"a{number}",
            "send_id": send(number),
            "contact_id": f"c{number}",
            "step": "check_in",
            "address": f"c{number}@example.com",
            "domain": "example.com",
            "locale": "en",
            "locale_source": "company",
            "due_at": NOW,
            "not_before": NOW,
            "closes_at": NOW + timedelta(hours=8),
            "state": state,
            "state_at": NOW,
            "accepted_at": NOW if state is State.ACCEPTED else None,
            "lease_owner": "w" if is_held else None,
            "lease_until": NOW + timedelta(days=999) if is_held else None,
            **more,
        }
        for number in numbers
    ]
    bytes_of = [{"send_id": send(number), "mime": b"mail"} for number in numbers]
    with ledger.write() as connection:
        connection.execute(insert(enrollments), entries)
        connection.execute(insert(sends), mails)
        connection.execute(insert(messages), bytes_of)


def state_of(ledger: Ledger, number: int = 1) -> str:
    """A mail's state."""
    with ledger.read() as connection:
        query = select(sends.c.state).where(sends.c.send_id == send(number))
        return connection.execute(query).scalar_one()
