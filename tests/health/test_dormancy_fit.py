"""The dormancy limit: its gaps, its factor, its edges."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import FitError
from lifecycle.health.dormancy import (
    blended_gap,
    calibrate,
    counted_days,
    fit,
    known_gaps,
    limits,
    rhythms,
    segment_gaps,
    usual_gap,
)

lengths = st.lists(st.integers(1, 200), min_size=1, max_size=60)


def test_a_gap_is_judged_by_the_gaps_before_it() -> None:
    account = ["b", "a", "b", "a", "a"]
    ended = [10, 30, 40, 5, 12]
    days = [2, 18, 30, 5, 7]
    number, quantile = known_gaps(account, ended, days)
    assert number.tolist() == [0, 2, 1, 0, 1]
    np.testing.assert_allclose(quantile, [np.nan, 6.8, 2, np.nan, 5])  # 5 + 0.9 * (7 - 5)


@given(lengths)
def test_what_was_known_is_numpys_quantile_of_the_past(days: list[int]) -> None:
    number, quantile = known_gaps(["a"] * len(days), range(len(days)), days)
    assert number.tolist() == list(range(len(days)))
    for place in range(1, len(days)):
        assert quantile[place] == pytest.approx(np.quantile(days[:place], 0.9))
    _, _, own = rhythms(["a"] * len(days) + ["b"], [*days, 5])
    np.testing.assert_allclose(own, [np.quantile(days, 0.9), 5])


def test_a_segments_gap_is_that_of_its_usual_account() -> None:
    accounts, number, own = rhythms(["a", "b", "a", "a", "b"], [1, 9, 2, 3, 9])
    assert accounts.tolist() == ["a", "b"]
    assert number.tolist() == [3, 2]
    np.testing.assert_allclose(own, [2.8, 9])
    segment = ["daily"] * 10 + ["rare"] * 9 + ["weekly"] * 11
    own_gaps = [1.0] * 10 + [50.0] * 9 + [7.0] * 11
    result = segment_gaps(segment, [3] * 30, own_gaps)
    assert result == {"daily": 1, "rare": 7, "weekly": 7}  # nine accounts are not enough
    with pytest.raises(FitError, match="no account has 3 gaps"):
        segment_gaps(["s"], [2], [5.0])


def test_an_account_borrows_from_its_segment_by_the_weight_of_five_gaps() -> None:
    usual = usual_gap([2, 3, 5, 500], [30, 30, 30, 30], [4.0] * 4)
    by_hand = [4, np.exp((3 * np.log(30) + 5 * np.log(4)) / 8), np.sqrt(30 * 4), 29.4]
    np.testing.assert_allclose(usual, by_hand, rtol=1e-3)
    np.testing.assert_allclose(blended_gap([16, 4], [4, 4]), [8, 4])
    np.testing.assert_allclose(limits(2.5, [1, 8, 80]), [7, 20, 90])


@given(lengths, st.randoms(use_true_random=False), st.floats(0, 20))
def test_the_factor_is_the_least_that_keeps_the_peace(
    days: list[int], random: np.random.Generator, alarms_a_year: float
) -> None:
    gap = [random.uniform(1, 40) for _ in days]
    calibration = calibrate(days, gap, false_alarms_per_account_year=alarms_a_year)

    def alarms(factor: float) -> int:
        return sum(
            length > min(90, max(7, factor * usual))
            for length, usual in zip(days, gap, strict=True)
        )

    unavoidable = sum(length > 90 for length in days)
    allowed = max(unavoidable, int(alarms_a_year * sum(days) / 365.25))
    assert calibration.false_alarms == alarms(calibration.factor) <= allowed
    assert calibration.alive_years == pytest.approx(sum(days) / 365.25)
    lower = calibration.factor - 2e-4  # it is rounded up to four decimals
    if lower > 0:
        assert alarms(lower) > allowed or alarms(lower) == alarms(1e-9)


def test_a_limit_that_is_just_reached_is_no_alarm() -> None:
    at_once = calibrate([10, 20, 30], [10, 10, 10], false_alarms_per_account_year=1e-9)
    assert (at_once.factor, at_once.false_alarms) == (3, 0)
    calibration = calibrate([10, 20, 30], [10, 10, 10], false_alarms_per_account_year=365.25 / 60)
    assert (calibration.factor, calibration.false_alarms) == (2, 1)
    assert calibration.false_alarms_per_account_year == pytest.approx(1 / (60 / 365.25))
    # Seven days are allowed at any factor, however fast the account is.
    fast = calibrate([7, 20, 30], [0.1, 10, 10], false_alarms_per_account_year=365.25 / 57)
    assert (fast.factor, fast.false_alarms) == (2, 1)


def test_gaps_above_the_most_that_is_allowed_alarm_whatever_the_factor() -> None:
    calibration = calibrate([100, 120, 60], [10, 10, 10], false_alarms_per_account_year=0.5)
    assert calibration.false_alarms == 2
    assert calibration.factor == 6  # nothing else alarms
    assert (calibration.gaps, calibration.gaps_above_most) == (3, 2)
    assert (
        calibration.least_false_alarms_per_account_year == calibration.false_alarms_per_account_year
    )
    at_the_most = calibrate([90, 91, 60], [10, 10, 10], false_alarms_per_account_year=20)
    assert at_the_most.gaps_above_most == 1
    assert at_the_most.least_false_alarms_per_account_year == pytest.approx(365.25 / 241)
    with pytest.raises(FitError, match="no gap between active days"):
        calibrate([], [])
    with pytest.raises(FitError, match="no account has 3 gaps"):
        fit([], [], [], [])


def test_rare_accounts_get_long_limits_and_the_rate_holds_for_gaps_to_come() -> None:
    random = np.random.default_rng(5)
    account, days, ended = [], [], []
    for number in range(300):
        mean = 2 if number % 2 else 12
        day = 0
        while day < 730:
            gap = 1 + random.geometric(1 / mean)
            day += gap
            account.append(number)
            days.append(gap)
            ended.append(day)
    whose, gaps, when = np.array(account), np.array(days), np.array(ended)
    past = when < 365
    segment = np.where(whose % 2, "daily", "rare")
    fitted = fit(whose[past], segment[past], gaps[past], when[past])
    assert 0.4 <= fitted.calibration.false_alarms_per_account_year <= 0.5
    assert fitted.segment_gaps["rare"] > 3 * fitted.segment_gaps["daily"]

    accounts, number_of, own = rhythms(whose[past], gaps[past])
    of_segment = [fitted.segment_gaps["daily" if number % 2 else "rare"] for number in accounts]
    usual = usual_gap(number_of, own, of_segment)
    limit = limits(fitted.calibration.factor, blended_gap(usual, of_segment))
    assert np.median(limit[accounts % 2 == 0]) > 1.5 * np.median(limit[accounts % 2 == 1])
    later = when - gaps >= 365
    alarms = gaps[later] > limit[np.searchsorted(accounts, whose[later])]
    assert alarms.sum() / (gaps[later].sum() / 365.25) == pytest.approx(0.5, abs=0.25)


def test_a_holiday_week_is_no_gap_of_an_office() -> None:
    new_year = [date(2026, 12, 31), date(2027, 1, 1)]
    # Friday to Monday; the last day of work to the first, over new year.
    began, ended = ["2026-12-18", "2026-12-25"], ["2026-12-21", "2027-01-04"]
    assert counted_days(began, ended, new_year).tolist() == [1, 4]
    assert counted_days(began, ended, new_year, "1111111").tolist() == [3, 8]
    assert counted_days(began, ended, [], "1111111").tolist() == [3, 10]
