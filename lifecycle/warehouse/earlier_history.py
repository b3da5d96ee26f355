"""Takes over the history of earlier versions, which kept it in the mart itself."""

from __future__ import annotations

import duckdb

from lifecycle.warehouse.published_delivery import exists

MART = "fct_account_health_daily"


def move(work: duckdb.DuckDBPyConnection, days: str, *, is_published: bool) -> None:
    """Copy the mart's days to the table `days`, once. Where its last run did not publish, the days
    that the run replaced are those of before, which that version kept in `unpublished.history`."""
    schema, _, table = days.partition(".")
    if exists(work, schema, table) or not exists(work, "marts", MART):
        return
    work.execute(f"create schema if not exists {schema}")
    work.execute(f"create table {days} as from marts.{MART}")
    if is_published:
        return
    work.execute(
        f"delete from {days} using unpublished.run where day between first_day and last_day"
    )
    if exists(work, "unpublished", "history"):
        work.execute(f"insert into {days} by name from unpublished.history")
