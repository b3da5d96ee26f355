"""The picture of a score report, an SVG: ROC curves, and expected against observed churn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from lifecycle.health.score_validation import Validation
from lifecycle.html_templates import environment

TEMPLATES = environment(Path(__file__).with_name("templates"))
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which colour-blind readers tell apart; a version has one in both charts."""
SIDE = 380
"""Pixels of a chart's side."""
LEAST_STEP = 0.75
"""Pixels. A point of a curve that is nearer to the last one is left out."""
TICKS = 5


@dataclass(frozen=True)
class Line:
    """One curve; `points` are in pixels from the chart's upper left corner."""

    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    is_dotted: bool = False
    has_marks: bool = False


@dataclass(frozen=True)
class Chart:
    """One square chart, both of its axes from 0 to `most`."""

    left: int
    title: str
    x_label: str
    y_label: str
    most: float
    lines: Sequence[Line]
    note: str = ""
    """Stands in the middle of a chart without lines."""

    @property
    def ticks(self) -> Iterator[tuple[float, str]]:
        """Of each tick the pixels from 0, and its number."""
        step = _nice_step(self.most)
        for number in range(math.floor(self.most / step + 1e-9) + 1):
            yield number * step / self.most * SIDE, f"{number * step:.12g}"


def draw(validation: Validation) -> str:
    """The SVG of a validation with curves."""
    colours = dict(
        zip((curves.version for curves in validation.curves), cycle(COLOURS), strict=False)
    )
    roc = [
        Line(curves.version, colours[curves.version], list(_pixels(*curves.roc, 1.0)))
        for curves in validation.curves
    ]
    if validation.silence is not None:
        points = list(_pixels(*validation.silence, 1.0))
        roc.append(Line("days since last activity", "#777777", points, is_dotted=True))
    shares = [
        share
        for curves in validation.curves
        for bin_ in curves.calibration
        for share in (bin_.expected, bin_.observed)
    ]
    most = max(shares, default=0.0) or 1.0
    calibration = [
        Line(
            curves.version,
            colours[curves.version],
            list(
                _pixels(
                    [bin_.expected for bin_ in curves.calibration],
                    [bin_.observed for bin_ in curves.calibration],
                    most,
                )
            ),
            has_marks=True,
        )
        for curves in validation.curves
        if curves.calibration
    ]
    charts = (
        Chart(
            70,
            "Who left within 90 days: ROC",
            "share of those who stayed",
            "share of those who left",
            1.0,
            roc,
        ),
        Chart(
            570,
            "Calibration: ten bins of as many accounts each",
            "expected share that leaves",
            "observed share that left",
            most,
            calibration,
            "" if calibration else "equal weights tell no chances",
        ),
    )
    return TEMPLATES.get_template("score_curves.svg").render(charts=charts, side=SIDE)


def _pixels(x: Iterable[float], y: Iterable[float], most: float) -> Iterator[tuple[float, float]]:
    """The points of a curve, without those that nobody could see."""
    points = [
        (float(across) / most * SIDE, SIDE - float(up) / most * SIDE)
        for across, up in zip(x, y, strict=True)
    ]
    last: tuple[float, float] | None = None
    for point in islice(points, max(len(points) - 1, 0)):
        if last is None or math.dist(last, point) >= LEAST_STEP:
            yield point
            last = point
    yield from points[-1:]


def _nice_step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that an axis has about TICKS ticks."""
    power = 10.0 ** math.floor(math.log10(most / TICKS))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= most / TICKS)
