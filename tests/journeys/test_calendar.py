"""Holidays, leap days and windows that hardly ever open."""

import pytest

from journey import SILENT
from lifecycle.errors import TriggerError

STEPS = """
steps:
  - {id: check_in,   after: 0d}
  - {id: case_study, after: 5bd}
"""


def test_golden_week_delays_what_falls_into_it(live):
    # Closed: Wed 29 April, and from Sat 2 May to Wed 6 May.
    assert live(SILENT + STEPS, "2026-04-29  silent", until="2026-05-12") == [
        "Thu 30 Apr 09:00 check_in",
        "Tue 12 May 09:00 case_study",  # five business days later: 1, 7, 8, 11, 12 May
    ]


def test_a_day_of_golden_week_is_not_late_before_the_week_is_over(live):
    trigger = (
        SILENT
        + """
late: {after: 1d, do: skip}
steps:
  - {id: check_in, after: 0d}
"""
    )
    # Five closed days are no delay of ours: lateness counts from the open window.
    assert live(trigger, "2026-05-02  silent", until="2026-05-07") == ["Thu 07 May 09:00 check_in"]


def test_each_country_has_its_own_holidays(live):
    days = "2026-05-04  silent, a2: country_code = DE"
    trigger = SILENT + STEPS
    assert live(trigger, days, until="2026-05-07", people="ann of a1, bob of a2") == [
        "Mon 04 May 09:00 check_in to bob",
        "Thu 07 May 09:00 check_in to ann",
    ]


def test_a_trigger_may_keep_one_countrys_holidays_or_none(live):
    for holidays, mail in [("none", "Mon 04 May"), ("DE", "Mon 04 May"), ("JP", "Thu 07 May")]:
        trigger = (
            SILENT
            + f"""
send_window: {{days: mon-fri, from: "09:00", to: "17:00", holidays: {holidays}}}
steps:
  - {{id: check_in, after: 0d}}
"""
        )
        mails = live(trigger, "2026-05-04  silent", until="2026-05-07", folder=holidays)
        assert mails == [f"{mail} 09:00 check_in"]


def test_over_new_year(live):
    # Friday 1 January is a holiday in Japan, the 31st is not; then comes a weekend.
    trigger = (
        SILENT
        + """
steps:
  - {id: check_in,  after: 0d}
  - {id: last_call, after: 2bd}
"""
    )
    assert live(trigger, "2026-12-31  silent", until="2027-01-05") == [
        "Thu 31 Dec 09:00 check_in",
        "Tue 05 Jan 09:00 last_call",
    ]


def test_christmas_in_germany(live):
    # Friday 25 and Saturday 26 December.
    assert live(
        SILENT + STEPS, "2026-12-25  silent", until="2027-01-05", where="Europe/Berlin DE"
    ) == [
        "Mon 28 Dec 09:00 check_in",
        "Tue 05 Jan 09:00 case_study",  # Friday 1 January does not count
    ]


def test_the_29th_of_february_is_a_day_like_any_other(live):
    trigger = (
        SILENT
        + """
steps:
  - {id: check_in,   after: 0d}
  - {id: case_study, after: 1d}
  - {id: last_call,  after: 8d}
"""
    )
    assert live(trigger, "2028-02-28  silent", until="2028-03-07") == [
        "Mon 28 Feb 09:00 check_in",
        "Tue 29 Feb 09:00 case_study",
        "Tue 07 Mar 09:00 last_call",
    ]


def test_a_year_after_the_29th_of_february(live):
    trigger = (
        SILENT
        + """
send_window: {days: mon-sun, from: "09:00", to: "17:00", holidays: none}
steps:
  - {id: check_in,    after: 0d}
  - {id: anniversary, after: 366d}
"""
    )
    days = """
        2028-02-29  silent
        2028-03-02  no runs
        2029-02-27  runs
    """
    assert live(trigger, days, until="2029-03-03") == [
        "Tue 29 Feb 09:00 check_in",
        "Thu 01 Mar 09:00 anniversary",
    ]


