"""After a night or a weekend the mails that waited leave over the first half hour."""

from journey import SILENT

ONE = """
steps:
  - {id: check_in, after: 0d}
"""
FORTY = ", ".join(f"p{number} of a{number}" for number in range(40))


def clocks(mails: list[str]) -> list[str]:
    """The day and minute of each mail, in order."""
    return sorted(" ".join(mail.split()[:4]) for mail in mails)


def test_after_a_weekend_forty_mails_leave_within_half_an_hour_not_all_at_nine(live):
    mails = live(
        SILENT + ONE, "2026-06-13  silent", until="2026-06-15", people=FORTY, spread_minutes=30
    )
    times = clocks(mails)
    assert len(times) == 40
    assert times[0] >= "Mon 15 Jun 09:00"
    assert times[-1] < "Mon 15 Jun 09:30"
    assert max(times.count(moment) for moment in times) <= 6
    assert len(set(times)) > 15


def test_during_the_day_they_leave_at_once(live):
    days = """
        2026-06-10        no runs, silent
        2026-06-10 11:00  run
    """
    mails = live(SILENT + ONE, days, until="2026-06-10", people=FORTY, spread_minutes=30)
    assert clocks(mails) == ["Wed 10 Jun 11:00"] * 40


def test_a_short_window_is_not_left(live):
    trigger = SILENT + 'send_window: {days: mon-fri, from: "09:00", to: "09:10"}' + ONE
    mails = live(trigger, "2026-06-10  silent", until="2026-06-10", people=FORTY, spread_minutes=30)
    assert len(mails) == 40
    assert clocks(mails)[-1] < "Wed 10 Jun 09:10"


def test_who_shares_an_account_is_written_to_at_the_same_minute(live):
    people = "ann of a1, bob of a1"
    mails = live(
        SILENT + ONE, "2026-06-13  silent", until="2026-06-15", people=people, spread_minutes=30
    )
    assert len(set(clocks(mails))) == 1
    assert len(mails) == 2


def test_mails_that_missed_their_hours_leave_the_next_morning_in_turn(live):
    days = """
        2026-06-10        silent, no mail
        2026-06-10 20:00  mail
    """
    mails = live(SILENT + ONE, days, until="2026-06-11", people=FORTY, spread_minutes=30)
    assert len(mails) == 40
    assert clocks(mails)[0] >= "Thu 11 Jun 09:00"
    assert len(set(clocks(mails))) > 15


def test_a_run_that_comes_while_the_backlog_leaves_does_not_hurry_it(live):
    days = """
        2026-06-13        silent
        2026-06-15 09:00  run
    """
    quiet = live(
        SILENT + ONE, "2026-06-13  silent", until="2026-06-15", people=FORTY, spread_minutes=30
    )
    disturbed = live(
        SILENT + ONE, days, until="2026-06-15", people=FORTY, spread_minutes=30, folder="disturbed"
    )
    assert disturbed == quiet
