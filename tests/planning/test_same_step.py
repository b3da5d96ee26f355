"""One person gets one mail of a step, through whatever contact and whatever account."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from company import utc
from lifecycle.ledger import approvals
from lifecycle.ledger.delivery import claim
from lifecycle.ledger.tables import State, sends
from world import World

WELCOME = """
audience: is_dormant
recipients: role = 'admin'
launch: existing
enter: once
steps:
  - {id: check_in, after: 0d}
"""
DAY = timedelta(days=1)
WED = "2026-06-10 01:00"


@pytest.fixture
def world(tmp_path: Path, ledger_url: str) -> Iterator[World]:
    result = World(tmp_path / "company", ledger_url)
    yield result
    result.close()


def people(world: World, *rows: tuple[str, str, str]) -> None:
    """Contact, account and address of each; all accounts are dormant."""
    accounts = dict.fromkeys(account for _, account, _ in rows)
    world.marts.accounts([{"account_id": account} for account in accounts])
    world.marts.contacts([{"contact_id": c, "account_id": a, "email": mail} for c, a, mail in rows])


def accepted(world: World) -> list[tuple[str, str]]:
    """Account and contact of what left, in order of the moment at which it could."""
    rows = world.rows(sends, "account_id", "contact_id", "state", "not_before")
    rows = sorted(rows, key=lambda row: (row.not_before, row.account_id, row.contact_id))
    return [(row.account_id, row.contact_id) for row in rows if row.state == State.ACCEPTED]


def test_two_contacts_with_one_address_get_one_mail(world: World) -> None:
    world.win_back()
    people(world, ("c1", "a1", "Taro@example.com"), ("c2", "a1", "taro@EXAMPLE.com"))
    result = world.run(WED)
    assert (accepted(world), dict(result.withheld)) == ([("a1", "c1")], {"same_step_recently": 1})
    # The next cycle, and the next step, go to it again.
    world.run("2026-06-17 01:00")
    assert len(accepted(world)) == 2


def test_no_step_overtakes_the_one_that_waits_as_another_contacts(world: World) -> None:
    world.win_back(("{id: last_call, after: 7d}", "{id: last_call, after: 1d}"))
    people(world, ("c1", "a1", "taro@example.com"), ("c2", "a1", "taro@example.com"))
    world.run("2026-06-09 20:00")
    with world.ledger.write() as connection:
        approvals.mark(connection, "run-1", people=1, over_budget="one too many")
    world.run("2026-06-10 20:00")
    assert [(row.contact_id, row.step) for row in world.rows(sends, "contact_id", "step")] == [
        ("c1", "check_in")
    ]


def test_a_second_account_of_the_person_waits_for_its_time(world: World) -> None:
    world.win_back()
    people(world, ("c1", "a1", "ann@example.com"))
    world.run(WED)
    people(world, ("c1", "a1", "ann@example.com"), ("c2", "a2", "ann@example.com"))
    result = world.run("2026-06-11 01:00")
    assert accepted(world) == [("a1", "c1")]
    assert [row.detail for row in result.decisions.withheld] == [
        "this address got the step in the last 30 days through a1"
    ]
    people(world, ("c1", "a1", "ann@example.com"), ("c3", "a3", "ann@example.com"))
    world.run("2026-07-13 01:00")
    assert ("a3", "c3") in accepted(world)


def test_what_one_run_plans_counts_for_its_other_accounts(world: World) -> None:
    world.win_back()
    people(world, ("c1", "a1", "ann@example.com"), ("c2", "a2", "ann@example.com"))
    result = world.run(WED)
    assert (accepted(world), result.withheld["same_step_under_way"]) == ([("a1", "c1")], 1)
    result = world.run("2026-06-10 02:00")
    assert (accepted(world), result.withheld["same_step_recently"]) == ([("a1", "c1")], 1)


def test_a_mail_that_is_only_planned_counts(world: World) -> None:
    world.win_back()
    people(world, ("c1", "a1", "ann@example.com"))
    world.run("2026-06-10 10:00")  # after hours in Tokyo: it waits for the morning
    assert accepted(world) == []
    people(world, ("c1", "a1", "ann@example.com"), ("c2", "a2", "ann@example.com"))
    world.run("2026-06-10 11:00")
    world.run("2026-06-11 01:00")
    assert accepted(world) == [("a1", "c1")]


def test_a_new_account_id_does_not_bring_a_welcome_again(world: World) -> None:
    world.company.trigger("welcome", WELCOME, "check_in")
    people(world, ("c1", "a1", "ann@example.com"))
    world.run(WED)
    people(world, ("c9", "a9", "ann@example.com"))
    world.run("2026-06-11 01:00")
    world.run("2027-06-10 01:00")
    assert accepted(world) == [("a1", "c1")]


def test_a_trigger_per_account_reaches_each(world: World) -> None:
    world.win_back(("launch:", "per: account\nlaunch:"))
    people(
        world,
        ("c1", "a1", "ann@example.com"),
        ("c2", "a2", "ann@example.com"),
        ("c3", "a2", "Ann@example.com"),
    )
    world.run(WED)
    assert accepted(world) == [("a1", "c1"), ("a2", "c2")]


def test_the_span_is_a_setting(world: World) -> None:
    world.win_back()
    toml = world.company.folder / "lifecycle.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text.replace("[plan]", '[plan]\nsame_step_again_after = "0d"'))
    people(world, ("c1", "a1", "ann@example.com"), ("c2", "a2", "ann@example.com"))
    world.run(WED)
    assert accepted(world) == [("a1", "c1"), ("a2", "c2")]


@pytest.mark.parametrize("accounts", [("a1", "a2"), ("a1", "a1")], ids=["two", "one"])
def test_the_claim_asks_once_more(world: World, accounts: tuple[str, str]) -> None:
    """Mails that were planned before their addresses became one."""
    world.win_back()
    first, second = accounts
    people(world, ("c1", first, "ann@example.com"), ("c2", second, "bob@example.com"))
    at = utc("2026-06-10 10:00")
    world.run(at)
    now = utc("2026-06-11 01:00")
    with world.ledger.write() as connection:
        connection.execute(update(sends).values(address="ann@example.com", state=State.QUEUED))
        claims, _ = claim(connection, now, worker="w:1:1", lease=DAY, limit=1)
        more, _ = claim(connection, now, worker="w:1:1", lease=DAY)
        left = connection.execute(
            select(sends.c.detail).where(sends.c.state == State.SUPPRESSED)
        ).all()
    assert (len(claims), len(more), len(left)) == (1, 0, 1)
    assert left[0].detail.startswith("same_step_recently: ")
