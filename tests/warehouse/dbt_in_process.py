"""dbt commands in this process, on a test's own warehouse and folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner

from lifecycle.settings import Settings
from lifecycle.warehouse.build import PROJECT, WAREHOUSE


def dbt(settings: Settings, target: Path, *arguments: str) -> Any:
    """Run a dbt command; the answer of dbtRunner."""
    os.environ[WAREHOUSE] = str(settings.work_db)
    try:
        return dbtRunner().invoke(
            [
                *arguments,
                *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
                *("--target-path", str(target), "--log-path", str(target / "logs")),
                *("--log-level", "none", "--no-print"),
            ]
        )
    finally:
        del os.environ[WAREHOUSE]
        reset_adapters()
        DuckDBConnectionManager.close_all_connections()
