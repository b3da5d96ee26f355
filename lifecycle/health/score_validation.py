"""Validates each score version against churn within 90 days, on snapshots of the history.

The measures of every day are stored, so each version is scored on the same accounts and days, also
on those before it was fitted. A figure says whether the version may have been fitted on its
outcomes. Nothing here depends on the wall clock: the same history gives the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from datetime import date, datetime
from itertools import pairwise

import duckdb
import numpy as np

from lifecycle.health import snapshots
from lifecycle.health.candidates import Candidate
from lifecycle.health.return_chance import Floats
from lifecycle.health.scorecard import Bin, Scorecard
from lifecycle.health.snapshots import Limits, Snapshots
from lifecycle.health.validation import (
    CalibrationBin,
    Flags,
    Interval,
    auc_difference,
    auc_interval,
    brier,
    calibration,
    calibration_error,
    roc,
    top_decile_lift,
)
from lifecycle.warehouse.score_tables import VALIDATION, VALIDATION_COLUMNS

EQUAL_WEIGHTS = "equal weights"
"""The version name of days before the first fit."""


@dataclass(frozen=True)
class Version:
    """A score as it was fitted; equal weights have no scorecard and were never fitted."""

    name: str
    fitted_at: datetime | None = None
    scorecard: Scorecard | None = None
    limits: Limits | None = None
    """The dormancy limits that it is served under; None: those of the day, as they were stored."""


@dataclass(frozen=True)
class Figures:
    """One version on one snapshot, or on all of them; a row of the mart score_validation."""

    version: str
    day: date | None
    """None: all snapshots."""
    accounts: int
    churned: int
    is_fitted_on: bool
    """The version may have been fitted on these outcomes: then its figures are too good."""
    auc: Interval | None = None
    gain: Interval | None = None
    """AUC less that of days since last activity."""
    lift: float | None = None
    calibration_error: float | None = None
    brier: float | None = None
    band_changes: float | None = None
    """Of an account in 90 days."""
    reversed_share: float | None = None

    def row(self, reported_at: datetime) -> tuple[object, ...]:
        """As `parameters.score_validation` has it."""
        none = (None, None, None)
        return (
            *(self.version, self.day, reported_at, self.accounts, self.churned, self.is_fitted_on),
            *(astuple(self.auc) if self.auc else none),
            *(astuple(self.gain) if self.gain else none),
            *(self.lift, self.calibration_error, self.brier),
            *(self.band_changes, self.reversed_share),
        )


@dataclass(frozen=True)
class Curves:
    """The curves of a version over all snapshots."""

    version: str
    roc: tuple[Floats, Floats]
    calibration: list[CalibrationBin] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """A version against the one before, on the same accounts and days."""

    version: str
    before: str
    accounts: int
    churned: int
    is_fitted_on: bool
    """False: only outcomes that neither was fitted on."""
    difference: Interval
    """AUC of the version less that of the one before."""

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval is below 0: the newer version is worse."""
        return self.difference.high < 0


@dataclass(frozen=True)
class Validation:
    """The validation of all score versions on the history."""

    reported_at: datetime
    """As-of of the history, naive UTC."""
    versions: tuple[str, ...]
    """Oldest first."""
    figures: tuple[Figures, ...]
    curves: tuple[Curves, ...]
    silence: tuple[Floats, Floats] | None
    """The ROC curve of days since last activity."""
    comparisons: tuple[Comparison, ...]
    candidates: tuple[Candidate, ...]
    """What could have been chosen for the newest version, as its fit found them."""
    drawn: int
    """Accounts in the sample."""
    of: int
    """All accounts."""

    @property
    def newest(self) -> Figures | None:
        """The newest version's figures over all snapshots, where they are enough."""
        for figures in self.figures:
            if figures.version == self.versions[-1] and figures.day is None and figures.auc:
                return figures
        return None

    @property
    def beats_silence(self) -> bool:
        """Whether the newest version ranks better than days of silence, beyond its interval."""
        newest = self.newest
        return bool(newest and newest.gain and newest.gain.low > 0)

    @property
    def against_silence(self) -> str:
        """One sentence: whether the newest version ranks better than days of silence; empty where
        there is not enough data."""
        newest = self.newest
        if newest is None or newest.auc is None or newest.gain is None:
            return ""
        gain = newest.gain
        figures = (
            f"AUC {newest.auc.value:.3f} against {newest.auc.value - gain.value:.3f}, "
            f"{gain.value:+.3f} (95 % interval {gain.low:+.3f} to {gain.high:+.3f}), on "
            f"{newest.accounts:,} snapshots of accounts of which {newest.churned:,} left"
        )
        name = EQUAL_WEIGHTS if newest.version == EQUAL_WEIGHTS else f"version {newest.version}"
        if gain.low > 0:
            return f"the score ({name}) finds who leaves better than days of silence do: {figures}"
        if gain.high < 0:
            return f"the score ({name}) is worse than days of silence: go by silence. {figures}"
        return (
            f"the score ({name}) is not shown to be better than days of silence: plain silence "
            f"is as good. {figures}"
        )

    @property
    def verdict(self) -> str:
        """One sentence where the newest version is worse than the one before, else empty."""
        for comparison in self.comparisons:
            if comparison.version == self.versions[-1] and comparison.is_worse:
                how = comparison.difference
                not_fitted_on = "" if comparison.is_fitted_on else " that it was not fitted on"
                return (
                    f"score version {comparison.version} is worse than {comparison.before} on the "
                    f"same {comparison.accounts:,} snapshots of accounts{not_fitted_on}: its AUC "
                    f"is {-how.value:.3f} lower (95 % interval {-how.high:.3f} to {-how.low:.3f})"
                )
        return ""


