"""Mails that nothing proves sent or unsent: a person looks, decides, and is written down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Row, select

from lifecycle.errors import UnknownName
from lifecycle.ledger.states import move
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, actions, sends

Verdict = Literal["resend", "give_up"]


def held(ledger: Ledger) -> Sequence[Row[Any]]:
    """The sends that wait for a person, oldest first, as rows of `sends`."""
    query = select(sends).where(sends.c.state == State.HELD).order_by(sends.c.state_at)
    with ledger.read() as connection:
        return connection.execute(query).all()


def decide(ledger: Ledger, send_id: str, verdict: Verdict, *, by: str, why: str) -> None:
    """Send a held mail again, or give it up; recorded with who and why.

    A mail that is sent again goes at its window's next opening, however late it is. Raises
    UnknownName where no such send is held.
    """
    now = datetime.now(UTC)
    to, values = State.CANCELLED, {}
    if verdict == "resend":
        to, values = State.QUEUED, {"expires_at": None}
    with ledger.write() as connection:
        which = (sends.c.send_id == send_id, sends.c.state == State.HELD)
        if not move(connection, to, f"{verdict} by {by}: {why}", now, *which, **values):
            raise UnknownName(f"no send {send_id!r} is held; `lifecycle held` lists them")
        connection.execute(
            actions.insert().values(at=now, action=verdict, subject=send_id, by=by, why=why)
        )
