"""What is wrong with a row, and with single cells of a row that can be used, as SQL."""

from __future__ import annotations

from datetime import UTC, datetime

from lifecycle.sources import words
from lifecycle.sources.contract import Column, Kind, Table
from lifecycle.sources.reading import literal, quoted
from lifecycle.sources.value_check import VALUE_CHECKS, text_of
from lifecycle.sources.value_sql import LEAVING

_DECIMAL = r"^[0-9]+[.]0+$|^[0-9]([.][0-9]+)?[eE][+]?[0-9]+$"
"""An id that went through a spreadsheet or a table of numbers."""


def problems_of(
    table: Table, present: list[Column], loaded_at: datetime
) -> list[tuple[str, str, str]]:
    """What can be wrong with a row, first things first: column, SQL test, SQL reason."""
    problems: list[tuple[str, str, str]] = []
    for column in present:
        text, value = text_of(column.name), quoted("v_" + column.name)
        shown = f"{literal(column.name + ': ')} || {displayed(text)} || "
        if column.required:
            problems.append(
                (column.name, f"{text} IS NULL", literal(f"{column.name}: required, and empty"))
            )
            if column.kind is not Kind.TEXT:
                why = shown + literal(f" cannot be used; expected {column.kind}")
                if column.kind in VALUE_CHECKS:
                    why = f"coalesce({quoted('r_' + column.name)}, {why})"
                problems.append((column.name, f"{value} IS NULL", why))
        if column.name == "account_id" and table.belongs_to_account:
            again = "" if table.is_snapshot else "; the row is tried again at every pull"
            problems.append(
                (
                    column.name,
                    "NOT _is_known",
                    shown
                    + literal(f" is no account of this delivery or an earlier one{again}")
                    + f" || CASE WHEN regexp_matches({text}, {literal(_DECIMAL)}) THEN"
                    f" '; it is a decimal: export ids as text or whole numbers' ELSE '' END",
                )
            )
        if column.name == table.happened_at:
            clock = loaded_at.astimezone(UTC).replace(tzinfo=None)
            problems.append(
                (
                    column.name,
                    f"{value} > TIMESTAMP {literal(str(clock))}",
                    shown + literal(f" lies in the future: the clock says {clock:%F %T} UTC"),
                )
            )
    return problems


def bad_cells(present: list[Column]) -> list[str]:
    """SQL: for each optional column a struct where its value cannot be used, else null."""
    cells = []
    for column in present:
        if column.required or column.kind is Kind.TEXT:
            continue
        text, value = text_of(column.name), quoted("v_" + column.name)
        shown = f"{literal(column.name + ': ')} || {displayed(text)}"
        what = f" cannot be used; expected {column.kind}"
        test = f"{text} IS NOT NULL AND {value} IS NULL"
        if column.kind in LEAVING:
            test += f" AND NOT {words.is_one_of(text, words.YES)}"
            is_account = column.name in ("churned_at", "is_churned")
            held = "no mail goes to the account until it is mended"
            what += f"; {held if is_account else 'it counts as having left'}"
        reason = f"{shown} || {literal(what)}"
        if column.kind in VALUE_CHECKS:
            reason = f"coalesce({quoted('r_' + column.name)}, {reason})"
        cells.append(
            f"CASE WHEN {test} THEN {{'_column': {literal(column.name)}, '_value': {text},"
            f" '_reason': {reason}}} END"
        )
    return cells


def says_left(present: list[Column]) -> str:
    """SQL: whether a row says that somebody left, without a readable time that says when."""
    conditions = [
        f"({text_of(column.name)} IS NOT NULL AND {_undated(column)})"
        for column in present
        if column.kind in LEAVING
    ]
    return " OR ".join(conditions) or "false"


def _undated(column: Column) -> str:
    """SQL: whether a value that is there says so without a time that can be read."""
    match column.name:
        case "unsubscribed_at":
            return f"{quoted('v_' + column.name)} IS NULL"
        case "is_unsubscribed":
            return "true"
        case _:
            # An account whose date cannot be read is held back until it is mended: nothing ends.
            return words.is_one_of(text_of(column.name), words.YES)


def displayed(text: str) -> str:
    """SQL: a value in quotes, line breaks made visible, cut where it is long."""
    cut = f"CASE WHEN length({text}) > 100 THEN left({text}, 99) || '…' ELSE {text} END"
    return f"to_json({cut})::VARCHAR"
