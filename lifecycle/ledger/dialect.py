"""What differs between the ledger's databases: the INSERT that knows `on_conflict_…`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table


def insert(ledger: Connection, table: Table) -> Any:
    """An INSERT of the connection's own dialect. The other one is not imported."""
    if ledger.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)
