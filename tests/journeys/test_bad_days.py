"""Days on which something goes wrong: order, distance, hour and reader stay as they should."""

from datetime import UTC, datetime

from journey import SILENT
from lifecycle.ledger import controls

THREE = """
steps:
  - {id: s0, after: 0d}
  - {id: s1, after: 1d}
  - {id: s2, after: 2d}
"""
FORTY = ", ".join(f"p{number} of a{number}" for number in range(40))


def days_of(mails: list[str]) -> list[str]:
    """Day and step of each mail, without its minute."""
    return [f"{mail[:10]} {mail.split()[4]}" for mail in mails]


def test_a_day_without_delivery_moves_the_whole_sequence(live):
    days = """
        2026-06-08        silent, no mail
        2026-06-09 05:00  mail
    """
    mails = live(SILENT + THREE, days, until="2026-06-12", people=FORTY, spread_minutes=30)
    assert sorted(days_of(mails)) == sorted(
        ["Tue 09 Jun s0"] * 40 + ["Wed 10 Jun s1"] * 40 + ["Thu 11 Jun s2"] * 40
    )


def test_four_days_without_delivery_are_not_made_good_in_one_minute(live):
    days = """
        2026-06-08        silent, no mail
        2026-06-11 20:00  mail
    """
    late = "late: {after: 9d, do: skip}"
    assert live(SILENT + late + THREE, days, until="2026-06-17") == [
        "Fri 12 Jun 09:00 s0",
        "Mon 15 Jun 09:00 s1",
        "Tue 16 Jun 09:00 s2",
    ]


def test_a_delivery_that_stops_between_two_mails_of_one_plan_keeps_their_distance(live):
    trigger = SILENT + "steps:\n  - {id: s0, after: 0h}\n  - {id: s1, after: 3h}\n"
    days = """
        2026-06-10        silent
        2026-06-10 08:00  no mail
        2026-06-10 13:00  mail
        2026-06-10 13:10  mail
    """
    assert live(trigger, days, until="2026-06-11") == [
        "Wed 10 Jun 13:00 s0",
        "Wed 10 Jun 16:00 s1",
    ]


def test_a_planned_mail_moves_with_the_accounts_time_zone(live):
    days = """
        2026-06-10        silent
        2026-06-10 08:00  a1: time_zone = Europe/Berlin, a1: country_code = DE, run
    """
    # Nine in Berlin is four in the afternoon in Tokyo.
    assert live(SILENT + "steps:\n  - {id: s0, after: 0d}\n", days, until="2026-06-11") == [
        "Wed 10 Jun 16:00 s0"
    ]


def test_a_planned_mail_waits_for_the_holiday_of_the_country_that_was_filled_in(live):
    days = """
        2026-05-01        silent, a1: country_code = JP
        2026-05-06        no runs
        2026-05-07 06:00  a1: country_code = DE, run
    """
    trigger = SILENT + "steps:\n  - {id: s0, after: 0d}\n  - {id: s1, after: 5d}\n"
    assert live(trigger, days, until="2026-05-08") == [
        "Fri 01 May 09:00 s0",
        "Thu 07 May 09:00 s1",
    ]
    ascension = days.replace("2026-05-07 06:00", "2026-05-14 06:00") + "2026-05-15  runs"
    weekly = SILENT + "steps:\n  - {id: s0, after: 0d}\n  - {id: s1, after: 13d}\n"
    # Thursday 14 May is Ascension Day in Germany, and no holiday in Japan.
    assert live(weekly, ascension, until="2026-05-15", folder="ascension") == [
        "Fri 01 May 09:00 s0",
        "Fri 15 May 09:00 s1",
    ]


def test_a_corrected_address_gets_the_mail_and_the_old_one_does_not(prepare):
    journey = prepare(SILENT + "steps:\n  - {id: s0, after: 0d}\n")
    days = """
        2026-06-10        silent
        2026-06-10 08:00  ann: email_normalized = new@example.com, run
    """
    journey.live(days, until="2026-06-11")
    assert [mail.send.address for mail in journey.left] == ["new@example.com"]


def test_a_corrected_address_that_is_suppressed_gets_nothing(live):
    days = """
        2026-06-10        silent, bob: complains
        2026-06-10 08:00  ann: email_normalized = bob@example.com, run
    """
    trigger = SILENT + "steps:\n  - {id: s0, after: 0d}\n"
    assert live(trigger, days, until="2026-06-11", people="ann of a1, bob of a2") == []


def test_a_condition_that_turned_false_cancels_a_planned_mail(live):
    trigger = SILENT + "steps:\n  - {id: s0, after: 0d, when: ladder_step < 3}\n"
    days = """
        2026-06-10        silent, ladder_step = 2
        2026-06-10 08:00  ladder_step = 3, run
    """
    assert live(trigger, days, until="2026-06-11") == []