def test_a_window_on_the_only_working_day_of_a_closed_week_waits_for_the_next(live):
    trigger = (
        SILENT
        + """
send_window: {days: wed, from: "09:00", to: "17:00", holidays: account}
late: {after: 3d, do: skip}
steps:
  - {id: check_in, after: 0d}
"""
    )
    # Wednesday 29 April and Wednesday 6 May are both holidays.
    assert live(trigger, "2026-04-28  silent", until="2026-05-13") == ["Wed 13 May 09:00 check_in"]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ('{days: [], from: "09:00", to: "17:00"}', "names no day, so the window never opens"),
        ('{days: mon-fri, from: "17:00", to: "09:00"}', "from 17:00 is not before to 09:00"),
    ],
)
def test_a_window_that_never_opens_is_refused_before_it_costs_a_mail(prepare, window, expected):
    with pytest.raises(TriggerError, match=expected):
        prepare(SILENT + f"send_window: {window}" + STEPS)


# The week is the country's. -----------------------------------------------------------------


def test_the_week_of_riyadh_begins_on_sunday(live):
    # Thursday 11 June is the last working day; Friday and Saturday are the weekend.
    assert live(
        SILENT + STEPS, "2026-06-12  silent", until="2026-06-21", where="Asia/Riyadh SA"
    ) == [
        "Sun 14 Jun 09:00 check_in",
        "Sun 21 Jun 09:00 case_study",  # business days after the first mail: 15 to 18, 21 June
    ]


def test_the_week_of_cairo_for_an_account_that_says_its_zone_alone(live):
    days = "2026-06-12  silent, country_code = null"
    mails = live(SILENT + STEPS, days, until="2026-06-14", where="Africa/Cairo EG")
    assert mails == ["Sun 14 Jun 09:00 check_in"]


def test_days_that_are_written_leave_out_the_country_s_weekend(live):
    for days, mail in [("[thu, fri]", "Thu 18 Jun"), ("[fri, sat]", "Fri 12 Jun")]:
        trigger = SILENT + (
            f'send_window: {{days: {days}, from: "09:00", to: "17:00", holidays: none}}\n'
            "steps:\n  - {id: check_in, after: 0d}\n"
        )
        folder = days.strip("[]").replace(", ", "_")
        simulation = live(
            trigger, "2026-06-12  silent", until="2026-06-19", where="Asia/Riyadh SA", folder=folder
        )
        assert simulation == [f"{mail} 09:00 check_in"]


# Countries of several zones. ----------------------------------------------------------------


def test_a_country_of_several_zones_gets_mail_in_hours_that_all_of_them_share(live):
    # 9 in Honolulu is 15 in New York in the summer.
    days = "2026-06-10  silent, a1: time_zone_source = zones"
    assert live(SILENT + STEPS, days, until="2026-06-17", where="America/New_York US") == [
        "Wed 10 Jun 15:00 check_in",
        "Wed 17 Jun 15:00 case_study",
    ]


def test_where_the_zones_share_no_hour_the_account_waits_until_it_has_one(live, prepare):
    days = """
        2026-06-09  silent, a1: time_zone_source = zones
        2026-06-16  a1: time_zone_source = account
    """
    journey = prepare(SILENT + STEPS, where="Europe/Moscow RU")
    assert journey.live(days, until="2026-06-16") == ["Tue 16 Jun 09:00 check_in"]
    assert journey.withheld == [
        f"{day} Jun no_civil_hour"
        for day in ("Tue 09", "Wed 10", "Thu 11", "Fri 12", "Sat 13", "Sun 14", "Mon 15")
    ]


def test_where_nobody_can_tell_the_country_the_account_waits(prepare):
    days = "2026-06-10  silent, a1: time_zone_source = unknown, a1: country_code = null"
    journey = prepare(SILENT + STEPS)
    assert journey.live(days, until="2026-06-10") == []
    assert journey.withheld == ["Wed 10 Jun no_civil_hour"]
