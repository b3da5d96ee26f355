"""What is said of a delivery that moved too far: how far, sample rows, and the probable cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import duckdb

from lifecycle.masking import mask_addresses
from lifecycle.sources.contract import TABLES, Table
from lifecycle.sources.reading import quoted
from lifecycle.warehouse.published_delivery import DELIVERED_COLUMNS, SCHEMA, exists

SAMPLE_ROWS = 3
SHOWN = 5
"""Columns, or parts, of one check that get a sentence each."""

MOSTLY = 0.8
"""Share of the changed values that stood at other keys, from which they are called shuffled."""

_EMPTY = ("emptied", "empty", "gone")
_IN_SHARES = ("emptied", "filled", "empty", "gone", "one_value")

Row = Mapping[str, Any]


def sentences(
    connection: duckdb.DuckDBPyConnection, because: str, rows: Sequence[Row]
) -> list[str]:
    """A sentence for each of the rows of `raw.delivery_drift` that are beyond a limit.

    `connection` is that of `work.duckdb`. Addresses are masked.
    """
    sentences = [_sentence(connection, because, row) for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        others = ", ".join(
            str(row["detail"] or row["column_name"]) for row in rows[SHOWN : SHOWN + 10]
        )
        sentences.append(
            f"raw.{rows[0]['table_name']}: and {len(rows) - SHOWN} more of these: {others}"
        )
    return [mask_addresses(text) for text in sentences]


def _sentence(connection: duckdb.DuckDBPyConnection, because: str, row: Row) -> str:
    table = TABLES[row["table_name"]]
    facts = [_moved(table, row)]
    if samples := _samples(connection, table, row):
        facts.append(f"e.g. {'; '.join(samples)}")
    if cause := _cause(connection, table, row):
        facts.append(cause)
    return f"raw.{table.name}.{row['column_name']}: {because} ({'; '.join(facts)})"


def _moved(table: Table, row: Row) -> str:
    """What moved, from what to what."""
    moved, share = row["moved"], row["share"]
    of = round(moved / share) if share else 0
    before, now, detail = row["value_before"], row["value_now"], row["detail"]
    if row["measure"] in _IN_SHARES:
        was = "in the first delivery" if before is None else f"{before:.1%} before"
        span = f"{now:.1%} now, {was}"
    else:
        span = f"{before:,.0f} before, {now:,.0f} now" if before is not None else ""
    part = f"{share:.1%}"
    return {
        "vanished": f"{moved:,} of {of:,} {table.name} vanished, {part}: {span}",
        "appeared": f"{moved:,} {table.name} are new, {part} of those before: {span}",
        "emptied": f"{moved:,} of {of:,} values of rows that stayed are empty now, {part}; "
        f"filled in {span}",
        "filled": f"{moved:,} of {of:,} rows that stayed and were empty have a value now, {part}; "
        f"filled in {span}",
        "changed": f"{moved:,} of {of:,} values of rows that stayed changed, {part}",
        "empty": f"empty in {span}",
        "one_value": f"{detail!r} is the value of {moved:,} rows: of {span}",
        "distinct": f"{part} fewer distinct values: {span}",
        "new_values": f"{moved:,} rows have a value that there was not, {part}"
        + (f", most of them {detail!r}" if detail else ""),
        "gone": f"no file has the column any more; it was filled in {before or 0:.1%} of the rows",
        "new_names": f"{moved:,} of {of:,} new rows have a name that there was not, {part}"
        + (f", most of them {detail!r}" if detail else ""),
        "lost_part": f"{detail!r} has {now:,.0f} rows on the last whole day, usual are "
        f"{before or 0:,.0f} on that weekday",
        "other_content": f"{moved:,} of {of:,} ids that came again say something else now, {part}"
        + (f", e.g. {detail}" if detail else ""),
        "taken_out": f"{moved:,} of the {before or 0:,.0f} rows of {detail} are gone from it",
        "shrunk": f"{detail} has {now:,.0f} rows now, it had {before or 0:,.0f}",
    }[row["measure"]]


def _samples(connection: duckdb.DuckDBPyConnection, table: Table, row: Row) -> list[str]:
    key, column = quoted(table.key), quoted(row["column_name"])
    before, now = f"{SCHEMA}.{table.name}", f"raw.{table.name}"
    joined = f"from {before} as b join {now} as n using ({key}) where"
    measure = row["measure"]
    if measure == "vanished":
        query = f"select {key}, null, null from {before} anti join {now} using ({key})"
    elif measure == "appeared":
        query = f"select {key}, null, null from {now} anti join {before} using ({key})"
    elif measure in ("emptied", "filled", "changed"):
        condition = {
            "emptied": f"b.{column} is not null and n.{column} is null",
            "filled": f"b.{column} is null and n.{column} is not null",
            "changed": f"b.{column}::varchar <> n.{column}::varchar",
        }[measure]
        query = f"select {key}, b.{column}, n.{column} {joined} {condition}"
    else:
        return []
    rows = connection.execute(f"{query} order by 1 limit {SAMPLE_ROWS}").fetchall()
    if measure in ("vanished", "appeared"):
        return [f"{table.key}={name}" for name, _, _ in rows]
    return [f"{table.key}={name}: {_shown(old)} → {_shown(new)}" for name, old, new in rows]


def _shown(value: Any) -> str:
    return "empty" if value is None else str(value)


def _cause(connection: duckdb.DuckDBPyConnection, table: Table, row: Row) -> str:
    if row["measure"] in _EMPTY:
        return _renamed_column(connection, table, row["column_name"])
    if row["measure"] == "changed":
        return _shuffled(connection, table, row)
    if row["measure"] == "vanished":
        [(came,)] = connection.execute(
            f"select count(*) from raw.{table.name}"
            f" anti join {SCHEMA}.{table.name} using ({quoted(table.key)})"
        ).fetchall()
        if came * 2 >= row["moved"]:
            return f"{came:,} others are new: the ids may have been given anew"
        return "the export may be cut short"
    return ""


def _renamed_column(connection: duckdb.DuckDBPyConnection, table: Table, column: str) -> str:
    """Where no file has the column any more: what the file has instead, the nearest name first."""
    if not exists(connection, "raw", DELIVERED_COLUMNS):
        return ""
    rows = connection.execute(
        f"select file, column_name from raw.{DELIVERED_COLUMNS} where table_name = ?", [table.name]
    ).fetchall()
    if not rows or any(name == column for _, name in rows):
        return ""
    known = set(table.column_names)
    if exists(connection, SCHEMA, DELIVERED_COLUMNS):
        known |= {
            name
            for (name,) in connection.execute(
                f"select column_name from {SCHEMA}.{DELIVERED_COLUMNS} where table_name = ?",
                [table.name],
            ).fetchall()
        }
    files = ", ".join(sorted({file for file, _ in rows})[:SAMPLE_ROWS])
    new = sorted({name for _, name in rows if name not in known})
    near = get_close_matches(column, new, n=len(new) or 1, cutoff=0)
    if not near:
        return f"the column {column} is gone from {files}"
    has = ", ".join(near[:SAMPLE_ROWS])
    return (
        f"the column {column} is gone; {files} has {has}: "
        f"[source.columns.{table.name}] maps another name"
    )


def _shuffled(connection: duckdb.DuckDBPyConnection, table: Table, row: Row) -> str:
    key, column = quoted(table.key), quoted(row["column_name"])
    [(shuffled, distinct)] = connection.execute(
        f"""
        with changed as (
            select n.{column}::varchar as value from {SCHEMA}.{table.name} as b
            join raw.{table.name} as n using ({key})
            where b.{column}::varchar <> n.{column}::varchar
        ),
        before as (select distinct {column}::varchar as value from {SCHEMA}.{table.name})
        select count(*) filter (value in (from before)), count(distinct value) from changed
        """
    ).fetchall()
    if distinct > 1 and shuffled >= MOSTLY * row["moved"]:
        return "most of the new values stood at other rows before: rows or ids may be shuffled"
    return ""
