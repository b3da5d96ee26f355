"""The dormancy limit: how long an account may be silent, with the factor that keeps false alarms
rare.

A gap is the time between two active days of an account, so it has ended: the account came back.
Arrays have one element a gap, lengths are whole days (or business days, counted alike).

A false alarm is a gap that was longer than the limit and then ended. Between its first and its
last active day an account was alive for certain, and that time is the sum of its gaps: so
alarms are counted, and alive years summed, over the very same gaps. The silence that is still
open belongs to neither.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lifecycle.errors import FitError
from lifecycle.health.return_chance import Floats

SHARE = 0.9
"""The quantile of an account's gaps that is its usual gap: nine gaps in ten are shorter."""

BORROWED = 5
"""The weight of the segment in an account's usual gap, in gaps."""

ENOUGH_GAPS = 3
"""With fewer gaps, an account has no rhythm of its own."""

ENOUGH_ACCOUNTS = 10
"""With fewer accounts that have a rhythm, a segment uses the company's gap."""

DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Calibration:
    """A factor, and its false alarms on the gaps that it was fitted on."""

    factor: float
    false_alarms: int
    alive_years: float
    gaps: int
    gaps_above_most: int
    """Gaps longer than `max_days`: they are false alarms at any factor."""

    @property
    def false_alarms_per_account_year(self) -> float:
        """False alarms per account-year: per year in which an account is alive."""
        return self.false_alarms / self.alive_years

    @property
    def least_false_alarms_per_account_year(self) -> float:
        """The part of it that comes from gaps above `max_days`, which no factor avoids."""
        return self.gaps_above_most / self.alive_years


@dataclass(frozen=True)
class Rhythms:
    """The fitted parts of a limit; the account's own gaps are the other part."""

    segment_gaps: dict[str, float]
    """Segment: its gap in days."""
    calibration: Calibration


def counted_days(
    began: ArrayLike, ended: ArrayLike, holidays: ArrayLike = (), weekdays: str = "1111100"
) -> Floats:
    """Days after `began`, up to and with `ended`, that are on a weekday given and no holiday.

    `holidays` are those of the account's country; `weekdays` begins on Monday: "1111111" leaves
    out the holidays alone.
    """
    first, last = (np.asarray(days, dtype="datetime64[D]") + 1 for days in (began, ended))
    off = np.asarray(holidays, dtype="datetime64[D]")
    return np.busday_count(first, last, weekmask=weekdays, holidays=off).astype(np.float64)


def fit(
    account: ArrayLike,
    segment: ArrayLike,
    days: ArrayLike,
    ended: ArrayLike,
    *,
    false_alarms_per_account_year: float = 0.5,
    least: float = 7,
    most: float = 90,
) -> Rhythms:
    """Fit each segment's gap, and one factor for all of them.

    One element a gap: whose it is, the account's segment (empty where it has none), how long it
    was, and the day it ended. Each gap is judged by what was known when it began, so that the
    rate of false alarms holds for gaps to come. Raises FitError where there is too little.
    """
    account, segment = np.asarray(account), np.asarray(segment)
    _, number, own = rhythms(account, days)
    segment_of = segment[np.unique(account, return_index=True)[1]]
    of_segment = segment_gaps(segment_of, number, own)
    its_segment = np.array([of_segment[str(name)] for name in segment])
    usual = usual_gap(*known_gaps(account, ended, days), its_segment)
    gap = blended_gap(usual, its_segment)
    calibration = calibrate(
        days,
        gap,
        false_alarms_per_account_year=false_alarms_per_account_year,
        least=least,
        most=most,
    )
    return Rhythms(of_segment, calibration)


def known_gaps(account: ArrayLike, ended: ArrayLike, days: ArrayLike) -> tuple[Floats, Floats]:
    """For each gap, what was known when it began: how many gaps, and their 0.9 quantile.

    So a limit is judged by gaps that it has not seen. The quantile is NaN where there was none.
    It is interpolated, as `quantile_cont` and `percentile_cont` do.
    """
    account, ended, days = np.asarray(account), np.asarray(ended), np.asarray(days, np.float64)
    number, quantile = np.zeros(len(days)), np.full(len(days), np.nan)
    gaps_of_account: list[float] = []
    previous: object = None
    for place in np.lexsort((ended, account)):
        if account[place] != previous:
            previous, gaps_of_account = account[place], []
        if gaps_of_account:
            number[place], quantile[place] = len(gaps_of_account), _quantile(gaps_of_account)
        insort(gaps_of_account, float(days[place]))
    return number, quantile


