"""Which rows and which of their values can be used, and what is wrong with the others.

Rows are checked where they lie, by SQL. Only values that no cheap rule recognises (an odd
address, an unknown time zone) are looked at one by one, each distinct value once. A required value
that cannot be used costs the row; an optional one is empty, and the row stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from lifecycle.calendar import zones_of_country
from lifecycle.countries import country_code
from lifecycle.errors import did_you_mean
from lifecycle.person_names import (
    ENTITY,
    LONGEST_NAME,
    MAY_NEED_A_LOOK,
    checked,
    company_name,
    decoded,
)
from lifecycle.sources import departures, words
from lifecycle.sources.contract import Column, Kind, Table
from lifecycle.sources.iso_time import PLAIN, read_time
from lifecycle.sources.mapping import cleaned
from lifecycle.sources.reading import BrokenLine, Field, Incoming, literal, named, quoted

_HINTS = 100
"""So many misspellings of a column get a "did you mean"; more would take long and help nobody."""

_PLAIN_ADDRESS = (
    r"[A-Za-z0-9_+]+([.-][A-Za-z0-9_+]+)*@([A-Za-z0-9]+(-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,24}"
)
_TAG = r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*"
_TOUCH_MODELS = ("high", "low", "tech")


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
STREAM = "regexp_replace({}, '[0-9a-f]{{8}}-[0-9a-f-]{{27}}|[0-9]+', '', 'g')"
"""SQL: the stream of a file, which its name says but for dates, numbers and UUIDs."""

_PLACE = ("_delivered", "_file", "_row")
"""Where a usable row comes from: which delivery in a row, its file, its place there."""

_DECIMAL = r"^[0-9]+[.]0+$|^[0-9]([.][0-9]+)?[eE][+]?[0-9]+$"
"""An id that went through a spreadsheet or a table of numbers."""

_LEAVING = (Kind.LEFT_AT, Kind.HAS_LEFT)
"""Kinds in which whatever is not empty, and does not say no, says that somebody left."""


@dataclass(frozen=True)
class Rules:
    """What the checks go by beside the contract."""

    loaded_at: datetime
    """The clock of the load (aware)."""
    nothing: tuple[str, ...]
    """Words that people write for nothing."""
    time_zone: str
    """Of times without a zone."""
    company_zone: str
    """Of accounts that have none: a bare day is a day on the account's calendar."""


