"""What mails changed, told from a hand-made mart trigger_effect."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import duckdb
import pytest
from ruamel.yaml import YAML

from lifecycle.document import as_text
from lifecycle.errors import UnknownName
from lifecycle.evaluation.effect import Effects, effect, newest, read_effects
from lifecycle.report.run_report import RunReport
from lifecycle.triggers.columns import MARTS
from lifecycle.triggers.folder import load_triggers
from planned import MONDAY, Workspace

NOW = MONDAY.replace(tzinfo=None)

ROW = {
    "trigger_name": "win_back",
    "trigger_version": "0" * 64,
    "enrolled": 400,
    "entries_held_out": 100,
    "first_enrolled_at": NOW - timedelta(days=100),
    "reached": 240,
    "compared_with": 80,
    "goals_reached": 72,
    "goals_held_out": 24,
    "still_in_time": 80,
    "new_in_28d": 112,
    "last_goal_until": NOW + timedelta(days=28),
    "effect": 0.0,
    "effect_low": -0.12,
    "effect_high": 0.11,
    "status": "measured",
}


def tell(workspace: Workspace, *rows: dict[str, Any]) -> None:
    """Publish a mart trigger_effect of these rows."""
    described = YAML(typ="safe").load((MARTS / "trigger_effect.yml").read_text())
    columns = described["models"][0]["columns"]
    workspace.publish()
    with duckdb.connect(workspace.settings.published_db) as db:
        fields = ", ".join(f"{column['name']} {column['data_type']}" for column in columns)
        db.execute(f"create or replace table marts.trigger_effect ({fields})")
        for row in rows:
            full = {**ROW, **row}
            marks = ", ".join(f"${name}" for name in full)
            db.execute(
                f"insert into marts.trigger_effect ({', '.join(full)}) values ({marks})", full
            )


def page(effects: Effects) -> str:
    return " ".join(as_text(effects.as_document(), width=120).split())


def test_a_difference_that_cannot_be_chance_helps(workspace) -> None:
    tell(
        workspace,
        {"goals_reached": 190, "effect": 0.491667, "effect_low": 0.37, "effect_high": 0.58},
    )
    effects = effect(workspace.settings)
    (first,) = effects.as_json()["versions"]
    assert first["verdict"] == "helps"
    assert first["reached"] == {"accounts": 240, "goals": 190}
    assert first["every_day"][0] > 0
    assert first["every_day"][0] < first["one_look"][0]
    text = page(effects)
    assert "win_back 00000000 (an earlier version): helps" in text
    assert "reached 240 190 79.2% held out 80 24 30.0%" in text
    assert "Difference: +49.2 points. For one look on a day chosen before: +37.0 to +58.0" in text
    assert "80 accounts still have time and count for neither." in text


def test_mails_that_drive_people_away_are_told_so(workspace) -> None:
    tell(workspace, {"goals_reached": 10, "goals_held_out": 40, "effect": -0.458333})
    (first,) = effect(workspace.settings).as_json()["versions"]
    assert first["verdict"] == "hurts"
    assert first["every_day"][1] < 0


def test_with_few_accounts_it_says_how_many_more_and_how_long(workspace) -> None:
    tell(workspace, ROW)
    (first,) = effect(workspace.settings).as_json()["versions"]
    assert first["verdict"] == "not enough data yet"
    more = first["accounts_needed"]
    # Four accounts a day enter; the 80 on their way need no entering, and the last needs 28 days.
    assert first["days_needed"] == pytest.approx((more - 80) / 4 + 28, abs=1)
    assert (
        f"About {more:,} more accounts (about {first['days_needed']:,} days at the present pace) "
        "are needed to see a difference of 10 points."
    ) in page(effect(workspace.settings))


def test_the_first_weeks_are_no_pace(workspace) -> None:
    # On the first day all who matched already came at once.
    tell(workspace, {"first_enrolled_at": NOW - timedelta(days=20)})
    (first,) = effect(workspace.settings).as_json()["versions"]
    assert first["accounts_needed"] > 80
    assert first["days_needed"] is None
    assert (
        "more accounts (how long that takes can be told 28 days after the first entered) are needed"
    ) in first["because"]


def test_a_greater_difference_needs_fewer_accounts(workspace, monkeypatch) -> None:
    tell(workspace, ROW)
    (small,) = effect(workspace.company.settings).as_json()["versions"]
    monkeypatch.setenv("LIFECYCLE__EFFECT__WORTH_SEEING_POINTS", "30")
    (great,) = effect(workspace.company.settings).as_json()["versions"]
    assert 0 < great["accounts_needed"] < small["accounts_needed"]


def test_those_on_their_way_may_be_all_that_is_needed(workspace, monkeypatch) -> None:
    monkeypatch.setenv("LIFECYCLE__EFFECT__WORTH_SEEING_POINTS", "50")
    tell(workspace, {"reached": 60, "compared_with": 20, "goals_reached": 18, "goals_held_out": 6})
    (first,) = effect(workspace.company.settings).as_json()["versions"]
    assert 0 < first["accounts_needed"] <= 80
    assert first["days_needed"] == 28


def test_where_nobody_enters_any_more_it_says_so(workspace) -> None:
    tell(workspace, {"new_in_28d": 0})
    assert "none in 28 days, they never come" in page(effect(workspace.settings))


def test_enough_data_and_no_difference_is_told_apart(workspace) -> None:
    many = {"enrolled": 80_000, "entries_held_out": 20_000, "reached": 60_000}
    tell(
        workspace,
        {**many, "compared_with": 20_000, "goals_reached": 18_000, "goals_held_out": 6_000},
    )
    (first,) = effect(workspace.settings).as_json()["versions"]
    assert first["verdict"] == "no difference seen yet"
    assert first["accounts_needed"] == 0
    assert "would have been seen by now in 80% of cases" in first["because"]


@pytest.mark.parametrize(
    ("without", "why"),
    [
        ({"last_goal_until": None}, "Its file names no goal."),
        ({"entries_held_out": 0, "compared_with": 0}, "Nobody is held out to compare with."),
    ],
)
def test_what_cannot_be_measured_has_its_reason(workspace, without, why) -> None:
    tell(workspace, {**without, "effect": None, "goals_held_out": 0})
    effects = effect(workspace.settings)
    (first,) = effects.as_json()["versions"]
    assert (first["verdict"], first["because"]) == ("not measured", why)
    assert why in page(effects)
    with duckdb.connect(workspace.settings.published_db) as db:
        assert newest(read_effects(workspace.settings, db)) == []


def test_each_version_is_told_alone_and_the_present_one_is_marked(workspace) -> None:
    (trigger,) = load_triggers(workspace.settings)
    tell(
        workspace,
        {"trigger_version": trigger.version, "first_enrolled_at": NOW - timedelta(days=3)},
        ROW,
    )
    result = effect(workspace.settings, "win_back").as_json()["versions"]
    assert [item["is_present"] for item in result] == [True, False]
    with duckdb.connect(workspace.settings.published_db) as db:
        assert [item.version for item in newest(read_effects(workspace.settings, db))] == [
            trigger.version
        ]


def test_a_trigger_that_nobody_entered_is_named(workspace) -> None:
    tell(workspace)
    assert effect(workspace.settings).as_json()["nobody_entered"] == ["win_back"]
    with pytest.raises(UnknownName, match='did you mean "win_back"'):
        effect(workspace.settings, "winback")


def test_the_report_of_a_run_shows_it(workspace) -> None:
    tell(workspace, {"goals_reached": 190, "effect": 0.491667})
    report = RunReport(
        run_id="r1",
        as_of=MONDAY,
        source="files",
        dry_run=False,
        state_dir="/state",
        time_zone="Asia/Tokyo",
    )
    with duckdb.connect(workspace.settings.published_db) as db:
        report.add_effects(newest(read_effects(workspace.settings, db)))
    assert "win_back 00000000 helps: +49.2 points" in " ".join(report.as_text().split())
    json.dumps(asdict(report), default=str)
    assert json.loads(json.dumps(report.as_json()))["effects"][0]["verdict"] == "helps"
