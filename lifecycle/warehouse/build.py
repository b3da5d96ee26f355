"""Runs dbt in this process: builds and tests the marts from the raw tables."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.errors import GateStopped, WarehouseError
from lifecycle.settings import CHECKOUT, Settings
from lifecycle.warehouse.connection import connect_work

PROJECT = CHECKOUT / "dbt_project"
WAREHOUSE = "LIFECYCLE_WAREHOUSE"
"""The environment variable from which dbt_project/profiles.yml reads the warehouse's path."""

ALL_AT_ONCE = "failing_data_tests"
"""The macro that asks all generic tests in one query."""

SAMPLE_ROWS, SAMPLE_COLUMNS = 3, 4


@dataclass(frozen=True)
class BuildResult:
    """The result of a dbt build; each warning is one sentence."""

    models: int
    tests: int
    warnings: list[str]


@dataclass(frozen=True)
class CompiledModel:
    """One model as SQL that the warehouse can execute."""

    name: str
    relation: str
    """The quoted name of its table or view."""
    materialized: str
    """view, table or incremental."""
    key: str | Sequence[str] | None
    """incremental: the columns whose new rows replace the old ones."""
    query: str


def build(
    settings: Settings,
    *,
    project: Path = PROJECT,
    progress: Callable[[str], None] | None = None,
) -> BuildResult:
    """Build all models, snapshots and seeds of `work.duckdb`, and test the data in them.

    `progress` hears of each node as it ends. Raises GateStopped("models") when a data test
    fails, with sample rows, and WarehouseError when dbt or its SQL does. Not thread-safe: dbt
    must not run twice at once in a process.
    """
    # Unit tests are about the code: the test suite runs them, not the daily run.
    without = ("unit_test", "test")
    selection = [part for kind in without for part in ("--exclude-resource-type", kind)]
    built = _dbt(settings, project, "build", *selection, callbacks=[_teller(progress)])
    _raise_errors(built)
    tests = run_data_tests(settings, project)
    _raise_errors(tests)
    failures = [result for result in tests if result.status == "fail"]
    if failures:
        raise GateStopped("models", _describe(settings, failures))
    nodes = read_project(settings, project).nodes.values()
    return BuildResult(
        models=len(built),
        tests=sum(node.resource_type == "test" for node in nodes),
        warnings=_describe(settings, [result for result in tests if result.status == "warn"]),
    )


def run_data_tests(settings: Settings, project: Path = PROJECT) -> Sequence[Any]:
    """Test the data: each singular test, and each generic one that a query over all names.

    Raises WarehouseError. Not thread-safe, as `build`.
    """
    if f"macro.lifecycle.{ALL_AT_ONCE}" not in read_project(settings, project).macros:
        # A project of before the macro, which `diff` compares with.
        return _dbt(settings, project, "test", "--exclude-resource-type", "unit_test")
    inline = ("--inline", "{{ " + ALL_AT_ONCE + "() }}", "--limit", "-1")
    shown = _dbt(settings, project, "show", *inline)
    _raise_errors(shown)
    failing = [row["test_name"] for row in shown[0].agate_table.rows]
    return _dbt(settings, project, "test", "--select", "test_type:singular", *failing)


def record_versions(settings: Settings, *, project: Path = PROJECT) -> None:
    """Run dbt's snapshots on the last load, as a build does, and build no model.

    Raises WarehouseError. Not thread-safe, as `build`.
    """
    _raise_errors(_dbt(settings, project, "snapshot"))


def compile_models(
    settings: Settings, models: Sequence[str], *, project: Path = PROJECT
) -> list[CompiledModel]:
    """Compile these models and all that they read, in build order.

    What a model asks the warehouse while it is compiled, it asks the settings' `work.duckdb`.
    Raises WarehouseError. Not thread-safe, as `build`.
    """
    selected = [part for model in models for part in ("--select", f"+{model}")]
    results = _dbt(settings, project, "compile", *selected, "--indirect-selection", "empty")
    _raise_errors(results)
    return [
        CompiledModel(
            name=result.node.name,
            relation=result.node.relation_name,
            materialized=result.node.config.materialized,
            key=result.node.config.get("unique_key"),
            query=result.node.compiled_code,
        )
        for result in results
        if result.node.resource_type == "model"
    ]


