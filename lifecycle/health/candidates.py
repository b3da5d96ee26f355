"""Chooses the score that ranks a company's own past best.

The candidates: equal weights, points, points with ranks among peers, and a monotone boosted model.
Each is fitted on a part of the accounts and judged on the others. The boosted model is taken only
where it beats the best points by more than its interval. What wins is fitted on all, and its
chances are calibrated by what it said of accounts that it had not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from math import log

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from lifecycle.errors import FitError
from lifecycle.health import boosted, scorecard
from lifecycle.health.measures import ALL_MEASURES, MEASURES
from lifecycle.health.return_chance import Floats
from lifecycle.health.return_fit import sample
from lifecycle.health.scorecard import POINTS, Scorecard
from lifecycle.health.snapshots import Snapshots
from lifecycle.health.validation import (
    Flags,
    Interval,
    PairedDraws,
    calibration_error,
    top_decile_lift,
)

FOLDS = 4
"""Parts of the accounts; each is judged by what the others teach."""

RESAMPLES = 200

NEWEST_DAYS = 3
"""Days of snapshots that say how many leave at present: a quarter."""

MOST_SNAPSHOTS = 50_000
"""Candidates are compared on so many; more would narrow no interval that a choice hangs on."""

EQUAL_WEIGHTS, SILENCE = "equal weights", "days of silence"
POINTS_NAME, WITH_PEERS = "points", "points with peers"
BOOSTED = "boosted points with peers"

ENOUGH_IN_A_PART = 20
"""Who left, or stayed, in a part of the past that points are learned from."""

Fit = Callable[[Mapping[str, Floats], Flags], Scorecard]

LEARNED: dict[str, tuple[tuple[str, ...], Fit]] = {
    POINTS_NAME: (MEASURES, partial(scorecard.fit, enough=ENOUGH_IN_A_PART)),
    WITH_PEERS: (ALL_MEASURES, partial(scorecard.fit, enough=ENOUGH_IN_A_PART)),
    BOOSTED: (ALL_MEASURES, boosted.fit),
}
"""What can be learned: the measures, and how."""


@dataclass(frozen=True)
class Candidate:
    """A candidate's figures on accounts that it was not fitted on."""

    name: str
    auc: float
    over_silence: Interval
    """AUC less that of days since last activity, on the same snapshots."""
    lift: float
    calibration_error: float | None
    """None: it tells no chances."""
    is_chosen: bool = False


@dataclass(frozen=True)
class Choice:
    """What was chosen; no scorecard: equal weights."""

    scorecard: Scorecard | None
    candidates: tuple[Candidate, ...]
    note: str = ""
    usual_chance: float | None = None
    """Share of the snapshots of the newest days whose account left."""


def choose(past: Snapshots) -> Choice:
    """Choose by cross-validation. Raises FitError where too few left, or stayed."""
    fewest = int(min(past.churned.sum(), (~past.churned).sum()))
    if fewest < scorecard.ENOUGH_CHURNED:
        raise FitError(
            f"health: {fewest} accounts left or stayed; {scorecard.ENOUGH_CHURNED} of each are "
            "needed"
        )
    everything, past = past, _some(past)
    parts = _parts(past)
    unseen: dict[str, Floats] = {}
    for name, (measures, fit) in LEARNED.items():
        if name != POINTS_NAME and not _has_any(past, measures):
            continue
        unseen[name] = _unseen_ln_odds(past, parts, measures, fit)
    risks = {SILENCE: past.days_silent, **unseen}
    if (past.in_force == "").all():  # else what was stored is another version's on some days
        risks[EQUAL_WEIGHTS] = -past.raw_score
    draws = PairedDraws(risks, past.churned, account=past.account, resamples=RESAMPLES)
    chosen = _best(draws, unseen)
    note = ""
    if EQUAL_WEIGHTS in risks and draws.difference(chosen, EQUAL_WEIGHTS).high < 0:
        chosen = EQUAL_WEIGHTS
        note = "equal weights rank the company's own past better than anything learned from it"
    candidates = tuple(
        Candidate(
            name,
            draws.auc[name],
            draws.difference(name, SILENCE),
            float(top_decile_lift(risk, past.churned)),
            calibration_error(expit(_calibrated(past, risk)), past.churned)
            if name in unseen
            else None,
            is_chosen=name == chosen,
        )
        for name, risk in risks.items()
    )
    if chosen == EQUAL_WEIGHTS:
        return Choice(None, candidates, note)
    measures, fit = LEARNED[chosen]
    learned = fit({name: everything.measures[name] for name in measures}, everything.churned)
    return Choice(
        calibrated(learned, past, unseen[chosen]),
        candidates,
        note,
        float(past.churned[newest_days(past)].mean()),
    )