def test_a_role_that_is_missing_for_one_day_costs_no_step(live):
    days = """
        2026-06-08  silent
        2026-06-09  ann: role = null
        2026-06-10  ann: role = admin
    """
    assert live(SILENT + THREE, days, until="2026-06-12") == [
        "Mon 08 Jun 09:00 s0",
        "Wed 10 Jun 09:00 s1",
        "Thu 11 Jun 09:00 s2",
    ]


def test_an_account_that_is_missing_for_one_day_goes_on_where_it_stood(live):
    days = """
        2026-06-08  silent
        2026-06-09  a1: deleted, ann: deleted
        2026-06-10  a1: back, ann: back
    """
    assert live(SILENT + THREE, days, until="2026-06-12") == [
        "Mon 08 Jun 09:00 s0",
        "Wed 10 Jun 09:00 s1",
        "Thu 11 Jun 09:00 s2",
    ]


def test_an_account_that_is_missing_for_three_days_has_left(prepare):
    days = """
        2026-06-08  silent
        2026-06-09  a1: deleted, ann: deleted
        2026-06-13  a1: back, ann: back
    """
    journey = prepare(SILENT + "enter: once\n" + THREE)
    assert journey.live(days, until="2026-06-17") == ["Mon 08 Jun 09:00 s0"]


def test_who_meets_the_condition_takes_the_place_of_who_left(live):
    days = """
        2026-06-08        silent, bob: role = user
        2026-06-08 15:00  ann: unsubscribes, bob: role = admin
    """
    assert live(SILENT + THREE, days, until="2026-06-12", people="ann of a1, bob of a1") == [
        "Mon 08 Jun 09:00 s0 to ann",
        "Tue 09 Jun 09:00 s1 to bob",
        "Wed 10 Jun 09:00 s2 to bob",
    ]


def test_the_same_address_under_a_new_contact_id_goes_on_without_a_second_first_mail(live):
    days = """
        2026-06-08  silent, new: deleted, new: email_normalized = ann@example.com
        2026-06-09  ann: deleted, new: back
    """
    assert live(SILENT + THREE, days, until="2026-06-12", people="ann of a1, new of a1") == [
        "Mon 08 Jun 09:00 s0 to ann",
        "Tue 09 Jun 09:00 s1 to new",
        "Wed 10 Jun 09:00 s2 to new",
    ]


def test_a_sequence_without_a_reader_ends(prepare):
    journey = prepare(SILENT + THREE)
    days = """
        2026-06-08        silent
        2026-06-08 15:00  ann: unsubscribes
    """
    assert journey.live(days, until="2026-06-10") == ["Mon 08 Jun 09:00 s0"]
    assert journey.withheld == ["Tue 09 Jun unsubscribed"], "the sequence ends there"


def test_whoever_is_there_at_each_step_reads_it_where_the_file_says_so(live):
    days = """
        2026-06-08  silent, bob: role = user
        2026-06-09  bob: role = admin
    """
    people = "ann of a1, bob of a1"
    each = SILENT + "recipients_chosen: at_each_step\n" + THREE
    assert live(each, days, until="2026-06-10", people=people) == [
        "Mon 08 Jun 09:00 s0 to ann",
        "Tue 09 Jun 09:00 s1 to ann",
        "Tue 09 Jun 09:00 s1 to bob",
        "Wed 10 Jun 09:00 s2 to ann",
        "Wed 10 Jun 09:00 s2 to bob",
    ]


def test_a_reader_whose_cap_is_full_is_tried_again_and_the_other_does_not_wait(live):
    news = """
audience: plan = 'trial'
recipients: role = 'user'
launch: existing
steps:
  - {id: news, after: 0d}
"""
    capped = SILENT.replace("role = 'admin'", "role in ('admin', 'user')")
    capped += "caps: {contact: 1/2d}\nsteps:\n  - {id: s0, after: 0d}\n"
    days = "2026-06-08  plan = trial, bob: role = user\n2026-06-09  silent"
    triggers = {"news": news, "win_back": capped}
    assert live(triggers, days, until="2026-06-11", people="ann of a1, bob of a1") == [
        "Mon 08 Jun 09:00 news of news to bob",
        "Tue 09 Jun 09:00 s0 of win_back to ann",
        "Wed 10 Jun 09:00 s0 of win_back to bob",
    ]


def test_a_higher_trigger_takes_the_place_of_a_lower_ones_mail_that_has_not_left(live):
    cap = "caps: {contact: 1/7d}\n"
    low = SILENT + cap + "priority: 10\nsteps:\n  - {id: low, after: 0d}\n"
    high = low.replace("is_dormant", "plan = 'trial'").replace("10", "90").replace("low", "high")
    days = """
        2026-06-10        silent
        2026-06-10 08:00  plan = trial, run
    """
    assert live({"low": low, "high": high}, days, until="2026-06-11") == [
        "Wed 10 Jun 09:00 high of high"
    ]


