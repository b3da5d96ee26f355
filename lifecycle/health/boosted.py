"""A monotone boosted model as a scorecard: shallow trees that each ask about one measure.

Each measure may only raise or only lower the chance of leaving, as MEASURES says. No tree crosses
two measures, so that the sum of a measure's trees is a step function of it: a table of bins with
points, as the other scorecards are, which SQL joins and whose parts are the reasons of a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import inf

import numpy as np
from numpy.typing import ArrayLike

from lifecycle.errors import FitError
from lifecycle.health.measures import MORE_IS_WORSE
from lifecycle.health.return_chance import Floats
from lifecycle.health.scorecard import POINTS, Bin, Scorecard
from lifecycle.health.validation import Flags

MOST_BINS = 32
"""Bins of a measure's values; more would be noise."""

TREES = 120
LEARNING_RATE = 0.08
LEAVES = 4
LEAST_ROWS = 50
"""Rows in a leaf: in fewer, a rate of leaving is mostly chance."""


def fit(measures: Mapping[str, ArrayLike], churned: ArrayLike) -> Scorecard:
    """Fit on accounts with known outcomes, one element an account; NaN where not known.

    The same accounts in the same order give the same scorecard. Raises FitError where no measure
    differs between accounts.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    values = {name: np.asarray(its, np.float64) for name, its in measures.items()}
    has_churned = np.asarray(churned, np.bool_)
    known = {name: its for name, its in values.items() if not np.isnan(its).all()}
    edges = {name: found for name, its in known.items() if len(found := _edges(its))}
    names = list(edges)
    if not names:
        raise FitError("health: no measure differs between accounts")
    # The trees see the number of a value's bin: so each bin has one step, whatever they cut at.
    features = np.column_stack([_places(values[name], edges[name]) for name in names])
    model = HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE,
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=LEAST_ROWS,
        l2_regularization=1.0,
        max_bins=MOST_BINS,
        monotonic_cst=[1 if name in MORE_IS_WORSE else -1 for name in names],
        interaction_cst="no_interactions",
        early_stopping=False,
        random_state=0,
    )
    # One thread: on a machine that works on other things as well, threads wait for each other.
    with threadpool_limits(1, user_api="openmp"):
        model.fit(features, has_churned)

    def ln_odds(rows: Floats) -> Floats:
        return np.asarray(model.decision_function(rows), np.float64)

    typical = np.full(len(names), np.nan)
    at_typical = float(ln_odds(typical[None, :])[0])
    bins: list[Bin] = []
    for place, name in enumerate(names):
        rows = np.tile(typical, (len(edges[name]) + 2, 1))
        rows[:-1, place] = np.arange(len(edges[name]) + 1)
        steps = ln_odds(rows) - at_typical
        bins += _bins(name, edges[name], steps, values[name], has_churned)
    card = Scorecard(tuple(bins), dict.fromkeys(names, 1.0), 50.0, at_typical)
    total = sum(card.points({name: values[name] for name in names}).values())
    middle = float(np.median(np.asarray(total)))
    return Scorecard(card.bins, card.weights, 50.0 - middle, at_typical)


def _edges(values: Floats) -> Floats:
    """The upper ends of all bins but the last, about as many accounts in each."""
    known = values[~np.isnan(values)]
    shares = np.arange(1, MOST_BINS) / MOST_BINS
    edges = np.unique(np.quantile(known, shares, method="lower"))
    return np.asarray(edges[edges < known.max()], np.float64)


def _places(values: Floats, edges: Floats) -> Floats:
    """The number of each value's bin, NaN where it is not known."""
    return np.where(np.isnan(values), np.nan, np.searchsorted(edges, values, side="left"))


def _bins(name: str, edges: Floats, steps: Floats, values: Floats, has_churned: Flags) -> list[Bin]:
    """The bins of one measure, neighbours with the same step joined; the last is for no value."""
    bounds = [-inf, *(float(edge) for edge in edges), inf]
    joined: list[tuple[float, float, float]] = []
    for (above, up_to), step in zip(pairwise(bounds), steps[:-1], strict=True):
        if joined and abs(joined[-1][2] - step) < 1e-9:
            joined[-1] = (joined[-1][0], up_to, joined[-1][2])
        else:
            joined.append((above, up_to, float(step)))

    def counted(above: float | None, up_to: float | None, step: float, inside: Flags) -> Bin:
        churned, stayed = int((has_churned & inside).sum()), int((~has_churned & inside).sum())
        return Bin(name, above, up_to, churned, stayed, step, -POINTS * step)

    return [
        *(
            counted(above, up_to, step, (values > above) & (values <= up_to))
            for above, up_to, step in joined
        ),
        counted(None, None, float(steps[-1]), np.isnan(values)),
    ]
