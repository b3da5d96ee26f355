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
from lifecycle.triggers.model import load_triggers
from planned import MONDAY, Told

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


def tell(told: Told, *rows: dict[str, Any]) -> None:
    """Publish a mart trigger_effect of these rows."""
    described = YAML(typ="safe").load((MARTS / "trigger_effect.yml").read_text())
    columns = described["models"][0]["columns"]
    told.publish()
    with duckdb.connect(told.settings.published_db) as db:
        fields = ", ".join(f"{one['name']} {one['data_type']}" for one in columns)
        db.execute(f"create or replace table marts.trigger_effect ({fields})")
        for row in rows:
            full = {**ROW, **row}
            marks = ", ".join(f"${name}" for name in full)
            db.execute(
                f"insert into marts.trigger_effect ({', '.join(full)}) values ({marks})", full
            )


def page(found: Effects) -> str:
    return " ".join(as_text(found.as_document(), width=120).split())


def test_a_difference_that_cannot_be_chance_helps(told) -> None:
    tell(told, {"goals_reached": 190, "effect": 0.491667, "effect_low": 0.37, "effect_high": 0.58})
    found = effect(told.settings)
    (one,) = found.as_json()["versions"]
    assert one["verdict"] == "helps"
    assert one["reached"] == {"accounts": 240, "goals": 190}
    assert one["every_day"][0] > 0
    assert one["every_day"][0] < one["one_look"][0]
    text = page(found)
    assert "win_back 00000000 (an earlier version): helps" in text
    assert "reached 240 190 79.2% held out 80 24 30.0%" in text
    assert "Difference: +49.2 points. For one look on a day chosen before: +37.0 to +58.0" in text
    assert "80 accounts still have time and count for neither." in text


def test_mails_that_drive_people_away_are_told_so(told) -> None:
    tell(told, {"goals_reached": 10, "goals_held_out": 40, "effect": -0.458333})
    (one,) = effect(told.settings).as_json()["versions"]
    assert one["verdict"] == "hurts"
    assert one["every_day"][1] < 0


def test_with_few_accounts_it_says_how_many_more_and_how_long(told) -> None:
    tell(told, ROW)
    (one,) = effect(told.settings).as_json()["versions"]
    assert one["verdict"] == "not enough data yet"
    more = one["accounts_needed"]
    # Four accounts a day enter; the 80 on their way need no entering, and the last needs 28 days.
    assert one["days_needed"] == pytest.approx((more - 80) / 4 + 28, abs=1)
    assert (
        f"About {more:,} more accounts (about {one['days_needed']:,} days at the present pace) "
        "are needed to see a difference of 10 points."
    ) in page(effect(told.settings))


def test_the_first_weeks_are_no_pace(told) -> None:
    # On the first day all who matched already came at once.
    tell(told, {"first_enrolled_at": NOW - timedelta(days=20)})
    (one,) = effect(told.settings).as_json()["versions"]
    assert one["accounts_needed"] > 80
    assert one["days_needed"] is None
    assert (
        "more accounts (how long that takes can be told 28 days after the first entered) are needed"
    ) in one["because"]


def test_a_greater_difference_needs_fewer_accounts(told, monkeypatch) -> None:
    tell(told, ROW)
    (small,) = effect(told.company.settings).as_json()["versions"]
    monkeypatch.setenv("LIFECYCLE__EFFECT__WORTH_SEEING_POINTS", "30")
    (great,) = effect(told.company.settings).as_json()["versions"]
    assert 0 < great["accounts_needed"] < small["accounts_needed"]


def test_those_on_their_way_may_be_all_that_is_needed(told, monkeypatch) -> None:
    monkeypatch.setenv("LIFECYCLE__EFFECT__WORTH_SEEING_POINTS", "50")
    tell(told, {"reached": 60, "compared_with": 20, "goals_reached": 18, "goals_held_out": 6})
    (one,) = effect(told.company.settings).as_json()["versions"]
    assert 0 < one["accounts_needed"] <= 80
    assert one["days_needed"] == 28


def test_where_nobody_enters_any_more_it_says_so(told) -> None:
    tell(told, {"new_in_28d": 0})
    assert "none in 28 days, they never come" in page(effect(told.settings))


def test_enough_data_and_no_difference_is_told_apart(told) -> None:
    many = {"enrolled": 80_000, "entries_held_out": 20_000, "reached": 60_000}
    tell(told, {**many, "compared_with": 20_000, "goals_reached": 18_000, "goals_held_out": 6_000})
    (one,) = effect(told.settings).as_json()["versions"]
    assert one["verdict"] == "no difference seen yet"
    assert one["accounts_needed"] == 0
    assert "would have been seen by now in 80% of cases" in one["because"]


@pytest.mark.parametrize(
    ("without", "why"),
    [
        ({"last_goal_until": None}, "Its file names no goal."),
        ({"entries_held_out": 0, "compared_with": 0}, "Nobody is held out to compare with."),
    ],
)
def test_what_cannot_be_measured_has_its_reason(told, without, why) -> None:
    tell(told, {**without, "effect": None, "goals_held_out": 0})
    found = effect(told.settings)
    (one,) = found.as_json()["versions"]
    assert (one["verdict"], one["because"]) == ("not measured", why)
    assert why in page(found)
    with duckdb.connect(told.settings.published_db) as db:
        assert newest(read_effects(told.settings, db)) == []


def test_each_version_is_told_alone_and_the_present_one_is_marked(told) -> None:
    (trigger,) = load_triggers(told.settings)
    tell(
        told,
        {"trigger_version": trigger.version, "first_enrolled_at": NOW - timedelta(days=3)},
        ROW,
    )
    found = effect(told.settings, "win_back").as_json()["versions"]
    assert [one["is_present"] for one in found] == [True, False]
    with duckdb.connect(told.settings.published_db) as db:
        assert [one.version for one in newest(read_effects(told.settings, db))] == [trigger.version]


def test_a_trigger_that_nobody_entered_is_named(told) -> None:
    tell(told)
    assert effect(told.settings).as_json()["nobody_entered"] == ["win_back"]
    with pytest.raises(UnknownName, match='did you mean "win_back"'):
        effect(told.settings, "winback")


def test_the_report_of_a_run_shows_it(told) -> None:
    tell(told, {"goals_reached": 190, "effect": 0.491667})
    report = RunReport(
        run_id="r1",
        as_of=MONDAY,
        source="files",
        dry_run=False,
        state_dir="/state",
        time_zone="Asia/Tokyo",
    )
    with duckdb.connect(told.settings.published_db) as db:
        report.add_effects(newest(read_effects(told.settings, db)))
    assert "win_back 00000000 helps: +49.2 points" in " ".join(report.as_text().split())
    json.dumps(asdict(report), default=str)
    assert json.loads(json.dumps(report.as_json()))["effects"][0]["verdict"] == "helps"