def calibrated(learned: Scorecard, past: Snapshots, unseen: Floats) -> Scorecard:
    """The scorecard with its points stretched so that its chances come true on accounts that it
    was not fitted on: a slope by what was said of those (`unseen`, ln odds), and a constant by the
    newest days, for how many leave changes with the year."""
    slope, _ = _platt(unseen, past.churned)
    newest = newest_days(past)
    constant = _constant(slope * unseen[newest], past.churned[newest])
    base_ln_odds = constant + slope * learned.base_ln_odds
    bins = tuple(replace(part, points=slope * part.points) for part in learned.bins)
    return Scorecard(
        bins,
        {name: slope * weight for name, weight in learned.weights.items()},
        50 + slope * (learned.base_points - 50),
        base_ln_odds,
    )


def newest_days(past: Snapshots) -> Flags:
    """The newest three days of snapshots, or as many more as it takes for enough to have left."""
    days = np.unique(past.day)[::-1]
    for number in range(NEWEST_DAYS, len(days) + 1):
        newest = np.asarray(past.day >= days[number - 1], np.bool_)
        if past.churned[newest].sum() >= scorecard.ENOUGH_CHURNED:
            return newest
    return np.ones(len(past.day), np.bool_)


def _constant(ln_odds: Floats, churned: Flags) -> float:
    """What to add to these for their chances to add up to those who left."""
    constant = log(churned.mean() / (~churned).mean()) - float(ln_odds.mean())
    for _ in range(50):
        chance = expit(ln_odds + constant)
        constant -= float((chance - churned).sum() / (chance * (1 - chance)).sum())
    return constant


def _best(draws: PairedDraws, unseen: Mapping[str, Floats]) -> str:
    """The best points, or the boosted model where it beats them by more than its interval."""
    best = max((name for name in unseen if name != BOOSTED), key=lambda name: draws.auc[name])
    if BOOSTED in unseen and draws.difference(BOOSTED, best).low > 0:
        return BOOSTED
    return best


def _some(past: Snapshots) -> Snapshots:
    """All snapshots of as many accounts as a comparison needs, the same ones each time."""
    if len(past.churned) <= MOST_SNAPSHOTS:
        return past
    accounts = np.unique(past.account.astype(str))
    share = MOST_SNAPSHOTS / len(past.churned)
    chosen = accounts[sample([str(name) for name in accounts], int(len(accounts) * share))]
    return past.where(np.isin(past.account.astype(str), chosen))


def _has_any(past: Snapshots, measures: tuple[str, ...]) -> bool:
    return any(not np.isnan(past.measures[name]).all() for name in measures if name not in MEASURES)


def _parts(past: Snapshots) -> list[tuple[Flags, Flags]]:
    """Pairs of (learn on these, judge these): no account is on both sides."""
    fold = np.array(
        [blake2b(str(name).encode(), digest_size=1).digest()[0] % FOLDS for name in past.account]
    )
    return [
        (np.asarray(fold != number, np.bool_), np.asarray(fold == number, np.bool_))
        for number in range(FOLDS)
    ]


def _unseen_ln_odds(
    past: Snapshots, parts: list[tuple[Flags, Flags]], measures: tuple[str, ...], fit: Fit
) -> Floats:
    """The logarithm of the odds of leaving that each snapshot gets from the others."""
    ln_odds = np.full(len(past.churned), log(past.churned.mean() / (~past.churned).mean()))
    for learned, judged in parts:
        if not judged.any():
            continue
        try:
            card = fit(
                {name: past.measures[name][learned] for name in measures}, past.churned[learned]
            )
        except FitError:
            continue  # too few left in this part: the base rate stands for it
        points = card.points({name: past.measures[name][judged] for name in card.weights})
        total = np.sum(list(points.values()), axis=0)
        ln_odds[judged] = card.base_ln_odds - total / POINTS
    return ln_odds


def _platt(ln_odds: Floats, churned: Flags) -> tuple[float, float]:
    """Slope (not negative) and constant that make these odds come true."""

    def loss(parameters: Floats) -> tuple[float, Floats]:
        slope, constant = parameters
        z = slope * ln_odds + constant
        value = np.logaddexp(0, z).sum() - z[churned].sum() + (slope - 1) ** 2 / 2
        residual = expit(z) - churned
        return float(value), np.array([(residual * ln_odds).sum() + slope - 1, residual.sum()])

    search = minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.05, 5), (None, None)]
    )
    return float(search.x[0]), float(search.x[1])


def _calibrated(past: Snapshots, ln_odds: Floats) -> Floats:
    slope, constant = _platt(ln_odds, past.churned)
    return slope * ln_odds + constant
