"""How every DuckDB connection of ours is opened: the only place that calls `duckdb.connect`.

dbt, dlt and Great Expectations open their own, with the same settings: see
`dbt_project/profiles.yml`, `sources/landing.py` and `warehouse/gx_duckdb.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

SESSION: Mapping[str, Any] = {"enable_progress_bar": False}
"""Settings of each connection. DuckDB draws its progress bar on standard output, where the
answer of a command belongs, for any query of over two seconds."""


def connect(
    database: str | Path = ":memory:",
    *,
    read_only: bool = False,
    config: dict[str, Any] | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a database. Raises duckdb.Error."""
    connection = duckdb.connect(database, read_only=read_only, config=config or {})
    for name, value in SESSION.items():
        connection.execute(f"SET {name} = {str(value).lower()}")
    return connection


@contextmanager
def without_pandas() -> Iterator[None]:
    """Hide pandas from queries with a few values, unless it is imported already.

    DuckDB imports pandas to see whether a value is one of its nulls. That takes 0.4 CPU seconds, a
    quarter of a command that asks about one account. It looks again at each value, so a query
    with thousands of values is faster without this.
    """
    if "pandas" in sys.modules:
        yield
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # an import of it fails at once
    try:
        yield
    finally:
        del sys.modules["pandas"]
