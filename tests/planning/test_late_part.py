"""A part of the usage feed that is late: its accounts wait, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.ledger.tables import enrollments
from world import World

LATE: dict[str, Any] = {"feed_status": "late", "is_dormant": None}


@pytest.fixture
def world(tmp_path: Path, ledger_url: str) -> Iterator[World]:
    result = World(tmp_path / "company", ledger_url)
    result.win_back()
    see(result)
    yield result
    result.close()


def see(world: World, **of_a1: Any) -> None:
    """Two dormant accounts with an admin each; columns of the first."""
    world.marts.accounts([{"account_id": "a1", **of_a1}, {"account_id": "a2"}])
    world.marts.contacts([{"contact_id": f"c{n}", "account_id": f"a{n}"} for n in (1, 2)])


def states(world: World) -> dict[tuple[str, str], str]:
    return {(account, step): state for account, step, state in world.mails()}


def test_a_planned_mail_is_kept_until_its_accounts_part_is_there(world: World) -> None:
    world.run("2026-06-10 01:00")
    world.run("2026-06-16 20:00")  # plans last_call for the next morning
    see(world, **LATE)
    result = world.run("2026-06-17 02:00")
    assert result.waiting == [], "the trigger goes on"
    assert states(world)["a1", "last_call"] == "planned"
    assert states(world)["a2", "last_call"] == "accepted"
    assert world.rows(enrollments, "end_reason")[0] == (None,)

    see(world)
    world.run("2026-06-18 02:00")
    assert states(world)["a1", "last_call"] == "accepted"


def test_a_step_that_comes_due_waits_and_is_named(world: World) -> None:
    world.run("2026-06-10 01:00")
    see(world, **LATE)
    result = world.run("2026-06-17 02:00")
    assert result.withheld == {"waiting_for_feed": 1}
    assert ("a1", "last_call") not in states(world)
    assert states(world)["a2", "last_call"] == "accepted"


def test_nobody_enters_whose_part_is_late(world: World) -> None:
    see(world, **LATE)
    world.run("2026-06-10 01:00")
    assert set(states(world)) == {("a2", "check_in")}


LOST = "no event of the last two business days matches the pattern outcome report_*"
ONBOARDING = """
audience: onboarding_status = 'on_track'
recipients: role = 'admin'
launch: existing
enter: once
exit_when: first_outcome_at is not null
steps:
  - {id: welcome, after: 0d}
  - {id: second, after: 4d, when: ladder_step < 2}
"""


def milestones(world: World, reason: str | None) -> None:
    world.marts.connection.execute(
        "create or replace table marts.account_feed as select account_id,"
        " ?::varchar as milestones_unknown_because from marts.account_360",
        [reason],
    )


def test_a_lost_pattern_holds_what_hangs_on_milestones_and_skips_no_step(world: World) -> None:
    world.company.trigger("onboarding", ONBOARDING, "welcome", "second")
    known = {"onboarding_status": "on_track", "ladder_step": 1, "is_dormant": False}
    see(world, **known)
    milestones(world, None)
    world.run("2026-06-10 01:00")
    assert states(world)["a1", "welcome"] == "accepted"

    see(world, onboarding_status=None, ladder_step=None)
    milestones(world, LOST)
    result = world.run("2026-06-15 02:00")
    assert f"onboarding waits: {LOST}" in result.waiting
    assert not [text for text in result.waiting if text.startswith("win_back")]
    assert ("a1", "second") not in states(world)

    see(world, **known)
    milestones(world, None)
    world.run("2026-06-16 02:00")
    assert states(world)["a1", "second"] == "accepted", "it was not skipped meanwhile"
