"""Rows of a growing table that come again: told again, corrected, taken out, or another's.

A source may correct itself. What a stream of files (files whose names differ by a date or a number)
says again under an id replaces what it said before, and a file that is delivered again replaces the
rows that it brought, within the span of time that it covers: what lies outside may have moved out
of a window. A file with far fewer rows than before takes nothing out, for it may be cut short.

Two streams that use one id for two facts collide: the first one counts, and the other is rejected.
Replaced rows are kept in `raw.replaced_<table>` until a delivery is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from lifecycle.sources.contract import FILE, Table
from lifecycle.sources.reading import literal, named, quoted
from lifecycle.sources.repeats import STREAM

FEWEST = 0.5
"""A file with a smaller share of the rows that it had takes nothing out."""


@dataclass(frozen=True)
class Corrections:
    """What a delivery changes of the rows that were there."""

    rows: int
    """Rows that say something else now, or are taken out."""
    accounts: int
    """Accounts whose history changes by it."""
    replaced: Path
    """The keys of these rows: a Parquet file with the column `key`."""


def find(db: duckdb.DuckDBPyConnection, table: Table, scratch: Path) -> Corrections:
    """Make the scratch table `replaced_<table>`, one row per row in the warehouse that is replaced
    or taken out, and set collisions aside.

    Reads `good_<table>`, `repeats_<table>`, `before_<table>`, `aside_<table>` and `loaded`.
    """
    key, name = quoted(table.key), table.name
    others = [column.name for column in table.columns if column.required][1:]
    differs = " OR ".join(f"g.{other} IS DISTINCT FROM b.{other}" for other in others)
    # Rows that an older version loaded do not say which file brought them.
    is_same = f"coalesce({_stream('b')}, {_stream('g')}) = {_stream('g')}"
    db.execute(
        f"""CREATE TABLE replaced_{name} AS
            SELECT {key} AS key, b.account_id AS old_account, g.account_id AS new_account
            FROM good_{name} g JOIN before_{name} b USING ({key})
            WHERE ({differs}) AND {is_same}"""
    )
    _set_aside(
        db,
        table,
        f"""SELECT g.*, b.{FILE} AS _other_file, NULL::BIGINT AS _other_row
            FROM good_{name} g JOIN before_{name} b USING ({key})
            WHERE ({differs}) AND NOT {is_same}""",
    )
    _set_aside(
        db,
        table,
        f"""SELECT g.*, b._file AS _other_file, b._row AS _other_row
            FROM repeats_{name} g JOIN repeats_{name} b USING ({key})
            WHERE b._nth = 1 AND g._nth > 1 AND ({differs})
                AND {_stream("g")} <> {_stream("b")}""",
    )
    _take_out(db, table)
    rows, accounts = db.execute(
        f"""SELECT count(*), (SELECT count(DISTINCT account) FROM (
                SELECT unnest([old_account, new_account]) AS account FROM replaced_{name}))
            FROM replaced_{name}"""
    ).fetchall()[0]
    path = scratch / f"replaced_{name}.parquet"
    db.execute(f"COPY (SELECT key FROM replaced_{name}) TO {literal(str(path))} (FORMAT parquet)")
    return Corrections(rows, accounts, path)


def _stream(alias: str) -> str:
    return STREAM.format(f"{alias}.{FILE}")


def _set_aside(db: duckdb.DuckDBPyConnection, table: Table, collisions: str) -> None:
    shown = f"to_json({quoted(table.key)})::VARCHAR"
    columns = [column.name for column in table.columns]
    record = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in columns)
    db.execute(
        f"""INSERT INTO aside_{table.name} BY NAME
            SELECT _file, _row, NULL::TIMESTAMP AS _first_at, {literal(table.key)} AS _column,
                {quoted(table.key)} AS _value, to_json(struct_pack({record})) AS _record,
                {literal(table.key + ": ")} || {shown} || ' means something else in '
                    || _other_file || coalesce(' row ' || _other_row, '')
                    || '; if two systems number by themselves, declare each in [sources.<name>]'
                    AS _reason
            FROM ({collisions})"""
    )


def _take_out(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Rows that a file had and does not have any more, though it covers their time."""
    name, happened_at = table.name, table.happened_at
    db.execute(
        f"""INSERT INTO replaced_{name}
            WITH files AS (
                SELECT _file, min({happened_at}) AS begins, max({happened_at}) AS ends,
                    count(*) AS usable
                FROM delivered_{name} GROUP BY _file
            ),
            had AS (SELECT {FILE}, count(*) AS n FROM before_{name} GROUP BY {FILE})
            SELECT b.{table.key} AS key, b.account_id, NULL
            FROM before_{name} b
            JOIN files f ON f._file = b.{FILE}
            JOIN had ON had.{FILE} = b.{FILE}
            WHERE b.{happened_at} BETWEEN f.begins AND f.ends AND f.usable >= {FEWEST} * had.n
                AND b.{table.key} NOT IN (SELECT {table.key} FROM delivered_{name})
                AND b.{table.key} NOT IN (
                    SELECT json_extract_string(_record, {literal("/" + table.key)})
                    FROM aside_{name}
                    WHERE json_valid(_record)
                        AND json_extract_string(_record, {literal("/" + table.key)}) IS NOT NULL
                )"""
    )


def remove(work: duckdb.DuckDBPyConnection, table: Table, corrections: Corrections) -> None:
    """Take the replaced rows out of the raw table, and keep them until something is published.

    `work` is the warehouse. The caller loads the new rows afterwards, and reads the files again
    where it was killed in between.
    """
    if not corrections.rows:
        return
    replaced = f"read_parquet({named(corrections.replaced)}, hive_partitioning = false)"
    keys = f"(SELECT key FROM {replaced})"
    theirs = f"FROM raw.{table.name} WHERE {quoted(table.key)} IN {keys}"
    kept = kept_in(table.name)
    before = f"FROM {kept} UNION ALL BY NAME " if _exists(work, kept) else ""
    work.begin()
    work.execute(f"CREATE OR REPLACE TABLE {kept} AS {before}SELECT * {theirs}")
    work.execute(f"DELETE {theirs}")
    work.commit()


def kept_in(table: str) -> str:
    """Where the replaced rows of a table are kept until something is published."""
    return f"raw.replaced_{table}"


def _exists(work: duckdb.DuckDBPyConnection, table: str) -> bool:
    query = "SELECT count(*) FROM duckdb_tables() WHERE schema_name || '.' || table_name = $1"
    [(count,)] = work.execute(query, [table]).fetchall()
    return bool(count)
