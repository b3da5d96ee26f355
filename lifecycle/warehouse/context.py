"""Writes what models read besides customers' data: clock, thresholds, event roles, calendars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import pyarrow as pa

from lifecycle.calendar import holidays_of, weekend_of, zones_of_country
from lifecycle.consent import ConsentWords
from lifecycle.countries import country_code
from lifecycle.settings import Settings
from lifecycle.sources.contract import DEPARTURES, FILE, REJECTED_CELLS
from lifecycle.sources.contract import TABLES as TABLES_OF_SOURCES
from lifecycle.sources.ledger import CONTEXT, FEED_QUESTIONS
from lifecycle.warehouse import earlier_places, score_tables
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_days import ensure_history
from lifecycle.warehouse.published_delivery import exists
from lifecycle.warehouse.run_parameters import run_columns, run_row
from lifecycle.warehouse.score_definition import PROJECT

YEARS_BACK, YEARS_AHEAD = 40, 10
"""Years around the as-of; a date beyond them is treated as a typing error."""

TABLES = {
    "event_roles": "role varchar, pattern varchar",
    "feed_changes": "part varchar, since date",
    "holidays": "country_code varchar, day date",
    "consent_words": "basis varchar, verdict varchar",
    "countries": "name varchar, country_code varchar, time_zone varchar, zones bigint",
    "weekends": "country_code varchar, iso_weekday bigint",
    "zone_offsets": (
        "time_zone varchar, utc_year bigint, from_utc timestamp, until_utc timestamp,"
        " offset_minutes bigint"
    ),
}

Row = tuple[object, ...]


def write(
    settings: Settings,
    *,
    run_id: str,
    as_of: datetime,
    loaded_at: datetime,
    project: Path = PROJECT,
) -> None:
    """Replace the tables of `context`, all in one transaction.

    run has one row; event_roles one per role and pattern; holidays one per country and
    day; weekends one per country and day of the week on which people rest there; countries one
    per spelling in the data; zone_offsets one per time zone, UTC year and
    span of that year with one offset. The tables of parameters are made where they are not there
    yet. `as_of` and `loaded_at` are aware. Raises WarehouseError.
    """
    with connect_work(settings) as connection:
        connection.execute("create schema if not exists raw")
        names = _column(connection, "select distinct country from raw.accounts")
        own_zones = _column(connection, "select distinct time_zone from raw.accounts")
        consent = ConsentWords(settings.consent.bases)
        bases = _column(connection, "select distinct consent_basis from raw.contacts")
        years = _years(connection, as_of)
        countries = list(_countries(names))
        codes = {settings.company.country, *(code for _, code, *_ in countries)}
        zones = {settings.company.time_zone, *own_zones, *(zone for _, _, zone, *_ in countries)}
        given = {"run_id": run_id, "as_of": _naive(as_of), "loaded_at": _naive(loaded_at)}
        rows: dict[str, list[Row]] = {
            "run": [run_row(given, settings, project)],
            "event_roles": [
                (role, pattern)
                for role, patterns in settings.events
                for pattern in dict.fromkeys(patterns)
            ],
            "feed_changes": list(_feed_changes(connection, settings)),
            "holidays": [
                (code, day) for code in codes for year in years for day in holidays_of(code, year)
            ],
            "consent_words": [(basis, consent.verdict(basis)) for basis in bases],
            "countries": list(countries),
            "weekends": [(code, day + 1) for code in codes for day in weekend_of(code)],
            "zone_offsets": [
                (zone, *span)
                for zone in zones & available_timezones()
                for year in years
                for span in _offsets(zone, year)
            ],
        }
        connection.execute("begin")
        connection.execute("create schema if not exists context")
        for table, columns in {"run": run_columns(project), **TABLES}.items():
            _replace(connection, table, columns, sorted(rows[table], key=str))
        earlier_places.drop(connection)
        score_tables.ensure(connection)
        _ensure_delivered(connection)
        _ensure_files(connection)
        ensure_history(connection, project)
        connection.execute("commit")


def _feed_changes(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> Iterator[tuple[str, date]]:
    """Parts of the feed of which less is normal, and since when: by a person's answer to the run
    that asked, and by the settings, which win."""
    changes: dict[str, date] = {}
    if exists(connection, CONTEXT, FEED_QUESTIONS):
        query = (
            f"select part, max(since) from {CONTEXT}.{FEED_QUESTIONS} where is_normal group by part"
        )
        changes |= dict(connection.execute(query).fetchall())
    yield from (changes | settings.feed.normal_since).items()


def move_clock(connection: duckdb.DuckDBPyConnection, as_of: datetime) -> None:
    """Set another as-of, in the year that `write` got; nothing else of the context depends on the
    day."""
    connection.execute("update context.run set as_of = ?", [_naive(as_of)])


def _ensure_files(connection: duckdb.DuckDBPyConnection) -> None:
    """Which file brought a row of a growing table is null where an older version loaded it."""
    there = connection.execute(
        "select table_name from duckdb_tables() where schema_name = 'raw'"
        " and database_name = current_database()"
    ).fetchall()
    for table in TABLES_OF_SOURCES.values():
        if not table.is_snapshot and (table.name,) in there:
            connection.execute(
                f"alter table raw.{table.name} add column if not exists {FILE} varchar"
            )


def _ensure_delivered(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a warehouse that an earlier version filled what its deliveries did not have yet."""
    for table, columns in (("rejected_cells", REJECTED_CELLS), ("departures", DEPARTURES)):
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.execute(f"create table if not exists raw.{table} ({typed})")
    for table in ("raw.accounts", "snapshots.accounts_snapshot"):
        schema, _, name = table.partition(".")
        query = "select 1 from duckdb_tables() where schema_name = ? and table_name = ?"
        if connection.execute(query, [schema, name]).fetchone():
            for column in ("is_churned", "has_usage_feed"):
                add = f"alter table {table} add column if not exists {column} boolean"
                connection.execute(add)


