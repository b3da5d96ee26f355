"""`lifecycle score-report`: the validation of health scores, as text, a page and a picture."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from html import escape
from pathlib import Path
from typing import Any

from lifecycle.document import Document, Section, Table, moment, table
from lifecycle.errors import WarehouseError
from lifecycle.health import score_validation
from lifecycle.health.score_validation import ENOUGH, Comparison, Figures, Validation
from lifecycle.health.validation import Interval
from lifecycle.settings import Settings
from lifecycle.state_lock import only_one
from lifecycle.warehouse import score_tables
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_days import check_published

NAME = "score_report"
"""Of the page and the picture that a report leaves."""

DEMO = (
    "The source is the demo company: it was made from the same rules that score it, so its "
    "figures would prove nothing. They are not computed. Run this on your own data."
)
TOO_EARLY = (
    "No stored day is 90 days old yet, so what became of its accounts is not known. Each run "
    "stores its day; the first figures are possible 90 days after the first run."
)
LEARNED = (
    "* Older than the version's fit, which may have learned from these outcomes: they flatter it. "
    "The first snapshot that it cannot have learned from has an outcome 90 days after the fit; "
    "until then a verdict on that version rests on flattering figures."
)
COLUMNS = {
    "version": "as it was fitted; equal weights: before the first fit",
    "snapshot": "the first stored day of a month; all: of them, those that the version cannot "
    "have learned from, where they are enough",
    "accounts": "in brackets those that left within 90 days",
    "AUC": "how often one that left had the worse score than one that stayed; 0.5 is chance",
    "against silence": "AUC less that of days since last activity, on the same accounts",
    "lift": "how many times more often the worst tenth left",
    "calibration": "mean distance of expected from observed churn over ten bins",
    "Brier": "mean squared distance of the chances from what happened",
    "changes": "of the usage band, an account and 90 days",
    "reversed": "share of these that went back within a week",
}
Figure = tuple[str, ...]


@dataclass(frozen=True)
class ScoreReport:
    """The validation of all score versions; None for the demo company, which proves nothing."""

    source: str
    time_zone: str
    validation: Validation | None
    picture: bytes | None = field(default=None, repr=False)
    """PNG of the curves."""

    @property
    def verdict(self) -> str:
        """One sentence where the newest version is worse than the one before, else empty."""
        return self.validation.verdict if self.validation else ""

    def as_json(self) -> dict[str, Any]:
        """The object of `score-report --json`."""
        validation = self.validation
        return {
            "source": self.source,
            "as_of": _utc(validation.reported_at).isoformat() if validation else None,
            "status": "failed" if self.verdict else "done",
            "verdict": self.verdict or None,
            "note": self._note or None,
            "versions": list(validation.versions) if validation else [],
            "figures": [asdict(item) for item in validation.figures] if validation else [],
            "comparisons": [
                {**asdict(item), "is_worse": item.is_worse} for item in validation.comparisons
            ]
            if validation
            else [],
        }

    def as_document(self) -> Document:
        """The report for a person."""
        tone = (
            "bad"
            if self.verdict
            else "good"
            if self.validation and self.validation.curves
            else "warning"
        )
        parts: list[str | Table] = [self.verdict[:1].upper() + self.verdict[1:] + "."]
        parts = parts if self.verdict else []
        if self._note:
            parts.append(self._note)
        validation = self.validation
        if validation is None or not validation.figures:
            return [Section("Score report", tuple(parts), tone)]
        if validation.of > validation.drawn:
            parts.append(
                f"Judged on {validation.drawn:,} of {validation.of:,} accounts, drawn by their ids."
            )
        title = f"Score report as of {moment(_utc(validation.reported_at), self.time_zone)}"
        sections = [Section(title, tuple(parts), tone)] if parts else []
        if not parts:
            sections = [Section(title, ("No score version is worse than the one before.",), tone)]
        figures = table(COLUMNS, (_shown(item) for item in validation.figures))
        notes = [f"{name}: {what}." for name, what in COLUMNS.items()]
        notes.append(LEARNED)
        sections.append(Section("Who left within 90 days", (figures, "\n".join(notes))))
        if validation.comparisons:
            columns = ("version", "against", "snapshots of accounts", "AUC", "")
            rows = (_compared(item) for item in validation.comparisons)
            sections.append(Section("Each version against the one before", (table(columns, rows),)))
        return sections

    @property
    def _note(self) -> str:
        if self.validation is None:
            return DEMO
        if not self.validation.figures:
            return TOO_EARLY
        if not self.validation.curves:
            return f"Fewer than {ENOUGH} accounts left, or stayed: not enough data yet."
        return ""

    def write(self, folder: Path) -> None:
        """Leave `score_report.html`, which needs no other file, and `score_report.png`."""
        folder.mkdir(parents=True, exist_ok=True)
        picture = folder / f"{NAME}.png"
        if self.picture is None:
            picture.unlink(missing_ok=True)  # of an earlier report
        else:
            picture.write_bytes(self.picture)
        (folder / f"{NAME}.html").write_text(self.as_html(), encoding="utf-8")

    def as_html(self) -> str:
        """The report as one page with its picture inside."""
        body = []
        for number, section in enumerate(self.as_document()):
            level = 2 if number else 1
            tone = f' class="{section.tone}"' if section.tone else ""
            body.append(f"<h{level}{tone}>{escape(section.title)}</h{level}>")
            body += [_html(part) for part in section.parts]
            if not number and self.picture:
                data = b64encode(self.picture).decode()
                alt = "ROC and calibration curves of each score version"
                body.append(f'<img alt="{alt}" src="data:image/png;base64,{data}">')
        return PAGE.format(body="\n".join(body))


def score_report(
    settings: Settings, *, progress: Callable[[str], None] = lambda _: None
) -> ScoreReport:
    """Validate every score version, and store the figures for the mart score_validation.

    The next run publishes it. Raises AlreadyRunning beside a run, WarehouseError where nothing
    was built yet, NothingPublished after a run whose data did not pass.
    """
    kind, time_zone = settings.source.kind, settings.company.time_zone
    if settings.source.is_synthetic:
        return ScoreReport(kind, time_zone, None)
    if not settings.work_db.exists():
        raise WarehouseError(f"{settings.work_db}: nothing was built yet; `lifecycle run` does")
    with only_one(settings.state_dir), connect_work(settings) as connection:
        check_published(connection, settings)
        score_tables.ensure(connection)
        validation = score_validation.validate_scores(connection, progress=progress)
        score_validation.store(connection, validation)
    return ScoreReport(
        kind, time_zone, validation, _drawn(validation) if validation.curves else None
    )


def _shown(figures: Figures) -> Figure:
    return (
        figures.version,
        _day(figures.day) + ("*" if figures.is_fitted_on else ""),
        f"{figures.accounts:,} ({figures.churned:,})",
        _interval(figures.auc, "{:.3f}") if figures.auc else "not enough data yet",
        _interval(figures.gain, "{:+.3f}"),
        _number(figures.lift, "{:.1f}"),
        _number(figures.calibration_error, "{:.3f}"),
        _number(figures.brier, "{:.3f}"),
        _number(figures.band_changes, "{:.2f}"),
        _number(figures.reversed_share, "{:.0%}"),
    )


def _compared(comparison: Comparison) -> Figure:
    fitted_on = "fitted on some of them" if comparison.is_fitted_on else "fitted on none of them"
    verdict = (
        "worse"
        if comparison.is_worse
        else "better"
        if comparison.difference.low > 0
        else "no worse"
    )
    counts = f"{comparison.accounts:,} ({comparison.churned:,})"
    return (
        comparison.version,
        comparison.before,
        counts,
        _interval(comparison.difference, "{:+.3f}"),
        f"{verdict}, {fitted_on}",
    )


def _day(day: date | None) -> str:
    return "all" if day is None else day.isoformat()


def _interval(interval: Interval | None, form: str) -> str:
    if interval is None:
        return "–"
    value, low, high = (
        form.format(number) for number in (interval.value, interval.low, interval.high)
    )
    return f"{value} ({low} to {high})"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


# The page and the picture. ------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Score report</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 75rem; margin: 2rem auto;
  padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.2rem; margin-top: 2rem; }}
.bad {{ color: #a31515; }} .good {{ color: #14652c; }} .warning {{ color: #7a5200; }}
img {{ max-width: 100%; height: auto; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .9rem; }}
th, td {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd;
  white-space: nowrap; font-variant-numeric: tabular-nums; }}
p {{ white-space: pre-line; max-width: 60rem; }}
</style>
{body}
</html>
"""


