"""Times are the company's: zones, bare days, all forms of ISO 8601, and what is none."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.sources.iso_time import read_time
from sources.delivery import ACCOUNTS, COMPANY, CONTACTS, EVENTS, World

MIDNIGHT = [
    "2026-06-09T09:00+09:00",
    "2026-06-09T00:00Z",
    "20260609T000000Z",
    "20260609T0000Z",
    "20260609T090000+0900",
    "2026-06-09 09:00:00 +09:00",
    "2026-06-09 09:00:00 +0900",
    "2026-06-09T09:00:00+09",
    "2026-06-09t00:00:00z",
    "2026-06-09T00Z",
    "2026-W24-2T00:00:00Z",
    "2026W242T000000Z",
    "2026-160T00:00:00Z",
    "2026160T00Z",
    "2026-06-08T24:00:00Z",
    "2026-06-08T19:00:00−05:00",
    "2026-06-09 00:00:00 UTC",
    "2026-06-09 00:00:00 GMT",
    "2026-06-09T09:00:00+09:00[Asia/Tokyo]",
    "2026-06-09T09:00:00[Asia/Tokyo]",
    "2026-06-09 09:00:00 Asia/Tokyo",
    "２０２６-０６-０９T００:００:００Z",
    # Without a zone it is Tokyo's.
    "2026-06-09T09:00",
    "20260609T090000",
    "2026-06-09 9:00",
    "2026/06/09 9:00:00",
]


def events(world: World, times: list[str]) -> dict[str, str]:
    world.csv("usage_events", [{**EVENTS[0], "event_id": t, "occurred_at": t} for t in times])
    world.pull()
    return dict(world.ask("SELECT event_id, occurred_at::VARCHAR FROM raw.usage_events"))


def test_every_form_of_iso_8601_is_read(world: World) -> None:
    fractions = {
        "2026-06-09T00:00:00,123Z": "2026-06-09 00:00:00.123",
        "2026-06-09T00:00,5Z": "2026-06-09 00:00:30",
        "2026-06-09T00.25Z": "2026-06-09 00:15:00",
        "2026-06-09T00:00:00.123456789Z": "2026-06-09 00:00:00.123456",
    }
    expected = dict.fromkeys(MIDNIGHT, "2026-06-09 00:00:00") | fractions
    assert events(world, list(expected)) == expected
    assert world.rejected() == []


@pytest.mark.parametrize(
    ("value", "looks_like"),
    [
        ("1781053262", "looks like epoch seconds: 2026-06-10 01:01:02 UTC"),
        ("1781053262.5", "looks like epoch seconds: 2026-06-10 01:01:02 UTC"),
        ("1781053262000", "looks like epoch milliseconds: 2026-06-10 01:01:02 UTC"),
        ("1781053262000000", "looks like epoch microseconds: 2026-06-10 01:01:02 UTC"),
        ("46183", "looks like a spreadsheet's number of a day: 2026-06-10"),
    ],
)
def test_a_number_is_named_and_not_guessed(world: World, value: str, looks_like: str) -> None:
    assert events(world, [value, "2026-06-09T00:00Z"]).keys() == {"2026-06-09T00:00Z"}
    [(*_, column, reason)] = world.rejected()
    assert column == "occurred_at"
    assert looks_like in reason


@pytest.mark.parametrize(
    "value",
    ["2026-02-30", "2026-W54-1", "2025-366", "2026-06-09T25:00Z", "2026-06-09T24:01Z", "12/06/2026",
     "2026-06-09T00:00+25:00", "June 9, 2026", "20260231", "2026"],
)  # fmt: skip
def test_what_is_no_time_is_none(world: World, value: str) -> None:
    assert events(world, [value, "2026-06-09T00:00Z"]).keys() == {"2026-06-09T00:00Z"}
    [(*_, reason)] = world.rejected()
    assert "expected an ISO 8601 time" in reason


def test_a_time_without_a_zone_is_in_that_of_its_source(world: World) -> None:
    world.config(
        COMPANY.replace('path = "data"', 'path = "data"\ntime_zone = "America/New_York"')
        + '[source.time_zones]\nusage_events = "Europe/Berlin"\n'
    )
    world.csv(
        "accounts", [{**account, "created_at": "2026-01-05 09:00:00"} for account in ACCOUNTS]
    )
    events(world, ["2026-06-09 09:00:00"])
    assert world.ask("SELECT DISTINCT created_at::VARCHAR FROM raw.accounts") == [
        ("2026-01-05 14:00:00",)
    ]
    assert world.ask("SELECT occurred_at::VARCHAR FROM raw.usage_events") == [
        ("2026-06-09 07:00:00",)
    ]


PLACES: list[dict[str, Any]] = [
    {"account_id": "A1", "time_zone": "America/Los_Angeles", "country": ""},
    {"account_id": "A2", "time_zone": "", "country": "Germany"},
    {"account_id": "A3", "time_zone": "", "country": ""},
]
DAYS = [("A1", "2026-06-09 07:00:00"), ("A2", "2026-06-08 22:00:00"), ("A3", "2026-06-08 15:00:00")]


@pytest.mark.parametrize("native", [False, True], ids=["csv", "parquet"])
def test_a_bare_day_is_one_of_the_accounts_own_calendar(world: World, native: bool) -> None:
    day: Any = date(2026, 6, 9) if native else "2026-06-09"
    accounts = [
        {**ACCOUNTS[0], "name": "Firm", "renewal_at": day, "went_live_at": day, **place}
        for place in PLACES
    ]
    contacts = [{**contact, "consented_at": day, "unsubscribed_at": day} for contact in CONTACTS]
    if native:
        for name, rows in (("accounts", accounts), ("contacts", contacts)):
            (world.data / f"{name}.csv").unlink()
            pq.write_table(pa.Table.from_pylist(rows), world.data / f"{name}.parquet")
    else:
        world.csv("accounts", accounts)
        world.csv("contacts", contacts)
    world.pull()
    for table, column in (
        ("accounts", "renewal_at"),
        ("accounts", "went_live_at"),
        ("contacts", "consented_at"),
        ("contacts", "unsubscribed_at"),
    ):
        query = f"SELECT account_id, {column}::VARCHAR FROM raw.{table} ORDER BY 1"
        assert world.ask(query) == DAYS, column


def test_parquets_own_times_keep_their_zone(world: World) -> None:
    rows = [{**EVENTS[0], "occurred_at": None}]
    table = pa.Table.from_pylist(rows).drop_columns(["occurred_at"])
    moment = pa.scalar(1_780_963_200_000_000, pa.timestamp("us"))  # 2026-06-09 00:00
    (world.data / "usage_events.csv").unlink()
    for zone, expected in ((None, "2026-06-08 15:00:00"), ("UTC", "2026-06-09 00:00:00")):
        kind = pa.timestamp("us", tz=zone)
        column = pa.array([moment.value], pa.int64()).cast(kind)
        event_id = pa.array([str(zone)])
        result = table.set_column(0, "event_id", event_id).append_column("occurred_at", column)
        pq.write_table(result, world.data / "usage_events.parquet")
        world.pull()
        query = f"SELECT occurred_at::VARCHAR FROM raw.usage_events WHERE event_id = '{zone}'"
        assert world.ask(query) == [(expected,)]


def test_a_number_of_eight_digits_is_a_day_and_not_an_epoch() -> None:
    assert read_time("20260609") == ("2026-06-09", None)
