"""What moved between the last published delivery and this one: the table `raw.delivery_drift`.

One row per table, column and measure, and for parts of a growing table per part:

    vanished, appeared    keys of a snapshot that are gone, or new; shares of the keys before
    emptied, filled       values of keys that stayed; shares of those filled, or empty, before
    changed               values of keys that stayed; share of those filled before and now
    empty                 empty values of all rows: how far their share rose
    one_value             the most common value (of a time: the day): how far its share rose
    distinct              distinct values: the share of them that is lost
    new_values            rows with a value that a short list of values did not have before
    gone                  a column that no file has any more
    new_names, lost_part  of the rows that came since: those with a name that there was not,
                          those missing of a part that there was
    other_content         of a stream's ids that came again: those with another account, time or
                          name or score
    shrunk                rows of a file that was delivered again with fewer
    taken_out             rows that a file had, and does not have in the same span of time now

`share` is what a limit is held against, `moved` the rows that it is about, `value_before` and
`value_now` what a person is shown. A first delivery has no `value_before`, nor keys that stayed:
its `share` is `value_now`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lifecycle.settings import Settings
from lifecycle.sources.contract import FILE, TABLES, Table
from lifecycle.sources.corrections import kept_in
from lifecycle.sources.reading import quoted
from lifecycle.sources.repeats import STREAM
from lifecycle.triggers.folder import read_folder
from lifecycle.warehouse.published_delivery import DELIVERED_COLUMNS, SCHEMA, exists, has_delivery

DRIFT = "raw.delivery_drift"
COLUMNS = {
    "table_name": pa.string(),
    "column_name": pa.string(),
    "measure": pa.string(),
    "detail": pa.string(),
    "value_before": pa.float64(),
    "value_now": pa.float64(),
    "share": pa.float64(),
    "moved": pa.int64(),
    "is_ours": pa.bool_(),
    "is_asked": pa.bool_(),
    "is_first": pa.bool_(),
}
"""`detail` is the value, name, part or file that the row is about, where it is about one.
`is_ours`: the contract names the column; else it is the company's own. `is_asked`: a trigger names
it. `is_first`: no delivery was published before."""

MEASURES = (
    *("vanished", "appeared", "emptied", "filled", "changed", "empty", "one_value", "distinct"),
    *("new_values", "gone", "new_names", "lost_part", "other_content", "shrunk", "taken_out"),
)

EXPLAINED_BY = {
    ("contacts", "unsubscribed_at"): "consented_at",
    ("contacts", "is_unsubscribed"): "consented_at",
    ("accounts", "churned_at"): "went_live_at",
    ("accounts", "is_churned"): "went_live_at",
}
"""A value that empties is explained where this column has a later one: it is no drift."""

SAMPLE = 20_000
"""Keys of a table, about, from which the distribution of values is taken; fewer are all taken."""

STAYED = 0.8
"""Share of the filled rows of before, below which distinct values are not compared."""

SHORT_LIST = 30
"""Distinct values up to which a new one is news."""

DAYS_BEFORE = 28
"""Days of a growing table that the usual is taken from."""

Row = dict[str, Any]
_SQL = Path(__file__).parent
_VALUES = (_SQL / "drift_values.sql").read_text(encoding="utf-8")
_GROWING = (_SQL / "drift_growing.sql").read_text(encoding="utf-8")


def measure(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Replace `raw.delivery_drift` by what this delivery is beside the last published one.

    `connection` is that of `work.duckdb` after a pull.
    """
    asked, is_first = _asked_columns(settings), not has_delivery(connection)
    rows: list[Row] = []
    for table in TABLES.values():
        if exists(connection, "raw", table.name):
            measures = (
                _snapshot(connection, table) if table.is_snapshot else _grown(connection, table)
            )
            rows += ({"table_name": table.name, **row} for row in measures)
    for row in rows:
        table = TABLES[row["table_name"]]
        row["is_first"] = is_first
        row["is_ours"] = row["column_name"] in table.column_names
        row["is_asked"] = row["column_name"] in asked.get(table.name, ())
    batch = pa.Table.from_pylist(rows, schema=pa.schema(list(COLUMNS.items())))
    connection.register("drift_batch", batch)
    connection.execute(f"create or replace table {DRIFT} as from drift_batch")
    connection.unregister("drift_batch")


def data_columns(
    connection: duckdb.DuckDBPyConnection, schema: str, table: str
) -> Mapping[str, str]:
    """The columns of a delivered table and their types, without those of the load."""
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() where schema_name = ?"
        " and table_name = ? and database_name = current_database() order by column_index",
        [schema, table],
    ).fetchall()
    return {name: kind for name, kind in rows if not name.startswith("_")}


