"""Which rows can be used, and what is wrong with the others.

Rows are checked where they lie, by SQL. Only values that no cheap rule recognises (an odd
address, an unknown time zone) are looked at one by one, each distinct value once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from lifecycle.errors import did_you_mean
from lifecycle.sources.contract import Column, Kind, Table
from lifecycle.sources.mapping import cleaned
from lifecycle.sources.reading import BrokenLine, Field, Incoming, literal, quoted

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
_PLACE = ("_delivered", "_file", "_row")
"""Where a usable row comes from: which delivery in a row, its file, its place there."""


def prepare(db: duckdb.DuckDBPyConnection) -> None:
    """Make the scratch tables that checking needs."""
    db.execute("CREATE TABLE known_accounts (account_id VARCHAR)")
    db.execute("CREATE TABLE zones (name VARCHAR)")
    db.execute("INSERT INTO zones SELECT unnest($1::VARCHAR[])", [_zones()])
    db.execute(
        """CREATE TABLE judged (table_name VARCHAR, column_name VARCHAR, value VARCHAR,
                                accepted_as VARCHAR, reason VARCHAR)"""
    )


def create(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Make `aside_<table>`: one row per row that cannot be used, with place and reason."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _SET_ASIDE.items())
    db.execute(f"CREATE TABLE aside_{table.name} ({columns})")


def check(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    incoming: Incoming,
    fields: Mapping[str, Field],
    *,
    loaded_at: datetime,
    delivered: int,
    good: Path,
) -> int:
    """Write the usable rows of `incoming` to the Parquet file `good`, put the others aside.

    Returns how many are usable. `delivered` says which of several deliveries this is.
    """
    if not fields:
        return 0
    texts = ", ".join(f"{cleaned(field)} AS {_text(name)}" for name, field in fields.items())
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
        db.execute(
            f"INSERT INTO known_accounts SELECT DISTINCT t_account_id FROM ({rows})"
            " WHERE t_account_id IS NOT NULL EXCEPT SELECT account_id FROM known_accounts"
        )
    for column in present:
        if column.kind in _JUDGES:
            _judge(db, table, column, rows)

    joins = "".join(
        f" LEFT JOIN judged {_judge_alias(column)} ON {_judge_alias(column)}.table_name ="
        f" {literal(table.name)} AND {_judge_alias(column)}.column_name = {literal(column.name)}"
        f" AND {_judge_alias(column)}.value = {_text(column.name)}"
        for column in present
        if column.kind in _JUDGES
    )
    if table.belongs_to_account:
        joins += " LEFT JOIN known_accounts k ON k.account_id = t_account_id"
    values = ", ".join(
        f"{_value(column, fields[column.name])} AS {quoted('v_' + column.name)}"
        for column in present
    )
    judgements = "".join(
        f", {_judge_alias(column)}.reason AS {quoted('r_' + column.name)}"
        for column in present
        if column.kind in _JUDGES
    )
    known = ", k.account_id IS NOT NULL AS _is_known" if table.belongs_to_account else ""
    problems = _problems(table, present, loaded_at)
    which = " ".join(f"WHEN {test} THEN {n}" for n, (_, test, _) in enumerate(problems))

    def per_problem(results: list[str]) -> str:
        cases = " ".join(f"WHEN {n} THEN {result}" for n, result in enumerate(results))
        return f"CASE _problem {cases} END"

    record = ", ".join(f"{quoted(name)} := {_text(name)}" for name in fields)
    contract = {column.name for column in present}
    data = ", ".join(
        f"{quoted(('v_' if name in contract else 't_') + name)} AS {quoted(name)}"
        for name in fields
    )
    judged = (
        f"(SELECT *, CASE {which} END AS _problem"
        f" FROM (SELECT r.*, {values}{judgements}{known} FROM ({rows}) r{joins}))"
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


def gather(db: duckdb.DuckDBPyConnection, table: Table, good: list[Path]) -> dict[str, str]:
    """Make `good_<table>`, the usable rows of all deliveries; its data columns and their types.

    Of rows with one key the first counts. In a snapshot the others are set aside; in a table
    that grows they are the same fact told again.
    """
    types = {column.name: column.kind.sql_type for column in table.columns}
    empty = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in types.items())
    place = "NULL::INTEGER AS _delivered, NULL::VARCHAR AS _file, NULL::BIGINT AS _row"
    union = f"SELECT {empty}, {place} WHERE false"
    if good:
        files = ", ".join(literal(str(path)) for path in good)
        union += f" UNION ALL BY NAME FROM read_parquet([{files}], union_by_name = true)"
    db.execute(f"CREATE VIEW delivered_{table.name} AS {union}")

    # Repeats are rare: find them by hash, and look closely only at those.
    key = quoted(table.key)
    db.execute(
        f"""CREATE TABLE repeats_{table.name} AS
            WITH suspects AS (SELECT hash({key}) AS h FROM delivered_{table.name}
                              GROUP BY h HAVING count(*) > 1)
            SELECT *, row_number() OVER places AS _nth, first_value(_file) OVER places AS _1_file,
                   first_value(_row) OVER places AS _1_row
            FROM delivered_{table.name} WHERE hash({key}) IN (FROM suspects)
            WINDOW places AS (PARTITION BY {key} ORDER BY _delivered, _row)"""
    )
    described = db.execute(f"DESCRIBE delivered_{table.name}").fetchall()
    others = {name: kind for name, kind, *_ in described if name not in {*types, *_PLACE}}
    columns = types | dict(sorted(others.items()))
    names = ", ".join(map(quoted, columns))
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


def _value(column: Column, field: Field) -> str:
    """SQL: the value in the warehouse's type, null where it is not one."""
    text = _text(column.name)
    match column.kind:
        case Kind.TIME if _is_native_time(field):
            native = quoted("n_" + column.name)
            if "TIME ZONE" in field.type:
                native = f"({native} AT TIME ZONE 'UTC')"
            time = f"CAST({native} AS TIMESTAMP)"
        case Kind.TIME:
            # A plain cast ignores an offset; the cast that honours it is four times slower.
            has_offset = f"regexp_matches(substr({text}, 11), '[-+/]')"
            time = (
                f"CASE WHEN NOT regexp_matches({text}, '^[0-9]{{4}}[-/]') THEN NULL"
                f" WHEN {has_offset} THEN TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
                f" ELSE TRY_CAST({text} AS TIMESTAMP) END"
            )
        case Kind.NUMBER | Kind.SCORE:
            number = f"TRY_CAST({text} AS DOUBLE)"
            return f"CASE WHEN isfinite({number}) THEN {number} END"
        case Kind.COUNT:
            number = f"TRY_CAST({text} AS DOUBLE)"
            return f"CASE WHEN {number} = floor({number}) THEN TRY_CAST({number} AS BIGINT) END"
        case Kind.TOUCH:
            return f"lower({text})"
        case Kind.ADDRESS:
            return f"coalesce({_judge_alias(column)}.accepted_as, {text})"
        case _:
            return text
    return f"CASE WHEN isfinite({time}) AND year({time}) BETWEEN 1 AND 9999 THEN {time} END"


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
        if column.kind in _JUDGES:
            reason = quoted("r_" + column.name)
            problems.append((column.name, f"{reason} IS NOT NULL", reason))
        elif column.kind is not Kind.TEXT:
            out_of_range = {
                Kind.COUNT: f" OR {value} < 0",
                Kind.SCORE: f" OR {value} NOT BETWEEN 0 AND 10",
            }.get(column.kind, "")
            problems.append(
                (
                    column.name,
                    f"{text} IS NOT NULL AND ({value} IS NULL{out_of_range})",
                    shown + literal(f" cannot be used; expected {column.kind}"),
                )
            )
        if column.name == "account_id" and table.belongs_to_account:
            again = "" if table.is_snapshot else "; the row is tried again at every pull"
            problems.append(
                (
                    column.name,
                    "NOT _is_known",
                    shown + literal(f" is no account of this delivery or an earlier one{again}"),
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


def _judge_zone(value: str, hint: bool) -> tuple[str | None, str | None]:
    near = did_you_mean(value, _zones()) if hint else ""
    return None, f"is no time zone; {near or 'expected ' + Kind.ZONE}"


def _judge_locale(value: str, _: bool) -> tuple[str | None, str | None]:
    return None, f"is no locale; expected {Kind.LOCALE}"


def _judge_touch(value: str, _: bool) -> tuple[str | None, str | None]:
    near = did_you_mean(value.lower(), _TOUCH_MODELS)
    return None, f"is no touch model; {near or 'expected ' + Kind.TOUCH}"


_SPECIAL = "|".join(re.escape(name) for name in SPECIAL_USE_DOMAIN_NAMES)


def _is_plain_address(value: str) -> str:
    return (
        f"length({value}) <= 254 AND strpos({value}, '@') <= 65"
        f" AND regexp_full_match({value}, {literal(_PLAIN_ADDRESS)})"
        f" AND NOT regexp_matches({value}, '[^.@]{{64}}')"
        f" AND NOT regexp_matches(lower({value}), {literal(f'[.@]({_SPECIAL})$')})"
    )


def _is_zone(value: str) -> str:
    return f"{value} IN (SELECT name FROM zones)"


def _is_tag(value: str) -> str:
    return f"regexp_full_match({value}, {literal(_TAG)})"


def _is_touch(value: str) -> str:
    return f"lower({value}) IN {_TOUCH_MODELS}"


_JUDGES: dict[
    Kind, tuple[Callable[[str, bool], tuple[str | None, str | None]], Callable[[str], str]]
] = {
    Kind.ADDRESS: (_judge_address, _is_plain_address),
    Kind.ZONE: (_judge_zone, _is_zone),
    Kind.LOCALE: (_judge_locale, _is_tag),
    Kind.TOUCH: (_judge_touch, _is_touch),
}
"""For some kinds: who judges one value (it as accepted, or what is wrong with it), and the SQL
rule that recognises most good ones."""
