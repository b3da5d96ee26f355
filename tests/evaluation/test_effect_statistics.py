"""Whether a difference is one, for those who look every day."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lifecycle.evaluation.effect_statistics import (
    ALPHA,
    CHANCE,
    Outcomes,
    accounts_needed,
    confidence_sequence,
    is_difference,
)

EXPERIMENTS, DAYS = 2000, 120
A_DAY = 8
HELD_OUT = 0.25
FEWEST = 30
"""Accounts of each group before the mart tells the interval for one look."""


def experiments(seed: int, *, usual: float, helps: float = 0.0) -> Outcomes:
    """Experiments × days: the counts as they stand each morning."""
    dice = np.random.default_rng(seed)
    entered = dice.poisson(A_DAY, (EXPERIMENTS, DAYS))
    others = dice.binomial(entered, HELD_OUT)
    reached = entered - others
    goals, others_goals = dice.binomial(reached, usual + helps), dice.binomial(others, usual)
    return Outcomes(*(counts.cumsum(axis=1) for counts in (reached, goals, others, others_goals)))


def newcombe(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    """The interval for one look, as the mart trigger_effect has it."""
    n1, s1, n0, s0 = outcomes.arrays()
    z = 1.959964

    def wilson(s, n, side):
        return (s + z * z / 2 + side * z * np.sqrt(s * (1 - s / n) + z * z / 4)) / (n + z * z)

    with np.errstate(divide="ignore", invalid="ignore"):
        p1, p0 = s1 / n1, s0 / n0
        low = np.hypot(p1 - wilson(s1, n1, -1), wilson(s0, n0, 1) - p0)
        high = np.hypot(wilson(s1, n1, 1) - p1, p0 - wilson(s0, n0, -1))
        return p1 - p0 - low, p1 - p0 + high


def most_false(share: float) -> float:
    """The share of false alarms that chance allows, three standard errors above."""
    return share + 3 * math.sqrt(share * (1 - share) / EXPERIMENTS)


@pytest.mark.parametrize("usual", [0.03, 0.3, 0.5])
def test_who_reads_nothing_but_noise_every_day_is_rarely_fooled(usual: float) -> None:
    ever = is_difference(experiments(1, usual=usual)).any(axis=1)
    assert ever.mean() <= most_false(ALPHA)


def test_the_interval_for_one_look_fools_who_reads_it_every_day() -> None:
    outcomes = experiments(1, usual=0.3)
    low, high = newcombe(outcomes)
    n1, _, n0, _ = outcomes.arrays()
    alarm = ((low > 0) | (high < 0)) & (np.minimum(n1, n0) >= FEWEST)
    assert alarm[:, -1].mean() <= most_false(ALPHA)  # one look: as it should be
    assert alarm.any(axis=1).mean() > 3 * ALPHA


def test_the_sequence_covers_the_truth_at_all_looks_together() -> None:
    every_tenth = [counts[:200, ::10] for counts in _counts(experiments(2, usual=0.2, helps=0.3))]
    low, high = confidence_sequence(Outcomes(*every_tenth))
    missed = ((low > 0.3) | (high < 0.3)).any(axis=1)
    assert missed.mean() <= most_false(ALPHA)
    assert (low[:, -1] > 0).mean() > 0.9  # and it does see it


def test_the_bounds_and_the_verdict_agree() -> None:
    few = [counts[:100, ::20] for counts in _counts(experiments(3, usual=0.2, helps=0.2))]
    outcomes = Outcomes(*few)
    low, high = confidence_sequence(outcomes)
    seen = is_difference(outcomes)
    assert seen.any()
    assert not seen.all()
    assert (seen == ((low > 0) | (high < 0))).all()


def test_without_data_everything_is_possible() -> None:
    assert confidence_sequence(Outcomes(0, 0, 0, 0)) == (-1, 1)
    low, high = confidence_sequence(Outcomes(10, 10, 0, 0))
    assert -1 < low < 0
    assert high == pytest.approx(1)


def test_it_is_the_same_from_either_side() -> None:
    low, high = confidence_sequence(Outcomes(70, 56, 80, 48))
    back_low, back_high = confidence_sequence(Outcomes(80, 48, 70, 56))
    assert (low, high) == (pytest.approx(-back_high), pytest.approx(-back_low))
    assert low < 0.0524  # wider than Newcombe's, whose own example this is
    assert high > 0.3339


def test_one_group_alone_has_the_interval_of_the_book() -> None:
    # One group's mixture leaves out the shares beyond B(s + 1/2, n - s + 1/2) / B(1/2, 1/2) /
    # (p^s (1 - p)^(n - s)) = 20. With 10 of 10 and the other group empty, the least share left
    # is where p^10 = B(10.5, 0.5) / pi / 20, and the other group's may be 1 or 0.
    beta = math.gamma(10.5) * math.gamma(0.5) / math.gamma(11)
    least = (beta / math.pi * ALPHA) ** (1 / 10)
    low, _ = confidence_sequence(Outcomes(10, 10, 0, 0))
    assert low == pytest.approx(least - 1, abs=1e-6)


def test_so_many_accounts_see_the_difference_four_times_in_five() -> None:
    usual, helps = 0.3, 0.15
    accounts = accounts_needed(usual, helps, HELD_OUT)
    dice = np.random.default_rng(4)
    others = round(accounts * HELD_OUT)
    reached = accounts - others
    looks = Outcomes(
        np.full(EXPERIMENTS, reached),
        dice.binomial(reached, usual + helps, EXPERIMENTS),
        np.full(EXPERIMENTS, others),
        dice.binomial(others, usual, EXPERIMENTS),
    )
    assert is_difference(looks).mean() == pytest.approx(CHANCE, abs=0.04)


@pytest.mark.parametrize("usual", [0.001, 0.5, 0.95, 0.999])
def test_a_smaller_difference_needs_more(usual: float) -> None:
    assert accounts_needed(usual, 0.05, 0.1) > accounts_needed(usual, 0.1, 0.1)


def test_what_can_never_be_seen_is_said_so() -> None:
    assert accounts_needed(0.5, 0.0001, 0.01) is None


def _counts(outcomes: Outcomes) -> tuple[np.ndarray, ...]:
    return outcomes.reached, outcomes.goals_reached, outcomes.held_out, outcomes.goals_held_out
