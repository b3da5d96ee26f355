"""The whole pipeline on a year of real orders, judged against the orders themselves."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from commands import RETAIL, environment, lifecycle, run_json

pytestmark = pytest.mark.skipif(
    not RETAIL.is_dir(), reason="the online retail data is not beside this checkout"
)

CONFIG = ("--config", str(Path(__file__).with_name("online_retail.toml")))


@pytest.fixture
def env(tmp_path: Path, prefect_api: str) -> dict[str, str]:
    return environment(tmp_path, LIFECYCLE__SOURCE__PATH=str(RETAIL), PREFECT_API_URL=prefect_api)


def silence_at(moment: datetime) -> dict[str, int]:
    """Days since each account's last order, from the file alone."""
    query = f"""
        select account_id, date_diff('day', max(occurred_at), $moment)
        from '{RETAIL / "usage_events.parquet"}'
        where event_name = 'order_line' and occurred_at <= $moment group by 1
    """
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    return dict(duckdb.connect().execute(query, {"moment": naive}).fetchall())


def days_live_at(moment: datetime) -> dict[str, int]:
    """Days since each account's go-live, from the file alone."""
    query = f"""
        select cast(account_id as varchar), date_diff('day', went_live_at, $moment)
        from '{RETAIL / "accounts.csv"}'
    """
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    return dict(duckdb.connect().execute(query, {"moment": naive}).fetchall())


def mails(state: Path) -> list[email.message.EmailMessage]:
    return [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in sorted((state / "outbox").glob("*.eml"))
    ]


def test_on_the_last_day_only_silent_accounts_are_won_back(tmp_path, env):
    moment = datetime(2011, 12, 9, 13, tzinfo=UTC)
    report = run_json(*CONFIG, "run", "--as-of", "2011-12-09 13:00 UTC", env=env)

    assert report["accounts"] == 4372
    assert report["feed_status"] == "fresh"
    assert report["gate"]["raw"]["failed"] == report["gate"]["marts"]["failed"] == 0
    assert report["accepted"] > 100
    assert report["state_dir"] == str(tmp_path)
    sent = mails(tmp_path)
    assert len(sent) == report["accepted"] == sum(report["by_trigger"].values())

    silence, days_live = silence_at(moment), days_live_at(moment)
    won_back = [mail for mail in sent if mail["X-Lifecycle-Trigger"] == "win_back_dormant"]
    assert len(won_back) == report["by_trigger"]["win_back_dormant"]
    for mail in won_back:
        account = mail["To"].addresses[0].addr_spec.removeprefix("buyer-").split("@")[0]
        days = silence.get(account, days_live[account])  # some only ever cancelled
        assert days >= 7, f"{account} ordered {days} days ago"
    active = {account for account, days in silence.items() if days < 7}
    assert len(active) > 300

    again = run_json(*CONFIG, "run", "--as-of", "2011-12-09 13:00 UTC", env=env)
    assert (again["planned"], again["accepted"]) == (0, 0)
    assert len(mails(tmp_path)) == report["accepted"]

    account = won_back[0]["To"].addresses[0].addr_spec.removeprefix("buyer-").split("@")[0]
    told = lifecycle(*CONFIG, "explain", account, env=env)
    assert told.returncode == 0, told.stderr
    assert "silent for" in told.stdout
    assert "win_back_dormant" in told.stdout
    quiet = next(iter(active))
    assert lifecycle(*CONFIG, "explain", quiet, env=env).returncode == 0


def test_a_week_day_by_day_sends_only_what_came_due(tmp_path, env):
    first = datetime(2011, 6, 1, 10, tzinfo=UTC)
    days = [first + timedelta(days=number) for number in range(7)]
    reports = [
        run_json(*CONFIG, "run", "--as-of", f"{day:%Y-%m-%d %H:%M}", env=env) for day in days
    ]
    assert [report["feed_status"] for report in reports] == ["fresh"] * 7
    accepted = {
        f"{day:%a %d}": report["accepted"] for day, report in zip(days, reports, strict=True)
    }
    assert accepted["Wed 01"] > 50
    assert accepted["Sat 04"] == accepted["Sun 05"] == 0
    for day, count in accepted.items():
        if day != "Wed 01":
            assert count < accepted["Wed 01"] / 2, accepted
    sent = mails(tmp_path)
    assert len(sent) == sum(accepted.values())
    for mail in sent:
        went = mail["Date"].datetime
        assert first <= went <= days[-1]
        assert went.weekday() < 5
    steps = Counter((mail["To"].addresses[0].addr_spec, mail["X-Lifecycle-Step"]) for mail in sent)
    assert max(steps.values()) == 1


def test_a_run_as_of_the_past_sees_nothing_of_the_future(tmp_path, env):
    report = run_json(*CONFIG, "run", "--as-of", "2011-03-01 10:00", "--dry-run", env=env)
    with duckdb.connect(str(tmp_path / "published.duckdb"), read_only=True) as published:
        newest = published.execute("select max(last_active_at) from marts.account_360").fetchone()
    assert newest[0] <= datetime(2011, 3, 1, 10)  # noqa: DTZ001
    known = duckdb.connect().execute(
        f"select count(*) from '{RETAIL / 'accounts.csv'}' where created_at <= '2011-03-01 10:00'"
    )
    assert report["accounts"] == known.fetchone()[0]
    assert report["accepted"] == 0
    assert not list((tmp_path / "outbox").glob("*.eml"))


def test_when_the_feed_is_late_nobody_is_taken_for_dormant(tmp_path, env):
    # The data ends on a Friday noon; by Wednesday two and a half business days are missing.
    report = run_json(*CONFIG, "run", "--as-of", "2011-12-14 10:00", env=env)
    assert report["feed_status"] == "late"
    assert report["accepted"] == report["planned"] == 0
    assert any("win_back_dormant waits" in line for line in report["waiting"])
    with duckdb.connect(str(tmp_path / "published.duckdb"), read_only=True) as published:
        known = published.execute(
            "select count(is_dormant), count(usage_health), count(course) from marts.account_360"
        ).fetchone()
    assert known == (0, 0, 0)
