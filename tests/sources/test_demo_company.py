"""The demo company: the same every time, cut or continued by the clock, and whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lifecycle.sources import demo
from lifecycle.sources.demo_clock import DEMO_CLOCK
from sources.delivery import COMPANY, World


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.write(tmp_path_factory.mktemp("demo"), until=DEMO_CLOCK)


def _ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for path in folder.glob("*.parquet"):
            db.execute(f"CREATE VIEW {path.stem} AS FROM '{path}'")
        return db.execute(query).fetchall()


def test_nothing_of_it_is_set_aside(world: World) -> None:
    world.config(COMPANY.replace('kind = "files"\npath = "data"', 'kind = "demo"'))
    result = world.pull(DEMO_CLOCK)
    assert not any(result.rejected.values())
    assert result.rows["accounts"] == pytest.approx(300, abs=15)
    assert 150_000 < result.rows["usage_events"] < 400_000
    assert world.pull(DEMO_CLOCK).new_rows == dict.fromkeys(result.rows, 0)


def test_it_is_the_same_every_time(company: Path, tmp_path: Path) -> None:
    again = demo.write(tmp_path, until=DEMO_CLOCK)
    for table in ("accounts", "contacts", "usage_events", "survey_responses"):
        query = f"SELECT * FROM {table} ORDER BY ALL"
        assert _ask(company, query) == _ask(again, query)


@pytest.mark.parametrize("days", [-200, 30])
def test_another_clock_tells_the_same_story(company: Path, tmp_path: Path, days: int) -> None:
    clock = DEMO_CLOCK + timedelta(days=days)
    other = demo.write(tmp_path, until=clock)
    both = min(clock, DEMO_CLOCK)
    for table, column in (("usage_events", "occurred_at"), ("survey_responses", "responded_at")):
        query = f"SELECT * FROM {table} WHERE {column} <= '{both:%F %T}' ORDER BY ALL"
        assert _ask(company, query) == _ask(other, query)
        assert _ask(other, f"SELECT max({column}) <= '{clock:%F %T}' FROM {table}") == [(True,)]
    accounts = (
        f"SELECT account_id, name FROM accounts WHERE created_at <= '{both:%F %T}' ORDER BY 1"
    )
    assert _ask(company, accounts) == _ask(other, accounts)


def test_its_feed_is_fresh_and_regular(company: Path) -> None:
    [(newest,)] = _ask(company, "SELECT epoch(max(occurred_at)) FROM usage_events")
    assert DEMO_CLOCK.timestamp() - newest < 3600
    counts = dict(
        _ask(
            company,
            "SELECT occurred_at::DATE::VARCHAR, count(*) FROM usage_events"
            " WHERE occurred_at >= '2026-04-13' GROUP BY ALL",
        )
    )
    tuesdays = sorted(counts[f"{datetime(2026, 6, 9, tzinfo=UTC) - timedelta(weeks=n):%F}"] for n in range(1, 9))  # fmt: skip  # noqa: E501
    assert counts["2026-06-09"] > 0.8 * (tuesdays[3] + tuesdays[4]) / 2
    assert counts["2026-06-07"] < 0.2 * counts["2026-06-09"]  # a Sunday


def test_japan_rests_in_golden_week(company: Path) -> None:
    per_day = dict(
        _ask(
            company,
            "SELECT (occurred_at + INTERVAL 9 HOUR)::DATE::VARCHAR, count(*) FROM usage_events"
            " JOIN accounts USING (account_id) WHERE country = 'JP' GROUP BY 1",
        )
    )
    assert per_day["2026-05-05"] < 0.2 * per_day["2026-05-12"]


def test_every_kind_of_account_is_there(company: Path) -> None:
    stories = f"""
        SELECT account_id, churned_at, went_live_at, count(event_id) AS events,
               max(occurred_at) AS newest, min(occurred_at) FILTER (event_name = 'report_shared')
               AS outcome, TIMESTAMPTZ '{DEMO_CLOCK:%F %T}+00' AS now
        FROM accounts LEFT JOIN usage_events USING (account_id) GROUP BY ALL"""
    kinds = {
        "freshly onboarded": "went_live_at > now - INTERVAL 14 DAY",
        "not live yet": "went_live_at IS NULL",
        "stalled": "went_live_at BETWEEN now - INTERVAL 60 DAY AND now - INTERVAL 20 DAY"
        " AND outcome IS NULL AND events > 0",
        "dormant": "churned_at IS NULL AND newest BETWEEN now - INTERVAL 90 DAY"
        " AND now - INTERVAL 14 DAY",
        "thriving": "outcome IS NOT NULL AND events > 1000 AND newest > now - INTERVAL 3 DAY",
        "churned": "churned_at IS NOT NULL",
        "never logged in": "events = 0 AND went_live_at < now - INTERVAL 14 DAY",
    }
    result = {
        kind: _ask(company, f"SELECT count(*) FROM ({stories}) WHERE {test}")[0][0]
        for kind, test in kinds.items()
    }
    assert all(count >= 2 for count in result.values()), result


def test_its_people_are_at_example_com(company: Path) -> None:
    addresses = _ask(
        company, "SELECT email FROM contacts UNION ALL SELECT owner_email FROM accounts"
    )
    assert {address.split("@")[1] for (address,) in addresses} == {"example.com"}
    [(total, distinct, without_consent, unsubscribed)] = _ask(
        company,
        "SELECT count(*), count(DISTINCT email), count(*) FILTER (consent_basis IS NULL),"
        " count(unsubscribed_at) FROM contacts",
    )
    assert total == distinct
    assert without_consent > 0
    assert unsubscribed > 0
    names = _ask(company, "SELECT count(*) - count(DISTINCT name) FROM accounts")
    assert names == [(0,)]
