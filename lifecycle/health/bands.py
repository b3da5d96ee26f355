"""The bands of a score version: from which scores on an account is green, and yellow.

They belong to the version, so that a colour means the same under every one: green, the odds of
leaving are at most the usual ones; red, at least twice those. Where a band would hold hardly
anybody that way, ranks replace the odds: green is the better half, red the worst tenth.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lifecycle.health.scorecard import POINTS, Scorecard

RED_ODDS = 2.0
"""Red accounts leave with at least so many times the usual odds."""

LEAST_SHARE = 0.05
"""A band with fewer of the accounts than this is bounded by rank instead."""

GREEN_SHARE, RED_SHARE = 0.5, 0.1
"""What a rank calls green, the better half, and red, the worst tenth."""

MOST_MOVED = 0.35
"""A version that gives more than this share of the accounts another band waits for a person."""

EMPTY = 0.01
"""A band with fewer of the accounts than this is as good as empty."""

BANDS = ("red", "yellow", "green")

Bands = NDArray[np.str_]


@dataclass(frozen=True)
class Bounds:
    """The bounds of a version, in points of its score."""

    green_from: float
    yellow_from: float
    usual_chance: float
    """The share of accounts that left within 90 days, on which the bounds rest."""
    meaning: str
    """What the bands mean, in words."""

    def bands(self, score: ArrayLike) -> Bands:
        """red, yellow or green, one element an account."""
        score = np.asarray(score, np.float64)
        place = (score >= self.yellow_from).astype(int) + (score >= self.green_from)
        bands: Bands = np.array(BANDS)[place]
        return bands


def bounds(scorecard: Scorecard, usual_chance: float, score: ArrayLike) -> Bounds:
    """The bounds of a scorecard; `score` has one element an account of today.

    20 points double the odds, so that red begins 20 points below green, unless a band would be
    nearly empty.
    """
    score = np.asarray(score, np.float64)
    usual_ln_odds = log(usual_chance / (1 - usual_chance))
    green_from = scorecard.base_points + POINTS * (scorecard.base_ln_odds - usual_ln_odds)
    yellow_from = green_from - POINTS * log(RED_ODDS)
    words = [
        "green: the odds of leaving are at most the usual ones",
        f"red: they are at least {RED_ODDS:g} times those",
    ]
    if not LEAST_SHARE <= float((score >= green_from).mean()) <= 1 - 2 * LEAST_SHARE:
        green_from = float(np.quantile(score, 1 - GREEN_SHARE))
        words[0] = f"green: the better {GREEN_SHARE:.0%} of the accounts when it was fitted"
    if not float((score < yellow_from).mean()) >= LEAST_SHARE or yellow_from >= green_from:
        yellow_from = min(float(np.quantile(score, RED_SHARE)), green_from)
        words[1] = f"red: the worst {RED_SHARE:.0%}"
    if not ((score >= yellow_from) & (score < green_from)).any():
        # Whole numbers of points may tie at a rank: the middle lies between the next two scores.
        green_from = float(np.nextafter(green_from, np.inf))
    return Bounds(
        round(green_from, 4),
        round(yellow_from, 4),
        usual_chance,
        f"{'; '.join(words)}; in between they are yellow ({usual_chance:.1%} leave in 90 days)",
    )


def shares(bands: Bands) -> dict[str, float]:
    """The share of the accounts in each band."""
    return {band: float((bands == band).mean()) if len(bands) else 0.0 for band in BANDS}


def moved_share(before: ArrayLike, after: Bands) -> float:
    """The share of the accounts with a band before whose band is another one now."""
    before = np.asarray(before, object)
    known = np.array([band is not None for band in before], np.bool_)
    return float((before[known] != after[known]).mean()) if known.any() else 0.0


def why_held(before: ArrayLike, after: Bands) -> str:
    """Why a version is not put in force by itself, or empty: one sentence."""
    if empty := [band for band, share in shares(after).items() if share < EMPTY]:
        return f"it would leave nobody {' or '.join(empty)}"
    moved = moved_share(before, after)
    if moved > MOST_MOVED:
        return (
            f"it would give {moved:.0%} of the accounts another band; more than "
            f"{MOST_MOVED:.0%} is for a person to decide"
        )
    return ""
