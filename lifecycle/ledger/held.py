"""Mails that nothing proves sent or unsent: a person looks, decides, and is written down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, case, select

from lifecycle.errors import InputError, UnknownName
from lifecycle.ledger.states import transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, actions, messages, sends
from lifecycle.template_names import OWNER_LIST

Verdict = Literal["resend", "give_up"]


def held(ledger: Ledger) -> Sequence[Row[Any]]:
    """The sends that wait for a person, oldest first, as rows of `sends`."""
    query = select(sends).where(sends.c.state == State.HELD).order_by(sends.c.state_at)
    with ledger.read() as connection:
        return connection.execute(query).all()


def decide(ledger: Ledger, send_id: str, verdict: Verdict, *, by: str, why: str) -> None:
    """Send a held mail again, or give it up; recorded with who and why.

    A mail that is sent again goes at its window's next opening, however late it is; an owner's
    list only on its day. Raises UnknownName where no such send is held, InputError for one to
    send again that was erased.
    """
    now = datetime.now(UTC)
    to, values = State.CANCELLED, {}
    if verdict == "resend":
        is_list = sends.c.trigger == OWNER_LIST
        to, values = State.QUEUED, {"expires_at": case((is_list, sends.c.expires_at), else_=None)}
    with ledger.write() as connection:
        if verdict == "resend" and _is_erased(connection, send_id):
            raise InputError(f"the mail of send {send_id!r} was erased: nothing can be sent again")
        which = (sends.c.send_id == send_id, sends.c.state == State.HELD)
        if not transition(connection, to, f"{verdict} by {by}: {why}", now, *which, **values):
            raise UnknownName(f"no send {send_id!r} is held; `lifecycle held` lists them")
        connection.execute(
            actions.insert().values(at=now, action=verdict, subject=send_id, by=by, why=why)
        )


def _is_erased(ledger: Connection, send_id: str) -> bool:
    stored = messages.c.send_id == sends.c.send_id
    without_mail = (
        select(sends.c.send_id)
        .join(messages, stored, isouter=True)
        .where(sends.c.send_id == send_id, messages.c.send_id.is_(None))
    )
    return ledger.execute(without_mail).first() is not None