def _asked_columns(settings: Settings) -> Mapping[str, set[str]]:
    """The columns that a condition of a trigger names, of accounts and of contacts."""
    triggers, _ = read_folder(settings.folder("triggers"))
    asked: dict[str, set[str]] = {"accounts": set(), "contacts": set()}
    for trigger in triggers:
        for condition in trigger.conditions:
            asked["accounts"] |= condition.columns
        asked["contacts"] |= trigger.recipients.columns
    return asked


# Snapshots. ---------------------------------------------------------------------------------


def _snapshot(connection: duckdb.DuckDBPyConnection, table: Table) -> Iterator[Row]:
    now = data_columns(connection, "raw", table.name)
    before = data_columns(connection, SCHEMA, table.name)
    if table.key not in now:
        return
    if table.key in before:
        yield from _moved_rows(connection, table, before, now)
        yield from _gone_columns(connection, table)
    yield from _distribution(connection, table, before, now)


def _moved_rows(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    before: Mapping[str, str],
    now: Mapping[str, str],
) -> Iterator[Row]:
    """One join of both: keys that went and came, and what changed in those that stayed."""
    shared = [name for name in now if name in before and name != table.key]
    key = quoted(table.key)
    rows_before, rows_now = (
        connection.execute(f"select count(*) from {schema}.{table.name}").fetchall()[0][0]
        for schema in (SCHEMA, "raw")
    )
    counts = ["count(*)"]
    for name in shared:
        old, new = _value(f"b.{quoted(name)}", before[name]), _value(f"n.{quoted(name)}", now[name])
        differs = f"{old} <> {new}" if before[name] == now[name] else _differs_as_text(old, new)
        explained = EXPLAINED_BY.get((table.name, name))
        is_explained = "0"
        if explained is not None and explained in now:
            later = f"n.{quoted(explained)} > {_left_at(name, explained, before)}"
            is_explained = f"count(*) filter ({old} is not null and {new} is null and {later})"
        counts.append(
            f"[count({old}), count({new}), count({differs}),"
            f" count(*) filter ({differs}), {is_explained}]"
        )
    row = connection.execute(
        f"select {', '.join(counts)}"
        f" from {SCHEMA}.{table.name} as b join raw.{table.name} as n on b.{key} = n.{key}"
    ).fetchone()
    assert row is not None
    stayed, *columns = row
    for name, rows in (("vanished", rows_before), ("appeared", rows_now)):
        yield _row(table.key, name, rows_before, rows_now, rows - stayed, of=max(rows_before, 1))
    for name, (old, new, both, changed, explained) in zip(shared, columns, strict=True):
        shares = _share(old, stayed), _share(new, stayed)
        yield _row(name, "emptied", *shares, old - both - explained, of=old)
        yield _row(name, "filled", *shares, new - both, of=stayed - old)
        yield _row(name, "changed", None, _share(changed, both), changed, of=both)


def _value(sql: str, kind: str) -> str:
    """A value as it is compared: false is no word for having left, and so as good as empty."""
    return f"nullif({sql}, false)" if kind == "BOOLEAN" else sql


def _left_at(name: str, explained: str, before: Mapping[str, str]) -> str:
    """What a value that explains a departure has to be later than: the departure, or where that
    has no time, the value before."""
    if before[name] != "BOOLEAN":
        return f"b.{quoted(name)}"
    if explained not in before:
        return "'-infinity'::timestamp"
    return f"coalesce(b.{quoted(explained)}, '-infinity'::timestamp)"


def _differs_as_text(old: str, new: str) -> str:
    return f"{old}::varchar <> {new}::varchar"


