"""How well dormancy tells who comes back, and how soon it finds who does not, on real accounts.

    .venv/bin/python benchmarks/dormancy.py

First: the AUC of three ways to rank accounts by their chance of being active within a horizon,
parameters fitted on what was before the split, outcomes after it, with intervals of the paired
bootstrap. Then: limits of silence that raise equally many false alarms, and after how many days
each finds an account that falls silent. Last: a daily user through its country's holidays.

Data comes with the development packages, and from ../shared/data beside the checkout; where a
set is absent, the script says so and goes on. A quarter of a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import holidays
import numpy as np
from active_days import Absent, ActiveDays, Days, Gaps, cdnow, complete_journey, online_retail
from numpy.typing import NDArray

from lifecycle.health import dormancy
from lifecycle.health.return_chance import p_return
from lifecycle.health.return_fit import fit, sample
from lifecycle.health.validation import Interval, auc_difference, auc_interval

Floats = NDArray[np.float64]

LEAST, MOST = 7, 90
LEAST_WORKING_DAYS = 5
FAST_GAP = 7
"""Of an account with a fast rhythm: nine gaps in ten are no longer than a week."""

ANY_DAY, WORKING_DAY = "1111111", "1111100"

Loader = Callable[[], ActiveDays]

SETS: list[tuple[str, Loader, str, int, str, str, tuple[int, ...]]] = [
    ("CDNOW", cdnow, "1997-10-01", 90, "1997-10-01", "US", ()),
    ("complete journey", complete_journey, "2017-12-01", 28, "2017-07-01", "US", (30, 49)),
    ("online retail", online_retail, "2011-09-01", 90, "2011-06-01", "GB", (60,)),
]
"""Split and horizon of the ranking; split, country and days for all of the limits.

Customers of CDNOW come back too rarely for any limit below 90 days.
"""


@dataclass(frozen=True)
class Ranking:
    """What one data set says of three ways to rank."""

    data: str
    split: str
    horizon_days: int
    accounts: int
    returned: float
    days_since_last: Interval
    own_rhythm: Interval
    """Days since last over the account's blended gap."""
    own_limit: Interval
    """Days since last over the limit, which is kept within 7 and 90 days."""
    p_return: Interval
    p_return_over_days: Interval
    p_return_over_rhythm: Interval


@dataclass(frozen=True)
class Limit:
    """One limit of silence, and the calendar days until it finds an account that fell silent."""

    limit: str
    counted: str
    factor: float
    alarms_a_year: float
    fast: float
    """The mean of the accounts with a fast rhythm, from their last active day before the split."""
    every: float
    """The mean of all accounts that have a rhythm."""
    gone: float
    """The mean of those that left after the split, from their last active day of all."""
    alarms_a_year_if_set_before: float
    """False alarms after the split with the factor that gave as many before it."""
    alarms_a_year_if_set_on_seen: float
    """The same, if the factor was set on gaps that had shaped their own limit."""


@dataclass(frozen=True)
class Contest:
    """Limits that raise as many false alarms as the same days for all, after the split."""

    data: str
    split: str
    days_for_all: int
    fast_accounts: int
    every_account: int
    gone_accounts: int
    alarms_a_year_above_most: float
    """False alarms by gaps that no limit allows: the fewest that there can be."""
    limits: list[Limit]


@dataclass(frozen=True)
class Counting:
    """What counts as a day of silence, and the bounds of a limit in such days."""

    name: str
    weekdays: str
    off: Days
    least: float
    most: float

    def of(self, gaps: Gaps) -> Floats:
        """The gaps' lengths; none is below 1, though Saturday to Sunday is no working day."""
        counted = dormancy.counted_days(gaps.began, gaps.ended, self.off, self.weekdays)
        return np.maximum(counted, 1)

    def until(self, last: Days, limit: Floats) -> Floats:
        """Calendar days from each last active day to the first that is above the limit."""
        which: dict[str, Any] = {"weekmask": self.weekdays, "holidays": self.off}
        first = np.busday_offset(last + 1, 0, roll="forward", **which)
        alarm = np.busday_offset(first, np.floor(limit).astype(int), **which)
        return np.asarray(alarm - last, np.float64)


