"""When the machine does not run as it should, and when it runs too often."""

from journey import SILENT

TWO = """
steps:
  - {id: check_in,  after: 0d}
  - {id: last_call, after: 7d}
"""
SEND = "late: {after: 3d, do: send}"


def test_a_second_run_on_the_same_day_changes_nothing(live):
    days = """
        2026-06-10        silent
        2026-06-10 08:00  run
        2026-06-10 10:00  run
        2026-06-17 12:00  run
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in",
        "Wed 17 Jun 09:00 last_call",
    ]


def test_a_late_run_mails_late_on_the_same_day(live):
    days = """
        2026-06-10        no runs, silent
        2026-06-10 11:45  run
    """
    assert live(SILENT + TWO, days, until="2026-06-10") == ["Wed 10 Jun 11:45 check_in"]


def test_a_day_without_a_run_is_made_up_for(live):
    days = """
        2026-06-10  silent
        2026-06-16  no runs
        2026-06-18  runs
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in",
        "Thu 18 Jun 09:00 last_call",
    ]


def test_after_a_week_without_runs_what_was_due_in_it_is_skipped(prepare):
    days = """
        2026-06-10  silent
        2026-06-15  no runs
        2026-06-22  runs
    """
    journey = prepare(SILENT + TWO)
    assert journey.live(days, until="2026-06-23") == ["Wed 10 Jun 09:00 check_in"]
    assert "Mon 22 Jun late" in journey.withheld


def test_or_sent_all_the_same_where_the_trigger_says_so(live):
    days = """
        2026-06-10  silent
        2026-06-15  no runs
        2026-06-22  runs
    """
    assert live(SILENT + SEND + TWO, days, until="2026-06-23") == [
        "Wed 10 Jun 09:00 check_in",
        "Mon 22 Jun 09:00 last_call",
    ]


def test_a_backlog_of_one_account_keeps_its_distance(live):
    trigger = (
        SILENT
        + SEND
        + """
steps:
  - {id: check_in,   after: 0d}
  - {id: case_study, after: 2d}
  - {id: last_call,  after: 4d}
"""
    )
    days = """
        2026-06-08  silent
        2026-06-09  no runs
        2026-06-16  runs
    """
    assert live(trigger, days, until="2026-06-18") == [
        "Mon 08 Jun 09:00 check_in",
        "Tue 16 Jun 09:00 case_study",
        "Thu 18 Jun 09:00 last_call",  # two days after the one before it, as in the file
    ]


def test_a_mail_that_missed_its_hours_goes_the_next_morning(live):
    days = """
        2026-06-10        silent, no mail
        2026-06-10 20:00  mail
    """
    assert live(SILENT + TWO, days, until="2026-06-12") == ["Thu 11 Jun 09:00 check_in"]


def test_a_mail_that_nobody_delivered_for_days_expires(live):
    days = """
        2026-06-10  silent, no mail
        2026-06-15  mail
    """
    assert live(SILENT + TWO, days, until="2026-06-16") == []


def test_a_run_at_midnight_and_one_at_noon_are_both_the_same_day(live):
    days = """
        2026-06-10 00:00  no runs, silent, run
        2026-06-10 12:00  run
        2026-06-11        runs
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in",
        "Wed 17 Jun 09:00 last_call",
    ]
