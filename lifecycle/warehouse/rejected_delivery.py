"""A delivery that a person rejected leaves the warehouse before the next one is read."""

from __future__ import annotations

from lifecycle.ledger import held_deliveries
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.sources.contract import LOADED_AT, TABLES
from lifecycle.sources.corrections import kept_in
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_delivery import SCHEMA, exists, has_delivery

_BOOKS = ("loaded_files", "repeated_ids")


def drop_rejected(settings: Settings, ledger: Ledger) -> None:
    """Take out of the growing tables what came since the last published load, and put back what it
    replaced, where a delivery that somebody rejected is among it: its files are read again, and
    judged again.

    Snapshots need nothing: the next pull replaces them. Safe to repeat. Raises WarehouseError.
    """
    rejected = held_deliveries.rejected(ledger)
    if not rejected:
        return
    with connect_work(settings) as work:
        published, since = "", None
        if has_delivery(work):
            [(published, since)] = work.execute(
                f"select run_id, loaded_at from {SCHEMA}.run"
            ).fetchall()
        if max(rejected) <= published:  # they begin with the time at which the run began
            return
        growing = [table.name for table in TABLES.values() if not table.is_snapshot]
        clocks = dict.fromkeys(growing, LOADED_AT) | dict.fromkeys(_BOOKS, "loaded_at")
        work.execute("begin")
        for name, clock in clocks.items():
            if exists(work, "raw", name):
                where = "true" if since is None else f"{clock} > ?"
                work.execute(
                    f"delete from raw.{name} where {where}", [] if since is None else [since]
                )
        for name in growing:
            if exists(work, "raw", f"replaced_{name}"):
                if since is not None:
                    published_rows = f"from {kept_in(name)} where {LOADED_AT} <= ?"
                    work.execute(f"insert into raw.{name} by name {published_rows}", [since])
                work.execute(f"drop table {kept_in(name)}")
        work.execute("commit")
