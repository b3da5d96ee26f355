"""Which rows and which of their values can be used.

Rows are checked where they lie, by SQL, step by step: as they stand in the file (`raw`), in the
warehouse's types (`typed`), with the first problem of each (`judged`). Only values that no cheap
rule recognises (an odd address, an unknown time zone) are looked at one by one, each distinct value
once. A required value that cannot be used costs the row; an optional one is empty, and the row
stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from lifecycle.sources import departures
from lifecycle.sources.contract import Column, Kind, Table
from lifecycle.sources.mapping import cleaned
from lifecycle.sources.reading import BrokenLine, Field, Incoming, literal, quoted
from lifecycle.sources.row_problems import bad_cells, problems_of, says_left
from lifecycle.sources.value_check import (
    VALUE_CHECKS,
    check_alias,
    check_values,
    text_of,
    time_zones,
)
from lifecycle.sources.value_sql import (
    Rules,
    find_country_zones,
    given,
    is_native_time,
    value_of,
    zone_of,
)

_SET_ASIDE = {
    "_file": "VARCHAR",
    "_row": "BIGINT",
    "_first_at": "TIMESTAMP",
    "_column": "VARCHAR",
    "_value": "VARCHAR",
    "_reason": "VARCHAR",
    "_record": "VARCHAR",
}
_CELLS = {
    "_file": "VARCHAR",
    "_row": "BIGINT",
    "_column": "VARCHAR",
    "_value": "VARCHAR",
    "_reason": "VARCHAR",
    "_key": "VARCHAR",
}


def prepare(db: duckdb.DuckDBPyConnection) -> None:
    """Make the scratch tables that checking needs."""
    db.execute("CREATE TABLE known_accounts (account_id VARCHAR)")
    db.execute("CREATE TABLE account_zones (account_id VARCHAR, zone VARCHAR)")
    db.execute("CREATE TABLE country_zones (country VARCHAR, zone VARCHAR)")
    db.execute("CREATE TABLE zones (name VARCHAR)")
    db.execute("INSERT INTO zones SELECT unnest($1::VARCHAR[])", [time_zones()])
    db.execute(
        """CREATE TABLE judged (table_name VARCHAR, column_name VARCHAR, value VARCHAR,
                                accepted_as VARCHAR, reason VARCHAR)"""
    )


def create(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Make `aside_<table>` and `cells_<table>`: one row per row, and per value of a usable row,
    that cannot be used, with place and reason."""
    for name, declared in (("aside", _SET_ASIDE), ("cells", _CELLS)):
        columns = ", ".join(f"{column} {kind}" for column, kind in declared.items())
        db.execute(f"CREATE TABLE {name}_{table.name} ({columns})")


def check(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    incoming: Incoming,
    fields: Mapping[str, Field],
    *,
    rules: Rules,
    delivered: int,
    good: Path,
) -> int:
    """Write the usable rows of `incoming` to the Parquet file `good`, put the others aside.

    Returns how many are usable. `delivered` says which of several deliveries this is.
    """
    if not fields:
        return 0
    present = [column for column in table.columns if column.name in fields]
    _view(db, "raw", _raw_rows(table, incoming, fields, rules))
    if not table.belongs_to_account:
        find_country_zones(db, present, "raw_rows")
        db.execute(
            "INSERT INTO known_accounts SELECT DISTINCT t_account_id FROM raw_rows"
            " WHERE t_account_id IS NOT NULL EXCEPT SELECT account_id FROM known_accounts"
        )
    for column in present:
        if column.kind in VALUE_CHECKS and not is_native_time(fields[column.name]):
            check_values(db, table, column, "raw_rows")
    _view(db, "typed", _typed_rows(table, present, fields, rules))
    # Kept for the statements below: each of them would read and convert the file anew.
    judged = _judged_rows(table, present, fields, rules)
    db.execute(f"CREATE OR REPLACE TEMP TABLE judged_rows AS {judged}")

    db.execute(
        f"""INSERT INTO aside_{table.name} BY NAME
            SELECT _file, _row, _first_at, _column, _value, _reason, _record
            FROM judged_rows WHERE _problem IS NOT NULL"""
    )
    db.execute(
        f"""INSERT INTO cells_{table.name} BY NAME
            SELECT _file, _row, {quoted("v_" + table.key)} AS _key,
                unnest(_cells, recursive := true)
            FROM judged_rows WHERE len(_cells) > 0"""
    )
    if not table.belongs_to_account:
        db.execute(
            "INSERT INTO account_zones SELECT any_value(t_account_id), any_value(_zone)"
            " FROM judged_rows WHERE _problem IS NULL GROUP BY t_account_id"
        )
    if table.name == "contacts":
        departures.collect(db, "judged_rows", [column.name for column in present])
    usable = _write_good_rows(db, table, present, fields, delivered=delivered, good=good)
    db.execute("DROP TABLE judged_rows")
    return usable


def _view(db: duckdb.DuckDBPyConnection, step: str, query: str) -> None:
    db.execute(f"CREATE OR REPLACE TEMP VIEW {step}_rows AS {query}")


def _raw_rows(table: Table, incoming: Incoming, fields: Mapping[str, Field], rules: Rules) -> str:
    """SQL: each row as it stands, `t_<column>` its cleaned text, with its place and record."""
    kinds = {column.name: column.kind for column in table.columns}
    texts = ", ".join(
        f"{given(cleaned(field), kinds.get(name), table, rules)} AS {text_of(name)}"
        for name, field in fields.items()
    )
    natives = "".join(
        f", {field.sql} AS {quoted('n_' + name)}"
        for name, field in fields.items()
        if is_native_time(field)
    )
    return (
        f"SELECT {incoming.file} AS _file, {incoming.row} AS _row, "
        f"{incoming.first_at} AS _first_at, {incoming.record} AS _kept, "
        f"{texts}{natives} FROM {incoming.relation}"
    )


