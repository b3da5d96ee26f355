"""Takes over the tables that earlier versions kept in `raw` beside what the source delivered."""

from __future__ import annotations

import duckdb

_CONTEXT = (
    *("event_roles", "feed_changes", "holidays", "consent_words", "countries", "weekends"),
    *("zone_offsets", "ledger_sends", "ledger_enrollments"),
)
_PARAMETERS = (
    *("score_versions", "return_parameters", "segment_gaps", "dormancy_calibration"),
    *("evidence_bins", "evidence_base", "score_validation"),
)
NOW = {
    "run_context": "context.run",
    **{name: f"context.{name}" for name in _CONTEXT},
    **{name: f"parameters.{name}" for name in _PARAMETERS},
    "backfilled_days": "history.backfilled_days",
}
"""Where each of them is now, by its name in `raw`."""

LANDED = ("ledger_sends", "ledger_enrollments")
"""What dlt creates with its own columns, and so must find absent: it is copied only for a warehouse
into which nothing is loaded any more."""


def copy(work: duckdb.DuckDBPyConnection) -> None:
    """Copy the tables to where they are now, once; what the earlier version built still reads those
    in `raw`, until the next load drops them."""
    there = _tables(work)
    if "context.run" in there or "raw.run_context" not in there:
        return
    work.execute("begin")
    for name in NOW.keys() - set(LANDED):
        _copy(work, name, there)
    work.execute("commit")


def drop(work: duckdb.DuckDBPyConnection) -> None:
    """Drop the tables in `raw`, of which there are copies or newer ones."""
    there = _tables(work)
    for name in NOW:
        if f"raw.{name}" in there:
            _copy(work, name, there)
            work.execute(f"drop table raw.{name}")


def _copy(work: duckdb.DuckDBPyConnection, name: str, there: set[str]) -> None:
    if f"raw.{name}" in there and NOW[name] not in there:
        work.execute(f"create schema if not exists {NOW[name].partition('.')[0]}")
        work.execute(f"create table {NOW[name]} as from raw.{name}")


def _tables(work: duckdb.DuckDBPyConnection) -> set[str]:
    rows = work.execute(
        "select schema_name || '.' || table_name from duckdb_tables()"
        " where database_name = current_database()"
        " and schema_name in ('raw', 'context', 'parameters', 'history')"
    ).fetchall()
    return {name for (name,) in rows}