def test_every_day_is_every_day(live):
    trigger = SILENT + "enter: {every: 1d}\nsteps:\n  - {id: s0, after: 0d}\n"
    assert live(trigger, "2026-06-08  silent", until="2026-06-11") == [
        "Mon 08 Jun 09:00 s0",
        "Tue 09 Jun 09:00 s0",
        "Wed 10 Jun 09:00 s0",
        "Thu 11 Jun 09:00 s0",
    ]


def test_every_week_is_the_same_weekday_however_early_the_run(live):
    trigger = SILENT + "enter: {every: 7d}\nsteps:\n  - {id: s0, after: 0d}\n"
    days = """
        2026-06-08        silent, no runs
        2026-06-08 06:30  run
        2026-06-09        runs
    """
    assert live(trigger, days, until="2026-06-22") == [
        "Mon 08 Jun 09:00 s0",
        "Mon 15 Jun 09:00 s0",
        "Mon 22 Jun 09:00 s0",
    ]


def test_a_weekly_step_under_a_weekly_cap_does_not_drift(live):
    trigger = (
        SILENT
        + "caps: {contact: 1/7d}\n"
        + "steps:\n  - {id: s0, after: 0d}\n  - {id: s1, after: 7d}\n  - {id: s2, after: 14d}\n"
    )
    mails = live(trigger, "2026-06-08  silent", until="2026-06-22", people=FORTY, spread_minutes=30)
    assert len(mails) == 120
    minutes = {}
    for mail in mails:
        minutes.setdefault(mail.split()[-1], set()).add(mail.split()[3])
    assert all(len(minute) == 1 for minute in minutes.values()), (
        "each account has a minute of its own"
    )


def test_who_would_leave_does_not_enter(prepare):
    trigger = SILENT.replace("not is_dormant", "plan = 'trial'") + THREE
    journey = prepare(trigger)
    assert journey.live("2026-06-08  silent, plan = trial", until="2026-06-10") == []
    assert set(journey.withheld) == {
        "Mon 08 Jun would_leave",
        "Tue 09 Jun would_leave",
        "Wed 10 Jun would_leave",
    }


def test_an_account_on_hold_gets_a_broadcast_afterwards(prepare):
    news = """
audience: stage = 'mature'
recipients: role = 'admin'
on: 2026-06-10
steps:
  - {id: news, after: 0d}
"""
    journey = prepare({"news": news})
    until = datetime(2026, 6, 10, 15, tzinfo=UTC)  # midnight in Tokyo
    controls.hold(journey.ledger, "a1", until=until, by="Aiko", why="on leave")
    assert journey.live("2026-06-09  active", until="2026-06-12") == ["Thu 11 Jun 09:00 news"]


def test_a_broadcasts_day_is_the_readers(live):
    news = """
audience: stage = 'mature'
recipients: role = 'admin'
on: 2026-06-10
steps:
  - {id: news, after: 0d}
"""
    days = """
        2026-06-08  a2: time_zone = America/Los_Angeles, a2: country_code = US
        2026-06-08  a3: time_zone = Pacific/Auckland, a3: country_code = NZ
    """
    people = "ann of a1, bob of a2, eve of a3"
    assert live({"news": news}, days, until="2026-06-12", people=people) == [
        "Wed 10 Jun 06:00 news to eve",  # nine there
        "Wed 10 Jun 09:00 news to ann",
        "Thu 11 Jun 01:00 news to bob",  # nine on the 10th there
    ]


def test_a_broadcast_at_a_moment_goes_everywhere_at_once(live):
    news = """
audience: stage = 'mature'
recipients: role = 'admin'
at: 2026-06-10T10:00+09:00
steps:
  - {id: news, after: 0d}
"""
    days = "2026-06-08  a2: time_zone = America/Los_Angeles, a2: country_code = US"
    assert live({"news": news}, days, until="2026-06-12", people="ann of a1, bob of a2") == [
        "Wed 10 Jun 10:00 news to ann",
        "Wed 10 Jun 10:00 news to bob",
    ]


def test_who_churned_and_came_back_was_outside(live):
    days = """
        2026-06-08  silent
        2026-06-10  stage = churned
        2026-06-12  stage = mature
    """
    trigger = SILENT.replace("exit_when: not is_dormant\n", "")
    assert live(trigger + "steps:\n  - {id: s0, after: 0d}\n", days, until="2026-06-15") == [
        "Mon 08 Jun 09:00 s0",
        "Fri 12 Jun 09:00 s0",
    ]
