"""Checks suites against the schema that a run will build, before the first run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import duckdb
import yaml

from lifecycle.duckdb_connection import connect
from lifecycle.errors import Problem, SourceError, SuiteError
from lifecycle.settings import Settings
from lifecycle.sources.contract import (
    DEPARTURES,
    KNOWN_ACCOUNTS,
    LOADED_AT,
    LOADED_FILES,
    REJECTED_CELLS,
    REJECTED_ROWS,
    TABLES,
)
from lifecycle.sources.export_columns import exported_columns
from lifecycle.sources.reading import first_line, quoted
from lifecycle.triggers.columns import read_columns
from lifecycle.warehouse import context
from lifecycle.warehouse.gate.checkpoint import columns_of
from lifecycle.warehouse.gate.suites import Suite, check_columns
from lifecycle.warehouse.run_parameters import run_columns
from lifecycle.warehouse.score_definition import PROJECT

MODELS = PROJECT / "models"

_NO_COLUMN = re.compile(
    r'[Cc]olumn (?:named )?"([^"]+)" (?:not found|does not exist)|named "([^"]+)"'
)
_CANDIDATE = re.compile(r'Candidate bindings:[ :]*"([^"]+)"')


def check_suites(settings: Settings, suites: Sequence[Suite]) -> bool:
    """Refuse suites that name a table or a column that a run would not find, also in their SQL.

    Tables whose columns only a run knows are left to it, and so is a column beyond the contract
    while the export that may bring it cannot be read. Returns whether the suites and the declared
    columns decided alone: False where the export had to be looked at.
    Raises SuiteError with the nearest name, TriggerError if a model's YAML cannot be read.
    """
    problems: list[Problem] = []
    is_decided = True
    with connect() as warehouse:
        _create(warehouse)
        left_to_a_run = _sources() - columns_of(warehouse).keys()
        for suite in suites:
            if suite.name in left_to_a_run:
                continue
            wrong = _problems(warehouse, suite)
            if wrong and suite.schema == "raw" and settings.source.kind == "files":
                is_decided = False
                try:
                    _add_exported(warehouse, settings, suite)
                except SourceError:
                    continue  # the run itself says what is wrong with its source
                wrong = _problems(warehouse, suite)
            problems += wrong
    if problems:
        raise SuiteError(problems)
    return is_decided


def _create(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Create every table whose columns are declared, in the contract or in a model's YAML."""
    tables = {f"context.{name}": columns for name, columns in context.TABLES.items()}
    tables["context.run"] = run_columns()
    for table in TABLES.values():
        typed = {column.name: column.kind.sql_type for column in table.columns}
        tables[f"raw.{table.name}"] = _declared({**typed, LOADED_AT: "TIMESTAMP"})
    tables["raw.rejected_rows"] = _declared(REJECTED_ROWS)
    tables["raw.rejected_cells"] = _declared(REJECTED_CELLS)
    tables["raw.departures"] = _declared(DEPARTURES)
    tables["raw.known_accounts"] = _declared(KNOWN_ACCOUNTS)
    tables["raw.loaded_files"] = _declared(LOADED_FILES)
    for file in (MODELS / "marts").glob("*.yml"):
        columns = read_columns(file).values()
        tables[f"marts.{file.stem}"] = _declared(
            {column.name: column.data_type for column in columns}
        )
    warehouse.execute("create schema raw; create schema context; create schema marts")
    for name, declared in tables.items():
        warehouse.execute(f"create table {name} ({declared})")


def _declared(columns: dict[str, str]) -> str:
    return ", ".join(f"{quoted(name)} {data_type}" for name, data_type in columns.items())


def _add_exported(warehouse: duckdb.DuckDBPyConnection, settings: Settings, suite: Suite) -> None:
    """Add the export's own columns to the tables that a suite names."""
    spoken_of = " ".join(["raw." + suite.table, *(sql for _, sql in _queries(suite))])
    for name in TABLES:
        if re.search(rf"\braw\.{name}\b", spoken_of):
            for column in exported_columns(settings, name):
                add = f"alter table raw.{name} add column if not exists {quoted(column)} varchar"
                warehouse.execute(add)


def _problems(warehouse: duckdb.DuckDBPyConnection, suite: Suite) -> list[Problem]:
    try:
        check_columns([suite], columns_of(warehouse))
    except SuiteError as error:
        problems = list(error.problems)
    else:
        problems = []
    for line, sql in _queries(suite):
        try:
            warehouse.execute(f"explain from (\n{sql.rstrip().rstrip(';')}\n)")
        except duckdb.ParserException as error:
            problems.append(Problem(str(suite.file), line, f"sql: {first_line(error)}"))
        except duckdb.BinderException as error:
            if named := _NO_COLUMN.search(str(error)):
                near = _CANDIDATE.search(str(error))
                hint = f'did you mean "{near[1]}"?' if near else ""
                problem = f"sql: there is no column {named[1] or named[2]!r}"
                problems.append(Problem(str(suite.file), line, problem, hint))
        except duckdb.Error:
            continue  # It uses something that is not declared: the run will check it.
    return problems


def _queries(suite: Suite) -> Iterator[tuple[int, str]]:
    """The line and the SQL of each of a suite's queries."""
    for check in suite.checks:
        if sql := getattr(check.expectation, "sql", None):
            yield check.line, sql


def _sources() -> set[str]:
    """All tables that a run loads or writes, as the models declare them."""
    text = (MODELS / "staging" / "sources.yml").read_text(encoding="utf-8")
    declared = yaml.load(text, yaml.CSafeLoader)
    return {
        f"{source['schema']}.{table['name']}"
        for source in declared["sources"]
        for table in source["tables"]
    }
