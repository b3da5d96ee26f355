"""What ends a sequence, and what does not."""

from journey import SILENT

TWO = """
steps:
  - {id: check_in,  after: 0d}
  - {id: last_call, after: 7d}
"""


def test_who_comes_back_between_two_mails_gets_no_second_one(live):
    days = """
        2026-06-10  silent
        2026-06-15  active
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == ["Wed 10 Jun 09:00 check_in"]


def test_who_comes_back_in_the_hours_before_the_mail_does_not_get_it(live):
    days = """
        2026-06-10        silent
        2026-06-17 08:00  active, run
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == ["Wed 10 Jun 09:00 check_in"]


def test_who_comes_back_and_falls_silent_again_begins_anew(live):
    days = """
        2026-06-10  silent
        2026-06-15  active
        2026-06-16  silent
    """
    assert live(SILENT + TWO, days, until="2026-06-24") == [
        "Wed 10 Jun 09:00 check_in",
        "Tue 16 Jun 09:00 check_in",
        "Tue 23 Jun 09:00 last_call",
    ]


def test_without_exit_when_the_sequence_goes_on(live):
    days = """
        2026-06-10  silent
        2026-06-15  active
    """
    trigger = SILENT.replace("exit_when: not is_dormant\n", "") + TWO
    assert live(trigger, days, until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in",
        "Wed 17 Jun 09:00 last_call",
    ]


def test_an_account_that_churned_is_left_alone(live):
    days = """
        2026-06-10  silent
        2026-06-15  stage = churned
    """
    trigger = SILENT.replace("exit_when: not is_dormant\n", "") + TWO
    assert live(trigger, days, until="2026-06-18") == ["Wed 10 Jun 09:00 check_in"]


def test_unless_the_trigger_is_for_those_who_left(live):
    trigger = SILENT + "include_churned: true" + TWO
    assert live(trigger, "2026-06-10  silent, stage = churned", until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in",
        "Wed 17 Jun 09:00 last_call",
    ]


def test_an_account_that_a_person_looks_after_is_theirs(live):
    trigger = SILENT.replace("exit_when: not is_dormant\n", "") + TWO
    days = "2026-06-10  silent, touch_model = high"
    assert live(trigger, days, until="2026-06-18") == []
    included = trigger.replace("steps:", "include_high_touch: true\nsteps:")
    assert live(included, days, until="2026-06-18", folder="included") == [
        "Wed 10 Jun 09:00 check_in",
        "Wed 17 Jun 09:00 last_call",
    ]


def test_an_account_that_a_person_takes_over_leaves_at_once(live):
    days = """
        2026-06-10  silent
        2026-06-15  touch_model = high
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == ["Wed 10 Jun 09:00 check_in"]


def test_an_account_that_is_gone_from_the_crm_gets_nothing_more(live):
    days = """
        2026-06-10  silent
        2026-06-12  a1: deleted
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == ["Wed 10 Jun 09:00 check_in"]


def test_a_goal_that_is_met_does_not_end_the_mails_an_exit_does(live):
    days = """
        2026-06-10  silent
        2026-06-15  active
    """
    goal = "goal: {when: not is_dormant, within: 28d}"
    without_exit = SILENT.replace("exit_when: not is_dormant\n", "")
    assert live(SILENT + goal + TWO, days, until="2026-06-18") == ["Wed 10 Jun 09:00 check_in"]
    assert live(without_exit + goal + TWO, days, until="2026-06-18", folder="no exit") == [
        "Wed 10 Jun 09:00 check_in",
        "Wed 17 Jun 09:00 last_call",
    ]


def test_while_the_feed_is_late_nobody_is_taken_for_silent_or_active(live):
    days = """
        2026-06-10  silent
        2026-06-16  feed late, unknown
        2026-06-18  feed fresh, silent
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in",
        "Thu 18 Jun 09:00 last_call",  # due on the 17th: it waited for the feed
    ]


def test_a_mail_already_planned_is_held_while_the_feed_is_late(live):
    days = """
        2026-06-10        silent
        2026-06-17 08:00  feed late, unknown, run
        2026-06-17 14:30  feed fresh, silent, run
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in",
        "Wed 17 Jun 14:30 last_call",
    ]


def test_after_a_feed_that_was_late_for_long_the_mail_is_too_late(prepare):
    days = """
        2026-06-10  silent
        2026-06-16  feed late, unknown
        2026-06-22  feed fresh, silent
    """
    journey = prepare(SILENT + TWO)
    assert journey.live(days, until="2026-06-23") == ["Wed 10 Jun 09:00 check_in"]
    assert "Mon 22 Jun late" in journey.withheld


def test_a_trigger_that_asks_nothing_of_the_feed_goes_on(live):
    trigger = (
        """
audience: plan = 'trial'
recipients: role = 'admin'
launch: existing
"""
        + TWO
    )
    days = "2026-06-10  plan = trial, feed late"
    assert live(trigger, days, until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in",
        "Wed 17 Jun 09:00 last_call",
    ]
