"""dbt, in this process: raw tables into tested marts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lifecycle.errors import GateStopped, WarehouseError
from lifecycle.settings import CHECKOUT, Settings
from lifecycle.warehouse.connection import connect_work

PROJECT = CHECKOUT / "dbt_project"
WAREHOUSE = "LIFECYCLE_WAREHOUSE"
"""The variable in which dbt_project/profiles.yml looks for the warehouse."""

SAMPLE_ROWS, SAMPLE_COLUMNS = 3, 4


@dataclass(frozen=True)
class BuildResult:
    """What dbt built and tested; each warning is one sentence."""

    models: int
    tests: int
    warnings: list[str]


def build(settings: Settings, *, progress: Callable[[str], None] | None = None) -> BuildResult:
    """Build all models, snapshots and seeds of `work.duckdb`, and test the data in them.

    `progress` hears of each node as it ends. Raises GateStopped("models") when a data test
    fails, with sample rows, and WarehouseError when dbt or its SQL does. Not thread-safe: dbt
    must not run twice at once in a process.
    """
    results = _dbt_build(settings, progress or (lambda text: None))
    _raise_errors(results)
    failures = [result for result in results if result.status == "fail"]
    if failures:
        raise GateStopped("models", _describe(settings, failures))
    return BuildResult(
        models=sum(result.node.resource_type in ("model", "snapshot") for result in results),
        tests=sum(result.node.resource_type == "test" for result in results),
        warnings=_describe(settings, [result for result in results if result.status == "warn"]),
    )


def _dbt_build(settings: Settings, tell: Callable[[str], None]) -> Sequence[Any]:
    from dbt.cli.main import dbtRunner  # seconds to import, and only a run needs it

    # Unit tests are about the code: the test suite runs them, not the daily run.
    arguments = ["build", "--exclude-resource-type", "unit_test", *_options(settings)]
    project = read_project(settings)
    with _dbt_surroundings(settings):
        outcome = dbtRunner(project, callbacks=[_teller(tell)]).invoke(arguments)
    if outcome.exception is not None:
        raise WarehouseError(f"dbt: {outcome.exception}") from outcome.exception
    return getattr(outcome.result, "results", None) or []


_projects: list[Any] = []


def read_project(settings: Settings) -> Any:
    """The dbt project as dbt has it in memory (a Manifest), read once a process: that takes as
    long as all its models on a small company. Raises WarehouseError."""
    from dbt.cli.main import dbtRunner

    if not _projects:
        with _dbt_surroundings(settings):
            outcome = dbtRunner().invoke(["parse", *_options(settings)])
        if outcome.exception is not None:
            raise WarehouseError(f"dbt: {outcome.exception}") from outcome.exception
        _projects.append(outcome.result)
    return _projects[0]


def _options(settings: Settings) -> list[str]:
    folder = settings.state_dir / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
        *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
        *("--log-level", "none", "--log-level-file", "info", "--no-print", "--no-use-colors"),
        *("--no-send-anonymous-usage-stats", "--no-version-check"),
    ]


@contextmanager
def _dbt_surroundings(settings: Settings) -> Iterator[None]:
    """dbt told where the warehouse is; afterwards the file is free and nothing is left over."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters

    before = os.environ.get(WAREHOUSE)
    os.environ[WAREHOUSE] = str(settings.work_db)
    try:
        yield
    finally:
        if before is None:
            del os.environ[WAREHOUSE]
        else:
            os.environ[WAREHOUSE] = before
        reset_adapters()
        DuckDBConnectionManager.close_all_connections()
        # dbt sends warnings of Python to its own log: give them back.
        logging.captureWarnings(False)


def _teller(tell: Callable[[str], None]) -> Callable[[Any], None]:
    def hear(event: Any) -> None:
        if event.info.name == "NodeFinished":
            node = event.data.node_info
            if node.resource_type != "test":
                tell(f"{node.resource_type} {node.node_name}: {node.node_status}")

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
    """A few rows that a test found."""
    try:
        with connect_work(settings) as connection:
            found = connection.execute(f"select * from ({failing}) limit {SAMPLE_ROWS}")
            names = [column[0] for column in found.description or ()][:SAMPLE_COLUMNS]
            return [
                ", ".join(f"{name}={value}" for name, value in zip(names, row, strict=False))
                for row in found.fetchall()
            ]
    except WarehouseError:  # the failure itself matters more than a look at it
        return []