def rhythms(account: ArrayLike, days: ArrayLike) -> tuple[NDArray[np.generic], Floats, Floats]:
    """Each account with a gap (sorted), the number of its gaps, and their 0.9 quantile."""
    days = np.asarray(days, np.float64)
    accounts, place, number = np.unique(account, return_inverse=True, return_counts=True)
    ordered = days[np.lexsort((days, place))]
    where = SHARE * (number - 1)
    below = np.floor(where).astype(int)
    first = np.cumsum(number) - number + below
    step = ordered[np.minimum(first + 1, len(days) - 1)] - ordered[first]
    # Where `below` is the last gap already, there is nothing left to step.
    return accounts, number.astype(np.float64), ordered[first] + (where - below) * step


def segment_gaps(segment: ArrayLike, number: ArrayLike, own: ArrayLike) -> dict[str, float]:
    """Each segment's gap: the median of its accounts' own, of those that have a rhythm.

    The usual account, not the usual gap: daily users have most of the gaps. One element an
    account. Raises FitError where nobody in the company has a rhythm.
    """
    segment, number, own = np.asarray(segment), np.asarray(number), np.asarray(own, np.float64)
    has_rhythm = number >= ENOUGH_GAPS
    if not has_rhythm.any():
        raise FitError(f"dormancy: no account has {ENOUGH_GAPS} gaps between active days yet")
    company = float(np.median(own[has_rhythm]))
    gaps = {}
    for name in np.unique(segment):
        its = own[has_rhythm & (segment == name)]
        gaps[str(name)] = float(np.median(its)) if len(its) >= ENOUGH_ACCOUNTS else company
    return gaps


def usual_gap(number: ArrayLike, own: ArrayLike, segment: ArrayLike) -> Floats:
    """The own 0.9 quantile, drawn to the segment's: exp((n ln own + 5 ln segment) / (n + 5)).

    The segment's alone below three gaps. All in days; one element an account or a gap.
    """
    number, own, segment = (np.asarray(values, np.float64) for values in (number, own, segment))
    has_rhythm = number >= ENOUGH_GAPS
    ln_own = np.log(np.where(has_rhythm, own, segment))
    drawn = np.exp((number * ln_own + BORROWED * np.log(segment)) / (number + BORROWED))
    return np.where(has_rhythm, drawn, segment)


def blended_gap(usual: ArrayLike, segment: ArrayLike) -> Floats:
    """Halfway between the account's usual gap and its segment's: sqrt(segment * usual)."""
    return np.sqrt(np.asarray(segment, np.float64) * np.asarray(usual, np.float64))


def limits(factor: float, gap: ArrayLike, least: float = 7, most: float = 90) -> Floats:
    """How long the silence may be: clamp(factor * gap, least, most).

    To six decimals, so that a limit of 18 days is not 17.999 on another machine.
    """
    return np.clip(np.round(factor * np.asarray(gap, np.float64), 6), least, most)


def calibrate(
    days: ArrayLike,
    gap: ArrayLike,
    *,
    false_alarms_per_account_year: float = 0.5,
    least: float = 7,
    most: float = 90,
    alive_years: float | None = None,
) -> Calibration:
    """The least factor at which gaps of these `days` raise at most so many false alarms a year.

    `gap` is what the factor multiplies, as known when each gap began. Exact: a gap between the
    bounds alarms just where days / gap is above the factor, so the factor is one of these
    ratios, rounded up to four decimals. Gaps above `most` alarm at any factor: where these
    alone are too many, the factor is the least at which nothing else alarms, and the rate that
    is returned says so. Raises FitError where there are no gaps.
    """
    days, gap = np.asarray(days, np.float64), np.asarray(gap, np.float64)
    if not len(days) or not days.sum() > 0:
        raise FitError("dormancy: no gap between active days to set the limit on yet")
    if alive_years is None:
        alive_years = float(days.sum()) / DAYS_A_YEAR
    above = int((days > most).sum())
    allowed = int(false_alarms_per_account_year * alive_years) - above
    in_between = (days > least) & (days <= most)
    ratios = np.sort(days[in_between] / gap[in_between])[::-1]
    # With as many allowed as there are, any factor will do: the least one that is no less sharp.
    least_factor = float(least / gap.max())
    place = max(allowed, 0)
    factor = float(ratios[place]) if place < len(ratios) else least_factor
    factor = ceil(factor * 10_000) / 10_000
    false_alarms = int((days > limits(factor, gap, least, most)).sum())
    return Calibration(factor, false_alarms, alive_years, len(days), above)


def _quantile(ordered: list[float]) -> float:
    """NumPy's quantile, of a sorted list."""
    where = SHARE * (len(ordered) - 1)
    below = int(where)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (where - below) * (ordered[above] - ordered[below])
