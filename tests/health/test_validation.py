"""Figures of validation, by hand and against the slow way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import FitError
from lifecycle.health.validation import (
    auc,
    auc_difference,
    auc_interval,
    brier,
    calibration,
    calibration_error,
    roc,
    top_decile_lift,
)

scored = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=50).filter(
    lambda rows: len({outcome for _, outcome in rows}) == 2
)


@given(scored)
def test_auc_counts_pairs(rows: list[tuple[int, bool]]) -> None:
    pairs = [(high > low) + (high == low) / 2 for high, y in rows if y for low, n in rows if not n]
    score, outcome = zip(*rows, strict=True)
    assert auc(score, outcome) == pytest.approx(sum(pairs) / len(pairs))
    wrong, right = roc(score, outcome)
    assert np.trapezoid(right, wrong) == pytest.approx(auc(score, outcome))
    assert (wrong[0], right[0], wrong[-1], right[-1]) == (0, 0, 1, 1)


@given(scored, st.randoms(use_true_random=False))
def test_no_figure_depends_on_the_order(
    rows: list[tuple[int, bool]], random: np.random.Generator
) -> None:
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[arg-type]
    for figure in (auc, top_decile_lift, lambda s, y: calibration_error(np.array(s) / 10, y)):
        first, other = (figure(*zip(*each, strict=True)) for each in (rows, mixed))
        assert first == pytest.approx(other)


def test_top_decile_lift_by_hand() -> None:
    outcome = [True, True] + [False] * 17 + [True]
    assert top_decile_lift(range(20, 0, -1), outcome) == pytest.approx(1 / (3 / 20))
    # Four tie for the two places of the top tenth: each has half a place.
    tied = [5, 5, 5, 5, *[1] * 16]
    assert top_decile_lift(tied, outcome) == pytest.approx(0.5 / (3 / 20))
    # 15 accounts have one and a half places.
    assert top_decile_lift(range(15), [False] * 13 + [True] * 2) == pytest.approx(7.5)


def test_calibration_by_hand() -> None:
    chance = [0.1] * 10 + [0.5] * 10
    outcome = [True] * 3 + [False] * 7 + [True] * 4 + [False] * 6
    bins = calibration(chance, outcome)
    assert [
        (score_bin.accounts, round(score_bin.expected, 9), score_bin.observed) for score_bin in bins
    ] == [
        (10, 0.1, 0.3),
        (10, 0.5, 0.4),
    ]
    assert calibration_error(chance, outcome) == pytest.approx(0.15)
    assert brier([0.9, 0.2], [True, False]) == pytest.approx((0.01 + 0.04) / 2)


def test_ten_bins_of_as_many_accounts_each() -> None:
    chance = np.random.default_rng(1).random(1_000)
    bins = calibration(chance, np.arange(1_000) % 2 == 0)
    assert [score_bin.accounts for score_bin in bins] == [100] * 10
    expected = [score_bin.expected for score_bin in bins]
    assert expected == sorted(expected)


def test_honest_chances_have_no_calibration_error_to_speak_of() -> None:
    random = np.random.default_rng(2)
    chance = random.random(50_000)
    outcome = random.random(50_000) < chance
    assert calibration_error(chance, outcome) < 0.01
    assert calibration_error(chance**3, outcome) > 0.2


def test_intervals_are_those_of_theory() -> None:
    """Hanley and McNeil's standard error for an AUC, from 400 accounts."""
    random = np.random.default_rng(4)
    outcome = np.arange(400) < 200
    score = random.normal(size=400) + outcome
    result = auc_interval(score, outcome)
    a = result.value
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = np.sqrt((a * (1 - a) + 199 * (q1 - a * a) + 199 * (q2 - a * a)) / (200 * 200))
    assert result.value == pytest.approx(auc(score, outcome))
    assert result.high - result.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert auc_interval(score, outcome) == result
    tied = auc_interval(np.zeros(400), outcome)
    assert (tied.value, tied.low, tied.high) == (0.5, 0.5, 0.5)
    assert auc_interval(score, outcome, seed=1) != result


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    random = np.random.default_rng(5)
    outcome = np.arange(1_000) < 300
    good = random.normal(size=1_000) + outcome
    worse = good + random.normal(size=1_000) * 0.6
    apart = [auc_interval(score, outcome) for score in (good, worse)]
    assert apart[0].low < apart[1].high
    together = auc_difference(worse, good, outcome)
    assert together.high < 0
    assert together.value == pytest.approx(apart[1].value - apart[0].value)
    same = auc_difference(good, good * 2, outcome)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_an_account_that_is_seen_ten_times_is_one_witness() -> None:
    random = np.random.default_rng(6)
    outcome = np.arange(200) < 80
    score = random.normal(size=200) + outcome
    once = auc_interval(score, outcome)
    ten = np.tile(score, 10), np.tile(outcome, 10)
    by_account = auc_interval(*ten, account=np.tile(np.arange(200), 10))
    by_row = auc_interval(*ten)
    assert by_account.high - by_account.low == pytest.approx(once.high - once.low)
    assert by_row.high - by_row.low < 0.5 * (once.high - once.low)


@pytest.mark.parametrize(
    ("score", "outcome", "why"),
    [
        ([1, 2], [True, True], "the outcome always happened"),
        ([1, 2], [False, False], "the outcome never happened"),
        ([], [], "the outcome never happened"),
        ([1, float("nan")], [True, False], "1 accounts have no score"),
        ([1, 2, 3], [True, False], "not one an account each"),
    ],
)
def test_what_cannot_be_told_is_refused(score: list[float], outcome: list[bool], why: str) -> None:
    with pytest.raises(FitError, match=why):
        auc(score, outcome)
