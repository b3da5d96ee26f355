"""When the mails of a sequence go: delays, windows, conditions of a step, lateness."""

from journey import SILENT

THREE = """
steps:
  - {id: check_in,   after: 0d}
  - {id: case_study, after: 5d}
  - {id: last_call,  after: 12d}
"""


def test_a_silent_account_gets_its_mails_on_their_days(live):
    assert live(SILENT + THREE, "2026-06-10  silent", until="2026-06-26") == [
        "Wed 10 Jun 09:00 check_in",
        "Mon 15 Jun 09:00 case_study",
        "Mon 22 Jun 09:00 last_call",
    ]


def test_who_falls_silent_at_the_weekend_is_written_to_on_monday(live):
    assert live(SILENT + THREE, "2026-06-13  silent", until="2026-06-29") == [
        "Mon 15 Jun 09:00 check_in",
        "Mon 22 Jun 09:00 case_study",  # five days after the first mail is a Saturday
        "Mon 29 Jun 09:00 last_call",
    ]


def test_a_run_during_the_day_mails_at_once(live):
    days = """
        2026-06-10        no runs, silent
        2026-06-10 14:20  run
    """
    assert live(SILENT + THREE, days, until="2026-06-10") == ["Wed 10 Jun 14:20 check_in"]


def test_a_run_in_the_evening_mails_the_next_morning(live):
    days = """
        2026-06-12        no runs, silent
        2026-06-12 17:00  run
        2026-06-13        runs
    """
    assert live(SILENT + THREE, days, until="2026-06-15") == ["Mon 15 Jun 09:00 check_in"]


def test_a_delay_in_hours_is_counted_by_the_clock(live):
    trigger = (
        SILENT
        + """
steps:
  - {id: check_in, after: 0h}
  - {id: question, after: 28h}   # after the mail of Wednesday 9:00: Thursday 13:00
  - {id: reminder, after: 60h}   # Friday 21:00 is past the window
"""
    )
    assert live(trigger, "2026-06-10  silent", until="2026-06-20") == [
        "Wed 10 Jun 09:00 check_in",
        "Thu 11 Jun 13:00 question",
        "Mon 15 Jun 09:00 reminder",
    ]


def test_business_days_leave_out_the_weekend(live):
    trigger = (
        SILENT
        + """
steps:
  - {id: check_in,   after: 0bd}
  - {id: case_study, after: 5bd}
"""
    )
    assert live(trigger, "2026-06-11  silent", until="2026-06-25") == [
        "Thu 11 Jun 09:00 check_in",
        "Thu 18 Jun 09:00 case_study",
    ]


def test_a_window_of_a_few_hours_on_two_days(live):
    trigger = (
        SILENT
        + """
send_window: {days: [tue, thu], from: "13:30", to: "15:00", holidays: account}
steps:
  - {id: check_in,  after: 0d}
  - {id: last_call, after: 2d}
"""
    )
    assert live(trigger, "2026-06-10  silent", until="2026-06-25") == [
        "Thu 11 Jun 13:30 check_in",
        "Tue 16 Jun 13:30 last_call",
    ]


CONDITIONAL = (
    SILENT
    + """
steps:
  - {id: check_in,   after: 0d}
  - {id: case_study, after: 5d, when: ladder_step < 3}
  - {id: last_call,  after: 12d}
"""
)


def test_a_step_with_a_condition_goes_where_it_is_true(live):
    days = "2026-06-10  silent, ladder_step = 2"
    assert live(CONDITIONAL, days, until="2026-06-23") == [
        "Wed 10 Jun 09:00 check_in",
        "Mon 15 Jun 09:00 case_study",
        "Mon 22 Jun 09:00 last_call",
    ]


def test_a_condition_is_judged_when_its_step_is_due_and_the_others_do_not_wait(live):
    days = """
        2026-06-10  silent, ladder_step = 2
        2026-06-14  ladder_step = 3
        2026-06-16  ladder_step = 2
    """
    assert live(CONDITIONAL, days, until="2026-06-23") == [
        "Wed 10 Jun 09:00 check_in",
        "Mon 22 Jun 09:00 last_call",
    ]


def test_what_is_unknown_is_not_true(prepare):
    journey = prepare(CONDITIONAL)
    assert journey.live("2026-06-10  silent, ladder_step = null", until="2026-06-23") == [
        "Wed 10 Jun 09:00 check_in",
        "Mon 22 Jun 09:00 last_call",
    ]
    assert journey.withheld == ["Mon 15 Jun step_condition"]