def _typed_rows(
    table: Table, present: list[Column], fields: Mapping[str, Field], rules: Rules
) -> str:
    """SQL: each row with `v_<column>`, its value in the warehouse's type, and `r_<column>`, what
    is wrong with a value that was checked by itself."""
    checked = [column for column in present if column.kind in VALUE_CHECKS]
    zone, joins = zone_of(table, present, rules)
    for column in checked:
        alias = check_alias(column)
        joins += (
            f" LEFT JOIN judged {alias} ON {alias}.table_name = {literal(table.name)}"
            f" AND {alias}.column_name = {literal(column.name)}"
            f" AND {alias}.value = {text_of(column.name)}"
        )
    columns = [f"{zone} AS _zone"]
    columns += [
        f"{value_of(column, fields[column.name], rules, zone)} AS {quoted('v_' + column.name)}"
        for column in present
    ]
    columns += [
        f"{check_alias(column)}.reason AS {quoted('r_' + column.name)}" for column in checked
    ]
    if table.belongs_to_account:
        joins += " LEFT JOIN known_accounts k ON k.account_id = t_account_id"
        columns.append("k.account_id IS NOT NULL AS _is_known")
    return f"SELECT r.*, {', '.join(columns)} FROM raw_rows r{joins}"


def _judged_rows(
    table: Table, present: list[Column], fields: Mapping[str, Field], rules: Rules
) -> str:
    """SQL: each row with its first problem, if any, in words, or with its cells that cannot be
    used. Of a table that grows, without what only a row with a problem is shown with: there are
    millions."""
    problems = problems_of(table, present, rules.loaded_at)
    which = " ".join(f"WHEN {test} THEN {n}" for n, (_, test, _) in enumerate(problems))

    def per_problem(results: list[str]) -> str:
        cases = " ".join(f"WHEN {n} THEN {result}" for n, result in enumerate(results))
        return f"CASE _problem {cases} END"

    record = ", ".join(f"{quoted(name)} := {text_of(name)}" for name in fields)
    cells = "NULL::STRUCT(_column VARCHAR, _value VARCHAR, _reason VARCHAR)[]"
    if bad := ", ".join(bad_cells(present)):
        cells = f"list_filter([{bad}], lambda cell: cell IS NOT NULL)"
    shown = ["_kept"]
    if not table.is_snapshot:
        shown += [text_of(column.name) for column in present]
    return f"""
        SELECT * EXCLUDE ({", ".join(shown)}),
            {per_problem([literal(column) for column, _, _ in problems])} AS _column,
            {per_problem([text_of(column) for column, _, _ in problems])} AS _value,
            {per_problem([reason for _, _, reason in problems])} AS _reason,
            CASE WHEN _problem IS NOT NULL
                THEN coalesce(_kept, to_json(struct_pack({record}))) END AS _record,
            CASE WHEN _problem IS NULL THEN {cells} END AS _cells
        FROM (SELECT *, CASE {which} END AS _problem FROM typed_rows)"""


def _write_good_rows(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    present: list[Column],
    fields: Mapping[str, Field],
    *,
    delivered: int,
    good: Path,
) -> int:
    """Write the usable rows to a Parquet file; how many there are."""
    in_contract = {column.name: column.kind for column in present}
    data = [
        f"{quoted(('v_' if name in in_contract else 't_') + name)} AS {quoted(name)}"
        for name in fields
        if in_contract.get(name) is not Kind.HAS_LEFT
    ]
    data += [
        f"{says_left(present)} AS {quoted(column.name)}"
        for column in table.columns
        if column.kind is Kind.HAS_LEFT
    ]
    copied = db.execute(
        f"""COPY (SELECT {", ".join(data)}, {delivered} AS _delivered, _file, _row
                  FROM judged_rows WHERE _problem IS NULL)
            TO {literal(str(good))} (FORMAT parquet)"""
    ).fetchone()
    return int(copied[0]) if copied else 0


def add_broken(
    db: duckdb.DuckDBPyConnection, table: Table, file: str, lines: list[BrokenLine]
) -> None:
    """Put lines that are no records aside."""
    if lines:
        db.execute(
            f"""INSERT INTO aside_{table.name} BY NAME
                SELECT $1 AS _file, unnest($2::BIGINT[]) AS _row, unnest($3::VARCHAR[]) AS _reason,
                       unnest($4::VARCHAR[]) AS _record""",
            [
                file,
                [line.row for line in lines],
                [line.reason for line in lines],
                [line.text for line in lines],
            ],
        )


def add_short(db: duckdb.DuckDBPyConnection, table: Table, file: str, incoming: Incoming) -> None:
    """Name the rows that end too early: what is missing in them is empty."""
    headers = [field.header for field in incoming.fields if not field.is_folder]
    for short in incoming.short:
        first = headers[len(short.values)]
        reason = (
            f"the row has {len(short.values)} of {short.width} columns; "
            f"from {first} on they are empty"
        )
        db.execute(
            f"INSERT INTO cells_{table.name} VALUES ($1, $2, $3, NULL, $4, NULL)",
            [file, short.row, first, reason],
        )


def name_decimals(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Say of rows of an unknown account where the accounts have its id as a decimal."""
    db.execute(
        f"""UPDATE aside_{table.name} SET _reason = _reason || '; accounts has it as the decimal '
                || _value || '.0: export ids as text or whole numbers'
            WHERE _column = 'account_id' AND (_value || '.0') IN (FROM known_accounts)"""
    )
