"""What `validate` says of audiences whose accounts meet exit or goal already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from company import Company, Marts
from lifecycle.authoring.overlap import overlaps
from lifecycle.triggers.folder import load_triggers

WIN_BACK = """\
audience: is_dormant
recipients: role = 'admin'
launch: existing
exit_when: ladder_step >= 3
goal: {when: seats > 10, within: 28d}
steps: [{id: hello, after: 0d}]
"""

Warnings = Callable[[str], list[str]]


@pytest.fixture
def warnings(tmp_path: Path) -> Warnings:
    """What is said of a trigger; of four dormant accounts, one meets its exit, two its goal."""
    company = Company(tmp_path / "company")
    settings = company.settings
    settings.published_db.parent.mkdir(parents=True)
    with duckdb.connect(settings.published_db) as published:
        Marts(published).accounts(
            [
                {"account_id": "a1", "ladder_step": 3, "seats": 11},
                {"account_id": "a2", "ladder_step": 1, "seats": 11},
                {"account_id": "a3", "ladder_step": 1, "seats": 5},
                {"account_id": "a4", "ladder_step": None, "seats": None},
                {"account_id": "a5", "ladder_step": 4, "seats": 50, "is_dormant": False},
                {"account_id": "a6", "ladder_step": 4, "seats": 50, "stage": "churned"},
            ]
        )

    def said(trigger: str) -> list[str]:
        company.trigger("win_back", trigger, "hello")
        result = list(overlaps(settings, load_triggers(settings)))
        assert not any(problem.stops_a_run for problem in result)
        return [str(problem) for problem in result]

    return said


def test_accounts_that_would_leave_and_goals_that_are_met_are_counted(warnings: Warnings) -> None:
    assert warnings(WIN_BACK) == [
        "triggers/win_back.yaml:4: exit_when: 1 of the 4 accounts that match the audience today"
        " meet it already, so they do not enter; no run stops for this",
        "triggers/win_back.yaml:5: goal.when: 2 of the 4 accounts that match the audience today"
        " meet it already, so for them it measures nothing; no run stops for this",
    ]


def test_who_churned_counts_only_where_the_trigger_takes_them(warnings: Warnings) -> None:
    assert "2 of the 5" in warnings(WIN_BACK + "include_churned: true\n")[0]


def test_conditions_that_exclude_one_another_are_no_problem(warnings: Warnings) -> None:
    trigger = WIN_BACK.replace("ladder_step >= 3", "not is_dormant").replace(
        "seats > 10", "plan = 'x'"
    )
    assert warnings(trigger) == []


def test_before_the_first_run_nothing_is_said(tmp_path: Path) -> None:
    company = Company(tmp_path / "new")
    company.trigger("win_back", WIN_BACK, "hello")
    assert list(overlaps(company.settings, load_triggers(company.settings))) == []
