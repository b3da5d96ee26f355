"""What the published marts say, for the report, status, explain and preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

Row = dict[str, Any]
EXAMPLES = 5
"""Rejected rows that a report shows."""


def rows(
    warehouse: duckdb.DuckDBPyConnection, query: str, values: Sequence[object] = ()
) -> list[Row]:
    """The rows of a query as dictionaries."""
    cursor = warehouse.execute(query, list(values))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def feed(warehouse: duckdb.DuckDBPyConnection) -> Row:
    """The usage feed's one row: feed_status, reason, newest_event_at, …"""
    return rows(warehouse, "select * from marts.feed_health")[0]


def account_count(warehouse: duckdb.DuckDBPyConnection) -> int:
    """How many accounts are published."""
    return int(rows(warehouse, "select count(*) as n from marts.account_360")[0]["n"])


def stage_health(warehouse: duckdb.DuckDBPyConnection) -> list[Row]:
    """One row per stage and usage band: stage, usage_band, accounts."""
    query = """
        select stage, usage_band, cast(sum(accounts) as bigint) as accounts
        from marts.stage_health_matrix group by all order by all
    """
    return rows(warehouse, query)


def rejected_examples(warehouse: duckdb.DuckDBPyConnection) -> list[Row]:
    """A few of the rows that the newest load set aside: table, file, row, column, reason."""
    query = f"""
        select table_name as "table", file, row_number as "row", column_name as "column", reason
        from marts.rejected_rows
        where loaded_at = (select max(loaded_at) from marts.rejected_rows)
        order by 1, 2, 3 limit {EXAMPLES}
    """
    return rows(warehouse, query)
