"""The chance that a silent account returns: the MBG/NBD model in closed form.

An account that is alive is active at random moments, at a rate of its own; after each active
moment, the first one included, it may leave for good, with a probability of its own. Over the
accounts, rates are gamma(r, alpha) and probabilities beta(a, b).

Source: Batislam, Denizel and Filiztekin (2007), "Empirical validation and comparison of models
for customer base analysis", International Journal of Research in Marketing 24(3). The formulas
are its likelihood's two terms, still alive and gone since `last`, put into proportion. In
BG/NBD (Fader, Hardie and Lee 2005) nobody leaves before a repeat, so that whoever never came
back counts as alive for certain: it is not used for this.

`dbt_project/macros/return_chance.sql` says the same in SQL.

Every argument is a number or an array; arrays have one element an account. `repeats` are its
active days but the first, `last` the days from the first to the last active one, `age` the days
since the first. Nothing overflows, whatever the number of repeats or the age.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lifetimes:
    """The parameters that a segment's accounts share; `alpha` is in the data's unit of time."""

    r: float
    alpha: float
    a: float
    b: float


def ln_survival(common: Lifetimes, repeats: ArrayLike, last: ArrayLike, age: ArrayLike) -> Floats:
    """Logarithm of the chance S that an account still alive is silent from `last` to `age`.

    S = ((alpha + last) / (alpha + age)) ^ (r + repeats)
    """
    repeats, last, age = _floats(repeats), _floats(last), _floats(age)
    return -(common.r + repeats) * np.log1p((age - last) / (common.alpha + last))


def p_alive(common: Lifetimes, repeats: ArrayLike, last: ArrayLike, age: ArrayLike) -> Floats:
    """Chance that the account has not left: 1 / (1 + a / (b + repeats) / S)."""
    ln_odds_of_staying = np.log((common.b + _floats(repeats)) / common.a)
    alive: Floats = expit(ln_odds_of_staying + ln_survival(common, repeats, last, age))
    return alive


def p_return(
    common: Lifetimes, repeats: ArrayLike, last: ArrayLike, age: ArrayLike, within: ArrayLike
) -> Floats:
    """Chance that the account is active again within so much more time.

    P(alive) * (1 - ((alpha + age) / (alpha + age + within)) ^ (r + repeats))
    """
    repeats, age, within = _floats(repeats), _floats(age), _floats(within)
    ln_still_silent = -(common.r + repeats) * np.log1p(within / (common.alpha + age))
    return p_alive(common, repeats, last, age) * -np.expm1(ln_still_silent)


def _floats(numbers: ArrayLike) -> Floats:
    return np.asarray(numbers, dtype=np.float64)
