"""What a run would have ended for good, in such a number that a person is asked first.

A row stays until the next planning: that run has a delivery of its own, and finds its own losses.
While nobody approved it, no mail leaves for the account. A decision about the run
(lifecycle/ledger/approvals.py) is one about its losses: approved, the next run ends exactly these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, select

from lifecycle.ledger.states import insert
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import APPROVED, approvals, held_losses, runs


@dataclass(frozen=True)
class Lost:
    """One sequence, or one person's mails of it, that would end."""

    reason: str
    trigger: str
    account_id: str
    contact_id: str = ""
    """Empty: the whole sequence."""


def hold(ledger: Connection, run_id: str, losses: Iterable[Lost], why: str) -> None:
    """Have these be all that is held back; none, where a run has nothing to hold."""
    ledger.execute(delete(held_losses).where(held_losses.c.run_id.not_in(_approved())))
    rows = [{**asdict(lost), "run_id": run_id, "why": why} for lost in sorted(set(losses), key=str)]
    insert(ledger, held_losses, rows)


def let_through(ledger: Connection) -> set[Lost]:
    """The losses that somebody approved."""
    query = select(held_losses).where(held_losses.c.run_id.in_(_approved()))
    return {
        Lost(row.reason, row.trigger, row.account_id, row.contact_id)
        for row in ledger.execute(query)
    }


def accounts() -> Select[Any]:
    """The accounts whose mails wait, as a query."""
    return select(held_losses.c.account_id).where(held_losses.c.run_id.not_in(_approved()))


def run_ids() -> Select[Any]:
    """The ids of the runs that hold losses, as a query."""
    return select(held_losses.c.run_id).distinct()


def is_held(ledger: Ledger, run_id: str) -> bool:
    """Whether a run holds losses, decided about or not."""
    query = select(held_losses.c.run_id).where(held_losses.c.run_id == run_id)
    with ledger.read() as connection:
        return connection.execute(query).first() is not None


def waiting(ledger: Ledger) -> list[Row[Any]]:
    """The run that holds losses which nobody decided about: run_id, as_of, why."""
    undecided = ~select(approvals.c.run_id).where(approvals.c.run_id == runs.c.run_id).exists()
    query = (
        select(runs.c.run_id, runs.c.as_of, held_losses.c.why)
        .join(held_losses, held_losses.c.run_id == runs.c.run_id)
        .where(undecided)
        .distinct()
        .order_by(runs.c.as_of, runs.c.run_id)
    )
    with ledger.read() as connection:
        return list(connection.execute(query))


def _approved() -> Select[Any]:
    return select(approvals.c.run_id).where(approvals.c.decision == APPROVED)