def prepare(db: duckdb.DuckDBPyConnection) -> None:
    """Make the scratch tables that checking needs."""
    db.execute("CREATE TABLE known_accounts (account_id VARCHAR)")
    db.execute("CREATE TABLE account_zones (account_id VARCHAR, zone VARCHAR)")
    db.execute("CREATE TABLE country_zones (country VARCHAR, zone VARCHAR)")
    db.execute("CREATE TABLE zones (name VARCHAR)")
    db.execute("INSERT INTO zones SELECT unnest($1::VARCHAR[])", [_zones()])
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
    kinds = {column.name: column.kind for column in table.columns}
    texts = ", ".join(
        f"{_given(cleaned(field), kinds.get(name), table, rules)} AS {_text(name)}"
        for name, field in fields.items()
    )
    natives = "".join(
        f", {field.sql} AS {quoted('n_' + name)}"
        for name, field in fields.items()
        if _is_native_time(field)
    )
    rows = (
        f"SELECT {incoming.file} AS _file, {incoming.row} AS _row, "
        f"{incoming.first_at} AS _first_at, {incoming.record} AS _kept, "
        f"{texts}{natives} FROM {incoming.relation}"
    )
    present = [column for column in table.columns if column.name in fields]
    if not table.belongs_to_account:
        _find_country_zones(db, present, rows)
        db.execute(
            f"INSERT INTO known_accounts SELECT DISTINCT t_account_id FROM ({rows})"
            " WHERE t_account_id IS NOT NULL EXCEPT SELECT account_id FROM known_accounts"
        )
    for column in present:
        if column.kind in _JUDGES and not _is_native_time(fields[column.name]):
            _judge(db, table, column, rows)

    joins = "".join(
        f" LEFT JOIN judged {_judge_alias(column)} ON {_judge_alias(column)}.table_name ="
        f" {literal(table.name)} AND {_judge_alias(column)}.column_name = {literal(column.name)}"
        f" AND {_judge_alias(column)}.value = {_text(column.name)}"
        for column in present
        if column.kind in _JUDGES
    )
    zone, zone_join = _zone(table, present, rules)
    joins += zone_join
    if table.belongs_to_account:
        joins += " LEFT JOIN known_accounts k ON k.account_id = t_account_id"
    values = ", ".join(
        f"{_value(column, fields[column.name], rules, zone)} AS {quoted('v_' + column.name)}"
        for column in present
    )
    judgements = "".join(
        f", {_judge_alias(column)}.reason AS {quoted('r_' + column.name)}"
        for column in present
        if column.kind in _JUDGES
    )
    known = ", k.account_id IS NOT NULL AS _is_known" if table.belongs_to_account else ""
    problems = _problems(table, present, rules.loaded_at)
    cells = _bad_cells(present)
    which = " ".join(f"WHEN {test} THEN {n}" for n, (_, test, _) in enumerate(problems))

    def per_problem(results: list[str]) -> str:
        cases = " ".join(f"WHEN {n} THEN {result}" for n, result in enumerate(results))
        return f"CASE _problem {cases} END"

    record = ", ".join(f"{quoted(name)} := {_text(name)}" for name in fields)
    contract = {column.name for column in present}
    data = ", ".join(
        [
            f"{quoted(('v_' if name in contract else 't_') + name)} AS {quoted(name)}"
            for name in fields
            if kinds.get(name) is not Kind.HAS_LEFT
        ]
        + [
            f"{_says_left(present)} AS {quoted(column.name)}"
            for column in table.columns
            if column.kind is Kind.HAS_LEFT
        ]
    )
    judged = (
        f"(SELECT *, CASE {which} END AS _problem"
        f" FROM (SELECT r.*, {zone} AS _zone, {values}{judgements}{known} FROM ({rows}) r{joins}))"
    )
    db.execute(
        f"""INSERT INTO aside_{table.name} BY NAME
            SELECT _file, _row, _first_at,
                {per_problem([literal(column) for column, _, _ in problems])} AS _column,
                {per_problem([_text(column) for column, _, _ in problems])} AS _value,
                {per_problem([reason for _, _, reason in problems])} AS _reason,
                coalesce(_kept, to_json(struct_pack({record}))) AS _record
            FROM {judged} WHERE _problem IS NOT NULL"""
    )
    if cells:
        db.execute(
            f"""INSERT INTO cells_{table.name} BY NAME
                SELECT _file, _row, {_text(table.key)} AS _key, unnest(list_filter([
                    {", ".join(cells)}], lambda bad: bad IS NOT NULL), recursive := true)
                FROM {judged} WHERE _problem IS NULL"""
        )
    if not table.belongs_to_account:
        db.execute(
            f"INSERT INTO account_zones SELECT any_value(t_account_id), any_value(_zone)"
            f" FROM {judged} WHERE _problem IS NULL GROUP BY t_account_id"
        )
    if table.name == "contacts":
        departures.collect(db, judged, [column.name for column in present])
    copied = db.execute(
        f"""COPY (SELECT {data}, {delivered} AS _delivered, _file, _row
                  FROM {judged} WHERE _problem IS NULL)
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
                    {literal(table.key + ": ")} || {_shown(key)} || ' stands already in '
                        || _1_file || ' row ' || _1_row || '; the first one counts' AS _reason
                FROM repeats_{table.name} WHERE _nth > 1"""
        )
    return columns


# Values. --------------------------------------------------------------------------------


def _text(name: str) -> str:
    return quoted("t_" + name)


def _is_native_time(field: Field) -> bool:
    return field.type.startswith("TIMESTAMP") or field.type == "DATE"


def _given(text: str, kind: Kind | None, table: Table, rules: Rules) -> str:
    """SQL: a cleaned value, null where it is a word for nothing; of a column about leaving, also
    where it says no."""
    if kind is None:  # a column that is not ours
        return text
    if kind in _LEAVING:
        empty = words.is_one_of(text, (*words.NO, *rules.nothing))
        return f"CASE WHEN {empty} THEN NULL ELSE {text} END"
    if not table.is_snapshot and kind is not Kind.SCORE:  # millions of rows, made by a machine
        return text
    longest = max(map(len, words.as_written(rules.nothing)), default=0)
    empty = words.is_one_of(text, rules.nothing)
    return f"CASE WHEN length({text}) <= {longest} AND {empty} THEN NULL ELSE {text} END"


