"""What is told of a fit: whether the rate of false alarms that was asked for can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from company import Company, utc
from lifecycle.document import as_text
from lifecycle.evaluation.fit_report import Fitted
from lifecycle.health.dormancy import Calibration
from lifecycle.health.fit import Fit
from lifecycle.health.parameters import Parameters


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        (
            71,
            "3.5 % of 2,000 past gaps were longer than dormancy.max_days (90), which makes 0.71 "
            "false alarms a year at any factor: the 0.5 asked for cannot be reached, and only a "
            "higher max_days brings it nearer.",
        ),
        (
            50,
            "2.5 % of 2,000 past gaps were longer than dormancy.max_days (90), which makes 0.50 "
            "false alarms a year at any factor.",
        ),
    ],
)
def test_gaps_that_no_limit_spans_are_told_with_what_they_cost(
    tmp_path: Path, above: int, expected: str
) -> None:
    result = Calibration(
        factor=2.0, false_alarms=above, alive_years=100.0, gaps=2_000, gaps_above_most=above
    )
    fit = Fit("v", True, Parameters(utc("2026-06-10 01:00"), 600, 0, calibration=result))
    fitted = Fitted(fit, Company(tmp_path / "company").settings)
    assert expected in " ".join(as_text(fitted.as_document()).split())
    shown = fitted.as_json()["calibration"]
    assert (shown["gaps"], shown["gaps_above_max_days"]) == (2_000, above)
    assert shown["least_alarms_a_year"] == pytest.approx(above / 100)
