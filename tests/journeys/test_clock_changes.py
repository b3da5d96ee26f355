"""Nights in which the clocks change: the mail goes at the hour that people there see."""

import pytest

from journey import SILENT

NEW_YORK, BERLIN, SYDNEY = "America/New_York US", "Europe/Berlin DE", "Australia/Sydney AU"

TWO = (
    SILENT
    + """
send_window: {days: mon-sun, from: "09:00", to: "17:00", holidays: none}
steps:
  - {id: check_in,  after: 0d}
  - {id: last_call, after: 3d}
"""
)


@pytest.mark.parametrize(
    ("where", "silent_on", "until", "mails"),
    [
        (NEW_YORK, "2026-03-06", "2026-03-09", ["Fri 06 Mar 09:00", "Mon 09 Mar 09:00"]),
        (NEW_YORK, "2026-10-30", "2026-11-02", ["Fri 30 Oct 09:00", "Mon 02 Nov 09:00"]),
        (BERLIN, "2026-03-27", "2026-03-30", ["Fri 27 Mar 09:00", "Mon 30 Mar 09:00"]),
        (BERLIN, "2026-10-23", "2026-10-26", ["Fri 23 Oct 09:00", "Mon 26 Oct 09:00"]),
        (SYDNEY, "2026-10-02", "2026-10-05", ["Fri 02 Oct 09:00", "Mon 05 Oct 09:00"]),
        (SYDNEY, "2026-04-03", "2026-04-06", ["Fri 03 Apr 09:00", "Mon 06 Apr 09:00"]),
    ],
)
def test_three_days_over_a_clock_change_end_at_nine_all_the_same(
    live, where, silent_on, until, mails
):
    first, second = mails
    assert live(TWO, f"{silent_on}  silent", until=until, where=where) == [
        f"{first} check_in",
        f"{second} last_call",
    ]


HOURS = (
    SILENT
    + """
send_window: {days: mon-sun, from: "00:00", to: "24:00", holidays: none}
steps:
  - {id: check_in, after: 0h}
  - {id: question, after: 48h}
"""
)


@pytest.mark.parametrize(
    ("where", "silent_on", "until", "mails"),
    [
        # 48 hours in which the clock jumps an hour ahead end at seven, not at six.
        (NEW_YORK, "2026-03-07", "2026-03-09", ["Sat 07 Mar 06:00", "Mon 09 Mar 07:00"]),
        (BERLIN, "2026-03-28", "2026-03-30", ["Sat 28 Mar 06:00", "Mon 30 Mar 07:00"]),
        (SYDNEY, "2026-10-03", "2026-10-05", ["Sat 03 Oct 06:00", "Mon 05 Oct 07:00"]),
        # And where an hour comes twice, at five.
        (NEW_YORK, "2026-10-31", "2026-11-02", ["Sat 31 Oct 06:00", "Mon 02 Nov 05:00"]),
        (BERLIN, "2026-10-24", "2026-10-26", ["Sat 24 Oct 06:00", "Mon 26 Oct 05:00"]),
        (SYDNEY, "2026-04-04", "2026-04-06", ["Sat 04 Apr 06:00", "Mon 06 Apr 05:00"]),
    ],
)
def test_hours_are_hours_that_pass(live, where, silent_on, until, mails):
    first, second = mails
    assert live(HOURS, f"{silent_on}  silent", until=until, where=where) == [
        f"{first} check_in",
        f"{second} question",
    ]


def at_night(opens: str, closes: str) -> str:
    """Mails of Sunday nights."""
    return (
        SILENT
        + f"""
send_window: {{days: sun, from: "{opens}", to: "{closes}", holidays: none}}
late: {{after: 8d, do: skip}}
steps:
  - {{id: check_in, after: 0d}}
"""
    )


@pytest.mark.parametrize(
    ("where", "saturday", "until", "mail"),
    [
        (BERLIN, "2026-03-28", "2026-03-29", "Sun 29 Mar 03:00"),
        (NEW_YORK, "2026-03-07", "2026-03-08", "Sun 08 Mar 03:00"),
        (SYDNEY, "2026-10-03", "2026-10-04", "Sun 04 Oct 03:00"),
    ],
)
def test_a_window_that_opens_in_the_missing_hour_opens_right_after_it(
    live, where, saturday, until, mail
):
    days = f"{saturday}  silent"
    assert live(at_night("02:30", "05:00"), days, until=until, where=where) == [f"{mail} check_in"]


@pytest.mark.parametrize(
    ("where", "saturday", "until", "mail"),
    [
        (BERLIN, "2026-03-28", "2026-04-05", "Sun 05 Apr 02:10"),
        (NEW_YORK, "2026-03-07", "2026-03-15", "Sun 15 Mar 02:10"),
        (SYDNEY, "2026-10-03", "2026-10-11", "Sun 11 Oct 02:10"),
    ],
)
def test_a_window_that_lies_in_the_missing_hour_does_not_open_that_night(
    live, where, saturday, until, mail
):
    days = f"{saturday}  silent"
    assert live(at_night("02:10", "02:50"), days, until=until, where=where) == [f"{mail} check_in"]


def test_a_window_in_the_hour_that_comes_twice_opens_once(prepare):
    journey = prepare(at_night("02:10", "02:50"), where=BERLIN)
    mails = journey.live("2026-10-24  silent", until="2026-11-01")
    assert mails == ["Sun 25 Oct 02:10 check_in"]


def test_one_trigger_writes_to_each_account_at_its_own_nine(live):
    days = """
        2026-06-10  silent, a2: time_zone = Europe/Berlin, a3: time_zone = America/New_York
    """
    people = "ann of a1, bob of a2, eve of a3"
    # On Tokyo's clock: nine there, 16:00 when it is nine in Berlin, 22:00 for New York.
    assert live(TWO, days, until="2026-06-11", people=people) == [
        "Wed 10 Jun 09:00 check_in to ann",
        "Wed 10 Jun 16:00 check_in to bob",
        "Wed 10 Jun 22:00 check_in to eve",
    ]
