"""The delivery that the last published run was of, kept to hold the next one against.

The schema `published_delivery` of `work.duckdb` holds the snapshot tables as that run had them,
which columns each file brought, which files were read, and one row `run`: run_id and loaded_at
(UTC). It changes only when a run has published and planned: a delivery that a gate refused, by
which too much would have ended, or whose run was killed, never becomes the one to compare with.
"""

from __future__ import annotations

import duckdb

from lifecycle.sources.contract import TABLES
from lifecycle.sources.corrections import kept_in

SCHEMA = "published_delivery"

DELIVERED_COLUMNS, LOADED_FILES = "delivered_columns", "loaded_files"
KEPT = (
    *(table.name for table in TABLES.values() if table.is_snapshot),
    DELIVERED_COLUMNS,
    LOADED_FILES,
)
"""The tables of `raw` of which there is a copy."""


def keep_delivery(work: duckdb.DuckDBPyConnection) -> None:
    """Have what `raw` holds be the delivery to compare with. The caller knows that it is
    published, and holds a transaction open where nothing else may come between."""
    if not exists(work, "context", "run"):
        return
    work.execute(f"create schema if not exists {SCHEMA}")
    for table in TABLES.values():
        work.execute(f"drop table if exists {kept_in(table.name)}")
    for name in KEPT:
        if exists(work, "raw", name):
            work.execute(f"create or replace table {SCHEMA}.{name} as from raw.{name}")
    work.execute(
        f"create or replace table {SCHEMA}.run as select run_id, loaded_at from context.run"
    )


def has_delivery(work: duckdb.DuckDBPyConnection) -> bool:
    """Whether a delivery was published here."""
    return exists(work, SCHEMA, "run")


def exists(work: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    """Whether the database has this table."""
    known = (
        "select 1 from duckdb_tables() where database_name = current_database()"
        " and schema_name = ? and table_name = ?"
    )
    return work.execute(known, [schema, table]).fetchone() is not None
