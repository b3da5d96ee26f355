"""The usage score as a scorecard: points fitted on what was known of accounts that later churned.

Each measure is cut into bins of about as many accounts each. A bin's weight of evidence says how
much more often its accounts left than all did, as a logarithm of odds. A logistic regression
weights the measures. Their weighted sum is z, the logarithm of how the odds of leaving change. The
score is 50 where z is the median account's, and 20 points more halve the odds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, log
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from lifecycle.errors import FitError
from lifecycle.health.return_chance import Floats
from lifecycle.health.validation import Flags

ENOUGH_CHURNED = 100
"""With fewer churned accounts, points cannot be fitted: equal weights replace them."""

BINS = 5

DOUBT = 20
"""Each bin gets this many pseudo-accounts at the base rate: a small bin says little."""

POINTS = 20 / log(2)
"""Points of the score for each unit of z, 28.85: 20 points double the odds."""


@dataclass(frozen=True)
class Bin:
    """One row of the table that SQL joins: where `above < measure <= up_to`, or where it is null.

    `points` are added to the score; they are negative where accounts left more than usual.
    """

    measure: str
    above: float | None
    """-inf in the first bin of a measure; None in the bin of accounts that have no value."""
    up_to: float | None
    """inf in the last bin of a measure; None in the bin of accounts that have no value."""
    churned: int
    stayed: int
    weight_of_evidence: float
    points: float


@dataclass(frozen=True)
class Scorecard:
    """A fitted score: its table of bins, and what belongs to no bin."""

    bins: tuple[Bin, ...]
    weights: Mapping[str, float]
    """By measure; never negative."""
    base_points: float
    """What the score is before any bin's points: 50 + 28.85 * median z."""
    base_ln_odds: float
    """Logarithm of the odds of leaving where z is 0."""

    def points(self, measures: Mapping[str, ArrayLike]) -> dict[str, Floats]:
        """The points that each measure adds, one element an account: the reasons of the score."""
        return {
            name: _by_bin(values, [bin_ for bin_ in self.bins if bin_.measure == name], "points")
            for name, values in _as_floats(measures).items()
        }

    def score(self, measures: Mapping[str, ArrayLike]) -> Floats:
        """Health from 0 to 100, one element an account: 100 is least likely to leave."""
        return np.clip(self.base_points + self._sum(measures), 0, 100)

    def p_churn(self, measures: Mapping[str, ArrayLike]) -> Floats:
        """The chance of leaving, one element an account."""
        chance: Floats = expit(self.base_ln_odds - self._sum(measures) / POINTS)
        return chance

    def _sum(self, measures: Mapping[str, ArrayLike]) -> Floats:
        total: Floats = np.stack(list(self.points(measures).values())).sum(axis=0)
        return total


def weight_of_evidence(churned: float, stayed: float, base_rate: float) -> float:
    """ln(((churned + 20 B) / (stayed + 20 (1 - B))) / (B / (1 - B))): above 0 is churn-prone."""
    odds = (churned + DOUBT * base_rate) / (stayed + DOUBT * (1 - base_rate))
    return log(odds / (base_rate / (1 - base_rate)))


def fit(
    measures: Mapping[str, ArrayLike], churned: ArrayLike, *, enough: int = ENOUGH_CHURNED
) -> Scorecard:
    """Fit a scorecard on accounts with known outcomes.

    `measures` has an array for each measure, one element an account, NaN where it is not known;
    `churned` says which accounts churned. The order of the accounts does not matter. Raises
    FitError where fewer than `enough` accounts left or stayed, or the weights do not converge.
    """
    has_churned = np.asarray(churned, np.bool_)
    values = _as_floats(measures)
    if not values or any(its.shape != has_churned.shape for its in values.values()):
        raise FitError("health: measures and outcomes are not one an account each")
    fewest = int(min(has_churned.sum(), (~has_churned).sum()))
    if fewest < enough:
        raise FitError(f"health: {fewest} accounts left or stayed; {enough} of each are needed")
    cut = {name: _cut(name, its, has_churned) for name, its in values.items()}
    each = np.stack(
        [_by_bin(values[name], cut[name], "weight_of_evidence") for name in values], axis=1
    )
    weights, base_ln_odds = _weights(each, has_churned)
    return Scorecard(
        bins=tuple(
            replace(bin_, points=-POINTS * weight * bin_.weight_of_evidence)
            for name, weight in zip(values, weights, strict=True)
            for bin_ in cut[name]
        ),
        weights=dict(zip(values, weights, strict=True)),
        base_points=50 + POINTS * float(np.median(each @ weights)),
        base_ln_odds=base_ln_odds,
    )


def _cut(measure: str, values: Floats, has_churned: Flags) -> list[Bin]:
    """The bins of one measure, the last for accounts without a value; points are not known yet."""
    known = ~np.isnan(values)
    base_rate = float(has_churned.mean())
    edges = np.array([])
    if known.any():
        edges = np.unique(np.quantile(values[known], np.arange(1, BINS) / BINS, method="lower"))
        edges = edges[edges < values[known].max()]  # nobody is above the highest

    def bin_of(above: float | None, up_to: float | None, inside: Flags) -> Bin:
        churned, stayed = int((has_churned & inside).sum()), int((~has_churned & inside).sum())
        return Bin(
            measure,
            above,
            up_to,
            churned,
            stayed,
            weight_of_evidence(churned, stayed, base_rate),
            0.0,
        )

    bounds = [-inf, *(float(edge) for edge in edges), inf]
    return [
        *(
            bin_of(above, up_to, (values > above) & (values <= up_to))
            for above, up_to in pairwise(bounds)
        ),
        bin_of(None, None, ~known),
    ]


def _by_bin(
    values: Floats, bins: list[Bin], attribute: Literal["weight_of_evidence", "points"]
) -> Floats:
    """The weight of evidence, or the points, of the bin that each value falls into."""
    *of_values, of_unknown = (float(getattr(bin_, attribute)) for bin_ in bins)
    edges = np.array([bin_.up_to for bin_ in bins[:-2]], np.float64)
    place = np.minimum(np.searchsorted(edges, values, side="left"), len(edges))
    return np.where(np.isnan(values), of_unknown, np.array(of_values)[place])


def _weights(each: Floats, has_churned: Flags) -> tuple[list[float], float]:
    """The weights of a logistic regression that are not negative, and its constant.

    A normal prior around 0 with deviation 1 keeps them finite where a measure separates perfectly,
    and splits them where two measures agree; a hundred churned accounts outweigh it.
    """
    features = np.column_stack([each, np.ones(len(has_churned))])
    is_weight = np.append(np.ones(each.shape[1]), 0.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        ln_odds = features @ parameters
        prior = is_weight * parameters
        value = np.logaddexp(0, ln_odds).sum() - ln_odds[has_churned].sum() + (prior**2).sum() / 2
        slopes = features.T @ (expit(ln_odds) - has_churned) + prior
        return float(value) / len(has_churned), slopes / len(has_churned)

    base_ln_odds = log(has_churned.sum() / (~has_churned).sum())
    search = minimize(
        loss,
        np.append(np.full(each.shape[1], 0.5), base_ln_odds),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * each.shape[1] + [(None, None)],
        options={"maxiter": 1_000, "ftol": 1e-14, "gtol": 1e-8},
    )
    if not search.success:
        raise FitError(f"health: the weights of the measures did not converge: {search.message}")
    *weights, base_ln_odds = (float(value) for value in search.x)
    return weights, base_ln_odds


def _as_floats(measures: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    return {name: np.asarray(values, np.float64) for name, values in measures.items()}
