"""What tells one delivery of a table from every other: an approval is good for this one alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import duckdb

from lifecycle.sources.contract import LOADED_AT, TABLES
from lifecycle.sources.reading import quoted
from lifecycle.warehouse.gate.drift import data_columns
from lifecycle.warehouse.published_delivery import SCHEMA, has_delivery


def digest(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """SHA-256 of the table's rows, whatever their order, and of what they are held against.

    Of a growing table: of the rows that came since the last published load. `connection` is that
    of `work.duckdb`. The same files read again give the same digest.
    """
    columns = data_columns(connection, "raw", table)
    names = sorted(columns)
    values = ", ".join(f"{quoted(name)}::varchar" for name in names)
    against, since = "nothing", None
    if has_delivery(connection):
        [(against, since)] = connection.execute(
            f"select run_id, loaded_at from {SCHEMA}.run"
        ).fetchall()
    is_part = not TABLES[table].is_snapshot and since is not None  # type: ignore[index]
    [rows] = connection.execute(
        "select count(*), bit_xor(content), sum(content::hugeint) from ("
        f"select hash({values}) as content from raw.{table}"
        + (f" where {LOADED_AT} > ?)" if is_part else ")"),
        [since] if is_part else [],
    ).fetchall()
    return hashlib.sha256(repr((table, names, rows, against)).encode()).hexdigest()


def of_checks(connection: duckdb.DuckDBPyConnection, table: str, checks: Sequence[str]) -> str:
    """SHA-256 of checks that failed on a table, and of the published run that they are beside: the
    same until another run has published."""
    against = "nothing"
    if has_delivery(connection):
        [(against,)] = connection.execute(f"select run_id from {SCHEMA}.run").fetchall()
    return hashlib.sha256(repr((table, sorted(checks), against)).encode()).hexdigest()
