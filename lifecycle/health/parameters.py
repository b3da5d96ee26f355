"""Stores fitted parameters by version in `raw` of the warehouse, where the models read them.

The tables are only ever added to. A run uses the newest version that was fitted on the data of a
day before its own, so that a run of an earlier day, or a second one of the day that was fitted on,
finds what that day had. Times are naive UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime
from hashlib import blake2b

import duckdb

from lifecycle.health.bands import Bounds
from lifecycle.health.candidates import Candidate
from lifecycle.health.dormancy import Calibration
from lifecycle.health.return_calibration import ReturnWeights
from lifecycle.health.return_chance import Lifetimes
from lifecycle.health.scorecard import Scorecard
from lifecycle.warehouse.score_tables import ensure


@dataclass(frozen=True)
class Lifetime:
    """The chance of return of one segment, and what it was fitted on."""

    common: Lifetimes
    accounts: int
    ln_likelihood: float


@dataclass(frozen=True)
class Parameters:
    """The result of one fit. A part without enough data is empty or None; `missing` says why."""

    fitted_at: datetime
    """The clock of the data, naive UTC."""
    accounts: int
    """Accounts that it was fitted on."""
    churned: int
    """Accounts that churned within 90 days of a snapshot: the outcomes of the scorecard."""
    lifetimes: Mapping[str, Lifetime] = field(default_factory=dict)
    """Segment: its fit; '' is all accounts together."""
    returns: ReturnWeights | None = None
    """What past silences correct the chance of return by."""
    segment_gaps: Mapping[str, float] = field(default_factory=dict)
    """Segment: its gap in days; '' is the accounts without a segment."""
    calibration: Calibration | None = None
    scorecard: Scorecard | None = None
    candidates: tuple[Candidate, ...] = ()
    """What could have been chosen in place of the scorecard, with its figures."""
    bounds: Bounds | None = None
    held_because: str = ""
    """Why it waits for a person, or empty: then it is in force from the next day on."""
    missing: tuple[str, ...] = ()
    """A sentence for each missing part: why it is missing."""

    @property
    def note(self) -> str:
        """The sentences in one line."""
        return " ".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in self.missing)

    def rows(self, version: str) -> dict[str, list[tuple[object, ...]]]:
        """The rows of each table, with this version's name."""
        scorecard = self.scorecard
        return {
            "score_versions": [
                (
                    *(version, self.fitted_at, bool(self.lifetimes), scorecard is not None),
                    *(self.accounts, self.churned, self.note),
                )
            ],
            "return_parameters": [
                (version, segment, *astuple(part.common), part.accounts, part.ln_likelihood)
                for segment, part in sorted(self.lifetimes.items())
            ],
            "return_weights": [
                (version, term, weight)
                for part in [self.returns]
                if part is not None
                for term, weight in part.weights.items()
            ],
            "segment_gaps": [
                (version, segment, days) for segment, days in sorted(self.segment_gaps.items())
            ],
            "dormancy_calibration": [
                (version, part.factor, part.false_alarms_per_account_year, part.alive_years)
                for part in [self.calibration]
                if part is not None
            ],
            "evidence_bins": [
                (version, *astuple(part)) for part in (scorecard.bins if scorecard else ())
            ],
            "evidence_base": [
                (version, measure, weight, scorecard.base_points, scorecard.base_ln_odds)
                for measure, weight in (scorecard.weights.items() if scorecard else ())
                if scorecard
            ],
            "band_bounds": [
                (version, *astuple(part)) for part in [self.bounds] if part is not None
            ],
            "held_versions": [(version, self.held_because)] if self.held_because else [],
            "candidates": [
                (
                    *(version, part.name, part.auc, *astuple(part.over_silence), part.lift),
                    *(part.calibration_error, part.is_chosen),
                )
                for part in self.candidates
            ],
        }


def store(connection: duckdb.DuckDBPyConnection, fitted: Parameters) -> tuple[str, bool]:
    """Add a version; returns its name, and whether it is new.

    The same parameters of the same clock are the same version, so that a repeated fit adds
    nothing. A name is the day of the clock, which fit of that day it is, and a hash: the later
    of two of the same clock sorts last. All tables in one transaction.
    """
    connection.begin()
    try:
        ensure(connection)
        digest = blake2b(repr(fitted.rows("")).encode(), digest_size=2).hexdigest()
        day = f"{fitted.fitted_at:%Y-%m-%d}"
        of_that_day = connection.execute(
            "select version, fitted_at from parameters.score_versions"
            " where version like ? order by 1",
            [f"{day}-%"],
        ).fetchall()
        if of_that_day:
            newest, fitted_at = of_that_day[-1]
            if fitted_at == fitted.fitted_at and newest.endswith(digest):
                connection.rollback()
                return str(newest), False
        version = f"{day}-{len(of_that_day) + 1:02}-{digest}"
        for table, rows in fitted.rows(version).items():
            if rows:
                slots = ", ".join("?" * len(rows[0]))
                connection.executemany(f"insert into parameters.{table} values ({slots})", rows)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return version, True
