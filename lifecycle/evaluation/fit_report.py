"""The report of `lifecycle fit-scores`, for a person and for a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import UTC
from math import isfinite
from typing import Any

from lifecycle.document import Document, Section, Table, counted, moment, table
from lifecycle.health.candidates import Candidate
from lifecycle.health.dormancy import limits
from lifecycle.health.fit import Fit
from lifecycle.health.scorecard import Bin
from lifecycle.settings import Settings


@dataclass(frozen=True)
class Fitted:
    """A version of the parameters, with the settings under which it was fitted."""

    fit: Fit
    settings: Settings

    def as_json(self) -> dict[str, Any]:
        """The object of `fit-scores --json`; a bin that is open at an end has null there."""
        parameters, scorecard = self.fit.parameters, self.fit.parameters.scorecard
        calibration = parameters.calibration
        return {
            "version": self.fit.version,
            "is_new": self.fit.is_new,
            "fitted_at": parameters.fitted_at.replace(tzinfo=UTC).isoformat(),
            "accounts": parameters.accounts,
            "churned": parameters.churned,
            "note": parameters.note,
            "return_parameters": {
                segment: {
                    **asdict(lifetime.common),
                    "accounts": lifetime.accounts,
                    "ln_likelihood": lifetime.ln_likelihood,
                }
                for segment, lifetime in parameters.lifetimes.items()
            },
            "return_weights": asdict(parameters.returns) if parameters.returns else None,
            "segment_gaps": dict(parameters.segment_gaps),
            "calibration": calibration
            and {
                "factor": calibration.factor,
                "alarms_a_year": calibration.false_alarms_per_account_year,
                "alive_years": calibration.alive_years,
                "gaps": calibration.gaps,
                "gaps_above_max_days": calibration.gaps_above_most,
                "least_alarms_a_year": calibration.least_false_alarms_per_account_year,
            },
            "held_because": parameters.held_because or None,
            "bounds": asdict(parameters.bounds) if parameters.bounds else None,
            "candidates": [asdict(item) for item in parameters.candidates],
            "evidence": scorecard
            and {
                "weights": dict(scorecard.weights),
                "base_points": scorecard.base_points,
                "base_ln_odds": scorecard.base_ln_odds,
                "bins": [_bin_as_json(bin_) for bin_ in scorecard.bins],
            },
        }

    def as_document(self) -> Document:
        """Version, parameters, calibration, and what is missing."""
        parameters = self.fit.parameters
        clock = moment(parameters.fitted_at.replace(tzinfo=UTC), self.settings.company.time_zone)
        was = "" if self.fit.is_new else " There was this version already."
        head = Section(
            f"Scores {self.fit.version}",
            (
                f"Fitted on {counted(parameters.accounts, 'account')} as of {clock}.{was}",
                *([self._held()] if parameters.held_because else []),
            ),
            "warning" if parameters.held_because else "good",
        )
        parts = [head, self._dormancy(), self._return(), self._health()]
        if parameters.missing:
            parts.append(Section("Missing for want of data", parameters.missing, "warning"))
        return parts

    def _held(self) -> str:
        """Why the version is not in force, and what a person may do."""
        return (
            f"It is held: {self.fit.parameters.held_because}. The version before goes on. To put "
            f"this one in force: lifecycle fit-scores --accept {self.fit.version} --by WHO "
            "--why TEXT"
        )

    def _dormancy(self) -> Section:
        calibration, limit = self.fit.parameters.calibration, self.settings.dormancy
        if calibration is None:
            text = f"Not fitted: the factor of the settings, {limit.factor:g}, goes on."
            return Section("Dormancy limit", (text,))
        rate = calibration.false_alarms_per_account_year
        least_rate = calibration.least_false_alarms_per_account_year
        too_long = calibration.gaps_above_most / calibration.gaps
        text = (
            f"Factor {calibration.factor:g}: {rate:.2f} false alarms a year in which an "
            f"account is alive ({limit.alarms_a_year:g} asked for), over "
            f"{calibration.alive_years:,.0f} such years."
        )
        above = (
            f"{100 * too_long:.1f} % of {calibration.gaps:,} past gaps were "
            f"longer than dormancy.max_days ({limit.max_days}), which makes "
            f"{least_rate:.2f} false alarms a year at any factor"
        )
        if least_rate > limit.alarms_a_year:
            above += (
                f": the {limit.alarms_a_year:g} asked for cannot be reached, and only a higher "
                "max_days brings it nearer"
            )
        rows = (
            (_named(segment, "no segment"), f"{days:g}", f"{int(usual)}")
            for segment, days in self.fit.parameters.segment_gaps.items()
            for usual in [limits(calibration.factor, days, limit.min_days, limit.max_days)]
        )
        columns = ("segment", "usual gap, days", "its usual account's limit, days")
        return Section("Dormancy limit", (text, f"{above}.", table(columns, rows)))

    def _return(self) -> Section:
        lifetimes = self.fit.parameters.lifetimes
        if not lifetimes:
            return Section("Chance of return", ("Not fitted: a life table stands in.",))
        rows = []
        for segment, lifetime in lifetimes.items():
            r, alpha, a, b = (f"{value:.4g}" for value in astuple(lifetime.common))
            rows.append((_named(segment, "all accounts"), lifetime.accounts, r, alpha, a, b))
        columns = ("segment", "accounts", "r", "alpha, days", "a", "b")
        learned = self.fit.parameters.returns
        parts: list[str | Table] = []
        if learned:
            parts.append(
                f"Corrected by {learned.silences:,} silences of the past: AUC {learned.auc:.3f} "
                f"against {learned.silence_auc:.3f} of silence alone, calibration error "
                f"{learned.calibration_error:.3f}, on accounts and days that it had not seen."
                + (" Silence alone is kept: it ranks better." if learned.is_silence_alone else "")
            )
        return Section("Chance of return", (*parts, table(columns, rows)))

    def _health(self) -> Section:
        scorecard, churned = self.fit.parameters.scorecard, self.fit.parameters.churned
        candidates = candidate_parts(self.fit.parameters.candidates)
        if scorecard is None:
            return Section(
                "Usage health", ("Not fitted: all measures weigh the same.", *candidates)
            )
        rows = (
            (measure, f"{weight:.2f}", f"{min(points):+.1f}", f"{max(points):+.1f}")
            for measure, weight in scorecard.weights.items()
            for points in [[bin_.points for bin_ in scorecard.bins if bin_.measure == measure]]
        )
        text = (
            f"Learned from {counted(churned, 'account')} that left. A score begins at "
            f"{scorecard.base_points:.1f}, and each measure adds its points."
        )
        columns = ("measure", "weight", "least points", "most")
        bounds = self.fit.parameters.bounds
        colours = (
            [
                f"Green from {bounds.green_from:.1f}, yellow from {bounds.yellow_from:.1f} points: "
                f"{bounds.meaning}."
            ]
            if bounds
            else []
        )
        return Section("Usage health", (text, *colours, *candidates, table(columns, rows)))


def candidate_parts(candidates: Sequence[Candidate]) -> list[str | Table]:
    """The figures of all that could have been chosen, also of what was not."""
    if not candidates:
        return []
    rows = (
        (
            ("→ " if item.is_chosen else "  ") + item.name,
            f"{item.auc:.3f}",
            f"{item.over_silence.value:+.3f} ({item.over_silence.low:.3f}…"
            f"{item.over_silence.high:.3f})",
            f"{item.lift:.1f}",
            None if item.calibration_error is None else f"{item.calibration_error:.3f}",
        )
        for item in candidates
    )
    columns = ("candidate", "AUC", "over silence", "lift", "cal.")
    return [
        "Chosen by the company's own past; each figure is of accounts that the candidate had not "
        "seen:",
        table(columns, rows),
    ]


def _named(segment: str, otherwise: str) -> str:
    return segment or otherwise


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and isfinite(bound) else None


def _bin_as_json(bin_: Bin) -> dict[str, Any]:
    """A bin under the names that its table has; null for an end that is open."""
    return {
        "measure": bin_.measure,
        "above": _finite(bin_.above),
        "up_to": _finite(bin_.up_to),
        "churned": bin_.churned,
        "stayed": bin_.stayed,
        "evidence": bin_.weight_of_evidence,
        "points": bin_.points,
        "is_unknown": bin_.above is None,
    }
