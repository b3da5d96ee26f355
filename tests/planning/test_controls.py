"""What a person stops and lets go on: when a run plans, and when a delivery claims."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from company import utc
from lifecycle.errors import InputError
from lifecycle.ledger import controls
from lifecycle.ledger.record import record
from lifecycle.ledger.tables import actions, enrollments, launches
from lifecycle.ledger.tables import withheld as withheld_table
from lifecycle.mail.deliver import deliver
from lifecycle.planning.plan import decide
from lifecycle.triggers.folder import load_triggers
from world import World

EVENING = "2026-06-09 20:00"  # 05:00 in Tokyo: mails are planned for 09:00
WEDNESDAY = "2026-06-10 01:00"  # 10:00 in Tokyo
THURSDAY = "2026-06-11 01:00"
AIKO = {"by": "aiko", "why": "wrong offer"}


@pytest.fixture
def world(tmp_path, ledger_url) -> Iterator[World]:
    result = World(tmp_path / "company", ledger_url)
    result.win_back()
    result.account()
    yield result
    result.close()


def deliver_at(world: World, moment: str) -> None:
    deliver(world.company.settings, world.ledger, now=utc(moment))


def two(world: World) -> None:
    world.marts.accounts([{"account_id": "a1"}, {"account_id": "a2"}])
    world.marts.contacts([{"contact_id": f"c{n}", "account_id": f"a{n}"} for n in (1, 2)])


def test_a_pause_stops_what_is_queued_and_a_resume_lets_it_go(world):
    world.run(EVENING)
    controls.pause(world.ledger, "win_back", **AIKO)
    deliver_at(world, WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "planned")]
    assert controls.resume(world.ledger, "win_back", **AIKO) == "paused"
    deliver_at(world, WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "accepted")]
    rows = world.rows(actions, "action", "subject", "by", "why")
    assert rows == [(name, "win_back", "aiko", "wrong offer") for name in ("pause", "resume")]
    with pytest.raises(InputError, match="neither paused nor off"):
        controls.resume(world.ledger, "win_back", **AIKO)


def test_a_paused_trigger_takes_nobody_and_decides_no_step(world):
    world.run(WEDNESDAY)
    controls.pause(world.ledger, "win_back", **AIKO)
    two(world)
    result = world.run("2026-06-17 01:00")
    assert result.withheld == {"paused": 2}
    assert result.waiting == [
        "win_back is paused: its mails stay where they are (aiko: wrong offer)"
    ]
    assert world.mails() == [("a1", "check_in", "accepted")]
    controls.resume(world.ledger, "win_back", **AIKO)
    world.run("2026-06-18 01:00")
    assert [mail for mail in world.mails() if mail[0] == "a1"][-1][1:] == ("last_call", "accepted")


def test_what_became_too_late_during_a_pause_is_not_sent(world):
    world.run(EVENING)
    controls.pause(world.ledger, "win_back", **AIKO)
    world.run("2026-06-22 01:00")
    controls.resume(world.ledger, "win_back", **AIKO)
    result = world.run("2026-06-23 01:00")
    assert world.mails() == [("a1", "check_in", "expired")]
    assert result.withheld == {"late": 1}, "last_call was due on the 17th"


def test_who_comes_back_leaves_also_during_a_pause(world):
    world.run(EVENING)
    controls.pause(world.ledger, "win_back", **AIKO)
    world.account(is_dormant=False)
    world.run(WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "cancelled")]


def test_off_lets_those_inside_finish_and_nobody_enter(world):
    world.run(WEDNESDAY)
    controls.turn_off(world.ledger, "win_back", **AIKO)
    two(world)
    assert world.run("2026-06-17 01:00").withheld == {"turned_off": 1}
    world.run("2026-06-18 01:00")
    assert world.mails() == [("a1", "check_in", "accepted"), ("a1", "last_call", "accepted")]
    assert world.rows(enrollments, "account_id", "end_reason") == [("a1", "completed")]


@pytest.mark.parametrize("stop", [controls.pause, controls.turn_off])
def test_a_trigger_that_is_stopped_before_its_first_run_is_not_launched(world, stop):
    stop(world.ledger, "win_back", **AIKO)
    world.run(EVENING)
    assert world.rows(launches, "trigger") == []
    assert world.rows(enrollments, "cycle") == []
    controls.resume(world.ledger, "win_back", **AIKO)
    world.run(WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "accepted")]


def test_a_cancel_ends_all_who_are_inside_and_they_do_not_come_back_by_themselves(world):
    world.run(EVENING)
    done = controls.cancel(world.ledger, "win_back", now=utc("2026-06-09 21:00"), **AIKO)
    assert (done.accounts, done.mails) == (1, 1)
    two(world)
    world.run(WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "cancelled"), ("a2", "check_in", "accepted")]
    assert dict(world.rows(enrollments, "account_id", "end_reason")) == {
        "a1": "cancelled",
        "a2": None,
    }


def test_an_account_on_hold_enters_nothing_and_gets_nothing_until_the_day(world):
    world.run(EVENING)
    two(world)
    for account in ("a1", "a2"):
        controls.hold(world.ledger, account, until=utc("2026-06-11 15:00"), **AIKO)
    deliver_at(world, WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "planned")]
    assert world.run(THURSDAY).withheld == {"on_hold": 2}
    assert sorted(world.rows(withheld_table, "account_id", "reason", "detail")) == [
        (account, "on_hold", "until 2026-06-12 (aiko: wrong offer)") for account in ("a1", "a2")
    ]
    world.run("2026-06-12 01:00")
    assert world.mails() == [("a1", "check_in", "accepted"), ("a2", "check_in", "accepted")]


def test_a_step_waits_for_the_end_of_a_hold_and_may_be_too_late_by_then(world):
    world.run(WEDNESDAY)
    controls.hold(world.ledger, "a1", until=utc("2026-06-19 15:00"), **AIKO)
    assert world.run("2026-06-17 01:00").withheld == {"on_hold": 1}
    controls.unhold(world.ledger, "a1", now=utc("2026-06-17 02:00"), **AIKO)
    world.run("2026-06-18 01:00")
    assert world.mails()[-1] == ("a1", "last_call", "accepted")
    with pytest.raises(InputError, match="a1 is not on hold"):
        controls.unhold(world.ledger, "a1", now=utc("2026-06-17 02:00"), **AIKO)


@pytest.mark.parametrize("stop", ["off", "hold"])
def test_what_is_stopped_while_a_run_decides_takes_nobody(world, stop):
    settings = world.company.settings
    with world.ledger.read() as memory:
        triggers = load_triggers(settings)
        result = decide(settings, world.warehouse, memory, triggers, as_of=utc(EVENING)).decisions
    assert len(result.sends) == 1
    if stop == "off":
        controls.turn_off(world.ledger, "win_back", **AIKO)
    else:
        controls.hold(world.ledger, "a1", until=utc("2026-06-11 15:00"), **AIKO)
    world.begin("r1", EVENING)
    with world.ledger.write() as connection:
        record(connection, result, run_id="r1", at=utc(EVENING))
    assert world.mails() == []
    assert world.rows(enrollments, "cycle") == []
