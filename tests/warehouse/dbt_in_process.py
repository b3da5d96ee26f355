"""dbt commands in this process, on a test's own warehouse and folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner

from lifecycle.settings import Settings
from lifecycle.warehouse.build import PROJECT, WAREHOUSE, read_project


def dbt(settings: Settings, target: Path, *arguments: str) -> Any:
    """Run a dbt command; the answer of dbtRunner."""
    project = read_project(settings)
    os.environ[WAREHOUSE] = str(settings.work_db)
    try:
        return dbtRunner(project).invoke(
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


def build_untested(settings: Settings, *models: str) -> None:
    """The models and snapshots as `build` makes them, without the tests of their data: half
    the time where the subject is what a model says. Only `models` and what they read, if any."""
    folder = settings.state_dir / "dbt" / "target"
    wanted = [part for model in models for part in ("--select", f"+{model}")]
    done = dbt(settings, folder, "build", *wanted, "--exclude-resource-type", "unit_test", "test")
    assert done.success, done.exception or [
        (node.node.name, node.message) for node in done.result.results if node.status == "error"
    ]
