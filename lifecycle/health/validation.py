"""Measures how well scores separate churned accounts from others, with intervals.

Arrays have one element an account and snapshot: `score`, higher where the outcome is expected
sooner; `outcome`, whether it happened. Ties count half: no figure depends on the order of the rows.
Every figure raises FitError where the outcome never or always happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from lifecycle.errors import FitError
from lifecycle.health.return_chance import Floats

Flags = NDArray[np.bool_]

RESAMPLES = 1_000
COVERAGE = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationBin:
    """Accounts with similar chances: their number, the expected share, the observed share."""

    accounts: int
    expected: float
    observed: float


def auc(score: ArrayLike, outcome: ArrayLike) -> float:
    """Chance that one with the outcome has the higher score than one without; a tie is half."""
    score, outcome = _checked(score, outcome)
    happened = int(outcome.sum())
    ranks = float(rankdata(score)[outcome].sum())
    pairs = happened * (len(outcome) - happened)
    return (ranks - happened * (happened + 1) / 2) / pairs


def roc(score: ArrayLike, outcome: ArrayLike) -> tuple[Floats, Floats]:
    """The curve whose area is the AUC, from (0, 0) to (1, 1): shares that reach each threshold.

    First of the accounts without the outcome, then of those with it; the strictest first.
    """
    score, outcome = _checked(score, outcome)
    place = np.unique(-score, return_inverse=True)[1]
    shares = (np.cumsum(np.bincount(place, weights=which)) for which in (~outcome, outcome))
    wrong, right = (np.concatenate([[0.0], share / share[-1]]) for share in shares)
    return wrong, right


def auc_interval(
    score: ArrayLike,
    outcome: ArrayLike,
    *,
    account: ArrayLike | None = None,
    coverage: float = COVERAGE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The AUC with its bootstrap interval."""
    score, outcome = _checked(score, outcome)
    drawn = _resampled([score], outcome, account, resamples, seed)[0]
    return _interval(auc(score, outcome), drawn, coverage)


def auc_difference(
    score: ArrayLike,
    other: ArrayLike,
    outcome: ArrayLike,
    *,
    account: ArrayLike | None = None,
    coverage: float = COVERAGE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """How much higher the AUC of `score` is than the other's, on the same draws of accounts.

    `account` says whose a row is, where an account has several: then all its rows are drawn
    together, because they are no independent witnesses. Worse for certain: `high` below zero.
    """
    score, outcome = _checked(score, outcome)
    other, _ = _checked(other, outcome)
    ours, theirs = _resampled([score, other], outcome, account, resamples, seed)
    return _interval(auc(score, outcome) - auc(other, outcome), ours - theirs, coverage)


class PairedDraws:
    """The AUC of several scores on the same draws of accounts: any two of them compare."""

    def __init__(
        self,
        scores: Mapping[str, ArrayLike],
        outcome: ArrayLike,
        *,
        account: ArrayLike | None = None,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        checked = {name: _checked(score, outcome) for name, score in scores.items()}
        flags = np.asarray(outcome, np.bool_)
        drawn = _resampled(
            [score for score, _ in checked.values()], flags, account, resamples, seed
        )
        self.auc = {name: auc(score, flags) for name, (score, _) in checked.items()}
        self._drawn = dict(zip(checked, drawn, strict=True))

    def difference(self, name: str, other: str, coverage: float = COVERAGE) -> Interval:
        """How much higher the AUC of a score is than another's."""
        return _interval(
            self.auc[name] - self.auc[other], self._drawn[name] - self._drawn[other], coverage
        )


def top_decile_lift(score: ArrayLike, outcome: ArrayLike) -> float:
    """How many times more often the outcome happened in the tenth with the highest scores."""
    score, outcome = _checked(score, outcome)
    room = len(score) / 10
    captured = 0.0
    values, place = np.unique(score, return_inverse=True)
    accounts = np.bincount(place)
    happened = np.bincount(place, weights=outcome)
    for value in reversed(range(len(values))):
        share = min(1.0, room / accounts[value])  # The share of the accounts that tie at the edge.
        captured += share * float(happened[value])
        room -= share * float(accounts[value])
        if room <= 0:
            break
    return captured / (len(score) / 10) / float(outcome.mean())


def brier(chance: ArrayLike, outcome: ArrayLike) -> float:
    """The mean squared distance of the chances from what happened: 0 is clairvoyant."""
    chance, outcome = _checked(chance, outcome)
    return float(np.mean((chance - outcome) ** 2))


def calibration(chance: ArrayLike, outcome: ArrayLike, bins: int = 10) -> list[CalibrationBin]:
    """The accounts in bins of about as many each, by chance; equal chances share a bin."""
    chance, outcome = _checked(chance, outcome)
    edges = np.quantile(chance, np.arange(1, bins) / bins)
    place = np.searchsorted(np.unique(edges), chance, side="left")
    return [
        CalibrationBin(
            int((place == number).sum()),
            float(chance[place == number].mean()),
            float(outcome[place == number].mean()),
        )
        for number in np.unique(place)
    ]


def calibration_error(chance: ArrayLike, outcome: ArrayLike, bins: int = 10) -> float:
    """Mean distance between what was expected and what happened, over the bins of accounts."""
    calibrated = calibration(chance, outcome, bins)
    accounts = sum(bin_.accounts for bin_ in calibrated)
    return sum(bin_.accounts * abs(bin_.expected - bin_.observed) for bin_ in calibrated) / accounts


def _checked(score: ArrayLike, outcome: ArrayLike) -> tuple[Floats, Flags]:
    score, outcome = np.asarray(score, np.float64), np.asarray(outcome, np.bool_)
    if score.shape != outcome.shape or score.ndim != 1:
        raise FitError("validation: scores and outcomes are not one an account each")
    if np.isnan(score).any():
        raise FitError(f"validation: {int(np.isnan(score).sum()):,} accounts have no score")
    if outcome.all() or not outcome.any():
        how_often = "always" if len(outcome) and outcome.all() else "never"
        raise FitError(f"validation: the outcome {how_often} happened: nothing to tell apart")
    return score, outcome


def _resampled(
    scores: list[Floats], outcome: Flags, account: ArrayLike | None, resamples: int, seed: int
) -> list[Floats]:
    """The AUC of each score in each draw of accounts with replacement, the same draws for all."""
    whose = np.arange(len(outcome)) if account is None else np.asarray(account)
    accounts, row_account = np.unique(whose, return_inverse=True)
    random = np.random.default_rng(seed)
    places = [np.unique(score, return_inverse=True)[1] for score in scores]
    drawn = np.full((len(scores), resamples), np.nan)
    for draw in range(resamples):
        times = np.bincount(random.integers(len(accounts), size=len(accounts)), None, len(accounts))
        weight = times[row_account]
        for number, place in enumerate(places):
            drawn[number, draw] = _weighted_auc(place, outcome, weight)
    return list(drawn)


def _weighted_auc(place: NDArray[np.intp], outcome: Flags, weight: NDArray[np.intp]) -> float:
    """`place` is the rank of a row's score among the distinct ones, ascending from 0."""
    happened = np.bincount(place, weights=weight * outcome)
    stayed = np.bincount(place, weights=weight * ~outcome)
    pairs = happened.sum() * stayed.sum()
    if not pairs:
        return float("nan")
    below = np.cumsum(stayed) - stayed
    return float((happened * (below + stayed / 2)).sum() / pairs)


def _interval(value: float, drawn: Floats, coverage: float) -> Interval:
    low, high = np.nanquantile(drawn, [(1 - coverage) / 2, (1 + coverage) / 2])
    return Interval(value, float(low), float(high))