def _dbt(
    settings: Settings,
    project: Path,
    command: str,
    *selection: str,
    callbacks: Sequence[Callable[[Any], None]] = (),
) -> Sequence[Any]:
    from dbt.cli.main import dbtRunner  # Its import takes seconds, and only a run needs it.

    manifest = read_project(settings, project)
    arguments = [command, *selection, *_options(settings, project)]
    with _dbt_surroundings(settings):
        outcome = dbtRunner(manifest, callbacks=list(callbacks)).invoke(arguments)
    if outcome.exception is not None:
        raise WarehouseError(f"dbt: {outcome.exception}") from outcome.exception
    return getattr(outcome.result, "results", None) or []


_read: dict[Path, Any] = {}


def read_project(settings: Settings, project: Path = PROJECT) -> Any:
    """A dbt project as dbt has it in memory (a Manifest), read once a process: that takes as
    long as all its models on a small company. Raises WarehouseError."""
    from dbt.cli.main import dbtRunner

    if project not in _read:
        with _dbt_surroundings(settings):
            outcome = dbtRunner().invoke(["parse", *_options(settings, project)])
        if outcome.exception is not None:
            raise WarehouseError(f"dbt: {outcome.exception}") from outcome.exception
        _read[project] = outcome.result
    return _read[project]


def _options(settings: Settings, project: Path) -> list[str]:
    folder = settings.state_dir / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *("--project-dir", str(project), "--profiles-dir", str(project)),
        *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
        # Its log takes longer than the SQL.
        *("--log-level", "none", "--log-level-file", "none", "--no-print", "--no-use-colors"),
        *("--no-send-anonymous-usage-stats", "--no-version-check"),
    ]


@contextmanager
def _dbt_surroundings(settings: Settings) -> Iterator[None]:
    """Set dbt's environment for this warehouse; afterwards close its connections and restore it."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters

    before = os.environ.get(WAREHOUSE)
    os.environ[WAREHOUSE] = str(settings.work_db)
    # Its manifest and results take a quarter of a build to write. `true` keeps them.
    os.environ.setdefault("DBT_WRITE_JSON", "false")
    try:
        yield
    finally:
        if before is None:
            del os.environ[WAREHOUSE]
        else:
            os.environ[WAREHOUSE] = before
        reset_adapters()
        DuckDBConnectionManager.close_all_connections()
        # dbt redirects Python's warnings to its own log: restore them.
        logging.captureWarnings(False)


def _teller(progress: Callable[[str], None] | None) -> Callable[[Any], None]:
    def hear(event: Any) -> None:
        if progress is not None and event.info.name == "NodeFinished":
            node = event.data.node_info
            if node.resource_type != "test":
                progress(f"{node.resource_type} {node.node_name}: {node.node_status}")

    return hear


def _raise_errors(results: Sequence[Any]) -> None:
    errors = [result for result in results if str(result.status).endswith("error")]
    if errors:
        raise WarehouseError(
            "\n".join(f"dbt: {result.node.name}: {result.message}" for result in errors)
        )


def _describe(settings: Settings, results: Sequence[Any]) -> list[str]:
    return [
        f"{result.node.name}: {result.failures} rows fail the test"
        + "".join(f"\n      {row}" for row in _sample(settings, result.node.compiled_code))
        for result in results
    ]


def _sample(settings: Settings, failing: str) -> list[str]:
    """A few rows that fail a test."""
    try:
        with connect_work(settings) as connection:
            rows = connection.execute(f"select * from ({failing}) limit {SAMPLE_ROWS}")
            names = [column[0] for column in rows.description or ()][:SAMPLE_COLUMNS]
            return [
                ", ".join(f"{name}={value}" for name, value in zip(names, row, strict=False))
                for row in rows.fetchall()
            ]
    except WarehouseError:  # The failure itself matters more than its sample rows.
        return []
