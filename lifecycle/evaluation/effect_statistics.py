"""A confidence sequence for the effect of mails, valid for readers who look every day.

The interval for one look (Newcombe's, in the mart trigger_effect) is not made for many: who reads
it each morning and stops at the first difference sees one in far more than 5 % of triggers that
do nothing. A confidence sequence covers the truth at all looks together.

For one group with s goals of n accounts, the beta-binomial mixture

    M(p) = B(s + 1/2, n - s + 1/2) / B(1/2, 1/2) / (p^s (1 - p)^(n - s))

is, under the true share p, a martingale that starts at 1 (Robbins 1970, Annals of Mathematical
Statistics 41: 1397-1409; Howard, Ramdas, McAuliffe & Sekhon 2021, Annals of Statistics 49:
1055-1080). So is the product over two independent groups, and by Ville's inequality it ever
reaches 1/0.05 with a chance of at most 5 %. The pairs of shares for which it is smaller hold the
true pair at every look; the differences of these pairs are the sequence. No approximation is
made, so it holds for few accounts as for many. It is valid however the accounts of the two groups
come in turn, as long as nobody's outcome decides when it is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, xlog1py, xlogy

ALPHA = 0.05
CHANCE = 0.8
"""That a difference of the size asked for is seen once the accounts that are needed are there."""

_Z_CHANCE = 0.8416212335729143
"""The normal quantile of CHANCE."""
_STEPS = 32
"""Halvings of a bisection: shares are exact to nine digits."""
_EDGE = 1e-12
_MOST = 10_000_000
"""More accounts than this are treated as unreachable."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Goals of the accounts whose time to meet the goal is over. Counts may be arrays."""

    reached: ArrayLike
    goals_reached: ArrayLike
    held_out: ArrayLike
    goals_held_out: ArrayLike

    def arrays(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The counts as floats of one shape: n and s of those reached, n and s of the others."""
        counts = (self.reached, self.goals_reached, self.held_out, self.goals_held_out)
        n1, s1, n0, s0 = np.broadcast_arrays(*(np.asarray(count, float) for count in counts))
        return n1, s1, n0, s0


def confidence_sequence(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """The 95 % confidence sequence of the share of goals of those reached less that of those
    held out, at these counts: lower and upper bounds, from -1 to 1."""
    n1, s1, n0, s0 = outcomes.arrays()
    share1, share0 = (
        np.divide(s, n, out=np.full(n.shape, 0.5), where=n > 0) for s, n in ((s1, n1), (s0, n0))
    )
    return _bound(outcomes, share1 - share0, -1.0), _bound(outcomes, share1 - share0, 1.0)


def is_difference(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Whether the sequence leaves out that the mails make no difference."""
    return np.asarray(log_evidence(outcomes, 0.0) >= math.log(1 / ALPHA))


def log_evidence(outcomes: Outcomes, difference: ArrayLike) -> Floats:
    """The logarithm of the least product of the mixtures over all pairs of shares with that
    difference. The sequence leaves a difference out where it reaches log(1/ALPHA)."""
    n1, s1, n0, s0 = outcomes.arrays()
    apart = np.asarray(difference, float)
    low, high = np.maximum(0.0, -apart), np.minimum(1.0, 1.0 - apart)
    # The likelihood is log-concave in the share held out: its slope has one zero.
    for _ in range(_STEPS):
        share0 = (low + high) / 2
        share1 = np.clip(share0 + apart, _EDGE, 1 - _EDGE)
        share0 = np.clip(share0, _EDGE, 1 - _EDGE)
        rises = s1 / share1 + s0 / share0 > (n1 - s1) / (1 - share1) + (n0 - s0) / (1 - share0)
        low, high = np.where(rises, share0, low), np.where(rises, high, share0)
    share0 = np.clip((low + high) / 2, _EDGE, 1 - _EDGE)
    share1 = np.clip(share0 + apart, _EDGE, 1 - _EDGE)
    return np.asarray(_log_mixture(s1, n1, share1) + _log_mixture(s0, n0, share0))


def _log_mixture(s: Floats, n: Floats, share: Floats) -> Floats:
    mixed = betaln(s + 0.5, n - s + 0.5) - betaln(0.5, 0.5)
    return np.asarray(mixed - xlogy(s, share) - xlog1py(n - s, -share))


def _bound(outcomes: Outcomes, observed: Floats, end: float) -> Floats:
    """The last difference, from the one that was seen towards an end, that is not left out."""
    inside, outside = observed, np.full(observed.shape, end)
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        is_in = log_evidence(outcomes, middle) < math.log(1 / ALPHA)
        inside, outside = np.where(is_in, middle, inside), np.where(is_in, outside, middle)
    return outside


def accounts_needed(usual: float, difference: float, held_out: float) -> int | None:
    """How many accounts the sequence needs, both groups together, to tell with a chance of 80 %
    that a difference of that size is one.

    `usual` is the share of goals without mails, `difference` what the mails add to it (taken
    away where it does not fit below 1), `held_out` the share of the accounts that get none.
    None: more than ten million.
    """
    shift = difference if usual + difference <= 1 else -difference

    def is_seen(accounts: int) -> bool:
        n0, n1 = accounts * held_out, accounts * (1 - held_out)
        helped = usual + shift
        spread = math.sqrt(usual * (1 - usual) / n0 + helped * (1 - helped) / n1)
        # In four of five times, at least so much of the difference is seen.
        least = abs(shift) - _Z_CHANCE * spread
        if least <= 0:
            return False
        share1 = usual + math.copysign(least, shift)
        return bool(is_difference(Outcomes(n1, n1 * share1, n0, n0 * usual)))

    enough = 1
    while not is_seen(enough):
        enough *= 2
        if enough > _MOST:
            return None
    short = enough // 2
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if is_seen(middle) else (middle, enough)
    return enough