def _html(part: str | Table) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"

    def cells(tag: str, values: tuple[object, ...]) -> str:
        texts = (escape("–" if value is None else str(value)) for value in values)
        return "<tr>" + "".join(f"<{tag}>{value}</{tag}>" for value in texts) + "</tr>"

    rows = "\n".join(cells("td", row) for row in part.rows)
    return f"<div><table>\n{cells('th', part.columns)}\n{rows}\n</table></div>"


def _drawn(validation: Validation) -> bytes:
    """PNG: the ROC curves beside each other's, and expected against observed churn."""
    # Not pyplot: it would open windows and read the user's own settings.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(11, 5), layout="constrained", dpi=120)
    FigureCanvasAgg(picture)
    roc_axes, right = picture.subplots(1, 2)
    if validation.silence is not None:
        roc_axes.plot(
            *validation.silence, color="grey", linestyle=":", label="days since last activity"
        )
    for curves in validation.curves:
        (line,) = roc_axes.plot(*curves.roc, label=curves.version)
        if curves.calibration:
            expected = [bin_.expected for bin_ in curves.calibration]
            observed = [bin_.observed for bin_ in curves.calibration]
            right.plot(expected, observed, marker="o", color=line.get_color(), label=curves.version)
    for axes in (roc_axes, right):
        axes.grid(color="#e5e5e5")
        axes.set_axisbelow(True)
    roc_axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
    roc_axes.set(
        title="Who left within 90 days: ROC",
        xlabel="share of those who stayed",
        ylabel="share of those who left",
        aspect="equal",
    )
    roc_axes.legend(loc="lower right")
    if right.lines:
        most = max(
            max(bin_.expected, bin_.observed) for c in validation.curves for bin_ in c.calibration
        )
        right.plot([0, most], [0, most], color="#bbbbbb", linewidth=1)
        right.legend(loc="upper left")
    else:
        note = "equal weights tell no chances"
        right.text(0.5, 0.5, note, ha="center", transform=right.transAxes)
    right.set(
        title="Calibration: ten bins of as many accounts each",
        xlabel="expected share that leaves",
        ylabel="observed share that left",
    )
    file = io.BytesIO()
    picture.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