def _distribution(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    before: Mapping[str, str],
    now: Mapping[str, str],
) -> Iterator[Row]:
    """What values there are and how many of each, from the same keys of both deliveries."""
    (rows,) = connection.execute(f"select count(*) from raw.{table.name}").fetchall()[0]
    step = max(1, rows // SAMPLE)
    names = [name for name in now if name != table.key]
    if not names:
        return
    filled = _VALUES.format(
        now=_sampled("raw", table, names, now, step),
        before=_sampled(SCHEMA, table, names, before, step)
        if table.key in before
        else _sampled("raw", table, names, {}, 0),
    )
    is_first = table.key not in before
    for measure in connection.execute(filled).fetchall():
        name, all_now, all_before, filled_now, filled_before, *rest = measure
        distinct_now, distinct_before, top, top_now, top_before, new_rows = rest
        is_new = is_first or name not in before
        if is_new and not is_first:
            continue
        empty_before = None if is_first else 1 - _share(filled_before, all_before)
        empty_now = 1 - _share(filled_now, all_now)
        if is_first and name not in _delivered_columns(connection, table):
            continue  # a company that has no such column leaves it out of its export
        yield _rise(name, "empty", empty_before, empty_now, (all_now - filled_now) * step)
        if not filled_now:
            continue
        if not is_first and not filled_before:
            continue
        one_before = None if is_first else _share(top_before, filled_before)
        one_now = _share(top_now, filled_now)
        yield {
            **_rise(name, "one_value", one_before, one_now, top_now * step),
            "detail": top,
        }
        # Where rows are missing, so are values: that is told once.
        if not is_first and filled_now >= STAYED * filled_before:
            lost = distinct_before - distinct_now
            yield _row(name, "distinct", distinct_before, distinct_now, lost, of=distinct_before)
            if distinct_before <= SHORT_LIST:
                share = _share(new_rows, filled_now)
                yield {
                    **_row(name, "new_values", 0.0, share, new_rows * step, of=1),
                    "share": share,
                    "detail": top if top_before == 0 else None,
                }


def _sampled(
    schema: str, table: Table, names: Sequence[str], there: Mapping[str, str], step: int
) -> str:
    """A query: the values as text of every `step`th key; of a time its day. 0: no row."""
    columns = ", ".join(
        f"{_as_text(name, there[name])} as {quoted(name)}"
        if name in there
        else f"null::varchar as {quoted(name)}"
        for name in names
    )
    picked = "false" if step == 0 else f"hash({quoted(table.key)}) % {step} = 0"
    return f"select {columns} from {schema}.{table.name} where {picked if step != 1 else 'true'}"


def _as_text(name: str, kind: str) -> str:
    value = _value(quoted(name), kind)
    return f"{value}{'::date' if kind.startswith('TIMESTAMP') else ''}::varchar"


def _delivered_columns(connection: duckdb.DuckDBPyConnection, table: Table) -> set[str]:
    """The columns that a file of this delivery has; all, where nothing tells."""
    if not exists(connection, "raw", DELIVERED_COLUMNS):
        return set(table.column_names)
    query = f"select distinct column_name from raw.{DELIVERED_COLUMNS} where table_name = ?"
    return {name for (name,) in connection.execute(query, [table.name]).fetchall()}


def _gone_columns(connection: duckdb.DuckDBPyConnection, table: Table) -> Iterator[Row]:
    if not all(exists(connection, schema, DELIVERED_COLUMNS) for schema in ("raw", SCHEMA)):
        return
    names = "select distinct column_name from {}.delivered_columns where table_name = $1"
    gone = connection.execute(
        f"{names.format(SCHEMA)} except {names.format('raw')} order by 1", [table.name]
    ).fetchall()
    for (name,) in gone:
        filled, rows = connection.execute(
            f"select count({quoted(name)}), count(*) from {SCHEMA}.{table.name}"
        ).fetchall()[0]
        yield _row(name, "gone", _share(filled, rows), 0.0, filled, of=filled)


# Growing tables. ----------------------------------------------------------------------------


def _grown(connection: duckdb.DuckDBPyConnection, table: Table) -> Iterator[Row]:
    if not has_delivery(connection):
        return
    [(since,)] = connection.execute(f"select loaded_at from {SCHEMA}.run").fetchall()
    [(now,)] = connection.execute("select as_of from context.run").fetchall()
    columns = data_columns(connection, "raw", table.name)
    accounts = data_columns(connection, "raw", "accounts")
    names = [name for name in ("event_name", "kind") if name in columns]
    parts = {name: f"events.{quoted(name)}" for name in names}
    parts |= {
        name: f"accounts.{quoted(name)}" for name in ("segment", "country") if name in accounts
    }
    if parts:
        query = _GROWING.format(
            parts=", ".join(f"{sql} as {name}" for name, sql in parts.items()),
            texts=", ".join(f"{name}::varchar as {name}" for name in parts),
            names=", ".join(parts),
            rows=_rows_and_replaced(connection, table),
            happened_at=table.happened_at,
            days=DAYS_BEFORE,
        )
        rows = connection.execute(query, {"since": since, "now": now}).fetchall()
        for name in parts:
            yield from _parts(name, [row[1:] for row in rows if row[0] == name], name in names)
    yield from _other_content(connection, table)
    yield from _shrunk_files(connection, table)
    yield from _taken_out(connection, table)


def _rows_and_replaced(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """SQL: the rows of a growing table, and those that were replaced since the last published
    load."""
    rows = f"select *, false as is_replaced from raw.{table.name}"
    if exists(connection, "raw", f"replaced_{table.name}"):
        rows += f" union all by name select *, true as is_replaced from {kept_in(table.name)}"
    return rows


def _other_content(connection: duckdb.DuckDBPyConnection, table: Table) -> Iterator[Row]:
    """By stream: ids that came again, and say something else than the published rows did. What a
    refused delivery said in between is forgotten once it is mended."""
    kept = kept_in(table.name)
    if not exists(connection, "raw", "repeated_ids") or not exists(
        connection, "raw", f"replaced_{table.name}"
    ):
        return
    required = [column.name for column in table.columns if column.required]
    differs = " or ".join(f"n.{name} is distinct from o.{name}" for name in required)
    stream = STREAM.format(f"n.{FILE}")
    for name, other, repeats, examples in connection.execute(
        f"""with since as (select loaded_at from {SCHEMA}.run),
            others as (
                select {stream} as stream, count(*) as other,
                    array_to_string(list(n.{table.key} order by n.{table.key})[:3], ', ')
                        as examples
                from {kept} as o
                join raw.{table.name} as n using ({table.key})
                where o._loaded_at <= (from since) and ({differs})
                group by stream
            ),
            repeated as (
                select stream, max(repeats) as repeats from raw.repeated_ids
                where table_name = ? and loaded_at > (from since) group by stream
            )
            select others.stream, other, greatest(other, coalesce(repeats, 0)), examples
            from others left join repeated on others.stream is not distinct from repeated.stream
            order by others.stream""",
        [table.name],
    ).fetchall():
        row = _row(table.key, "other_content", 0.0, _share(other, repeats), other, of=repeats)
        yield {**row, "detail": f"{examples} in {name}" if name else examples}


def _taken_out(connection: duckdb.DuckDBPyConnection, table: Table) -> Iterator[Row]:
    if not exists(connection, "raw", f"replaced_{table.name}"):
        return
    for file, gone, had in connection.execute(
        f"""with replaced as (
                select {FILE}, {table.key} not in (select {table.key} from raw.{table.name})
                    as is_gone
                from {kept_in(table.name)}
                where {FILE} is not null and _loaded_at <= (select loaded_at from {SCHEMA}.run)
            ),
            gone as (select {FILE}, count(*) filter (is_gone) as n from replaced group by {FILE}),
            had as (
                select {FILE}, count(*) as n from raw.{table.name}
                where _loaded_at <= (select loaded_at from {SCHEMA}.run) group by {FILE}
            )
            select gone.{FILE}, gone.n, gone.n + coalesce(had.n, 0)
            from gone left join had using ({FILE}) where gone.n > 0 order by gone.{FILE}"""
    ).fetchall():
        yield {**_row(table.key, "taken_out", had, had - gone, gone, of=had), "detail": file}


def _parts(
    name: str, values: Sequence[tuple[str, int, int, int, float]], is_name: bool
) -> Iterator[Row]:
    """The values of a part, each with its rows before, those since, those of the last whole day
    and what is usual on such a day."""
    all_before, all_new = sum(row[1] for row in values), sum(row[2] for row in values)
    if is_name and all_before and all_new:
        new = [row for row in values if not row[1]]
        moved = sum(row[2] for row in new)
        row = _row(name, "new_names", 0.0, _share(moved, all_new), moved, of=all_new)
        yield {**row, "detail": max(new, key=lambda value: value[2])[0] if new else None}
    for part, _, _, rows, usual in values:
        if usual:
            missing = max(0, round(usual - rows))
            yield {**_row(name, "lost_part", usual, rows, missing, of=usual), "detail": part}


def _shrunk_files(connection: duckdb.DuckDBPyConnection, table: Table) -> Iterator[Row]:
    if not all(exists(connection, schema, "loaded_files") for schema in ("raw", SCHEMA)):
        return
    for file, before, now in connection.execute(
        f"select file, b.usable_rows, n.usable_rows from {SCHEMA}.loaded_files as b"
        " join raw.loaded_files as n using (table_name, file)"
        " where table_name = ? and n.usable_rows < b.usable_rows order by file",
        [table.name],
    ).fetchall():
        row = _row(table.key, "shrunk", before, now, before - now, of=before)
        yield {**row, "detail": file}


# Rows. --------------------------------------------------------------------------------------


def _row(
    column: str,
    name: str,
    before: float | None,
    now: float,
    moved: int,
    *,
    of: float,
) -> Row:
    return {
        "column_name": column,
        "measure": name,
        "value_before": before,
        "value_now": now,
        "share": _share(moved, of),
        "moved": moved,
    }


def _rise(column: str, name: str, before: float | None, now: float, moved: int) -> Row:
    """A share that rose: of a first delivery, from nothing."""
    return {
        **_row(column, name, before, now, moved, of=1),
        "share": now if before is None else max(0.0, now - before),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
