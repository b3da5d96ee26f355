"""When each command is to run, as prefect.yaml says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from company import Company, utc
from lifecycle import schedules
from lifecycle.errors import SettingsError
from lifecycle.schedules import Cron, Every

DAY = timedelta(days=1)


def test_the_schedules_of_the_checkout_are_read(tmp_path: Path) -> None:
    result = {item.name: item for item in schedules.read(Company(tmp_path).settings.root)}
    daily = result["daily"]
    assert (daily.command, daily.text) == ("lifecycle-run", "0 6 * * * Asia/Tokyo")
    assert daily.after(utc("2026-06-09 21:00")) == utc("2026-06-10 21:00"), "after, not at"
    assert daily.interval(utc("2026-06-09 21:00")) == DAY
    assert "from-an-automation" not in result, "it has no schedule"


def test_an_interval_goes_by_the_times_around_a_moment() -> None:
    weekdays = schedules.Schedule("x", "x", [Cron("0 6 * * mon-fri", "Asia/Tokyo")])
    friday = utc("2026-06-12 00:00")
    assert weekdays.interval(friday) == 3 * DAY
    both = schedules.Schedule("x", "x", [Cron("0 6 * * *", "UTC"), Cron("0 18 * * *", "UTC")])
    assert both.interval(utc("2026-06-12 07:00")) == DAY / 2


def test_a_clock_that_changes_keeps_the_local_hour() -> None:
    morning = Cron("0 6 * * *", "Europe/Berlin")
    assert morning.after(utc("2026-03-28 12:00")) == utc("2026-03-29 04:00")
    assert morning.after(utc("2026-10-24 12:00")) == utc("2026-10-25 05:00")
    often = Cron("*/10 * * * *", "Europe/Berlin")
    moment, end = utc("2026-10-24 23:00"), utc("2026-10-25 03:00")
    while moment < end:
        following = often.after(moment)
        assert moment < following <= moment + timedelta(minutes=70)
        assert often.until(following) == following
        moment = following


def test_an_interval_of_seconds_counts_from_its_anchor() -> None:
    hourly = Every(3600, utc("2026-01-01 00:30"))
    assert hourly.after(utc("2026-06-10 00:30")) == utc("2026-06-10 01:30")
    assert hourly.until(utc("2026-06-10 01:29")) == utc("2026-06-10 00:30")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ('{cron: "61 * * * *"}', "deployment mine: '61 * * * *' is not a cron expression"),
        ('{cron: "0 6 * * *", timezone: Asia/Tokio}', "deployment mine"),
        ('{rrule: "FREQ=DAILY"}', "deployment mine: a schedule is a cron or an interval here"),
        ("{cron: [", "not valid YAML"),
        ("nonsense", "is not as Prefect writes it"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, schedule: str, expected: str) -> None:
    company = Company(tmp_path)
    (tmp_path / "prefect.yaml").write_text(
        f"deployments:\n  - name: mine\n    entrypoint: a.py:b\n    schedules: [{schedule}]\n"
    )
    with pytest.raises(SettingsError, match=r"prefect\.yaml") as refused:
        schedules.read(company.settings.root)
    assert expected in str(refused.value)


def test_a_schedule_that_is_off_is_left_out(tmp_path: Path) -> None:
    company = Company(tmp_path)
    (tmp_path / "prefect.yaml").write_text(
        "deployments:\n  - {name: a, entrypoint: 'f.py:one_flow', schedules: [{interval: 60}]}\n"
        "  - {name: b, entrypoint: 'f.py:b', schedules: [{interval: 60, active: false}]}\n"
    )
    (only,) = schedules.read(company.settings.root)
    assert (only.name, only.command, only.text) == ("a", "one-flow", "every 60 seconds")
