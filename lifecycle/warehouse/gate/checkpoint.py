"""Runs the two gates of the warehouse: Great Expectations on `raw` and on `marts`.

The checks are in `expectations/`, one file a table. A failed critical check stops the run; a failed
warning or info is a sentence in its report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import duckdb

from lifecycle.errors import GateStopped, WarehouseError
from lifecycle.masking import mask_addresses
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.gate.doors import SAMPLE_ROWS, Door, Severity

if TYPE_CHECKING:  # Great Expectations takes seconds to import: only a check pays for it.
    from great_expectations.core import ExpectationValidationResult

    from lifecycle.warehouse.gate.suites import Check, Suite


_LIMITS = ("min_value", "max_value", "value", "value_set", "column_set", "other_table_name")


@dataclass(frozen=True)
class GateResult:
    """The result of a gate: how many checks passed, and a sentence for each that failed."""

    door: Door
    passed: int
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    infos: tuple[str, ...]
    data_docs: Path

    @property
    def failed(self) -> int:
        """How many critical checks failed."""
        return len(self.failures)

    def as_json(self) -> dict[str, int]:
        """The counts that `run --json` shows."""
        return {"passed": self.passed, "failed": self.failed, "warnings": len(self.warnings)}


class DataRefused(GateStopped):
    """A GateStopped that carries the result of the gate."""

    def __init__(self, result: GateResult) -> None:
        self.result = result
        super().__init__(result.door, result.failures)


class DeliveryMoved(DataRefused):
    """A DataRefused for nothing but the delivery's distance from the last published one."""

    def __init__(self, result: GateResult, digests: Mapping[str, str]) -> None:
        super().__init__(result)
        self.digests = dict(digests)
        """What tells this delivery of each table that moved too far from every other."""


Moved: TypeAlias = "tuple[Suite, Check, list[dict[str, Any]]]"
"""A check of drift that failed, and the rows of `raw.delivery_drift` that are beyond it."""

Approved = Callable[[str, str], str | None]
"""From a table and its delivery's digest: who let that delivery through, and why; None: nobody."""


def check(settings: Settings, door: Door, *, approved: Approved | None = None) -> GateResult:
    """Check the tables of a gate by their suites, and write its Data Docs page.

    A delivery that moved too far from the last published one, and that is `approved`, passes
    with a warning.

    Raises SuiteError for a suite that cannot be used (before anything runs), WarehouseError
    for an SQL or lock error, DataRefused (a GateStopped) when a critical check failed;
    DeliveryMoved where a person could let the delivery through. Afterwards the warehouse is
    free for other processes.
    """
    from lifecycle.warehouse.gate import data_docs, drift, suites

    guarded = suites.load(settings, door)
    with connect_work(settings) as connection:
        if door == "raw":
            drift.measure(connection, settings)
        tables = columns_of(connection)
        suites.check_columns(guarded, tables)
        waiting = [
            _unready(suite, c) for suite in guarded for c in suite.checks if not c.ready(tables)
        ]
        ready = [
            replace(suite, checks=checks)
            for suite in guarded
            if (checks := tuple(c for c in suite.checks if c.ready(tables)))
        ]
        results = list(_validate(settings.work_db, ready))
    sentences: dict[Severity, list[str]] = {"critical": [], "warning": [], "info": waiting}
    passed = 0
    moved: list[Moved] = []
    questions: list[tuple[Suite, Check, str]] = []
    for suite, outcomes in zip(ready, results, strict=True):
        for check, outcome in zip(suite.checks, outcomes, strict=True):
            _refuse_errors(suite, check, outcome)
            if outcome.success:
                passed += 1
            elif check.is_drift:
                moved.append((suite, check, outcome.result["details"]["drift"]))
            elif check.is_approvable and check.severity == "critical":
                questions.append((suite, check, _sentence(suite, check, outcome)))
            else:
                sentences[check.severity].append(_sentence(suite, check, outcome))
    is_approvable = not sentences["critical"]
    held = _tell_drift(settings, moved, approved, sentences) if moved else {}
    held |= _ask(settings, questions, approved, sentences) if questions else {}
    page = data_docs.write(
        settings.reports_dir / "data_docs",
        door,
        {suite.name: outcomes for suite, outcomes in zip(ready, results, strict=True)},
        {
            "Stops the run": sentences["critical"],
            "Warnings": sentences["warning"],
            "For information": sentences["info"],
        },
    )
    result = GateResult(
        door=door,
        passed=passed,
        failures=tuple(sentences["critical"]),
        warnings=tuple(sentences["warning"]),
        infos=tuple(sentences["info"]),
        data_docs=page,
    )
    if result.failures and is_approvable:
        raise DeliveryMoved(result, held)
    if result.failures:
        raise DataRefused(result)
    return result


def _tell_drift(
    settings: Settings,
    moved: Iterable[Moved],
    approved: Approved | None,
    sentences: Mapping[Severity, list[str]],
) -> dict[str, str]:
    """Add a sentence for all that moved too far; returns the digest of each table's delivery
    that nobody let through."""
    from lifecycle.warehouse.gate import delivery_digest, drift_story

    held: dict[str, str] = {}
    with connect_work(settings) as connection:
        for suite, check, rows in moved:
            texts = drift_story.sentences(connection, check.because, rows)
            if check.severity != "critical":
                sentences[check.severity] += texts
                continue
            digest = held.get(suite.table) or delivery_digest.digest(connection, suite.table)
            by = approved(suite.table, digest) if approved else None
            if by is None:
                held[suite.table] = digest
                sentences["critical"] += texts
            else:
                sentences["warning"] += [f"{text}; let through by {by}" for text in texts]
    return held


