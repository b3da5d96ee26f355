"""How every DuckDB connection of ours is opened: the only place that calls `duckdb.connect`.

dbt, dlt and Great Expectations open their own, with the same settings: see
`dbt_project/profiles.yml`, `sources/landing.py` and `warehouse/gx_duckdb.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
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
