"""`lifecycle score-report`: the validation of health scores, as text, a page and a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lifecycle.document import Document, Section, moment, table
from lifecycle.errors import WarehouseError
from lifecycle.evaluation.fit_report import candidate_parts
from lifecycle.evaluation.score_curves import TEMPLATES, draw
from lifecycle.health import score_validation
from lifecycle.health.score_validation import Comparison, Figures, Validation
from lifecycle.health.snapshots import ENOUGH
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
    picture: str | None = field(default=None, repr=False)
    """SVG of the curves."""

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
            "against_silence": (validation.against_silence or None) if validation else None,
            "beats_silence": validation.beats_silence if validation else None,
            "versions": list(validation.versions) if validation else [],
            "candidates": [asdict(item) for item in validation.candidates] if validation else [],
            "figures": [asdict(item) for item in validation.figures] if validation else [],
            "comparisons": [
                {**asdict(item), "is_worse": item.is_worse} for item in validation.comparisons
            ]
            if validation
            else [],
        }

    def as_document(self) -> Document:
        """The report for a person at a terminal: what to believe, and a row a version."""
        return [self._summary(), *self._versions()]

    def as_page(self) -> Document:
        """The report with every snapshot and comparison, for a page that has the room."""
        return [self._summary(), *self._versions(), *self._details()]

    def _summary(self) -> Section:
        """What to believe: whether the score beats silence, then what is worse than before."""
        validation = self.validation
        sentences = [self.verdict, self._note]
        if validation is None or not validation.figures:
            return Section("Score report", tuple(filter(None, sentences)), "warning")
        sentences = [validation.against_silence, *sentences]
        if validation.curves and not self.verdict:
            sentences.append("no score version is worse than the one before")
        if validation.of > validation.drawn:
            sentences.append(
                f"judged on {validation.drawn:,} of {validation.of:,} accounts, drawn by their ids"
            )
        parts = tuple(_sentence(text) for text in sentences if text)
        is_good = validation.beats_silence and not self.verdict
        tone = "bad" if self.verdict else "good" if is_good else "warning"
        clock = moment(_utc(validation.reported_at), self.time_zone)
        return Section(f"Score report as of {clock}", parts, tone)

    def _versions(self) -> list[Section]:
        """A row a version: fits 80 columns."""
        validation = self.validation
        if validation is None or not validation.curves:
            return []
        rows = (
            (
                item.version + ("*" if item.is_fitted_on else ""),
                f"{item.churned:,} of {item.accounts:,}",
                _number(item.auc.value if item.auc else None, "{:.3f}"),
                _interval(item.gain, "{:+.3f}", "{:.3f}…{:.3f}"),
                _number(item.lift, "{:.1f}"),
                _number(item.calibration_error, "{:.3f}"),
            )
            for item in validation.figures
            if item.day is None
        )
        columns = ("version", "left", "AUC", "over silence", "lift", "cal.")
        words = [
            "AUC: how often one that left had the worse score than one that stayed; 0.5 is chance.",
            "over silence: AUC less that of days since last activity (95 % interval).",
            "lift: how many times more often the worst tenth left.",
            "cal.: mean distance of expected from observed departures; 0 is exact.",
            LEARNED,
            "The page has each snapshot, the curves, and how often bands changed.",
        ]
        return [Section("Who left within 90 days", (table(columns, rows), "\n".join(words)))]

    def _details(self) -> list[Section]:
        validation = self.validation
        if validation is None or not validation.figures:
            return []
        figures = table(COLUMNS, (_shown(item) for item in validation.figures))
        notes = [f"{name}: {what}." for name, what in COLUMNS.items()]
        sections = [Section("Each version on each snapshot", (figures, "\n".join(notes)))]
        if validation.candidates:
            parts = tuple(candidate_parts(validation.candidates))
            sections.append(Section("What the newest version was chosen from", parts))
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
        """Leave `score_report.html`, which needs no other file, and `score_report.svg`."""
        folder.mkdir(parents=True, exist_ok=True)
        picture = folder / f"{NAME}.svg"
        if self.picture is None:
            picture.unlink(missing_ok=True)  # of an earlier report
        else:
            picture.write_text(self.picture, encoding="utf-8")
        (folder / f"{NAME}.html").write_text(self.as_html(), encoding="utf-8")

    def as_html(self) -> str:
        """The report as one page with its picture inside."""
        template = TEMPLATES.get_template("score_report.html")
        picture = self.picture and Markup(self.picture)
        return template.render(sections=self.as_page(), picture=picture)


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
    return ScoreReport(kind, time_zone, validation, draw(validation) if validation.curves else None)


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


def _interval(interval: Interval | None, form: str, between: str = "") -> str:
    """A figure with its interval; `between` is the form of the interval's bounds."""
    if interval is None:
        return "–"
    bounds = (between or f"{form} to {form}").format(interval.low, interval.high)
    return f"{form.format(interval.value)} ({bounds})"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)