def _ask(
    settings: Settings,
    questions: Iterable[tuple[Suite, Check, str]],
    approved: Approved | None,
    sentences: Mapping[Severity, list[str]],
) -> dict[str, str]:
    """Add the sentences of what a person may let through; returns, of each table that nobody let
    through, the digest of what is asked: the checks, and the published run that it is beside."""
    from lifecycle.warehouse.gate import delivery_digest

    asked: dict[str, list[tuple[str, str]]] = {}
    for suite, check, sentence in questions:
        asked.setdefault(suite.name, []).append((check.because, sentence))
    held: dict[str, str] = {}
    with connect_work(settings) as connection:
        for table, checks in asked.items():
            digest = delivery_digest.of_checks(connection, table, [check for check, _ in checks])
            by = approved(table, digest) if approved else None
            if by is None:
                held[table] = digest
                sentences["critical"] += [sentence for _, sentence in checks]
            else:
                sentences["warning"] += [f"{text}; let through by {by}" for _, text in checks]
    return held


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The columns of every table of the warehouse, by its name with schema."""
    rows = connection.execute(
        "select schema_name || '.' || table_name, list(column_name order by column_index) "
        "from duckdb_columns() where not internal group by all"
    ).fetchall()
    return dict(rows)


def _validate(
    database: Path, suites: Iterable[Suite]
) -> Iterator[list[ExpectationValidationResult]]:
    """The results of Great Expectations: suite by suite, checks in order, addresses masked."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
    )
    from great_expectations.datasource.fluent.interfaces import TestConnectionError
    from sqlalchemy.exc import SQLAlchemyError

    from lifecycle.warehouse.gate.gx_duckdb import close_cursors, url_of

    in_memory = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(
        mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=in_memory)
    )
    context.variables.progress_bars = {"globally": False}
    try:
        source = context.data_sources.add_sql("warehouse", connection_string=url_of(database))
        for suite in suites:
            asset = source.add_table_asset(
                suite.name, table_name=suite.table, schema_name=suite.schema
            )
            expectations = gx.ExpectationSuite(
                suite.name, expectations=[check.expectation for check in suite.checks]
            )
            validation = gx.ValidationDefinition(
                name=suite.name,
                data=asset.add_batch_definition_whole_table("all rows"),
                suite=context.suites.add(expectations),
            )
            result = context.validation_definitions.add(validation).run(
                result_format={
                    "result_format": "SUMMARY",
                    "partial_unexpected_count": SAMPLE_ROWS,
                    "unexpected_index_column_names": list(suite.key),
                }
            )
            outcomes = {}
            for outcome in result.results:
                outcome.result = _masked(outcome.result)
                outcomes[outcome.expectation_config.meta["check"]] = outcome
            yield [outcomes[check.id] for check in suite.checks]
    except (SQLAlchemyError, TestConnectionError, duckdb.Error) as error:
        raise WarehouseError(f"{database}: {mask_addresses(_first_part(str(error)))}") from error
    finally:
        close_cursors()


def _refuse_errors(suite: Suite, check: Check, outcome: ExpectationValidationResult) -> None:
    """Raise for a check that could not be run: it looks like one that failed."""
    info: Mapping[str, Any] = outcome.exception_info
    errors = [info] if "raised_exception" in info else list(info.values())
    for error in errors:
        if error["raised_exception"]:
            raise WarehouseError(
                f"{check.file}:{check.line}: {check.expectation.expectation_type} on {suite.name} "
                f"could not be run: {mask_addresses(_first_part(str(error['exception_message'])))}"
            )


def _first_part(message: str) -> str:
    """The database's error message, without the statement that SQLAlchemy adds."""
    return message.split("\n[SQL:")[0].strip()


def _unready(suite: Suite, check: Check) -> str:
    place = f"{check.file.name}, line {check.line}"
    return f"{suite.name}: a check ({place}) waits until there is a table {check.needs}"


def _sentence(suite: Suite, check: Check, outcome: ExpectationValidationResult) -> str:
    """Where, why it matters, which expectation, how many rows, and a few of them."""
    result: Mapping[str, Any] = outcome.result
    where = suite.name + (f".{check.columns[0]}" if len(check.columns) == 1 else "")
    rows = result.get("details", {}).get("unexpected_rows")
    if rows is not None:
        count = f"{result['observed_value']:,} row" + "s" * (result["observed_value"] != 1)
    elif "element_count" in result:
        count = f"{result['unexpected_count']:,} of {result['element_count']:,} rows"
        rows = result.get("partial_unexpected_index_list") or result.get("partial_unexpected_list")
    else:
        limits = outcome.expectation_config.kwargs
        expected = ", ".join(f"{key}={limits[key]}" for key in _LIMITS if key in limits)
        count = f"observed {_shown(result.get('observed_value'))}" + (
            expected and f", not {expected}"
        )
        rows = result.get("partial_unexpected_list")
    samples = "; ".join(dict.fromkeys(_shown(row) for row in (rows or [])[:SAMPLE_ROWS]))
    facts = f"{check.expectation.expectation_type}: {count}" + (samples and f", e.g. {samples}")
    return f"{where}: {check.because} ({facts})"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_shown(item)}" for key, item in value.items())
    return "null" if value is None else str(value)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask_addresses(value)
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value
