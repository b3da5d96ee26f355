"""Rows of one key in several places of a delivery: which one counts."""

from __future__ import annotations

from pathlib import Path

import duckdb

from lifecycle.sources.contract import Table
from lifecycle.sources.reading import literal, named, quoted
from lifecycle.sources.row_problems import displayed

STREAM = "regexp_replace({}, '[0-9a-f]{{8}}-[0-9a-f-]{{27}}|[0-9]+', '', 'g')"
"""SQL: the stream of a file, which its name says but for dates, numbers and UUIDs."""

_PLACE = ("_delivered", "_file", "_row")
"""Where a usable row comes from: which delivery in a row, its file, its place there."""


def gather(db: duckdb.DuckDBPyConnection, table: Table, good: list[Path]) -> dict[str, str]:
    """Make `good_<table>`, the usable rows of all deliveries; its data columns and their types.

    Of rows with one key the first counts in a snapshot, and the others are rejected. In a table
    that grows they are the same fact told again: the last one of the first one's stream counts,
    and those of another stream that say something else are rejected (lifecycle/sources/
    corrections.py). There `good_<table>` also has the place of a row: `_file`, `_row`.
    """
    types = {column.name: column.kind.sql_type for column in table.columns}
    empty = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in types.items())
    place = "NULL::INTEGER AS _delivered, NULL::VARCHAR AS _file, NULL::BIGINT AS _row"
    union = f"SELECT {empty}, {place} WHERE false"
    if good:
        files = ", ".join(named(path) for path in good)
        union += (
            f" UNION ALL BY NAME FROM read_parquet([{files}], union_by_name = true,"
            " hive_partitioning = false)"
        )
    db.execute(f"CREATE VIEW delivered_{table.name} AS {union}")

    # Repeats are rare: find them by hash, and look closely only at those.
    key = quoted(table.key)
    order = "_delivered, _row"
    if not table.is_snapshot:
        order = f"{STREAM.format('_file')} <> _1_stream, _delivered DESC, _row DESC"
    db.execute(
        f"""CREATE TABLE repeats_{table.name} AS
            WITH suspects AS (SELECT hash({key}) AS h FROM delivered_{table.name}
                              GROUP BY h HAVING count(*) > 1),
            placed AS (
                SELECT *, first_value(_file) OVER places AS _1_file,
                       first_value(_row) OVER places AS _1_row,
                       {STREAM.format("_1_file")} AS _1_stream
                FROM delivered_{table.name} WHERE hash({key}) IN (FROM suspects)
                WINDOW places AS (PARTITION BY {key} ORDER BY _delivered, _row)
            )
            SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {order}) AS _nth FROM placed"""
    )
    described = db.execute(f"DESCRIBE delivered_{table.name}").fetchall()
    others = {name: kind for name, kind, *_ in described if name not in {*types, *_PLACE}}
    columns = types | dict(sorted(others.items()))
    names = ", ".join([*map(quoted, columns), *([] if table.is_snapshot else ["_file", "_row"])])
    first_ones = f"SELECT {names} FROM delivered_{table.name}"
    has_repeats = db.execute(f"SELECT 1 FROM repeats_{table.name} LIMIT 1").fetchone()
    if has_repeats:
        first_ones += (
            f" WHERE hash({key}) NOT IN (SELECT hash({key}) FROM repeats_{table.name})"
            f" UNION ALL SELECT {names} FROM repeats_{table.name} WHERE _nth = 1"
        )
    db.execute(f"CREATE VIEW good_{table.name} AS {first_ones}")
    if has_repeats and table.is_snapshot:
        record = ", ".join(f"{quoted(column)} := {quoted(column)}" for column in columns)
        db.execute(
            f"""INSERT INTO aside_{table.name} BY NAME
                SELECT _file, _row, {literal(table.key)} AS _column, {key} AS _value,
                    to_json(struct_pack({record})) AS _record,
                    {literal(table.key + ": ")} || {displayed(key)} || ' stands already in '
                        || _1_file || ' row ' || _1_row || '; the first one counts' AS _reason
                FROM repeats_{table.name} WHERE _nth > 1"""
        )
    return columns