def _countries(names: Sequence[str]) -> Iterator[tuple[str, str, str, int]]:
    """Of each spelling that is understood: code, main zone, number of zones."""
    for name in names:
        code = country_code(name)
        zones = zones_of_country(code)
        if code and zones:
            yield name, code, zones[0], len(zones)


def _years(connection: duckdb.DuckDBPyConnection, as_of: datetime) -> range:
    """From the oldest date of the data to the newest, renewals included, and a year more."""
    oldest, newest = connection.execute(
        """
        select min(oldest), max(newest) from (
            select least(min(created_at), min(went_live_at)), max(renewal_at) from raw.accounts
            union all
            select min(occurred_at), null from raw.usage_events
        ) as bounds (oldest, newest)
        """
    ).fetchone() or (None, None)
    first = min(oldest.year if oldest else as_of.year, as_of.year - 1)
    last = max(newest.year if newest else as_of.year, as_of.year) + 1
    return range(max(first, as_of.year - YEARS_BACK), min(last, as_of.year + YEARS_AHEAD) + 1)


@cache
def _offsets(zone: str, year: int) -> tuple[tuple[int, datetime, datetime, int], ...]:
    """The spans of a UTC year with one offset: (year, from, until, minutes east of UTC)."""
    clock = ZoneInfo(zone)

    def minutes(moment: datetime) -> int:
        offset = moment.replace(tzinfo=UTC).astimezone(clock).utcoffset()
        return round((offset or timedelta()).total_seconds() / 60)

    def change(before: datetime, after: datetime) -> datetime:
        while after - before > timedelta(minutes=1):
            middle = before + (after - before) // 2
            middle = middle.replace(second=0, microsecond=0)
            before, after = (
                (middle, after) if minutes(middle) == minutes(before) else (before, middle)
            )
        return after

    start, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 (naive UTC)
    moments = [start + timedelta(days=day) for day in range((end - start).days + 1)]
    starts = [start] + [
        change(day, following)
        for day, following in pairwise(moments)
        if minutes(day) != minutes(following)
    ]
    ends = [*starts[1:], end]
    return tuple(
        (year, begin, until, minutes(begin)) for begin, until in zip(starts, ends, strict=True)
    )


def _column(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    return [value for (value,) in connection.execute(sql).fetchall() if value]


def _replace(
    connection: duckdb.DuckDBPyConnection, table: str, columns: str, rows: Sequence[Row]
) -> None:
    connection.execute(f"create or replace table context.{table} ({columns})")
    if rows:
        values = zip(*rows, strict=True)
        batch = pa.table({f"column_{place}": list(column) for place, column in enumerate(values)})
        connection.register("batch", batch)  # thousands of holidays at once, not row by row
        connection.execute(f"insert into context.{table} select * from batch")
        connection.unregister("batch")


def _naive(moment: datetime) -> datetime:
    """The moment as the warehouse keeps it: UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)
