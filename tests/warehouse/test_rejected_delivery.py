"""A rejected delivery leaves the growing tables as the last published run had them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lifecycle.ledger import approvals, held_deliveries, runs
from lifecycle.ledger.store import Ledger
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_delivery import keep_delivery
from lifecycle.warehouse.rejected_delivery import drop_rejected
from sources.delivery import EVENTS, NOW, World

LATER = NOW + timedelta(days=1)
PUBLISHED, HELD = "20260610-010000-aaaa", "20260611-010000-bbbb"
CORRECTED = {**EVENTS[3], "event_name": "another"}
NEW = {**EVENTS[0], "event_id": "E99"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Of one published delivery, and a second one that corrects an event, lacks one, and has a new
    one."""
    world = World(tmp_path)
    world.pull()
    with connect_work(world.settings) as work:
        work.execute(
            "create schema if not exists context;"
            f" create table context.run as select '{PUBLISHED}' as run_id,"
            f" timestamp '{NOW:%F %T}' as loaded_at"
        )
        keep_delivery(work)
    return world


def deliver_the_second(world: World) -> None:
    world.csv("usage_events", [*EVENTS[:3], CORRECTED, *EVENTS[5:], NEW])
    assert world.pull(LATER).corrected["usage_events"] == 2


def reject(world: World) -> None:
    with Ledger.open(world.settings.ledger_url) as ledger:
        runs.begin(ledger, run_id=HELD, as_of=LATER, source="files")
        held_deliveries.hold(ledger, HELD, {"usage_events": "digest"}, ["most ids moved"])
        approvals.reject(ledger, HELD, now=LATER, by="bo", why="a bug")
        drop_rejected(world.settings, ledger)


def events(world: World) -> list[tuple[Any, ...]]:
    return world.ask("select columns(*) from raw.usage_events order by event_id")


def test_what_it_replaced_is_put_back_and_what_it_brought_is_gone(world: World) -> None:
    published = events(world)
    deliver_the_second(world)
    assert {row[0] for row in events(world)} == {row["event_id"] for row in EVENTS} - {"E5"} | {
        "E99"
    }
    reject(world)
    assert events(world) == published
    assert world.ask("select 1 from duckdb_tables() where table_name like 'replaced_%'") == []


def test_its_file_is_read_again(world: World) -> None:
    published = events(world)
    deliver_the_second(world)
    reject(world)
    assert world.pull(LATER + timedelta(hours=1)).corrected["usage_events"] == 2, "not mended yet"
    with Ledger.open(world.settings.ledger_url) as ledger:
        drop_rejected(world.settings, ledger)
    world.csv("usage_events", EVENTS)
    assert world.pull(LATER + timedelta(hours=2)).corrected["usage_events"] == 0
    assert events(world) == published