def _value(column: Column, field: Field, rules: Rules, zone: str) -> str:
    """SQL: the value in the warehouse's type, null where it cannot be used."""
    text = _text(column.name)
    match column.kind:
        case Kind.TIME | Kind.LEFT_AT:
            time = _time(column, field, rules, zone)
            return f"CASE WHEN isfinite({time}) AND year({time}) BETWEEN 1 AND 9999 THEN {time} END"
        case Kind.HAS_LEFT:
            is_date = f"TRY_CAST({text} AS TIMESTAMP) IS NOT NULL"
            return f"CASE WHEN {words.is_one_of(text, words.YES)} OR {is_date} THEN true END"
        case Kind.YES_NO:
            yes, no = words.is_one_of(text, words.YES), words.is_one_of(text, words.NO)
            return f"CASE WHEN {yes} THEN true WHEN {no} THEN false END"
        case Kind.NUMBER:
            number = f"TRY_CAST({text} AS DOUBLE)"
            return f"CASE WHEN isfinite({number}) THEN {number} END"
        case Kind.SCORE:
            number = f"TRY_CAST({text} AS DOUBLE)"
            return f"CASE WHEN {number} BETWEEN 0 AND 10 THEN {number} END"
        case Kind.COUNT:
            number = f"TRY_CAST({text} AS DOUBLE)"
            is_whole = f"{number} = floor({number}) AND {number} >= 0"
            return f"CASE WHEN {is_whole} THEN TRY_CAST({number} AS BIGINT) END"
        case Kind.TOUCH:
            value = f"lower({text})"
        case Kind.ADDRESS | Kind.PERSON | Kind.COMPANY | Kind.WORDS:
            value = f"coalesce({_judge_alias(column)}.accepted_as, {text})"
        case _:
            value = text
    if column.kind in _JUDGES:
        return f"CASE WHEN {_judge_alias(column)}.reason IS NULL THEN {value} END"
    return value


def _time(column: Column, field: Field, rules: Rules, zone: str) -> str:
    """SQL: a time as naive UTC, null where it is none.

    `zone` is SQL for the zone of the row's account, where a bare day is one of its calendar.
    """
    day_zone = zone if column.is_day else literal(rules.time_zone)
    if _is_native_time(field):
        native = quoted("n_" + column.name)
        if "TIME ZONE" in field.type:
            return f"CAST({native} AT TIME ZONE 'UTC' AS TIMESTAMP)"
        is_day = field.type == "DATE"
        return _as_utc(
            f"CAST({native} AS TIMESTAMP)", day_zone if is_day else literal(rules.time_zone)
        )
    text = f"coalesce({_judge_alias(column)}.accepted_as, {_text(column.name)})"
    # A plain cast ignores an offset; the cast that honours it is four times slower.
    has_offset = f"regexp_matches(substr({text}, 11), '[-+/]')"
    plain = f"TRY_CAST({text} AS TIMESTAMP)"
    return (
        f"CASE WHEN NOT regexp_matches({text}, '^[0-9]{{4}}[-/]') THEN NULL"
        f" WHEN {has_offset} THEN TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
        f" WHEN ends_with({text}, 'Z') THEN {plain}"
        f" WHEN length({text}) <= 10 THEN {_as_utc(plain, day_zone)}"
        f" ELSE {_as_utc(plain, literal(rules.time_zone))} END"
    )


def _as_utc(naive: str, zone: str) -> str:
    """SQL: a time of a zone as naive UTC."""
    if zone in (literal("UTC"), literal("Etc/UTC")):
        return naive
    finite = f"CASE WHEN isfinite({naive}) THEN {naive} END"
    return f"(timezone({zone}, {finite}) AT TIME ZONE 'UTC')"


def _find_country_zones(db: duckdb.DuckDBPyConnection, present: list[Column], rows: str) -> None:
    """Fill `country_zones` with the zone by which each country's days are counted."""
    if "country" not in {column.name for column in present}:
        return
    names = db.execute(
        f"SELECT DISTINCT t_country FROM ({rows}) WHERE t_country IS NOT NULL"
        " EXCEPT SELECT country FROM country_zones ORDER BY 1"
    ).fetchall()
    for (name,) in names:
        zones = zones_of_country(country_code(name))
        db.execute("INSERT INTO country_zones VALUES ($1, $2)", [name, zones[0] if zones else None])