def store(connection: duckdb.DuckDBPyConnection, validation: Validation) -> None:
    """Replace the stored figures of the last report."""
    connection.begin()
    connection.execute(f"create or replace table parameters.{VALIDATION} ({VALIDATION_COLUMNS})")
    slots = ", ".join("?" * len(VALIDATION_COLUMNS.split(",")))
    for figures in validation.figures:
        connection.execute(
            f"insert into parameters.{VALIDATION} values ({slots})",
            figures.row(validation.reported_at),
        )
    connection.commit()


def validate_scores(
    connection: duckdb.DuckDBPyConnection, *, progress: Callable[[str], None] = lambda _: None
) -> Validation:
    """Validate every version of a warehouse on every snapshot whose outcome is known.

    Reads the history that the last build left; writes nothing.
    """
    row = connection.execute("select as_of from context.run").fetchone()
    assert row is not None
    everything, of = snapshots.read(connection, with_bands=True)
    versions = _versions(connection)
    if (everything.in_force == "").any() or not versions:
        versions.insert(0, Version(EQUAL_WEIGHTS))
    figures: list[Figures] = []
    curves: list[Curves] = []
    for version in versions:
        progress(f"score version {version.name}")
        theirs = everything.where(_is_scored(version, everything))
        figures += [
            _figures(version, theirs.where(theirs.day == day), day.item())
            for day in np.unique(theirs.day)
        ]
        if not len(theirs.churned):
            continue
        unseen = theirs.where(_is_unseen(version, theirs))
        overall = unseen if unseen.tells_enough else theirs
        figures.append(_figures(version, overall, None))
        if overall.tells_enough:
            risk, chance = _risk(version, overall), _p_churn(version, overall)
            bins = [] if chance is None else calibration(chance, overall.churned)
            curves.append(Curves(version.name, roc(risk, overall.churned), bins))
    silence = None
    if everything.tells_enough:
        silence = roc(everything.days_silent, everything.churned)
    comparisons = [
        comparison
        for before, version in pairwise(versions)
        for comparison in _comparisons(before, version, everything)
    ]
    return Validation(
        reported_at=row[0],
        versions=tuple(version.name for version in versions),
        figures=tuple(figures),
        curves=tuple(curves),
        silence=silence,
        comparisons=tuple(comparisons),
        candidates=_candidates(connection, versions[-1].name) if versions else (),
        drawn=len(np.unique(everything.account)),
        of=of,
    )


def _figures(version: Version, rows: Snapshots, day: date | None) -> Figures:
    is_fitted_on = not bool(_is_unseen(version, rows).all())
    counts = version.name, day, len(rows.churned), int(rows.churned.sum()), is_fitted_on
    if not rows.tells_enough:
        return Figures(*counts)
    risk, chance = _risk(version, rows), _p_churn(version, rows)
    mine = rows.in_force == ("" if version.scorecard is None else version.name)
    changes = float(rows.band_changes[mine].sum())
    return Figures(
        *counts,
        auc=auc_interval(risk, rows.churned, account=rows.account),
        gain=auc_difference(risk, rows.days_silent, rows.churned, account=rows.account),
        lift=top_decile_lift(risk, rows.churned),
        calibration_error=None if chance is None else calibration_error(chance, rows.churned),
        brier=None if chance is None else brier(chance, rows.churned),
        band_changes=changes / int(mine.sum()) if mine.any() else None,
        reversed_share=float(rows.reversals[mine].sum()) / changes if changes else None,
    )


