"""What a fit of the scores found, for a person and for a machine."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from datetime import UTC
from math import isfinite
from typing import Any

from lifecycle.document import Document, Section, counted, moment, table
from lifecycle.health.dormancy import limits
from lifecycle.health.fit import Fit
from lifecycle.settings import Settings


@dataclass(frozen=True)
class Fitted:
    """A version of the parameters, under the settings that it was fitted with."""

    fit: Fit
    settings: Settings

    def as_json(self) -> dict[str, Any]:
        """The object of `fit-scores --json`; a bin that is open at an end has null there."""
        found, points = self.fit.found, self.fit.found.evidence
        calibration = found.calibration
        return {
            "version": self.fit.version,
            "is_new": self.fit.is_new,
            "fitted_at": found.fitted_at.replace(tzinfo=UTC).isoformat(),
            "accounts": found.accounts,
            "churned": found.churned,
            "note": found.note,
            "return_parameters": {
                segment: {
                    **asdict(one.common),
                    "accounts": one.accounts,
                    "ln_likelihood": one.ln_likelihood,
                }
                for segment, one in found.lifetimes.items()
            },
            "segment_gaps": dict(found.segment_gaps),
            "calibration": calibration
            and {
                "factor": calibration.factor,
                "alarms_a_year": calibration.alarms_a_year,
                "alive_years": calibration.alive_years,
                "gaps": calibration.gaps,
                "gaps_above_max_days": calibration.gaps_above_most,
                "least_alarms_a_year": calibration.least_alarms_a_year,
            },
            "evidence": points
            and {
                "weights": dict(points.weights),
                "base_points": points.base_points,
                "base_ln_odds": points.base_ln_odds,
                "bins": [
                    {
                        **asdict(one),
                        "above": _finite(one.above),
                        "up_to": _finite(one.up_to),
                        "is_unknown": one.above is None,
                    }
                    for one in points.bins
                ],
            },
        }

    def as_document(self) -> Document:
        """Version, parameters, calibration, and what is missing."""
        found = self.fit.found
        clock = moment(found.fitted_at.replace(tzinfo=UTC), self.settings.company.time_zone)
        was = "" if self.fit.is_new else " There was this version already."
        head = Section(
            f"Scores {self.fit.version}",
            (f"Fitted on {counted(found.accounts, 'account')} as of {clock}.{was}",),
            "good",
        )
        parts = [head, self._dormancy(), self._return(), self._health()]
        if found.missing:
            parts.append(Section("Missing for want of data", found.missing, "warning"))
        return parts

    def _dormancy(self) -> Section:
        found, limit = self.fit.found.calibration, self.settings.dormancy
        if found is None:
            said = f"Not fitted: the factor of the settings, {limit.factor:g}, goes on."
            return Section("Dormancy limit", (said,))
        said = (
            f"Factor {found.factor:g}: {found.alarms_a_year:.2f} false alarms a year in which an "
            f"account is alive ({limit.alarms_a_year:g} asked for), over "
            f"{found.alive_years:,.0f} such years."
        )
        above = (
            f"{100 * found.gaps_above_most / found.gaps:.1f} % of {found.gaps:,} past gaps were "
            f"longer than dormancy.max_days ({limit.max_days}), which makes "
            f"{found.least_alarms_a_year:.2f} false alarms a year at any factor"
        )
        if found.least_alarms_a_year > limit.alarms_a_year:
            above += (
                f": the {limit.alarms_a_year:g} asked for cannot be reached, and only a higher "
                "max_days brings it nearer"
            )
        rows = (
            (_named(segment, "no segment"), f"{days:g}", f"{int(usual)}")
            for segment, days in self.fit.found.segment_gaps.items()
            for usual in [limits(found.factor, days, limit.min_days, limit.max_days)]
        )
        columns = ("segment", "usual gap, days", "its usual account's limit, days")
        return Section("Dormancy limit", (said, f"{above}.", table(columns, rows)))

    def _return(self) -> Section:
        found = self.fit.found.lifetimes
        if not found:
            return Section("Chance of return", ("Not fitted: a life table stands in.",))
        rows = []
        for segment, one in found.items():
            r, alpha, a, b = (f"{value:.4g}" for value in astuple(one.common))
            rows.append((_named(segment, "all accounts"), one.accounts, r, alpha, a, b))
        columns = ("segment", "accounts", "r", "alpha, days", "a", "b")
        return Section("Chance of return", (table(columns, rows),))

    def _health(self) -> Section:
        found, churned = self.fit.found.evidence, self.fit.found.churned
        if found is None:
            return Section("Usage health", ("Not fitted: all measures weigh the same.",))
        rows = (
            (measure, f"{weight:.2f}", f"{min(points):+.1f}", f"{max(points):+.1f}")
            for measure, weight in found.weights.items()
            for points in [[one.points for one in found.bins if one.measure == measure]]
        )
        said = (
            f"Learned from {counted(churned, 'account')} that left. A score begins at "
            f"{found.base_points:.1f}, and each measure adds its points."
        )
        columns = ("measure", "weight", "least points", "most")
        return Section("Usage health", (said, table(columns, rows)))


def _named(segment: str, otherwise: str) -> str:
    return segment or otherwise


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and isfinite(bound) else None