def _zone(table: Table, present: list[Column], rules: Rules) -> tuple[str, str]:
    """SQL: the zone of a row's account, and the joins that it takes."""
    company = literal(rules.company_zone)
    if table.name == "contacts":
        return (
            f"coalesce(az.zone, {company})",
            " LEFT JOIN account_zones az ON az.account_id = t_account_id",
        )
    if table.belongs_to_account:
        return company, ""
    names = {column.name for column in present}
    own, joins = "", ""
    if "time_zone" in names:
        alias = quoted("j_time_zone")
        own += f"CASE WHEN {alias}.reason IS NULL THEN t_time_zone END, "
    if "country" in names:
        own += "cz.zone, "
        joins = " LEFT JOIN country_zones cz ON cz.country = t_country"
    return f"coalesce({own}{company})", joins


def _says_left(present: list[Column]) -> str:
    """SQL: whether a row says that somebody left, without a readable time that says when."""
    conditions = [
        f"({_text(column.name)} IS NOT NULL AND {_undated(column)})"
        for column in present
        if column.kind in _LEAVING
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
            return words.is_one_of(_text(column.name), words.YES)


def _bad_cells(present: list[Column]) -> list[str]:
    """SQL: for each optional column a struct where its value cannot be used, else null."""
    cells = []
    for column in present:
        if column.required or column.kind is Kind.TEXT:
            continue
        text, value = _text(column.name), quoted("v_" + column.name)
        shown = f"{literal(column.name + ': ')} || {_shown(text)}"
        what = f" cannot be used; expected {column.kind}"
        test = f"{text} IS NOT NULL AND {value} IS NULL"
        if column.kind in _LEAVING:
            test += f" AND NOT {words.is_one_of(text, words.YES)}"
            is_account = column.name in ("churned_at", "is_churned")
            held = "no mail goes to the account until it is mended"
            what += f"; {held if is_account else 'it counts as having left'}"
        reason = f"{shown} || {literal(what)}"
        if column.kind in _JUDGES:
            reason = f"coalesce({quoted('r_' + column.name)}, {reason})"
        cells.append(
            f"CASE WHEN {test} THEN {{'_column': {literal(column.name)}, '_value': {text},"
            f" '_reason': {reason}}} END"
        )
    return cells


def _problems(
    table: Table, present: list[Column], loaded_at: datetime
) -> list[tuple[str, str, str]]:
    """What can be wrong with a row, first things first: column, SQL test, SQL reason."""
    problems: list[tuple[str, str, str]] = []
    for column in present:
        text, value = _text(column.name), quoted("v_" + column.name)
        shown = f"{literal(column.name + ': ')} || {_shown(text)} || "
        if column.required:
            problems.append(
                (column.name, f"{text} IS NULL", literal(f"{column.name}: required, and empty"))
            )
            if column.kind is not Kind.TEXT:
                why = shown + literal(f" cannot be used; expected {column.kind}")
                if column.kind in _JUDGES:
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


def _shown(text: str) -> str:
    """SQL: a value in quotes, line breaks made visible, cut where it is long."""
    cut = f"CASE WHEN length({text}) > 100 THEN left({text}, 99) || '…' ELSE {text} END"
    return f"to_json({cut})::VARCHAR"


@cache
def _zones() -> list[str]:
    # zoneinfo.available_timezones() opens every file of the database: a second.
    return files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()


# Values that are judged one by one. -----------------------------------------------------


def _judge_alias(column: Column) -> str:
    return quoted("j_" + column.name)


def _judge(db: duckdb.DuckDBPyConnection, table: Table, column: Column, rows: str) -> None:
    """Judge the distinct values of a column that the cheap rule does not recognise."""
    judge, is_plain = _JUDGES[column.kind]
    text = _text(column.name)
    values = db.execute(
        f"""SELECT DISTINCT {text} FROM ({rows}) WHERE {text} IS NOT NULL
                AND NOT ({is_plain(text)})
            EXCEPT SELECT value FROM judged WHERE table_name = $1 AND column_name = $2
            ORDER BY 1""",
        [table.name, column.name],
    ).fetchall()
    if not values:
        return
    accepted: list[str | None] = []
    reasons: list[str | None] = []
    for number, (value,) in enumerate(values):
        good, reason = judge(value, number < _HINTS)
        accepted.append(good)
        reasons.append(reason and f"{column.name}: {_visible(value)} {reason}")
    db.execute(
        """INSERT INTO judged SELECT $1, $2, unnest($3::VARCHAR[]), unnest($4::VARCHAR[]),
                                     unnest($5::VARCHAR[])""",
        [table.name, column.name, [value for (value,) in values], accepted, reasons],
    )


def _visible(value: str) -> str:
    cut = value if len(value) <= 100 else value[:99] + "…"
    return '"' + re.sub(r"[\x00-\x1f]", lambda sign: repr(sign[0])[1:-1], cut) + '"'


def _judge_address(value: str, _: bool) -> tuple[str | None, str | None]:
    if re.search(r"[\r\n]", value):
        return None, "holds a line break; expected " + Kind.ADDRESS
    try:
        # Without SMTPUTF8, which not every mail server on the way speaks.
        address = validate_email(
            value, check_deliverability=False, test_environment=True, allow_smtputf8=False
        )
    except EmailNotValidError as error:
        return None, f"is not {Kind.ADDRESS}: {str(error).rstrip('.')}"
    return address.ascii_email or address.normalized, None


def _judge_time(value: str, _: bool) -> tuple[str | None, str | None]:
    return read_time(value)


def _judge_zone(value: str, hint: bool) -> tuple[str | None, str | None]:
    near = did_you_mean(value, _zones()) if hint else ""
    return None, f"is no time zone; {near or 'expected ' + Kind.ZONE}"


def _judge_locale(value: str, _: bool) -> tuple[str | None, str | None]:
    return None, f"is no locale; expected {Kind.LOCALE}"


def _judge_touch(value: str, _: bool) -> tuple[str | None, str | None]:
    near = did_you_mean(value.lower(), _TOUCH_MODELS)
    return None, f"is no touch model; {near or 'expected ' + Kind.TOUCH}"


def _judge_person(value: str, _: bool) -> tuple[str | None, str | None]:
    return checked(value)


def _judge_company(value: str, _: bool) -> tuple[str | None, str | None]:
    return company_name(value), None


def _judge_words(value: str, _: bool) -> tuple[str | None, str | None]:
    return decoded(value), None


_SPECIAL = "|".join(re.escape(name) for name in SPECIAL_USE_DOMAIN_NAMES)


def _is_plain_address(value: str) -> str:
    return (
        f"length({value}) <= 254 AND strpos({value}, '@') <= 65"
        f" AND regexp_full_match({value}, {literal(_PLAIN_ADDRESS)})"
        f" AND NOT regexp_matches({value}, '[^.@]{{64}}')"
        f" AND NOT regexp_matches(lower({value}), {literal(f'[.@]({_SPECIAL})$')})"
    )


def _is_plain_time(value: str) -> str:
    return f"regexp_full_match({value}, {literal(PLAIN)})"


def _is_zone(value: str) -> str:
    return f"{value} IN (SELECT name FROM zones)"


def _is_tag(value: str) -> str:
    return f"regexp_full_match({value}, {literal(_TAG)})"


def _is_touch(value: str) -> str:
    return f"lower({value}) IN {_TOUCH_MODELS}"


def _is_plain_person(value: str) -> str:
    return (
        f"length({value}) <= {LONGEST_NAME}"
        f" AND NOT regexp_matches({value}, {literal(MAY_NEED_A_LOOK)})"
    )


def _is_plain_company(value: str) -> str:
    return f"{_is_plain_words(value)} AND NOT regexp_matches({value}, '(様|御中)$')"


def _is_plain_words(value: str) -> str:
    return f"NOT (contains({value}, '&') AND regexp_matches({value}, {literal(ENTITY)}))"


_JUDGES: dict[
    Kind, tuple[Callable[[str, bool], tuple[str | None, str | None]], Callable[[str], str]]
] = {
    Kind.TIME: (_judge_time, _is_plain_time),
    Kind.LEFT_AT: (_judge_time, _is_plain_time),
    Kind.ADDRESS: (_judge_address, _is_plain_address),
    Kind.ZONE: (_judge_zone, _is_zone),
    Kind.LOCALE: (_judge_locale, _is_tag),
    Kind.TOUCH: (_judge_touch, _is_touch),
    Kind.PERSON: (_judge_person, _is_plain_person),
    Kind.COMPANY: (_judge_company, _is_plain_company),
    Kind.WORDS: (_judge_words, _is_plain_words),
}
"""For some kinds: who judges one value (it as accepted, or what is wrong with it), and the SQL
rule that recognises most good ones."""
