"""Deliveries that moved too far from the last published one, and who let them through.

A decision about a run (lifecycle/ledger/approvals.py) is one about the deliveries that it held:
approved, exactly these pass the gate of the runs that come; rejected, they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select

from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import APPROVED, REJECTED, approvals, held_deliveries, runs


def hold(ledger: Ledger, run_id: str, digests: Mapping[str, str], why: Sequence[str]) -> None:
    """Write down that a run holds the delivery of these tables; `why` are its sentences."""
    with ledger.write() as connection:
        connection.execute(delete(held_deliveries).where(held_deliveries.c.run_id == run_id))
        connection.execute(
            insert(held_deliveries),
            [
                {"run_id": run_id, "table_name": table, "digest": digest, "why": "\n".join(why)}
                for table, digest in digests.items()
            ],
        )


def run_ids() -> Select[Any]:
    """The ids of the runs that hold a delivery, as a query."""
    return select(held_deliveries.c.run_id).distinct()


def is_held(ledger: Ledger, run_id: str) -> bool:
    """Whether a run holds a delivery, decided about or not."""
    query = select(held_deliveries.c.run_id).where(held_deliveries.c.run_id == run_id)
    with ledger.read() as connection:
        return connection.execute(query).first() is not None


def let_through(ledger: Ledger, table: str, digest: str) -> str | None:
    """Who let this delivery of a table through, and why; None where nobody did, or where
    somebody rejected it since."""
    query = (
        select(approvals.c.decision, approvals.c.by, approvals.c.why)
        .join(held_deliveries, held_deliveries.c.run_id == approvals.c.run_id)
        .where(held_deliveries.c.table_name == table, held_deliveries.c.digest == digest)
        .order_by(approvals.c.at.desc())
    )
    with ledger.read() as connection:
        last = connection.execute(query).first()
    return f"{last.by}: {last.why}" if last is not None and last.decision == APPROVED else None


def waiting(ledger: Ledger) -> list[Row[Any]]:
    """The runs that hold a delivery which nobody decided about, and after which no run was done:
    run_id, as_of, why; oldest first."""
    later = runs.alias("later")
    query = (
        select(runs.c.run_id, runs.c.as_of, held_deliveries.c.why)
        .join(held_deliveries, held_deliveries.c.run_id == runs.c.run_id)
        .where(
            ~select(approvals.c.run_id).where(approvals.c.run_id == runs.c.run_id).exists(),
            ~select(later.c.run_id)
            .where(later.c.started_at > runs.c.started_at, later.c.status == "done")
            .exists(),
        )
        .distinct()
        .order_by(runs.c.as_of, runs.c.run_id)
    )
    with ledger.read() as connection:
        return list(connection.execute(query))


def rejected(ledger: Ledger) -> set[str]:
    """The ids of the runs whose delivery somebody rejected."""
    query = (
        select(approvals.c.run_id)
        .join(held_deliveries, held_deliveries.c.run_id == approvals.c.run_id)
        .where(approvals.c.decision == REJECTED)
    )
    with ledger.read() as connection:
        return set(connection.scalars(query))
