"""After a closed window the mails that waited leave in turn; the others go at once."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from company import utc
from lifecycle.planning.decision import Opening, Pace, in_turn, turn_of

OPENS = utc("2026-06-10 00:00")
CLOSES = OPENS + timedelta(hours=8)
MINUTE = timedelta(minutes=1)

shares = st.floats(0, 1, exclude_max=True)
spreads = st.integers(0, 24 * 60).map(lambda minutes: minutes * MINUTE)
lengths = st.integers(1, 24 * 60).map(lambda minutes: minutes * MINUTE)


def leaves(
    share: float, spread: timedelta, every: timedelta = timedelta(), **changes: datetime
) -> datetime:
    times = {"waited_from": OPENS - MINUTE, "closes_at": CLOSES, "until": None} | changes
    opening = Opening(OPENS, times.pop("closes_at"))
    return in_turn(opening, share=share, pace=Pace(spread, every), **times).not_before


@given(shares, spreads, lengths, st.none() | lengths)
def test_what_waited_leaves_in_the_first_minutes_and_while_it_may(share, spread, length, late):
    closes_at, until = OPENS + length, late and OPENS + late
    at = leaves(share, spread, closes_at=closes_at, until=until)
    assert OPENS <= at < closes_at
    assert at <= OPENS + spread
    assert until is None or at < until


@given(shares, spreads, st.integers(0, 8 * 60))
def test_what_comes_due_while_the_window_is_open_goes_at_once(share, spread, minutes):
    due = OPENS + minutes * MINUTE
    opening = Opening(due, CLOSES)  # as `next_opening` gives it inside a window
    assert in_turn(opening, due, share, Pace(spread), None) == opening


def test_a_backlog_fills_its_minutes_evenly():
    spread = 30 * MINUTE
    minutes = [0] * 30
    for number in range(3000):
        at = leaves(turn_of(f"a{number}"), spread)
        minutes[int((at - OPENS) / MINUTE)] += 1
    # 100 each on average, with a standard deviation of 10.
    assert min(minutes) > 55
    assert max(minutes) < 145


def test_without_a_spread_all_leave_together():
    assert {leaves(turn_of(f"a{n}"), timedelta()) for n in range(50)} == {OPENS}


def test_an_account_has_one_turn_of_its_own():
    assert turn_of("a1") == turn_of("a1")
    assert len({turn_of(f"a{number}") for number in range(100)}) == 100


@given(shares, spreads, lengths, lengths)
def test_the_last_delivery_before_the_window_closes_can_carry_each(minute, spread, length, every):
    """Wherever the deliveries fall: one comes after the mail's moment and before the closing."""
    at = leaves(minute, spread, every, closes_at=OPENS + length)
    assert at == OPENS if length <= every else at + every <= OPENS + length
