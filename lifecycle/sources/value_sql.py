"""A value of a file as SQL: what stands in the cell, and that in the warehouse's type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from lifecycle.calendar import zones_of_country
from lifecycle.countries import country_code
from lifecycle.sources import words
from lifecycle.sources.contract import Column, Kind, Table
from lifecycle.sources.reading import Field, literal, quoted
from lifecycle.sources.value_check import VALUE_CHECKS, check_alias, text_of

LEAVING = (Kind.LEFT_AT, Kind.HAS_LEFT)
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


def is_native_time(field: Field) -> bool:
    return field.type.startswith("TIMESTAMP") or field.type == "DATE"


def given(text: str, kind: Kind | None, table: Table, rules: Rules) -> str:
    """SQL: a cleaned value, null where it is a word for nothing; of a column about leaving, also
    where it says no."""
    if kind is None:  # a column that is not ours
        return text
    if kind in LEAVING:
        empty = words.is_one_of(text, (*words.NO, *rules.nothing))
        return f"CASE WHEN {empty} THEN NULL ELSE {text} END"
    if not table.is_snapshot and kind is not Kind.SCORE:  # millions of rows, made by a machine
        return text
    longest = max(map(len, words.as_written(rules.nothing)), default=0)
    empty = words.is_one_of(text, rules.nothing)
    return f"CASE WHEN length({text}) <= {longest} AND {empty} THEN NULL ELSE {text} END"


def value_of(column: Column, field: Field, rules: Rules, zone: str) -> str:
    """SQL: the value in the warehouse's type, null where it cannot be used."""
    text = text_of(column.name)
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
            value = f"coalesce({check_alias(column)}.accepted_as, {text})"
        case _:
            value = text
    if column.kind in VALUE_CHECKS:
        return f"CASE WHEN {check_alias(column)}.reason IS NULL THEN {value} END"
    return value


def _time(column: Column, field: Field, rules: Rules, zone: str) -> str:
    """SQL: a time as naive UTC, null where it is none.

    `zone` is SQL for the zone of the row's account, where a bare day is one of its calendar.
    """
    day_zone = zone if column.is_day else literal(rules.time_zone)
    if is_native_time(field):
        native = quoted("n_" + column.name)
        if "TIME ZONE" in field.type:
            return f"CAST({native} AT TIME ZONE 'UTC' AS TIMESTAMP)"
        is_day = field.type == "DATE"
        return _as_utc(
            f"CAST({native} AS TIMESTAMP)", day_zone if is_day else literal(rules.time_zone)
        )
    text = f"coalesce({check_alias(column)}.accepted_as, {text_of(column.name)})"
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


def find_country_zones(db: duckdb.DuckDBPyConnection, present: list[Column], rows: str) -> None:
    """Fill `country_zones` with the zone by which each country's days are counted."""
    if "country" not in {column.name for column in present}:
        return
    names = db.execute(
        f"SELECT DISTINCT t_country FROM {rows} WHERE t_country IS NOT NULL"
        " EXCEPT SELECT country FROM country_zones ORDER BY 1"
    ).fetchall()
    for (name,) in names:
        zones = zones_of_country(country_code(name))
        db.execute("INSERT INTO country_zones VALUES ($1, $2)", [name, zones[0] if zones else None])


def zone_of(table: Table, present: list[Column], rules: Rules) -> tuple[str, str]:
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
