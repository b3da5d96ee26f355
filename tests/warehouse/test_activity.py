"""fct_account_activity_daily: whatever was loaded when, and whatever day is looked at."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from lifecycle import settings as settings_module
from warehouse.dbt_in_process import dbt
from warehouse.raw_company import TOML, Company

ZONES = ["Asia/Tokyo", "Europe/London", "America/Los_Angeles", "Pacific/Kiritimati"]
NAMES = ["login", "report_created", "report_shared", "mail_opened"]
FIRST = datetime.fromisoformat("2025-03-05")  # daylight saving begins in this month
COLUMNS = (
    "account_id, activity_date, events, active_users, features_used, core_events,"
    " outcome_events, first_active_at, last_active_at, first_core_at, first_outcome_at"
)


class World:
    """A company, and what its activity should be, reckoned in Python."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.company = Company(folder)
        self.dice = dice
        self.zones = {f"a{number}": dice.choice(ZONES) for number in range(4)}
        self.as_of = FIRST + timedelta(days=5)
        self.deliveries = 0
        self.crm()

    def crm(self) -> None:
        self.deliveries += 1
        self.company.deliver(
            "accounts",
            str(FIRST - timedelta(days=90) + timedelta(hours=self.deliveries)),
            *(
                {"account_id": account, "name": account, "created_at": "2024-01-01"}
                | {"time_zone": zone}
                for account, zone in self.zones.items()
            ),
        )

    def load(self, loaded_at: datetime, earliest: datetime, latest: datetime) -> None:
        span = int((latest - earliest).total_seconds())
        self.company.events(
            str(loaded_at),
            *(
                (
                    f"a{self.dice.randrange(5)}",  # a4 never is an account
                    str(earliest + timedelta(seconds=self.dice.randrange(span))),
                    self.dice.choice(NAMES),
                )
                for _ in range(self.dice.randrange(1, 25))
            ),
        )

    def roles(self, activity: str) -> None:
        file = self.company.settings.root / "lifecycle.toml"
        file.write_text(TOML.replace('activity = ["*"]', f"activity = {activity}"))

    def build(self, target: Path, *options: str) -> None:
        self.company.see(str(self.as_of))
        arguments = ("build", "--select", "+fct_account_activity_daily", *options)
        done = dbt(
            self.company.settings,
            target,
            *arguments,
            "--exclude-resource-type",
            "unit_test",
            "test",
        )
        assert done.success, done.exception or [r.message for r in done.result.results]

    def found(self) -> list[tuple[Any, ...]]:
        return self.company.sql(
            f"select {COLUMNS} from marts.fct_account_activity_daily order by all"
        )

    def expected(self) -> list[tuple[Any, ...]]:
        counts_all = settings_module.load(
            self.company.settings.root / "lifecycle.toml"
        ).events.activity == ["*"]
        days: dict[tuple[str, Any], list[tuple[Any, ...]]] = defaultdict(list)
        for account, moment, name, user, feature in self.company.sql(
            "select account_id, occurred_at, event_name, user_id, feature from raw.usage_events"
        ):
            meant = counts_all or name in ("login", "report_created", "report_shared")
            if account in self.zones and moment <= self.as_of and meant:
                zone = ZoneInfo(self.zones[account])
                day = moment.replace(tzinfo=UTC).astimezone(zone).date()
                days[account, day].append((moment, name, user, feature))
        rows = []
        for (account, day), events in days.items():
            moments = [moment for moment, *_ in events]
            core = [moment for moment, name, *_ in events if name.startswith("report_")]
            outcomes = [moment for moment, name, *_ in events if name == "report_shared"]
            users = {user for *_, user, _ in events if user}
            features = {feature for *_, feature in events if feature}
            counts = (len(events), len(users), len(features), len(core), len(outcomes))
            firsts = (min(core, default=None), min(outcomes, default=None))
            rows.append((account, day, *counts, min(moments), max(moments), *firsts))
        return sorted(rows, key=lambda row: (row[0], row[1]))


def test_an_incremental_build_equals_a_count_from_scratch(tmp_path: Path) -> None:
    dice = random.Random(1)
    world = World(tmp_path / "company", dice)
    newest_load = world.as_of
    world.load(newest_load, FIRST - timedelta(days=3), world.as_of + timedelta(days=2))
    story: list[str] = []
    moves = [
        "on",
        "back",
        "late",
        "same clock",
        "older clock",
        "zone",
        "gone",
        "again",
        "roles",
        "erased",
    ]
    for move in [*dice.sample(moves, len(moves)), "nothing", "on"]:
        story.append(move)
        if move == "on":
            world.as_of += timedelta(hours=dice.randrange(1, 60))
            newest_load = max(newest_load, world.as_of)
            world.load(newest_load, world.as_of - timedelta(days=2), world.as_of)
        elif move == "back":
            world.as_of -= timedelta(hours=dice.randrange(1, 90))
        elif move == "late":
            newest_load += timedelta(minutes=1)
            world.load(newest_load, FIRST - timedelta(days=20), FIRST + timedelta(days=9))
        elif move == "same clock":
            world.load(newest_load, FIRST - timedelta(days=5), FIRST + timedelta(days=9))
        elif move == "older clock":
            older = newest_load - timedelta(days=9)
            world.load(older, FIRST - timedelta(days=5), FIRST + timedelta(days=9))
        elif move == "zone":
            world.zones[dice.choice(sorted(world.zones))] = dice.choice(ZONES)
            world.crm()
        elif move == "gone":
            world.zones.pop(dice.choice(sorted(world.zones)))
            world.crm()
        elif move == "again":
            world.zones.update({f"a{number}": dice.choice(ZONES) for number in range(4)})
            world.crm()
        elif move == "erased":
            everything = "select event_id from raw.usage_events order by 1"
            (event,) = dice.choice(world.company.sql(everything))
            world.company.sql("delete from raw.usage_events where event_id = ?", [event])
        elif move == "roles":
            world.roles(dice.choice(['["*"]', '["log*"]']))
        world.build(tmp_path / "target")
        assert world.found() == world.expected(), story
    world.build(tmp_path / "target", "--full-refresh")
    assert world.found() == world.expected()


def test_a_second_build_counts_only_what_is_new(tmp_path: Path) -> None:
    world = World(tmp_path / "company", random.Random(3))
    world.load(world.as_of, FIRST - timedelta(days=9), world.as_of)
    world.build(tmp_path / "target")
    # A day that was counted shows it when it is counted again.
    world.company.sql("update intermediate.int_account_days_counted set active_users = 99")
    new = world.as_of + timedelta(hours=30)
    world.as_of = new
    account, zone = next(iter(world.zones.items()))
    world.company.events(str(new), (account, str(new), "login"))
    world.build(tmp_path / "target")
    day = new.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()
    again = world.company.sql(
        "select account_id, activity_date from marts.fct_account_activity_daily"
        " where active_users <> 99"
    )
    assert again == [(account, day)]
