"""What becomes of one enrolment's steps: pure, so that every case is a clock and a file."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from company import utc
from lifecycle.planning.decision import (
    AT_ONCE,
    Departure,
    Enrolment,
    Pace,
    Place,
    Reason,
    StepDecision,
    decide_step,
    timing,
)
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.folder import parse_trigger
from lifecycle.triggers.model import Trigger

DAY = timedelta(days=1)
TOKYO = Place("Asia/Tokyo", "account", "JP")

BASE = """
audience: is_dormant
recipients: role = 'admin'
launch: existing
steps:
  - {id: check_in, after: 0d}
  - {id: case_study, after: 5bd, when: ladder_step < 3}
  - {id: last_call, after: 14d}
"""


def trigger(text: str = BASE) -> Trigger:
    return parse_trigger(text, Path("triggers/win_back.yaml"), account_columns(), contact_columns())


def enrolment(enrolled_at: str, place: Place = TOKYO) -> Enrolment:
    return Enrolment("a1", "win_back", 1, utc(enrolled_at), place)


def go_through(
    known: Trigger,
    enrolled: Enrolment,
    now: datetime,
    decided: dict[str, datetime | None],
    holds: dict[str, bool | None],
    pace: Pace = AT_ONCE,
) -> list[StepDecision]:
    """What becomes of the steps that are not decided, until one waits; each mail that is planned
    leaves as soon as it may."""
    previous: Departure | None = None
    collected: list[StepDecision] = []
    for step in known.steps:
        if step.id in decided:
            if (left_at := decided[step.id]) is not None:
                previous = Departure(step, left_at, left_at)
            continue
        when = timing(known, step, enrolled, previous, now, pace)
        collected.append(decide_step(step, when, next_run=now + DAY, holds=holds[step.id]))
        if collected[-1].action == "wait":
            break
        if collected[-1].action == "plan" and (at := when.not_before) is not None:
            previous = Departure(step, at, at)
    return collected


def decide(
    enrolled: Enrolment,
    now: str,
    text: str = BASE,
    decided: dict[str, datetime | None] | None = None,
    **holds: bool | None,
):
    known = trigger(text)
    answers = {step.id: True for step in known.steps} | holds
    return [
        (item.step.id, item.action, item.timing.not_before, item.reason)
        for item in go_through(known, enrolled, utc(now), decided or {}, answers)
    ]


def test_the_first_step_goes_at_once_inside_the_window_and_the_next_waits_for_its_day():
    # Wednesday 10:00 in Tokyo.
    assert decide(enrolment("2026-06-10 01:00"), "2026-06-10 01:00") == [
        ("check_in", "plan", utc("2026-06-10 01:00"), None),
        ("case_study", "wait", utc("2026-06-17 01:00"), None),
    ]


def test_before_the_window_opens_a_mail_waits_for_it():
    # 06:00 in Tokyo: the window opens at 09:00, which is midnight UTC.
    planned = decide(enrolment("2026-06-09 21:00"), "2026-06-09 21:00")
    assert planned[0] == ("check_in", "plan", utc("2026-06-10 00:00"), None)


def test_at_the_weekend_nothing_is_planned_before_the_run_that_precedes_monday():
    saturday = decide(enrolment("2026-06-13 01:00"), "2026-06-13 01:00")
    assert saturday == [("check_in", "wait", utc("2026-06-15 00:00"), None)]
    sunday = decide(enrolment("2026-06-13 01:00"), "2026-06-14 01:00")
    assert sunday[0] == ("check_in", "plan", utc("2026-06-15 00:00"), None)


def test_a_step_too_late_is_skipped_and_lateness_counts_from_the_open_window():
    # Due Saturday, the window opens Monday 09:00; three days later it is too late.
    first = enrolment("2026-06-13 01:00")
    assert decide(first, "2026-06-17 07:59")[0][:2] == ("check_in", "plan")
    assert decide(first, "2026-06-18 00:00")[0] == (
        "check_in",
        "skip",
        utc("2026-06-18 00:00"),
        Reason.LATE,
    )


def test_a_late_mail_that_may_still_be_sent_is():
    text = BASE.replace("steps:", "late: {after: 3d, do: send}\nsteps:")
    first = enrolment("2026-06-01 01:00")
    assert decide(first, "2026-06-10 01:00", text)[0][:2] == ("check_in", "plan")


def test_a_backlog_keeps_the_distance_of_the_file():
    text = BASE.replace("steps:", "late: {after: 3d, do: send}\nsteps:")
    first = enrolment("2026-05-01 01:00")
    left = {"check_in": utc("2026-06-10 01:00")}
    assert decide(first, "2026-06-10 01:00", text)[0][:3] == (
        "check_in",
        "plan",
        utc("2026-06-10 01:00"),
    )
    assert decide(first, "2026-06-10 02:00", text, left) == [
        ("case_study", "wait", utc("2026-06-17 01:00"), None)
    ]


@pytest.mark.parametrize(
    ("steps", "left_at", "goes_at"),
    [
        # A day is the next day, at the hour of entry, however late the mail before left.
        ("0d 1d", "2026-06-10 07:50", "2026-06-11 01:00"),
        ("0d 1d", "2026-06-11 00:10", "2026-06-12 00:10"),
        ("0d 2bd", "2026-06-12 01:00", "2026-06-16 01:00"),
        ("1bd 3bd", "2026-06-15 01:00", "2026-06-17 01:00"),
        ("5bd 14d", "2026-06-18 01:00", "2026-06-25 01:00"),
        # Hours are hours.
        ("0d 3h", "2026-06-10 02:30", "2026-06-10 05:30"),
        ("0h 24h", "2026-06-10 07:50", "2026-06-11 07:50"),
        ("12h 36h", "2026-06-11 03:00", "2026-06-12 03:00"),
        ("0d 0d", "2026-06-10 02:30", "2026-06-10 02:30"),
    ],
)
def test_a_step_follows_the_mail_before_it_at_the_distance_of_the_file(steps, left_at, goes_at):
    first, second = steps.split()
    text = (
        BASE.split("steps:")[0]
        + f"steps:\n  - {{id: s1, after: {first}}}\n  - {{id: s2, after: {second}}}\n"
    )
    entry = enrolment("2026-06-10 01:00")  # Wednesday, 10:00 in Tokyo
    ((step, _, at, _),) = decide(entry, left_at, text, {"s1": utc(left_at)})
    assert (step, at) == ("s2", utc(goes_at))


def test_the_days_on_which_the_window_is_shut_are_no_delay():
    # Friday; then a weekend. Too late is the fourth day on which the window opens.
    first = enrolment("2026-06-12 00:00")
    assert decide(first, "2026-06-16 07:59")[0][:2] == ("check_in", "plan")
    assert decide(first, "2026-06-17 00:01")[0][3] is Reason.LATE
    wednesdays = BASE.replace(
        "steps:", 'send_window: {days: wed, from: "09:00", to: "10:00"}\nsteps:'
    )
    assert decide(first, "2026-06-30 23:00", wednesdays)[0][:2] == ("check_in", "plan")
    assert decide(first, "2026-07-08 00:01", wednesdays)[0][3] is Reason.LATE


@pytest.mark.parametrize(
    ("holds", "action", "reason"),
    [
        (True, "plan", None),
        (False, "skip", Reason.STEP_CONDITION),
        (None, "skip", Reason.STEP_CONDITION),
    ],
)
def test_a_step_with_a_condition_goes_only_if_it_is_true(holds, action, reason):
    left = {"check_in": utc("2026-06-10 01:00")}
    result = decide(
        enrolment("2026-06-10 01:00"), "2026-06-17 01:00", BASE, left, case_study=holds
    )[0]
    assert (result[1], result[3]) == (action, reason)


ZONES = ["Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata"]
MOMENTS = st.integers(0, 3 * 365 * 24 * 60).map(
    lambda minutes: utc("2025-01-01") + timedelta(minutes=minutes)
)
FILES = st.builds(
    lambda days, opens, closes, late, gaps: (
        BASE.split("steps:")[0]
        + f"send_window: {{days: [{', '.join(days)}],"
        + f" from: '{opens:02}:00', to: '{closes:02}:00'}}\n"
        + f"late: {{after: {late}, do: skip}}\nsteps:\n"
        + "".join(
            f"  - {{id: s{number}, after: {sum(gaps[: number + 1])}d}}\n"
            for number in range(len(gaps))
        )
    ),
    st.lists(st.sampled_from(["mon", "tue", "thu", "fri", "sun"]), min_size=1, unique=True),
    st.integers(0, 11),
    st.integers(12, 23),
    st.sampled_from(["6h", "1d", "3d", "30d"]),
    st.lists(st.integers(0, 20), min_size=1, max_size=4),
)


@given(
    FILES,
    MOMENTS,
    st.sampled_from(ZONES),
    st.lists(st.floats(0.05, 9), min_size=1, max_size=30),
    st.sampled_from([0, 30, 6 * 60]).map(lambda minutes: timedelta(minutes=minutes)),
    st.data(),
)
def test_steps_go_once_in_order_inside_the_window_and_in_time(
    text, enrolled_at, zone, gaps, spread, data
):
    known = trigger(text)
    place = Place(zone, "account", "JP")
    decided: dict[str, datetime | None] = {}
    now, went = enrolled_at, []
    for gap in gaps:
        first = Enrolment("a1", "win_back", 1, enrolled_at, place)
        holds = {step.id: data.draw(st.sampled_from([True, False, None])) for step in known.steps}
        for item in go_through(known, first, now, dict(decided), holds, Pace(spread)):
            if item.action == "wait":
                continue
            assert item.step.id not in decided
            decided[item.step.id] = item.timing.not_before if item.action == "plan" else None
            if item.action == "plan":
                at = item.timing.not_before
                assert holds[item.step.id] is True
                assert now <= at <= now + DAY
                assert at < item.timing.expires_at
                assert at < item.timing.opening.closes_at
                assert at >= item.timing.due_at
                assert known.send_window.is_open(at, zone, "JP")
                went.append(at)
        now += timedelta(days=gap)
    assert went == sorted(went)
    order = [step.id for step in known.steps]
    assert list(decided) == order[: len(decided)]