def _comparisons(before: Version, version: Version, everything: Snapshots) -> Iterator[Comparison]:
    """Compare on all common snapshots, and on those that neither was fitted on where they are
    enough.

    The former favour the newer version, so a worse result there is reliable.
    """
    both = everything.where(_is_scored(before, everything) & _is_scored(version, everything))
    unseen = both.where(_is_unseen(version, both))
    for rows, is_fitted_on in ((unseen, False), (both, True)):
        if not rows.tells_enough or (is_fitted_on and len(rows.churned) == len(unseen.churned)):
            continue
        difference = auc_difference(
            _risk(version, rows), _risk(before, rows), rows.churned, account=rows.account
        )
        yield Comparison(
            *(version.name, before.name, len(rows.churned), int(rows.churned.sum())),
            *(is_fitted_on, difference),
        )


def _is_scored(version: Version, rows: Snapshots) -> Flags:
    """Equal weights are what was stored while they were in force; their rules are in dbt alone."""
    if version.scorecard is None:
        return np.asarray(rows.in_force == "", np.bool_)
    return np.ones(len(rows.churned), np.bool_)


def _is_unseen(version: Version, rows: Snapshots) -> Flags:
    """Whether the snapshot is no older than the fit.

    An outcome that was still open then is not enough: who left soon after two snapshots was
    learned from the earlier one.
    """
    if version.fitted_at is None:
        return np.ones(len(rows.churned), np.bool_)
    return np.asarray(rows.as_of >= np.datetime64(version.fitted_at), np.bool_)


def _risk(version: Version, rows: Snapshots) -> Floats:
    chance = _p_churn(version, rows)
    return -rows.raw_score if chance is None else chance


def _p_churn(version: Version, rows: Snapshots) -> Floats | None:
    if version.scorecard is None:
        return None
    served = rows.under(version.limits)
    return version.scorecard.p_churn(
        {name: served.measures[name] for name in version.scorecard.weights}
    )


# Reading. -----------------------------------------------------------------------------------


def _versions(connection: duckdb.DuckDBPyConnection) -> list[Version]:
    """The versions with a scorecard that the last run could know, oldest first."""
    rows = connection.execute(
        """
        select version, fitted_at from parameters.score_versions
        where has_evidence and fitted_at <= (select as_of from context.run)
        order by fitted_at, version
        """
    ).fetchall()
    return [
        Version(name, fitted_at, _scorecard(connection, name), _limits(connection, name))
        for name, fitted_at in rows
    ]


def _limits(connection: duckdb.DuckDBPyConnection, version: str) -> Limits | None:
    calibrated = connection.execute(
        """
        select calibration.factor, run.dormancy_min_days, run.dormancy_max_days
        from parameters.dormancy_calibration as calibration
        cross join context.run as run
        where calibration.version = ?
        """,
        [version],
    ).fetchone()
    if calibrated is None:
        return None
    gaps = connection.execute(
        "select segment, days from parameters.segment_gaps where version = ?", [version]
    ).fetchall()
    factor, least, most = calibrated
    return Limits(factor, dict(gaps), least, most)


def _candidates(connection: duckdb.DuckDBPyConnection, version: str) -> tuple[Candidate, ...]:
    rows = connection.execute(
        """
        select candidate, auc, gain, gain_low, gain_high, top_decile_lift, calibration_error,
            is_chosen
        from parameters.candidates where version = ? order by rowid
        """,
        [version],
    ).fetchall()
    return tuple(
        Candidate(name, auc, Interval(*gain), lift, error, is_chosen)
        for name, auc, *gain, lift, error, is_chosen in rows
    )


def _scorecard(connection: duckdb.DuckDBPyConnection, version: str) -> Scorecard:
    bins = connection.execute(
        """
        select measure, above, up_to, churned, stayed, evidence, points
        from parameters.evidence_bins
        where version = ? order by measure, above nulls last
        """,
        [version],
    ).fetchall()
    base = connection.execute(
        """
        select measure, weight, base_points, base_ln_odds from parameters.evidence_base
        where version = ? order by measure
        """,
        [version],
    ).fetchall()
    return Scorecard(
        bins=tuple(Bin(*row) for row in bins),
        weights={measure: weight for measure, weight, *_ in base},
        base_points=base[0][2],
        base_ln_odds=base[0][3],
    )
