"""What a run is called on Prefect's page, and what its stages say that they found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from company import Company
from flows import names
from lifecycle.report.run_report import RunReport
from lifecycle.report.stage_outcome import stage_outcome


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The parameters of a flow run of a company in Tokyo."""
    config = Company(tmp_path).folder / "lifecycle.toml"
    asked: dict[str, Any] = {"config": str(config)}
    monkeypatch.setattr(names.flow_run, "get_parameters", lambda: asked)
    return asked


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "2026-06-10 demo"),
        ({"as_of": "2026-06-11 23:00 UTC"}, "2026-06-12 demo"),
        ({"dry_run": True}, "2026-06-10 demo, dry run"),
        ({"source": "files", "as_of": "2026-05-01"}, "2026-05-01 files"),
        ({"as_of": "yesterday"}, "yesterday demo"),
        ({"config": "/nowhere.toml"}, "settings that cannot be read"),
    ],
)
def test_a_daily_run_is_called_after_its_day_and_source(
    asked: dict[str, Any], more: dict[str, Any], name: str
) -> None:
    asked.update(more)
    assert names.run_name() == name


def test_other_runs_are_called_after_what_they_do(asked: dict[str, Any]) -> None:
    name = names.timed("deliver")()
    assert name.startswith("deliver 20")
    assert len(name) == len("deliver 2026-06-10 10:00")


@pytest.fixture
def report() -> RunReport:
    return RunReport(
        run_id="1",
        as_of=datetime(2026, 6, 10, 1, tzinfo=UTC),
        source="demo",
        dry_run=False,
        state_dir="/state",
        time_zone="Asia/Tokyo",
        accounts=303,
        feed_status="fresh",
        gate={
            "raw": {"passed": 36, "failed": 0, "warnings": 1},
            "marts": {"passed": 40, "failed": 2, "warnings": 0},
        },
        rows={"accounts": 303, "contacts": 600},
        new_rows={"usage_events": 1200},
        rejected_rows=3,
        enrolled={"win_back": 40, "welcome": 2},
        planned=65,
        withheld={"no_consent": 8, "late": 3},
        accepted=55,
        not_accepted={"expired": 1, "suppressed": 2},
        remaining_planned=7,
    )


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("pull", "pull: 303 accounts, 600 contacts, 1,200 new rows, 3 rows rejected"),
        ("gate_raw", "gate raw: 36 passed, 1 warning"),
        ("gate_marts", "gate marts: 40 passed, 2 failed"),
        ("build", "build: done"),
        ("publish", "publish: 303 accounts, usage feed fresh"),
        ("plan", "plan: 65 mails, 11 withheld, 42 entered"),
        ("deliver", "deliver: 55 accepted, 2 suppressed, 1 expired, 7 waiting"),
    ],
)
def test_a_stage_says_what_it_found(report: RunReport, stage: str, line: str) -> None:
    assert stage_outcome(report, stage) == line
