"""Reads the snapshots that a fit learns from and a score report judges by.

A snapshot is an account on the first stored day of a month whose 90 days after are over. Its
measures are as they were stored, but for the silence over its limit: that is taken anew under the
limits of the version that is fitted or judged, because it is served under them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np

from lifecycle.health import dormancy
from lifecycle.health.measures import ALL_MEASURES
from lifecycle.health.return_chance import Floats
from lifecycle.health.return_fit import sample
from lifecycle.health.validation import Flags

MOST_ACCOUNTS = 20_000
"""More accounts would not narrow an interval noticeably, and take minutes."""

ENOUGH = 20
"""Least number of accounts that churned, and that stayed, for a figure."""

RHYTHM_DAYS = 365
"""An account's rhythm is read from the gaps of so many days before a snapshot."""


@dataclass(frozen=True)
class Limits:
    """What a version's dormancy limits are made of."""

    factor: float
    segment_gaps: Mapping[str, float]
    """Segment: its gap in days; '' is the accounts without a segment."""
    least: float
    most: float


@dataclass(frozen=True)
class Snapshots:
    """One element an account and snapshot, of the accounts that were drawn."""

    account: np.ndarray
    segment: np.ndarray
    """Empty where the account has none."""
    day: np.ndarray
    """datetime64[D]."""
    as_of: np.ndarray
    """datetime64[us], naive UTC."""
    in_force: np.ndarray
    """Name of the version of that day; empty under equal weights."""
    measures: dict[str, Floats]
    """By name; NaN where it is not known."""
    raw_score: Floats
    """As it was stored, before smoothing."""
    days_silent: Floats
    """inf where the account was never active."""
    gaps: Floats
    """Gaps between active days in the year before, as known on that day."""
    own_gap: Floats
    """Their 0.9 quantile in days; NaN where there were none."""
    churned: Flags
    band_changes: Floats
    """Of the usage band within the 90 days after; 0 where bands were not read."""
    reversals: Floats
    """Those of them that went back within a week."""

    @property
    def tells_enough(self) -> bool:
        """Whether enough accounts churned, and enough stayed, for a figure."""
        return bool(min(self.churned.sum(), (~self.churned).sum()) >= ENOUGH)

    def where(self, which: Flags) -> Snapshots:
        """The chosen elements."""
        values = {name: getattr(self, name)[which] for name in _ARRAYS}
        measures = {name: its[which] for name, its in self.measures.items()}
        return Snapshots(measures=measures, **values)

    def under(self, limits: Limits | None) -> Snapshots:
        """The same with the silence over the limits given; None: as it was stored."""
        if limits is None:
            return self
        segment_gap = np.array(
            [limits.segment_gaps.get(str(name), np.nan) for name in self.segment], np.float64
        )
        usual = dormancy.usual_gap(self.gaps, self.own_gap, segment_gap)
        limit = np.floor(
            dormancy.limits(
                limits.factor,
                dormancy.blended_gap(usual, segment_gap),
                limits.least,
                limits.most,
            )
        )
        share = self.days_silent / limit
        # Who was never active has a limit of its own, and a new segment has none yet.
        recency = np.where(np.isfinite(share), share, self.measures["recency_share"])
        return replace(self, measures={**self.measures, "recency_share": recency})


_ARRAYS = (
    *("account", "segment", "day", "as_of", "in_force", "raw_score", "days_silent"),
    *("gaps", "own_gap", "churned", "band_changes", "reversals"),
)


def read(
    connection: duckdb.DuckDBPyConnection,
    most_accounts: int = MOST_ACCOUNTS,
    *,
    with_bands: bool = False,
) -> tuple[Snapshots, int]:
    """The snapshots of the accounts that are drawn, by day and account, and how many accounts
    there are."""
    # The view ranks all accounts of all days: once is enough.
    measures = ", ".join(ALL_MEASURES)
    connection.execute(
        f"""
        create or replace temp table all_snapshots as
        select account_id, coalesce(segment, '') as segment, day, as_of,
            coalesce(score_version, '') as in_force, {measures},
            usage_score_raw, days_silent, has_churned
        from intermediate.int_score_snapshots
        """
    )
    ids = [
        row[0]
        for row in connection.execute(
            "select distinct account_id from all_snapshots order by 1"
        ).fetchall()
    ]
    drawn = {"account_id": [ids[place] for place in sample(ids, most_accounts)]}
    connection.register("drawn", _arrow(drawn))
    connection.execute(
        """
        create or replace temp table drawn_snapshots as
        select all_snapshots.* from all_snapshots inner join drawn using (account_id)
        """
    )
    connection.execute("drop table all_snapshots")
    columns = connection.execute(
        """
        with rhythms as (
            select
                snapshots.account_id, snapshots.day,
                count(*) as gaps, quantile_cont(silences.days, 0.9) as own_gap
            from drawn_snapshots as snapshots
            inner join intermediate.int_silences as silences
                on silences.account_id = snapshots.account_id
                and silences.active_on >= snapshots.day - $rhythm_days
                and silences.active_on + silences.days::integer <= snapshots.day
            where silences.has_ended
            group by all
        )
        select snapshots.*, coalesce(rhythms.gaps, 0) as gaps, rhythms.own_gap
        from drawn_snapshots as snapshots
        left join rhythms using (account_id, day)
        order by snapshots.day, snapshots.account_id
        """,
        {"rhythm_days": RHYTHM_DAYS},
    ).fetchnumpy()
    changes = connection.execute(_CHANGES if with_bands else _NO_CHANGES).fetchnumpy()
    connection.execute("drop table drawn_snapshots")
    connection.unregister("drawn")

    def numbers(name: str) -> Floats:
        values = np.ma.asarray(columns[name], np.float64)
        return np.asarray(values.filled(np.nan), np.float64)

    silent = numbers("days_silent")
    return Snapshots(
        account=np.asarray(columns["account_id"]),
        segment=np.asarray(columns["segment"]).astype(str),
        day=np.asarray(columns["day"], "datetime64[D]"),
        as_of=np.asarray(columns["as_of"], "datetime64[us]"),
        in_force=np.asarray(columns["in_force"], object),
        measures={name: numbers(name) for name in ALL_MEASURES},
        raw_score=numbers("usage_score_raw"),
        days_silent=np.where(np.isnan(silent), np.inf, silent),
        gaps=numbers("gaps"),
        own_gap=numbers("own_gap"),
        churned=np.asarray(columns["has_churned"], np.bool_),
        band_changes=np.asarray(changes["band_changes"], np.float64),
        reversals=np.asarray(changes["reversals"], np.float64),
    ), len(ids)


_CHANGES = """
    select count(changes.account_id) as band_changes,
        count(case when changes.is_reversed then 1 end) as reversals
    from drawn_snapshots as snapshots
    left join intermediate.int_band_changes as changes
        on changes.account_id = snapshots.account_id
        and changes.as_of > snapshots.as_of
        and changes.as_of <= snapshots.as_of + interval 90 days
    group by snapshots.day, snapshots.account_id
    order by snapshots.day, snapshots.account_id
"""
_NO_CHANGES = """
    select 0 as band_changes, 0 as reversals from drawn_snapshots
"""


def _arrow(columns: dict[str, list[Any]]) -> object:
    import pyarrow as pa

    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
