"""The suites in `expectations/`: a YAML file a guarded table, made into Great Expectations.

    # expectations/raw/accounts.yml guards the table raw.accounts
    key: account_id                # what names a row at fault in a report
    expectations:
      - expect: expect_column_values_to_be_between
        column: mrr                # or a list of columns: one expectation each
        min_value: 0
        severity: warning          # critical stops the run; warning and info are reported
        because: A negative revenue is a mistake in the CRM.
      - expect: unexpected_rows    # DuckDB's own SQL, that ought to find nothing
        approvable: true           # what it stops, `lifecycle approve` lets through
        needs: snapshots.accounts_snapshot   # waits until this table exists
        sql: select …
      - expect: drift_within       # how far this delivery may be from the last published one
        measure: changed           # lifecycle/warehouse/gate/drift_within.py
        column: email
        max_share: 0.02
        min_rows: 3

Everything else is an argument of the expectation, under Great Expectations' own name.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from great_expectations.compatibility.pydantic import ValidationError
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.registry import (
    get_expectation_impl,
    list_registered_expectation_implementations,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from lifecycle.errors import Problem, SuiteError, did_you_mean
from lifecycle.settings import Settings
from lifecycle.warehouse.gate.doors import Door, Severity
from lifecycle.warehouse.gate.drift_within import DriftWithin
from lifecycle.warehouse.gate.gx_duckdb import UNSUPPORTED
from lifecycle.warehouse.gate.unexpected_rows import UnexpectedRows

SUITE_KEYS = ("key", "expectations")
OWN_KEYS = ("expect", "severity", "because", "needs", "approvable")
COLUMN_KEYS = ("column", "column_A", "column_B", "column_list", "except_columns")
HIDDEN = frozenset(Expectation.__fields__) | {"batch_id", "library_metadata", "table"}
"""Fields of an expectation that are not for the author of a suite."""
ABOUT_COLUMNS = frozenset({"expect_column_to_exist", "expect_table_columns_to_match_ordered_list"})
"""Expectations that ask which columns exist, and so may name one that does not."""
OWN_EXPECTATIONS = (UnexpectedRows.expectation_type, DriftWithin.expectation_type)
EXPECTATIONS: Mapping[str, type[Expectation]] = {
    name: get_expectation_impl(name)
    for name in [
        *OWN_EXPECTATIONS,
        *list_registered_expectation_implementations(),
    ]
    if name in OWN_EXPECTATIONS or name.startswith("expect_")
}
"""By the name that a suite file uses."""


@dataclass(frozen=True)
class Check:
    """One expectation about one table, and what its failure means."""

    file: Path
    line: int
    id: str
    expectation: Expectation
    severity: Severity
    because: str
    columns: tuple[str, ...]
    needs: str | None
    is_approvable: bool = False
    """Whether what it stops, a person may let through, as of a delivery that moved too far."""

    @property
    def is_drift(self) -> bool:
        """Whether it is about how far a delivery moved: what it stops, a person may let through."""
        return isinstance(self.expectation, DriftWithin)

    def ready(self, tables: Container[str]) -> bool:
        """Whether there is the table that it waits for; by its name with schema."""
        return self.needs is None or self.needs in tables


@dataclass(frozen=True)
class Suite:
    """One guarded table: `schema` is its door."""

    file: Path
    schema: Door
    table: str
    key: tuple[str, ...]
    key_line: int
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """The table as SQL names it."""
        return f"{self.schema}.{self.table}"

    @property
    def named_columns(self) -> list[tuple[int, str]]:
        """The line and name of every column that it takes its table to have."""
        return [
            *((self.key_line, column) for column in self.key),
            *((check.line, column) for check in self.checks for column in check.columns),
        ]


def load(settings: Settings, door: Door) -> list[Suite]:
    """The suites of a door, checked as far as the files alone allow.

    Raises SuiteError (exit status 2) with every misspelt key, expectation, severity or argument.
    """
    problems: list[Problem] = []
    files = sorted((settings.folder("expectations") / door).glob("*.y*ml"))
    suites = [_suite(file, door, problems) for file in files]
    if problems:
        raise SuiteError(problems)
    return suites


def check_columns(suites: Iterable[Suite], columns: Mapping[str, Iterable[str]]) -> None:
    """Refuse suites that speak of what the warehouse does not have.

    `columns` holds the columns of each table, by its name with schema.
    Raises SuiteError with the nearest name that exists.
    """
    problems = []
    for suite in suites:
        if suite.name not in columns:
            hint = did_you_mean(suite.name, columns)
            problems.append(Problem(str(suite.file), None, f"there is no table {suite.name}", hint))
            continue
        existing = set(columns[suite.name])
        for line, column in suite.named_columns:
            if column not in existing:
                what = f"{suite.name} has no column {column!r}"
                problems.append(
                    Problem(str(suite.file), line, what, did_you_mean(column, existing))
                )
    if problems:
        raise SuiteError(problems)


@lru_cache(maxsize=100)
def _load(text: str) -> Any:
    """What the YAML says, with its lines; read only, for the next reader gets the same object."""
    return YAML().load(text)


def _suite(file: Path, door: Door, problems: list[Problem]) -> Suite:
    def wrong(line: int | None, what: str, hint: str = "") -> None:
        problems.append(Problem(str(file), line, what, hint))

    suite = Suite(file, door, file.stem, (), 1, ())
    try:
        content = _load(file.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        wrong(mark.line + 1 if mark else None, f"not valid YAML: {error.problem}")
        return suite
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        wrong(None, f"cannot be read: {error}")
        return suite
    if not isinstance(content, CommentedMap):
        wrong(None, "a suite has the keys key and expectations")
        return suite
    for name in content:
        if name not in SUITE_KEYS:
            wrong(
                _line(content, name), f"unknown key {name!r}", did_you_mean(str(name), SUITE_KEYS)
            )
    entries = content.get("expectations")
    if not isinstance(entries, CommentedSeq) or not entries:
        wrong(None, "expectations: is a list with at least one entry")
        return suite
    checks: list[Check] = []
    for index, entry in enumerate(entries):
        line = entries.lc.item(index)[0] + 1
        if isinstance(entry, CommentedMap):
            checks.extend(_checks(file, line, entry, problems))
        else:
            wrong(line, "an expectation is a mapping that begins with expect:")
    key_line = _line(content, "key") if "key" in content else 1
    return Suite(file, door, file.stem, _names(content.get("key")), key_line, tuple(checks))


def _checks(file: Path, line: int, entry: CommentedMap, problems: list[Problem]) -> Iterator[Check]:
    """The checks of one entry: one, or one a column where `column` is a list."""
    before = len(problems)

    def wrong(key: str | None, what: str, hint: str = "") -> None:
        at = _line(entry, key) if key in entry else line
        problems.append(Problem(str(file), at, what, hint))

    for key in ("expect", "severity", "because"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            wrong(key, f"{key}: is required")
    name, severity = str(entry.get("expect", "")), str(entry.get("severity", ""))
    if "severity" in entry and severity not in get_args(Severity):
        hint = did_you_mean(severity, get_args(Severity))
        wrong("severity", f"unknown severity {severity!r}", hint or "critical, warning or info")
    if name in UNSUPPORTED:
        wrong(
            "expect", f"{name} does not run on DuckDB", "write it in SQL: expect: unexpected_rows"
        )
        return
    if name not in EXPECTATIONS:
        if name:
            hint = did_you_mean(name, EXPECTATIONS)
            wrong("expect", f"unknown expectation {name!r}", hint)
        return
    arguments = {str(key): _plain(value) for key, value in entry.items() if key not in OWN_KEYS}
    fields = set(EXPECTATIONS[name].__fields__) - HIDDEN
    for key in arguments:
        if key not in fields:
            hint = (
                did_you_mean(key, [*fields, *OWN_KEYS]) or f"it takes {', '.join(sorted(fields))}"
            )
            wrong(key, f"{name} takes no {key!r}", hint)
    if len(problems) > before:
        return
    if EXPECTATIONS[name] is DriftWithin:
        arguments["table"] = file.stem
    several = arguments.get("column")
    for column in several if isinstance(several, list) else [several]:
        with_column = arguments if column is None else arguments | {"column": column}
        because = " ".join(str(entry["because"]).split())
        identity = f"{line} {column}"
        try:
            expectation = EXPECTATIONS[name](
                **with_column, severity=severity, notes=because, meta={"check": identity}
            )
        except ValidationError as error:
            messages = {str(item["loc"][0]): str(item["msg"]) for item in reversed(error.errors())}
            for key, what in messages.items():  # the first word on each argument is enough
                wrong(key, f"{name}: {'' if key == '__root__' else f'{key}: '}{what}")
            return
        keys = () if name in ABOUT_COLUMNS else COLUMN_KEYS
        columns = tuple(column for key in keys for column in _names(with_column.get(key)))
        needs = str(entry["needs"]) if entry.get("needs") else None
        yield Check(
            file,
            line,
            identity,
            expectation,
            _severity(severity),
            because,
            columns,
            needs,
            is_approvable=bool(entry.get("approvable")),
        )


def _severity(word: str) -> Severity:
    return next(known for known in get_args(Severity) if known == word)


def _names(value: Any) -> tuple[str, ...]:
    """A name or a list of names."""
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)


def _line(mapping: CommentedMap, key: Any) -> int:
    return int(mapping.lc.key(key)[0]) + 1


def _plain(value: Any) -> Any:
    """The value without what ruamel keeps of its spelling."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