def main() -> None:
    """Measure, and print tables or JSON."""
    asked = _arguments()
    absent: list[str] = []
    rankings: list[Ranking] = []
    contests: list[Contest] = []
    for name, load, split, horizon, half, country, for_all in SETS:
        print(f"  {name} …", file=sys.stderr, flush=True)
        try:
            data = load()
        except Absent as error:
            absent.append(f"{name}: left out: {error}")
            continue
        rankings.append(_rank(name, data, np.datetime64(split), horizon, asked.resamples))
        contests += [
            _contest(name, data, np.datetime64(half), _holidays(country), days) for days in for_all
        ]
    for line in absent:
        print(line, file=sys.stderr)
    result: dict[str, list[Any]] = {
        "rankings": [asdict(ranking) for ranking in rankings],
        "contests": [asdict(contest) for contest in contests],
        "daily_users": _daily_users(),
        "absent": absent,
    }
    if asked.json:
        print(json.dumps(result))
    else:
        _show(rankings, contests, result["daily_users"])
    sys.exit(0 if rankings else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resamples", type=int, default=1_000, help="draws of the bootstrap")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser.parse_args()


# Who comes back. --------------------------------------------------------------------------


def _rank(
    name: str, data: ActiveDays, split: np.datetime64, horizon: int, resamples: int
) -> Ranking:
    if split + horizon > data.last_day + 1:
        raise ValueError(f"{name}: {horizon} days after {split} are not all in the data")
    known = data.as_of(split)
    returned = data.returned(known.account, split, horizon)

    chosen = sample([str(account) for account in known.account])
    common, _ = fit(known.repeats[chosen], known.last[chosen], known.age[chosen])
    chance = p_return(common, known.repeats, known.last, known.age, horizon)

    gaps = data.gaps()
    past = gaps.where(gaps.ended < split)
    everyone = np.full(len(past.days), "")
    rhythm = dormancy.fit(past.account, everyone, past.days, past.ended)
    number, own = _own(past.account, past.days, known.account)
    segment = np.full(len(known.account), rhythm.segment_gaps[""])
    gap = dormancy.blended_gap(dormancy.usual_gap(number, own, segment), segment)
    limit = dormancy.limits(rhythm.calibration.factor, gap)

    def interval(score: Floats, other: Floats | None = None) -> Interval:
        if other is None:
            return auc_interval(score, returned, resamples=resamples)
        return auc_difference(score, other, returned, resamples=resamples)

    silent = -known.days_silent
    return Ranking(
        name,
        str(split),
        horizon,
        len(known.account),
        float(returned.mean()),
        interval(silent),
        interval(silent / gap),
        interval(silent / limit),
        interval(chance),
        interval(chance, silent),
        interval(chance, silent / gap),
    )


def _own(
    account: NDArray[np.int64], days: Floats, asked: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """How many gaps each account asked for had, and their 0.9 quantile (1 where it had none)."""
    accounts, number, own = dormancy.rhythms(account, days)
    place = np.minimum(np.searchsorted(accounts, asked), len(accounts) - 1)
    has_any = accounts[place] == asked
    return np.where(has_any, number[place], 0), np.where(has_any, own[place], 1)


# How soon the others are found. -----------------------------------------------------------


def _contest(name: str, data: ActiveDays, split: np.datetime64, off: Days, for_all: int) -> Contest:
    gaps = data.gaps()
    past, later = gaps.where(gaps.ended < split), gaps.where(gaps.began >= split)
    past_years, years = (float(each.days.sum()) / dormancy.DAYS_A_YEAR for each in (past, later))
    rate = float((later.days > for_all).sum()) / years

    accounts, number, in_calendar = dormancy.rhythms(past.account, past.days)
    last = past.ended[np.searchsorted(past.account, accounts, side="right") - 1]
    every = number >= dormancy.ENOUGH_GAPS
    fast = every & (in_calendar <= FAST_GAP)
    gone, fell_silent = _gone(data, split)

    none = np.array([], "datetime64[D]")
    limits = []
    for counting in (
        Counting("calendar days", ANY_DAY, none, LEAST, MOST),
        Counting("but holidays", ANY_DAY, off, LEAST, MOST),
        Counting("working days", WORKING_DAY, off, LEAST_WORKING_DAYS, MOST * 5 / 7),
    ):
        bounds = {"least": counting.least, "most": counting.most}
        past_days, later_days = counting.of(past), counting.of(later)
        _, _, own = dormancy.rhythms(past.account, past_days)
        usual = Usual(dormancy.segment_gaps(np.full(len(own), ""), number, own)[""])
        of_later, of_gone = (
            _own(past.account, past_days, whose) for whose in (later.account, gone)
        )
        when_began = dormancy.known_gaps(past.account, past.ended, past_days)
        for what, gap in (("fixed", usual.fixed), ("own", usual.own), ("blend", usual.blend)):
            equal = dormancy.calibrate(
                later_days,
                gap(*of_later),
                false_alarms_per_account_year=rate,
                alive_years=years,
                **bounds,
            )
            before = dormancy.calibrate(
                past_days,
                gap(*when_began),
                false_alarms_per_account_year=rate,
                alive_years=past_years,
                **bounds,
            )
            seen = dormancy.calibrate(
                past_days,
                gap(*_own(past.account, past_days, past.account)),
                false_alarms_per_account_year=rate,
                alive_years=past_years,
                **bounds,
            )
            set_before, set_on_seen = (
                (later_days > dormancy.limits(each.factor, gap(*of_later), **bounds)).sum() / years
                for each in (before, seen)
            )
            limit = dormancy.limits(equal.factor, gap(number, own), **bounds)
            limit_of_gone = dormancy.limits(equal.factor, gap(*of_gone), **bounds)
            found_after = counting.until(last, limit)
            limits.append(
                Limit(
                    what,
                    counting.name,
                    equal.factor,
                    equal.false_alarms_per_account_year,
                    float(found_after[fast].mean()),
                    float(found_after[every].mean()),
                    float(counting.until(fell_silent, limit_of_gone).mean()),
                    float(set_before),
                    float(set_on_seen),
                )
            )
    counts = int(fast.sum()), int(every.sum()), len(gone)
    unavoidable = float((later.days > MOST).sum()) / years
    return Contest(name, str(split), for_all, *counts, unavoidable, limits)


@dataclass(frozen=True)
class Usual:
    """What the factor multiplies, in three ways, of accounts of one segment."""

    segment_gap: float

    def fixed(self, number: Floats, own: Floats) -> Floats:
        """The same for all."""
        return np.ones(len(number))

    def own(self, number: Floats, own: Floats) -> Floats:
        """The account's own usual gap, drawn to the segment's where it has few."""
        return dormancy.usual_gap(number, own, np.full(len(number), self.segment_gap))

    def blend(self, number: Floats, own: Floats) -> Floats:
        """Halfway between that and the segment's."""
        return dormancy.blended_gap(self.own(number, own), self.segment_gap)


def _gone(data: ActiveDays, split: np.datetime64) -> tuple[NDArray[np.int64], Days]:
    """Who was active after the split and then no more for 90 days or longer, and since when."""
    ends = data.as_of(data.last_day + 1)
    last = data.last_day + 1 - ends.days_silent.astype(int)
    chosen = (last >= split) & (ends.days_silent > MOST)
    return ends.account[chosen], last[chosen]


def _holidays(country: str) -> Days:
    years = range(2010, 2027)
    return np.array(sorted(holidays.country_holidays(country, years=years)), "datetime64[D]")


# A daily user through the holidays. -------------------------------------------------------


def _daily_users() -> list[dict[str, Any]]:
    """False alarms in ten years at the least limit, of an office open on every working day."""
    collected = []
    days = np.arange("2016-01-04", "2026-01-05", dtype="datetime64[D]")
    for country in ("JP", "CN", "GB"):
        off = _holidays(country)
        closed = np.array([country == "JP" and _new_year_in_japan(day.item()) for day in days])
        active = days[np.is_busday(days, holidays=off) & ~closed]
        began, ended = active[:-1], active[1:]
        calendar = dormancy.counted_days(began, ended, (), ANY_DAY) > LEAST
        working = dormancy.counted_days(began, ended, off) > LEAST_WORKING_DAYS
        # The day of the return is not over, so it is no day without activity.
        silent = dormancy.counted_days(began, ended - 1, off) >= LEAST_WORKING_DAYS
        collected.append(
            {
                "country": country,
                f"{LEAST} calendar days": int(calendar.sum()),
                f"{LEAST_WORKING_DAYS} working days": int(working.sum()),
                f"{LEAST} calendar days, {LEAST_WORKING_DAYS} of them working": int(
                    (calendar & silent).sum()
                ),
            }
        )
    return collected


def _new_year_in_japan(day: date) -> bool:
    """Public offices are closed by law, others by custom; most of these are no holidays."""
    return (day.month, day.day) in {(12, 29), (12, 30), (12, 31), (1, 2), (1, 3)}


# The tables. ------------------------------------------------------------------------------


def _show(
    rankings: list[Ranking], contests: list[Contest], daily_users: list[dict[str, Any]]
) -> None:
    from rich.console import Console
    from rich.table import Table

    def table(title: str, *columns: str, texts: int = 1) -> Table:
        figures_table = Table(title=title, title_justify="left")
        for number, column in enumerate(columns):
            figures_table.add_column(column, justify="left" if number < texts else "right")
        return figures_table

    console = Console(width=120, highlight=False)
    ranked = table(
        "AUC of who is active again within the horizon (95 % intervals of the paired bootstrap)",
        "", *(f"{ranking.data}, {ranking.horizon_days} days" for ranking in rankings),
    )  # fmt: skip
    ranked.add_row("split", *(ranking.split for ranking in rankings))
    ranked.add_row("accounts", *(f"{ranking.accounts:,}" for ranking in rankings))
    ranked.add_row(
        "came back", *(f"{ranking.returned:.1%}" for ranking in rankings), end_section=True
    )
    ranked.add_row("days since last", *(_interval(ranking.days_since_last) for ranking in rankings))
    ranked.add_row("silent / gap", *(_interval(ranking.own_rhythm) for ranking in rankings))
    ranked.add_row("silent / limit", *(_interval(ranking.own_limit) for ranking in rankings))
    ranked.add_row("P(return)", *(_interval(ranking.p_return) for ranking in rankings))
    ranked.add_row(
        "P(return) - days", *(_interval(ranking.p_return_over_days, "+") for ranking in rankings)
    )
    ranked.add_row(
        "P(return) - gap", *(_interval(ranking.p_return_over_rhythm, "+") for ranking in rankings)
    )
    console.print(ranked)
    for contest in contests:
        alarmed = table(
            f"{contest.data} from {contest.split}: days until silence alarms, "
            f"as rarely in vain as {contest.days_for_all} days for all",
            "counted in", "limit", "factor", "alarms/year", f"fast ({contest.fast_accounts:,})",
            f"all ({contest.every_account:,})", f"left ({contest.gone_accounts:,})",
            "set before", "on seen gaps", texts=2,
        )  # fmt: skip
        for item in contest.limits:
            alarmed.add_row(
                item.counted,
                item.limit,
                f"{item.factor:.2f}",
                f"{item.alarms_a_year:.2f}",
                *(f"{days:.1f}" for days in (item.fast, item.every, item.gone)),
                f"{item.alarms_a_year_if_set_before:.2f}",
                f"{item.alarms_a_year_if_set_on_seen:.2f}",
                end_section=item.limit == "blend",
            )
        console.print(alarmed)
        unavoidable = contest.alarms_a_year_above_most
        console.print(f"Gaps above {MOST} days alone are {unavoidable:.2f} false alarms a year.")
    offices = table("False alarms in ten years of an office's daily user", *daily_users[0])
    for row in daily_users:
        offices.add_row(*(str(value) for value in row.values()))
    console.print(offices)


def _interval(interval: Interval, sign: str = "") -> str:
    return f"{interval.value:{sign}.3f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


if __name__ == "__main__":
    main()
