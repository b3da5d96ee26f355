"""Calibrates the chance of return on the company's own past silences.

On days of the past, 28 days apart, each account that was ever active did or did not come back
within 28 days. A logistic regression on what was known then corrects what its life says: a day of
silence counts as often as the company was active on it, so that a holiday, when all are silent, is
hardly a silence. It is held against silence alone, on accounts and days that taught neither, and
silence alone is what is kept where it ranks better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from lifecycle.health.return_chance import Floats, Lifetimes, p_return
from lifecycle.health.validation import Flags, auc, calibration_error

WITHIN = 28
"""Days of the chance, and between the days that are looked back on."""

MOST_DAYS_BACK = 12
"""Days that are looked back on: a year of them has every season."""

LEAST_HISTORY = 56
"""Days of activity before the first of them: a rhythm needs some."""

USUAL_DAYS = 56
"""Days that say how active the company usually is."""

MOST_TIMES = 2.0
"""A day counts at most so many times, however busy it was."""

ENOUGH = 200
"""Returns, and silences that lasted, that weights are learned from."""

TERMS = (*("ln_odds", "silence_counted", "days_silent", "active_days_28", "active_days", "age"),)
CONSTANT = "constant"
OF_SILENCE = ("silence_counted", "days_silent")
"""The terms of silence alone."""

Days = NDArray[np.int64]


@dataclass(frozen=True)
class ReturnWeights:
    """The weights of the terms, and how well they did on accounts and days that taught nothing."""

    weights: Mapping[str, float]
    """By term, with the constant; 0 for a term that is left out."""
    is_silence_alone: bool
    auc: float
    silence_auc: float
    calibration_error: float
    silences: int
    """Accounts and days that it was learned from."""


def counted_days(day: Days, active_accounts: ArrayLike) -> Floats:
    """How much the days until each day counted, added up; as int_company_activity has it.

    One element a day with activity, ascending: its number, and how many accounts were active.
    """
    active = np.asarray(active_accounts, np.float64)
    total = np.cumsum(active)
    before = np.searchsorted(day, day - USUAL_DAYS, side="right")
    in_window = total - np.where(before > 0, total[before - 1], 0.0)
    usual = in_window / np.minimum(USUAL_DAYS, day - day[0] + 1)
    return np.cumsum(np.minimum(MOST_TIMES, active / usual))


def fit(
    account: Days, day: Days, company: tuple[Days, Floats], common: Lifetimes, today: int
) -> ReturnWeights | None:
    """Learn the weights; None where too few returned, or stayed silent.

    One element an active day, sorted by account (a number from 0) and day (a number); `company`:
    the days with activity, and the active accounts on each; `common`: what lives have in common.
    """
    rows = _past(account, day, company, common, today)
    if rows is None:
        return None
    terms, returned, whose, back = rows
    if min(returned.sum(), (~returned).sum()) < ENOUGH:
        return None
    unseen = {
        names: _unseen({name: terms[name] for name in names}, returned, whose, back)
        for names in (TERMS, OF_SILENCE)
    }
    areas = {names: auc(z, returned) for names, z in unseen.items()}
    chosen = max(areas, key=lambda names: areas[names])
    weights = _weights({name: terms[name] for name in chosen}, returned)
    return ReturnWeights(
        {**dict.fromkeys(TERMS, 0.0), **weights},
        chosen == OF_SILENCE,
        areas[chosen],
        areas[OF_SILENCE],
        calibration_error(expit(unseen[chosen]), returned),
        len(returned),
    )


def _past(
    account: Days, day: Days, company: tuple[Days, Floats], common: Lifetimes, today: int
) -> tuple[dict[str, Floats], Flags, Days, Days] | None:
    """The terms, whether it came back, whose it is and how far back it was, one row an account and
    day that is looked back on."""
    if not len(account):
        return None
    begins = int(company[0][0])
    counted = counted_days(*company)
    span = int(max(today, day.max()) - min(begins, day.min()) + 2 * WITHIN + LEAST_HISTORY)
    key = account * span + (day - begins)
    first = np.searchsorted(account, np.arange(account.max() + 1))
    numbers = np.arange(len(first))
    parts: list[tuple[Floats, ...]] = []
    for back in range(1, MOST_DAYS_BACK + 1):
        then = today - back * WITHIN
        if then < begins + LEAST_HISTORY:
            break
        until = np.searchsorted(key, numbers * span + (then - begins), side="right")
        active = until - first
        known = active > 0
        last = day[np.maximum(until - 1, 0)]
        recently = until - np.searchsorted(
            key, numbers * span + (then - WITHIN - begins), side="right"
        )
        later = np.searchsorted(key, numbers * span + (then + WITHIN - begins), side="right")
        passed = counted[np.searchsorted(company[0], then, side="right") - 1]
        silence = passed - counted[np.searchsorted(company[0], last, side="right") - 1]
        began = day[first]
        columns = (
            *(active, then - last, then - began, recently, silence, later > until),
            *(numbers, np.full(len(first), back)),
        )
        parts.append(tuple(np.asarray(column, np.float64)[known] for column in columns))
    if not parts:
        return None
    active, silent, age, recently, silence, returned, whose, back_days = (
        np.concatenate(columns) for columns in zip(*parts, strict=True)
    )
    chance = np.clip(p_return(common, active - 1, age - silent, age, WITHIN), 1e-6, 1 - 1e-6)
    terms = {
        "ln_odds": np.log(chance / (1 - chance)),
        "silence_counted": np.log1p(np.maximum(silence, 0)),
        "days_silent": np.log1p(silent),
        "active_days_28": np.log1p(recently),
        "active_days": np.log(active),
        "age": np.log1p(age),
    }
    return terms, returned > 0, whose.astype(np.int64), back_days.astype(np.int64)


def _unseen(terms: Mapping[str, Floats], returned: Flags, whose: Days, back: Days) -> Floats:
    """The logarithm of the odds that each row gets from other accounts on other days."""
    z = np.zeros(len(returned))
    newer = back <= np.median(back)
    for fold in range(3):
        for is_newer in (True, False):
            judged = (whose % 3 == fold) & (newer == is_newer)
            learned = (whose % 3 != fold) & (newer != is_newer)
            if len(np.unique(back)) < 2:
                learned = whose % 3 != fold
            if not judged.any() or not 0 < returned[learned].sum() < learned.sum():
                continue
            weights = _weights(
                {name: its[learned] for name, its in terms.items()}, returned[learned]
            )
            z[judged] = weights[CONSTANT] + sum(
                weights[name] * its[judged] for name, its in terms.items()
            )
    return z


def _weights(terms: Mapping[str, Floats], returned: Flags) -> dict[str, float]:
    """A logistic regression with a weak normal prior, in the terms' own units."""
    columns = np.column_stack(list(terms.values()))
    mean, spread = columns.mean(axis=0), columns.std(axis=0)
    spread[spread == 0] = 1
    features = np.column_stack([(columns - mean) / spread, np.ones(len(returned))])
    is_weight = np.append(np.ones(len(terms)), 0.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = features @ parameters
        prior = is_weight * parameters
        value = np.logaddexp(0, z).sum() - z[returned].sum() + (prior**2).sum() / 2
        slopes = features.T @ (expit(z) - returned) + prior
        return float(value) / len(returned), slopes / len(returned)

    search = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B")
    scaled = search.x[:-1] / spread
    weights = {name: float(weight) for name, weight in zip(terms, scaled, strict=True)}
    weights[CONSTANT] = float(search.x[-1] - (scaled * mean).sum())
    return weights
