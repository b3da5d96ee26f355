"""Single values that no cheap rule recognises: what is wrong with each, or how it is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

import duckdb
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from lifecycle.errors import did_you_mean
from lifecycle.person_names import (
    ENTITY,
    LONGEST_NAME,
    MAY_NEED_A_LOOK,
    checked,
    company_name,
    decoded,
)
from lifecycle.sources.contract import Column, Kind, Table
from lifecycle.sources.iso_time import PLAIN, read_time
from lifecycle.sources.reading import literal, quoted

_HINTS = 100
"""So many misspellings of a column get a "did you mean"; more would take long and help nobody."""

_PLAIN_ADDRESS = (
    r"[A-Za-z0-9_+]+([.-][A-Za-z0-9_+]+)*@([A-Za-z0-9]+(-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,24}"
)
_TAG = r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*"
_TOUCH_MODELS = ("high", "low", "tech")


def text_of(name: str) -> str:
    return quoted("t_" + name)


def check_alias(column: Column) -> str:
    return quoted("j_" + column.name)


def check_values(db: duckdb.DuckDBPyConnection, table: Table, column: Column, rows: str) -> None:
    """Judge the distinct values of a column that the cheap rule does not recognise."""
    judge, is_plain = VALUE_CHECKS[column.kind]
    text = text_of(column.name)
    values = db.execute(
        f"""SELECT DISTINCT {text} FROM {rows} WHERE {text} IS NOT NULL
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


@cache
def time_zones() -> list[str]:
    # zoneinfo.available_timezones() opens every file of the database: a second.
    return files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()


def _visible(value: str) -> str:
    cut = value if len(value) <= 100 else value[:99] + "…"
    return '"' + re.sub(r"[\x00-\x1f]", lambda sign: repr(sign[0])[1:-1], cut) + '"'


def _check_address(value: str, _: bool) -> tuple[str | None, str | None]:
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


def _check_time(value: str, _: bool) -> tuple[str | None, str | None]:
    return read_time(value)


def _check_zone(value: str, hint: bool) -> tuple[str | None, str | None]:
    near = did_you_mean(value, time_zones()) if hint else ""
    return None, f"is no time zone; {near or 'expected ' + Kind.ZONE}"


def _check_locale(value: str, _: bool) -> tuple[str | None, str | None]:
    return None, f"is no locale; expected {Kind.LOCALE}"


def _check_touch(value: str, _: bool) -> tuple[str | None, str | None]:
    near = did_you_mean(value.lower(), _TOUCH_MODELS)
    return None, f"is no touch model; {near or 'expected ' + Kind.TOUCH}"


def _check_person(value: str, _: bool) -> tuple[str | None, str | None]:
    return checked(value)


def _check_company(value: str, _: bool) -> tuple[str | None, str | None]:
    return company_name(value), None


def _check_words(value: str, _: bool) -> tuple[str | None, str | None]:
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


VALUE_CHECKS: dict[
    Kind, tuple[Callable[[str, bool], tuple[str | None, str | None]], Callable[[str], str]]
] = {
    Kind.TIME: (_check_time, _is_plain_time),
    Kind.LEFT_AT: (_check_time, _is_plain_time),
    Kind.ADDRESS: (_check_address, _is_plain_address),
    Kind.ZONE: (_check_zone, _is_zone),
    Kind.LOCALE: (_check_locale, _is_tag),
    Kind.TOUCH: (_check_touch, _is_touch),
    Kind.PERSON: (_check_person, _is_plain_person),
    Kind.COMPANY: (_check_company, _is_plain_company),
    Kind.WORDS: (_check_words, _is_plain_words),
}
"""For some kinds: who judges one value (it as accepted, or what is wrong with it), and the SQL
rule that recognises most good ones."""
