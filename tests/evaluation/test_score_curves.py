"""The picture of a score report: an SVG whose curves are where the numbers say."""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree

import numpy as np
import pytest

from lifecycle.evaluation.score_curves import LEAST_STEP, SIDE, draw
from lifecycle.health.score_validation import Curves, Validation
from lifecycle.health.validation import CalibrationBin

SVG = "{http://www.w3.org/2000/svg}"


def validation(*curves: Curves, silence: bool = False) -> Validation:
    return Validation(
        reported_at=datetime(2026, 6, 10),  # noqa: DTZ001
        versions=tuple(each.version for each in curves),
        figures=(),
        comparisons=(),
        candidates=(),
        curves=curves,
        silence=(np.array([0.0, 1.0]), np.array([0.0, 1.0])) if silence else None,
        drawn=0,
        of=0,
    )


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def points(line: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in line.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_a_curve_goes_through_its_points_from_the_lower_left() -> None:
    curves = Curves("v1", (np.array([0.0, 0.25, 1.0]), np.array([0.0, 0.75, 1.0])))
    (line,) = parsed(draw(validation(curves))).iter(f"{SVG}polyline")
    assert points(line) == [(0.0, SIDE), (SIDE / 4, SIDE / 4), (SIDE, 0.0)]


def test_calibration_has_a_scale_of_its_own_and_the_colour_of_its_version() -> None:
    bins = [CalibrationBin(50, 0.01, 0.02), CalibrationBin(50, 0.03, 0.04)]
    both = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    svg = parsed(draw(validation(Curves("v1", both, bins), Curves("v2", both))))
    first, second, calibration = svg.iter(f"{SVG}polyline")
    assert points(calibration) == [(95.0, 190.0), (285.0, 0.0)]
    assert calibration.attrib["stroke"] == first.attrib["stroke"] != second.attrib["stroke"]
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert texts.count("v1") == 2
    assert "0.04" in texts


def test_points_that_nobody_could_see_are_left_out() -> None:
    many = np.linspace(0.0, 1.0, 100_000)
    (line,) = parsed(draw(validation(Curves("v1", (many, many))))).iter(f"{SVG}polyline")
    drawn = points(line)
    assert len(drawn) <= SIDE * 2 / LEAST_STEP
    assert (drawn[0], drawn[-1]) == ((0.0, SIDE), (SIDE, 0.0))


@pytest.mark.parametrize("silence", [True, False])
def test_a_version_of_equal_weights_has_no_calibration_and_the_chart_says_so(
    silence: bool,
) -> None:
    curves = Curves("<equal & weights>", (np.array([0.0, 1.0]), np.array([0.0, 1.0])))
    svg = parsed(draw(validation(curves, silence=silence)))
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert "equal weights tell no chances" in texts
    assert "<equal & weights>" in texts
    assert ("days since last activity" in texts) is silence
