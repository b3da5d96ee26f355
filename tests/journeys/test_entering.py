"""Who enters a sequence, at its launch and again."""

from journey import SILENT

ONE = """
steps:
  - {id: check_in, after: 0d}
"""
COMES_AND_GOES = """
    2026-06-01  silent
    2026-06-02  active
    2026-06-04  silent
    2026-06-05  active
    2026-06-08  silent
"""


def test_once_is_once(live):
    trigger = SILENT + "enter: once" + ONE
    assert live(trigger, COMES_AND_GOES, until="2026-06-09") == ["Mon 01 Jun 09:00 check_in"]


def test_once_per_episode_is_again_each_time(live):
    trigger = SILENT + "enter: once_per_episode" + ONE
    assert live(trigger, COMES_AND_GOES, until="2026-06-09") == [
        "Mon 01 Jun 09:00 check_in",
        "Thu 04 Jun 09:00 check_in",
        "Mon 08 Jun 09:00 check_in",
    ]


def test_every_seven_days_is_not_sooner(live):
    trigger = SILENT + "enter: {every: 7d}" + ONE
    assert live(trigger, COMES_AND_GOES, until="2026-06-09") == [
        "Mon 01 Jun 09:00 check_in",
        "Mon 08 Jun 09:00 check_in",  # on the 4th it was three days only
    ]


def test_every_seven_days_comes_again_to_who_stays_silent(live):
    trigger = SILENT + "enter: {every: 7d}" + ONE
    assert live(trigger, "2026-06-01  silent", until="2026-06-15") == [
        "Mon 01 Jun 09:00 check_in",
        "Mon 08 Jun 09:00 check_in",
        "Mon 15 Jun 09:00 check_in",
    ]


def test_one_long_silence_is_one_episode(live):
    trigger = SILENT + "enter: once_per_episode" + ONE
    assert live(trigger, "2026-06-01  silent", until="2026-06-15") == ["Mon 01 Jun 09:00 check_in"]


def test_not_knowing_does_not_end_an_episode(live):
    days = """
        2026-06-01  silent
        2026-06-03  unknown
        2026-06-05  silent
    """
    trigger = SILENT + "enter: once_per_episode" + ONE
    assert live(trigger, days, until="2026-06-09") == ["Mon 01 Jun 09:00 check_in"]


def launched(mode: str) -> str:
    return SILENT.replace("launch: existing", f"launch: {mode}") + ONE


TWO = "ann of a1, bob of a2"
ONE_WAS_SILENT_BEFORE = """
    2026-06-01  a1: silent
    2026-06-03  a2: silent
    2026-06-08  active
    2026-06-10  silent
"""


def test_launched_for_those_who_match_already(live):
    assert live(launched("existing"), ONE_WAS_SILENT_BEFORE, until="2026-06-12", people=TWO) == [
        "Mon 01 Jun 09:00 check_in to ann",
        "Wed 03 Jun 09:00 check_in to bob",
        "Wed 10 Jun 09:00 check_in to ann",
        "Wed 10 Jun 09:00 check_in to bob",
    ]


def test_launched_for_new_ones_only(live):
    assert live(launched("new_only"), ONE_WAS_SILENT_BEFORE, until="2026-06-12", people=TWO) == [
        "Wed 03 Jun 09:00 check_in to bob",
        "Wed 10 Jun 09:00 check_in to ann",  # was seen active on the 8th
        "Wed 10 Jun 09:00 check_in to bob",
    ]


def test_launched_for_those_who_match_since_a_day_still_to_come(live):
    trigger = launched("{existing_since: 2026-06-02}")
    assert live(trigger, ONE_WAS_SILENT_BEFORE, until="2026-06-05", people=TWO) == [
        "Wed 03 Jun 09:00 check_in to bob",
    ]


def test_half_are_held_out_and_never_mailed(prepare):
    people = [f"p{number} of a{number}" for number in range(12)]
    trigger = SILENT + "holdout: 50%" + ONE
    journey = prepare(trigger, people=", ".join(people))
    held_out = {f"p{n}" for n in range(12) if journey.triggers["win_back"].holds_out(f"a{n}")}
    mails = journey.live(COMES_AND_GOES, until="2026-06-09")
    assert 0 < len(held_out) < 12
    assert {mail.split()[-1] for mail in mails} == {f"p{n}" for n in range(12)} - held_out
    assert len(mails) == 3 * (12 - len(held_out)), "the same ones each time"
