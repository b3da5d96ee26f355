"""One boolean SQL expression over the columns of a model, checked part by part.

The text is parsed (`condition_parser.py`), and every part is looked up in the lists of
`condition_language.py`; what is on no list is refused. SQL is then written anew from the checked
parts, so that no text that somebody typed ever reaches the warehouse but as a quoted name or a
quoted literal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlglot import exp

from lifecycle.duckdb_connection import connect, without_pandas
from lifecycle.triggers.columns import Column, Columns, Kind
from lifecycle.triggers.condition_checker import Checker, wrong_name
from lifecycle.triggers.condition_parser import parse_expression
from lifecycle.triggers.condition_part import ConditionError, Fault, Part, quoted_text

SIGNS = {" >= ": " ≥ ", " <= ": " ≤ ", " <> ": " ≠ "}
"""How a person is shown what SQL writes with two characters."""


@dataclass(frozen=True)
class Outcome:
    """What a condition, or a part of one, says about one row."""

    text: str
    """The part with the values of its columns: `days_silent 12 ≥ 18`."""
    holds: bool | None
    """None: unknown, because something that it asks about is null."""
    parts: tuple[Outcome, ...] = ()
    joins: str = ""
    """How it makes one of its parts: and, or, not; empty where it has none."""

    def __str__(self) -> str:
        return f"{self.text}: { {True: 'yes', False: 'no', None: 'unknown'}[self.holds] }"


@dataclass(frozen=True)
class Condition:
    """A checked condition."""

    text: str
    """As it was written."""
    checked: Part

    @property
    def columns(self) -> frozenset[str]:
        """The names of the columns that it asks about."""
        return frozenset(column.name for column in self.checked.columns())

    @property
    def needs(self) -> dict[str, list[str]]:
        """What its columns are null without: by that, the columns."""
        by_need: dict[str, list[str]] = {}
        for column in sorted(set(self.checked.columns()), key=lambda column: column.name):
            for need in sorted(column.needs):
                by_need.setdefault(need, []).append(column.name)
        return by_need

    @property
    def needs_feed(self) -> bool:
        """Whether it asks about anything that is unknown while the usage feed is late."""
        return any(column.needs_feed for column in self.checked.columns())

    @property
    def needs_milestones(self) -> bool:
        """Whether it asks about anything that hangs on first core events and outcomes."""
        return any(column.needs_milestones for column in self.checked.columns())

    def sql(self, alias: str) -> str:
        """The condition as an SQL expression over a table of that alias."""
        return self.checked.write(lambda column: f"{_quoted(alias)}.{_quoted(column.name)}")

    def tree(self, row: Mapping[str, Any], time_zone: str = "UTC") -> Outcome:
        """What each part of the condition says about a row, given by column name.

        Moments of the row, which are UTC, are shown in the time zone, and name it.
        The warehouse's own engine judges each part, so that what is explained is what was
        decided. Raises KeyError if the row lacks a column that the condition asks about.
        """
        columns = {column.name: column for column in self.checked.columns()}
        casts, values = ["1 as one"], {}
        for number, column in enumerate(columns.values()):
            value, data_type = row[column.name], column.data_type
            if column.kind is Kind.OTHER:  # may only be asked whether it is null
                value, data_type = None if value is None else True, "boolean"
            values[f"v{number}"] = value
            casts.append(f"cast($v{number} as {data_type}) as {_quoted(column.name)}")
        parts = list(self.checked.with_parts())
        written = ", ".join(
            part.write(lambda column: f"r.{_quoted(column.name)}") for part in parts
        )
        query = f"select {written} from (select {', '.join(casts)}) r"
        with without_pandas():
            outcomes = _engine().cursor().execute(query, values).fetchone()
        assert outcomes is not None
        return _outcome(self.checked, row, time_zone, iter(outcomes))

    def __str__(self) -> str:
        return self.text


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return connect(":memory:", config={"threads": 1})


def _outcome(
    part: Part, row: Mapping[str, Any], time_zone: str, outcomes: Iterator[bool | None]
) -> Outcome:
    holds = next(outcomes)

    def show(column: Column) -> str:
        value = row[column.name]
        if column.kind is Kind.BOOLEAN and value is not None:
            return column.name
        return f"{column.name} {_shown(value, time_zone)}"

    parts = tuple(_outcome(inner, row, time_zone, outcomes) for inner in part.parts)
    return Outcome(part.write(show, SIGNS), holds, parts, part.joins)


def _shown(value: Any, time_zone: str) -> str:
    match value:
        case None:
            return "null"
        case str():
            return quoted_text(value)
        case float():
            return f"{value:g}"
        case datetime():
            there = value.replace(tzinfo=UTC).astimezone(ZoneInfo(time_zone))
            return f"{there:%Y-%m-%d %H:%M} {time_zone}"
        case _:
            return str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def parse_condition(text: object, columns: Columns) -> Condition:
    """Check a condition over the columns of a model.

    Raises ConditionError with every wrong name, and with the first other fault of each of the
    conditions that it joins.
    """
    if not isinstance(text, str):
        raise ConditionError(Fault(f"{text!r} is not a condition", "write an SQL expression"))
    node = parse_expression(text)
    wrong = [
        fault
        for column in node.find_all(exp.Column, bfs=False)
        if (fault := wrong_name(column, columns))
    ]
    try:
        checked = Checker(columns).condition(node)
    except RecursionError:
        raise ConditionError(*dict.fromkeys(wrong), Fault("nested too deeply")) from None
    except ConditionError as error:
        raise ConditionError(*dict.fromkeys((*wrong, *error.faults))) from None
    return Condition(text.strip(), checked)
