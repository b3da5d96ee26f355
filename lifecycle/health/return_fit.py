"""Fits the parameters that a segment's accounts share, by maximum likelihood.

Sources of the likelihoods: BG/NBD from Fader, Hardie and Lee (2005), "Counting your customers
the easy way", Marketing Science 24(2); MBG/NBD from Batislam, Denizel and Filiztekin (2007).
They differ in one thing: with MBG/NBD an account may also leave right after its first active
moment, so it has had one more chance to. BG/NBD is here because its fit is published for data
that everybody has, and is held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from lifecycle.errors import FitError
from lifecycle.health.return_chance import Floats, Lifetimes

Model = Literal["bg", "mbg"]

ENOUGH_ACCOUNTS = 500
"""With fewer accounts a segment's own fit says little: a life table replaces it."""

MOST_ACCOUNTS = 20_000
"""More accounts would not change a parameter noticeably."""

STARTS = ((0.5, 1.0, 1.0, 2.0), (2.0, 2.0, 0.3, 3.0), (0.3, 0.3, 1.0, 1.0))
"""Start of the search: r, alpha over the mean age, a, b."""

FLAT = 1e-6
"""Slope of the mean likelihood below which a search is at its end."""

LN_WIDEST = 9.0
"""Logarithm of how far from 1, or alpha from the mean age, a parameter may go."""


def fit(
    repeats: ArrayLike, last: ArrayLike, age: ArrayLike, *, model: Model = "mbg"
) -> tuple[Lifetimes, float]:
    """The likeliest parameters, and the logarithm of the likelihood; alpha in the unit of `age`.

    One element an account, as in `return_chance`; `sample` says which. The same accounts in the
    same order give the same answer. Where the data has no best point, as without any sign of
    leaving, a parameter ends at its bound. Raises FitError where there is nothing to fit, and
    where no search converges.
    """
    data = _checked(repeats, last, age)
    if not (data[0] > 0).any():
        raise FitError(
            f"the chance of return: none of {len(data[0]):,} accounts was ever active again"
        )
    scale = float(data[2].mean())
    offset = np.array([0.0, np.log(scale), 0.0, 0.0])

    def loss(ln_parameters: Floats) -> tuple[float, Floats]:
        parameters = np.exp(ln_parameters)
        each, slopes = _ln_likelihoods(Lifetimes(*parameters), *data, model=model)
        return -float(each.mean()), -slopes.mean(axis=1) * parameters

    low, high = offset - LN_WIDEST, offset + LN_WIDEST
    searches = [
        minimize(
            loss,
            np.log(start) + offset,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options={"maxiter": 1_000, "ftol": 1e-15, "gtol": 1e-8},
        )
        for start in STARTS
    ]
    # A search that finds no better point for want of digits calls that abnormal: so look whether
    # the way down is at an end, which it is at a bound as well.
    arrived = [
        search
        for search in searches
        if np.abs(np.clip(search.x - search.jac, low, high) - search.x).max() < FLAT
    ]
    if not arrived:
        raise FitError(
            f"the chance of return: no search over {len(data[0]):,} accounts converged: "
            + "; ".join(sorted({str(search.message) for search in searches}))
        )
    best = min(arrived, key=lambda search: float(search.fun))
    lifetimes = Lifetimes(*(float(value) for value in np.exp(best.x)))
    return lifetimes, -float(best.fun) * len(data[0])


def ln_likelihood(
    common: Lifetimes,
    repeats: ArrayLike,
    last: ArrayLike,
    age: ArrayLike,
    *,
    model: Model = "mbg",
) -> float:
    """Logarithm of the likelihood of all accounts together."""
    each, _ = _ln_likelihoods(common, *_checked(repeats, last, age), model=model)
    return float(each.sum())


def sample(account_ids: Sequence[str], most: int = MOST_ACCOUNTS) -> NDArray[np.intp]:
    """Where the accounts to fit on stand: at most so many, in the order of their ids' hashes.

    The choice and its order are the same however the accounts are ordered, and an account that
    is chosen stays chosen as others come and go, so that a fit moves with the data alone.
    """
    hashes = [blake2b(account_id.encode(), digest_size=8).digest() for account_id in account_ids]
    order = sorted(range(len(hashes)), key=lambda place: (hashes[place], account_ids[place]))
    return np.array(order[:most], dtype=np.intp)


def _checked(repeats: ArrayLike, last: ArrayLike, age: ArrayLike) -> tuple[Floats, Floats, Floats]:
    x, t, total = (np.asarray(numbers, dtype=np.float64) for numbers in (repeats, last, age))
    wrong = ""
    if not x.shape == t.shape == total.shape or x.ndim != 1:
        wrong = "repeats, last and age are not one an account each"
    elif not ((x >= 0) & (t >= 0) & (t <= total) & np.isfinite(total)).all():
        wrong = "an account breaks 0 <= last <= age, or has less than no repeats"
    if wrong:
        raise FitError(f"the chance of return: {wrong}")
    return x, t, total


def _ln_likelihoods(
    common: Lifetimes, x: Floats, last: Floats, age: Floats, *, model: Model
) -> tuple[Floats, Floats]:
    """Each account's, and their slopes by r, alpha, a and b (one row each)."""
    r, alpha, a, b = astuple(common)
    chances = x + (model == "mbg")  # how often it could have left before `age`
    could_leave = chances > 0
    n = np.maximum(chances, 1)

    # Alive till now, or left right after the last active moment: what both have in common …
    shared = gammaln(b + n - 1) - gammaln(b) + gammaln(a + b) - gammaln(a + b + n)
    # … and what each has of its own.
    alive = np.log(b + n - 1) - (r + x) * np.log(alpha + age)
    departed = np.log(a) - (r + x) * np.log(alpha + last)
    alive = np.where(could_leave, alive + shared, -r * np.log(alpha + age))
    departed = np.where(could_leave, departed + shared, -np.inf)
    either = np.logaddexp(alive, departed)
    p_departed = np.exp(departed - either)
    is_alive = 1 - p_departed

    each = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + either
    by_r = (
        digamma(r + x)
        - digamma(r)
        + np.log(alpha)
        - is_alive * np.log(alpha + age)
        - p_departed * np.log(alpha + last)
    )
    by_alpha = r / alpha - (r + x) * (is_alive / (alpha + age) + p_departed / (alpha + last))
    by_both = digamma(a + b) - digamma(a + b + n)
    by_a = np.where(could_leave, by_both + p_departed / a, 0)
    by_b = np.where(
        could_leave, by_both + digamma(b + n - 1) - digamma(b) + is_alive / (b + n - 1), 0
    )
    return each, np.stack([by_r, by_alpha, by_a, by_b])
