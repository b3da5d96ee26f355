"""Runs over days: who enters, leaves and is mailed, and who is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from company import utc
from lifecycle.ledger.tables import enrollments, launches, sends, suppressions
from lifecycle.ledger.tables import withheld as withheld_table
from lifecycle.mail.deliver import deliver
from lifecycle.triggers.folder import load_triggers
from world import WIN_BACK, World


@pytest.fixture
def world(tmp_path, ledger_url) -> Iterator[World]:
    result = World(tmp_path / "company", ledger_url)
    yield result
    result.close()


WEDNESDAY = "2026-06-10 01:00"  # 10:00 in Tokyo
LATER = "2026-06-17 01:00"


def test_a_dormant_account_gets_its_steps_on_their_days_and_no_second_time(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.run(WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "accepted")]
    world.run("2026-06-11 01:00")
    assert len(world.mails()) == 1
    world.run(LATER)
    assert world.mails() == [("a1", "check_in", "accepted"), ("a1", "last_call", "accepted")]
    world.run("2026-06-18 01:00")
    assert world.outbox() == 2
    assert world.rows(enrollments, "end_reason") == [("completed",)]


def test_a_mail_of_tomorrow_is_cancelled_when_the_account_comes_back(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.run("2026-06-16 20:00")  # plans last_call for the next morning
    assert world.mails()[1] == ("a1", "last_call", "planned")
    world.account(is_dormant=False)
    world.run("2026-06-16 21:00")
    assert world.mails()[1] == ("a1", "last_call", "cancelled")
    world.run("2026-06-18 01:00")
    assert world.outbox() == 1
    assert world.rows(enrollments, "end_reason") == [("exit",)]


def test_a_new_episode_opens_a_new_cycle_only_after_the_audience_was_seen_false(world):
    world.win_back(("exit_when: not is_dormant\n", ""))
    world.account()
    for day in (WEDNESDAY, LATER, "2026-06-18 01:00", "2026-06-19 01:00"):
        world.run(day)
    assert world.rows(enrollments, "cycle") == [(1,)]
    world.account(is_dormant=False)
    world.run("2026-06-22 01:00")
    world.account()
    world.run("2026-06-23 01:00")
    assert [row.cycle for row in world.rows(enrollments, "cycle")] == [1, 2]
    assert world.outbox() == 3


def test_null_is_neither_in_the_audience_nor_out_of_it(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.account(is_dormant=None)
    world.run("2026-06-11 01:00")
    assert world.rows(enrollments, "end_reason", "seen_false_at") == [(None, None)]


def test_while_the_feed_is_late_mail_is_held_and_nothing_enters_or_leaves(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.run("2026-06-16 20:00")
    world.marts.feed("late")
    world.account(is_dormant=None)
    result = world.run("2026-06-17 02:00")
    assert "win_back waits" in result.waiting[0]
    assert result.withheld == {"waiting_for_feed": 1}
    assert world.mails()[1] == ("a1", "last_call", "planned")
    world.marts.feed("fresh")
    world.account()
    world.run("2026-06-17 04:00")
    assert world.mails()[1] == ("a1", "last_call", "accepted")


def test_a_trigger_that_needs_no_feed_goes_on_while_the_feed_is_late(world):
    world.win_back(
        ("audience: is_dormant", "audience: plan = 'trial'"), ("exit_when: not is_dormant\n", "")
    )
    world.marts.feed("late")
    world.account(plan="trial", is_dormant=None)
    world.run(WEDNESDAY)
    assert world.outbox() == 1


def test_a_first_run_with_a_late_feed_is_no_launch(world):
    world.win_back(("launch: existing", "launch: new_only"))
    world.marts.feed("late")
    world.account(is_dormant=None)
    world.run(WEDNESDAY)
    assert world.rows(launches, "trigger") == []


def test_new_only_lets_in_who_was_seen_false_first(world):
    world.win_back(("launch: existing", "launch: new_only"))
    world.account()
    assert world.run(WEDNESDAY, dry_run=True).withheld == {"matched_before_launch": 1}
    assert world.rows(launches, "trigger") == []  # looking is not launching
    world.account(is_dormant=False)
    world.run(WEDNESDAY)  # nobody matches at launch
    world.account()
    world.run("2026-06-11 01:00")
    assert world.outbox() == 1


def test_who_was_moved_by_a_score_version_alone_enters_once_it_was_outside(world):
    world.win_back(("audience: is_dormant", "audience: usage_band = 'red'"))
    world.account(usage_band="green", is_dormant=False)
    world.run(WEDNESDAY)
    history = "insert into marts.fct_account_health_daily values ('a1', ?, ?, ?, true)"
    world.marts.connection.execute(history, ["2026-06-10 01:00", None, "v1"])
    world.account(usage_band="red")
    world.marts.connection.execute(history, ["2026-06-11 01:00", "weights", "v2"])
    assert world.run("2026-06-11 01:00").withheld == {"moved_by_score_version": 1}
    assert world.run("2026-06-12 01:00").withheld == {"matched_before_launch": 1}
    assert world.outbox() == 0
    world.account(usage_band="green")
    world.run("2026-06-13 01:00")
    world.account(usage_band="red")
    world.run("2026-06-15 01:00")
    assert world.outbox() == 1


def test_new_only_keeps_out_who_matched_already(world):
    world.win_back(("launch: existing", "launch: new_only"))
    world.account()
    assert world.run(WEDNESDAY).withheld == {"matched_before_launch": 1}
    assert world.run("2026-06-11 01:00").withheld == {"matched_before_launch": 1}
    assert world.outbox() == 0
    world.account(is_dormant=False)
    world.run("2026-06-12 01:00")
    world.account()
    world.run("2026-06-15 01:00")
    assert world.outbox() == 1


@pytest.mark.parametrize(("enter", "cycles"), [("once", 1), ("{every: 14d}", 2)])
def test_how_often_an_account_may_enter(world, enter, cycles):
    world.win_back(("enter: once_per_episode", f"enter: {enter}"))
    world.account()
    world.run(WEDNESDAY)
    world.account(is_dormant=False)
    world.run("2026-06-11 01:00")
    world.account()
    world.run("2026-06-12 01:00")
    assert len(world.rows(enrollments, "cycle")) == 1
    world.run("2026-06-24 01:00")
    assert len(world.rows(enrollments, "cycle")) == cycles


def test_a_churned_account_leaves_and_a_deleted_one_too(world):
    world.win_back(("exit_when: not is_dormant\n", ""))
    world.marts.accounts([{"account_id": "a1"}, {"account_id": "a2"}])
    world.marts.contacts([{"contact_id": f"c{n}", "account_id": f"a{n}"} for n in (1, 2)])
    world.run(WEDNESDAY)
    world.account(stage="churned")
    for day in (11, 12, 13):
        assert world.run(f"2026-06-{day} 01:00").withheld["absent"] == 1
    world.run("2026-06-14 01:00")
    assert sorted(world.rows(enrollments, "account_id", "end_reason")) == [
        ("a1", "churned"),
        ("a2", "deleted"),
    ]


def test_an_account_whose_row_was_set_aside_is_not_a_deleted_one(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.marts.accounts([])
    world.marts.contacts([])
    world.warehouse.execute(
        "insert into marts.rejected_rows values ('accounts', 'a1', 'mrr is no number', 'mrr')"
    )
    assert world.run("2026-06-11 01:00").withheld == {"account_set_aside": 1}
    assert world.rows(enrollments, "end_reason") == [(None,)]


@pytest.mark.parametrize(
    ("change", "reason", "state"),
    [
        # One bad day of the CRM: it may come back.
        ({"consent_basis": None}, "no_consent", "planned"),
        (
            {"unsubscribed_at": datetime(2026, 6, 16, 20, 30)},  # noqa: DTZ001
            "unsubscribed",
            "suppressed",
        ),
    ],
)
def test_a_planned_mail_is_stopped_when_consent_is_withdrawn(world, change, reason, state):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.run("2026-06-16 20:00")  # plans last_call for the next morning
    world.marts.contacts([{"contact_id": "c1", "account_id": "a1", **change}])
    assert world.run("2026-06-16 21:00").withheld == {reason: 1}
    world.run("2026-06-17 01:00")
    assert world.mails()[1] == ("a1", "last_call", state)
    assert world.outbox() == 1


def test_a_contact_whose_row_was_set_aside_is_not_one_who_is_gone(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.run("2026-06-16 20:00")  # plans last_call for the next morning
    world.marts.contacts([])
    world.warehouse.execute(
        "insert into marts.rejected_rows values ('contacts', 'c1', 'no locale', 'locale')"
    )
    assert world.run("2026-06-16 21:00").withheld == {"contact_set_aside": 1}
    assert world.mails()[1] == ("a1", "last_call", "planned")
    world.warehouse.execute("delete from marts.rejected_rows")
    for day in (17, 18, 19):
        assert world.run(f"2026-06-{day} 01:00").withheld == {"contact_gone": 1}
        assert world.outbox() == 1
    world.run("2026-06-20 01:00")
    assert world.mails()[1] == ("a1", "last_call", "suppressed")
    assert world.rows(enrollments, "end_reason") == [("no_reader",)]


@pytest.mark.parametrize(
    ("column", "reason"),
    [("locale", "contact_set_aside"), ("unsubscribed_at", "contact_gone")],
)
def test_a_step_waits_for_a_contact_whose_row_was_set_aside(world, column, reason):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.marts.contacts([])
    world.warehouse.execute(
        f"insert into marts.rejected_rows values ('contacts', 'c1', 'unusable', '{column}')"
    )
    assert world.run(LATER).withheld == {reason: 1}
    world.warehouse.execute("delete from marts.rejected_rows")
    world.account()
    world.run("2026-06-18 01:00")
    assert world.outbox() == 2


@pytest.mark.parametrize(
    ("contact", "reason"),
    [
        ({"role": "user"}, "no_recipient"),
        ({"consent_basis": None}, "no_consent"),
        ({"unsubscribed_at": datetime(2026, 1, 1)}, "unsubscribed"),  # noqa: DTZ001
    ],
)
def test_who_may_not_be_mailed_is_told_why(world, contact, reason):
    world.win_back()
    world.account()
    world.marts.contacts([{"contact_id": "c1", "account_id": "a1", **contact}])
    assert world.run(WEDNESDAY).withheld == {reason: 1}
    assert world.rows(withheld_table, "account_id", "reason") == [("a1", reason)]
    assert world.rows(enrollments, "cycle") == []


def test_an_account_without_a_contact_is_told_of(world):
    world.win_back()
    world.account()
    world.marts.contacts([])
    world.run(WEDNESDAY)
    assert world.rows(withheld_table, "reason", "detail") == [("no_recipient", "it has no contact")]


def test_an_unsubscribe_stops_what_is_planned(world):
    world.win_back()
    world.account()
    world.run("2026-06-09 20:00")  # 05:00 in Tokyo: planned for 09:00
    assert world.mails() == [("a1", "check_in", "planned")]
    world.marts.contacts(
        [{"contact_id": "c1", "account_id": "a1", "unsubscribed_at": datetime(2026, 6, 9)}]  # noqa: DTZ001
    )
    world.run(WEDNESDAY)
    assert world.mails()[0] == ("a1", "check_in", "suppressed")
    assert world.outbox() == 0


def left_at_another_account(when: datetime | None) -> list[dict]:
    of_another = {"contact_id": "c2", "account_id": "a2", "email": "C1@example.com"}
    return [
        {"contact_id": "c1", "account_id": "a1"},
        {**of_another, "unsubscribed_at": when},
    ]


def test_who_left_in_the_crm_at_one_account_is_not_mailed_at_another(world):
    world.win_back()
    world.account()
    world.marts.contacts(left_at_another_account(datetime(2026, 1, 1)))  # noqa: DTZ001
    assert world.run(WEDNESDAY).withheld == {"unsubscribed": 1}
    assert world.rows(withheld_table, "contact_id", "detail") == [
        ("c1", "its address unsubscribed in the CRM, as another contact")
    ]
    world.marts.contacts(left_at_another_account(None))  # the CRM took it back
    world.run("2026-06-11 01:00")
    assert world.mails() == [("a1", "check_in", "accepted")]


def test_leaving_at_another_account_stops_what_is_planned(world):
    world.win_back()
    world.account()
    world.run("2026-06-09 20:00")  # 05:00 in Tokyo: planned for 09:00
    world.marts.contacts(left_at_another_account(datetime(2026, 6, 9)))  # noqa: DTZ001
    assert world.run(WEDNESDAY).withheld == {"unsubscribed": 1}
    assert world.mails() == [("a1", "check_in", "suppressed")]


def test_a_suppression_between_plan_and_claim_is_obeyed(world):
    world.win_back()
    world.account()
    world.run("2026-06-09 20:00")
    with world.ledger.write() as connection:
        connection.execute(
            suppressions.insert().values(
                address="c1@example.com", reason="complained", at=utc(WEDNESDAY), source="test"
            )
        )
    deliver(world.company.settings, world.ledger, now=utc(WEDNESDAY))
    assert world.mails() == [("a1", "check_in", "suppressed")]
    assert world.outbox() == 0


def test_a_cap_holds_over_triggers_and_the_higher_priority_wins(world):
    cap = ("launch: existing", "launch: existing\ncaps: {contact: 1/7d}")
    world.win_back(cap, ("exit_when", "priority: 10\nexit_when"))
    text = WIN_BACK.replace(*cap).replace("exit_when", "priority: 90\nexit_when")
    world.company.trigger("rescue", text, "check_in", "last_call")
    world.account()
    result = world.run(WEDNESDAY)
    assert result.withheld == {"capped": 1}
    assert world.rows(sends, "trigger") == [("rescue",)]


def test_a_removed_trigger_ends_what_it_began(world):
    world.win_back()
    world.account()
    world.run("2026-06-09 20:00")
    (world.company.folder / "triggers" / "win_back.yaml").unlink()
    world.run(WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "cancelled")]
    assert world.rows(enrollments, "end_reason") == [("trigger_removed",)]


def test_a_template_that_fails_for_one_account_holds_only_its_mail(world):
    world.win_back()
    mail = world.company.folder / "email_templates" / "win_back" / "check_in.en.txt"
    mail.write_text("Subject: Hello\n\nAbout {{ account.purpose }}.\n")
    world.marts.accounts(
        [{"account_id": "a1", "purpose": "monthly reports"}, {"account_id": "a2", "purpose": None}]
    )
    world.marts.contacts([{"contact_id": f"c{n}", "account_id": f"a{n}"} for n in (1, 2)])
    assert world.run(WEDNESDAY).withheld == {"template_error": 1}
    assert world.mails() == [("a1", "check_in", "accepted")]
    world.marts.accounts(
        [{"account_id": "a1", "purpose": "x"}, {"account_id": "a2", "purpose": "weekly reports"}]
    )
    world.run("2026-06-11 01:00")  # mended in the CRM: it goes a day later
    assert ("a2", "check_in", "accepted") in world.mails()


def test_a_mail_that_missed_its_window_waits_for_the_next_one(world):
    world.win_back()
    world.account()
    world.run("2026-06-09 20:00")  # planned for 09:00 in Tokyo, and then nobody delivers
    world.run("2026-06-10 12:00")  # 21:00
    assert world.mails() == [("a1", "check_in", "planned")]
    world.run("2026-06-11 00:00")
    assert world.mails() == [("a1", "check_in", "accepted")]


def test_two_people_of_one_account_get_one_mail_each(world):
    world.win_back()
    world.account()
    world.marts.contacts([{"contact_id": f"c{n}", "account_id": "a1"} for n in (1, 2)])
    world.run(WEDNESDAY)
    assert world.mails() == [("a1", "check_in", "accepted")] * 2


HALF_OUT = ("steps:", "goal: {when: not is_dormant, within: 28d}\nholdout: 50%\nsteps:")


def test_who_is_held_out_enters_and_gets_no_mail(world):
    world.win_back(HALF_OUT)
    (trigger,) = load_triggers(world.company.settings)
    ids = [f"a{number}" for number in range(40)]
    out = {key for key in ids if trigger.holds_out(key)}
    assert 5 < len(out) < 35
    world.marts.accounts([{"account_id": key} for key in ids])
    world.marts.contacts([{"contact_id": f"c-{key}", "account_id": key} for key in ids])
    result = world.run(WEDNESDAY)
    assert result.withheld["held_out"] == len(out)
    for day in ("2026-06-16 01:00", LATER, "2026-06-18 01:00"):
        world.run(day)
    assert {account for account, _, _ in world.mails()} == set(ids) - out
    rows = world.rows(enrollments, "account_id", "held_out", "end_reason")
    assert {row.account_id for row in rows if row.held_out} == out
    assert {row.end_reason for row in rows} == {"completed"}, "both leave with the last step"


def test_the_goal_is_seen_for_both_groups_and_only_in_time(world):
    world.win_back(HALF_OUT)
    ids = [f"a{number}" for number in range(40)]
    contacts = [{"contact_id": f"c-{key}", "account_id": key} for key in ids]
    world.marts.accounts([{"account_id": key} for key in ids])
    world.marts.contacts(contacts)
    world.run(WEDNESDAY)
    back = set(ids[::2])
    world.marts.accounts([{"account_id": key, "is_dormant": key not in back} for key in ids])
    world.run("2026-07-08 01:00")  # the 28th day
    world.marts.accounts([{"account_id": key, "is_dormant": False} for key in ids])
    world.run("2026-07-09 01:00")
    rows = world.rows(enrollments, "account_id", "held_out", "goal_met_at")
    assert {row.account_id for row in rows if row.goal_met_at} == back
    assert {row.held_out for row in rows if row.goal_met_at} == {False, True}
    assert {row.goal_met_at for row in rows} == {None, utc("2026-07-08 01:00")}


NEWS = """
audience: is_dormant
recipients: role = 'admin'
on: 2026-06-12
steps: [{id: news, after: 0d}]
"""


def test_a_broadcast_goes_once_on_its_day_to_those_who_match_then(world):
    world.company.trigger("news", NEWS, "news")
    world.account()
    world.run("2026-06-10 15:00")  # midnight in Tokyo: the next run comes before nine on the 12th
    assert world.rows(launches, "trigger") == []
    assert world.mails() == []
    world.run("2026-06-11 15:00")
    assert world.mails() == [("a1", "news", "planned")]
    world.run("2026-06-12 01:00")
    assert world.mails() == [("a1", "news", "accepted")]
    world.marts.accounts([{"account_id": "a1"}, {"account_id": "a2"}])
    world.marts.contacts([{"contact_id": f"c{n}", "account_id": f"a{n}"} for n in (1, 2)])
    world.run("2026-06-15 01:00")
    assert world.outbox() == 1, "who comes to match later gets no old news"


def test_a_broadcast_whose_day_was_missed_is_too_late(world):
    world.company.trigger("news", NEWS, "news")
    world.account()
    result = world.run("2026-06-22 01:00")
    assert world.mails() == []
    assert result.withheld["late"] == 1


def test_a_trigger_of_one_language_writes_to_everybody_in_it(world):
    world.win_back(("enter:", "locale: ja\nenter:"))
    folder = world.company.folder / "email_templates" / "win_back"
    for step in ("check_in", "last_call"):
        (folder / f"{step}.ja.txt").write_text("Subject: お元気ですか\n\nこんにちは。\n")
    world.account(locale="en")
    (send,) = world.run(WEDNESDAY, dry_run=True).decisions.sends
    assert (send.locale, send.locale_source) == ("ja", "trigger")
