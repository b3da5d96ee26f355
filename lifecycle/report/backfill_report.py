"""What a backfill wrote, for a person and for a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lifecycle.days import named
from lifecycle.document import Document, Section, counted
from lifecycle.settings import Settings
from lifecycle.warehouse.backfill import Backfilled


@dataclass(frozen=True)
class BackfillReport:
    """The result of a backfill that finished."""

    backfilled: Backfilled
    settings: Settings

    def as_json(self) -> dict[str, Any]:
        """The object of `backfill --json`; `rows` counts accounts and days that were built."""
        result = self.backfilled
        return {
            "from": str(result.days[0]),
            "to": str(result.days[-1]),
            "at": f"{result.at:%H:%M}",
            "days": len(result.days),
            "built": len(result.built),
            "rows": result.rows,
            "late_days": [str(day) for day in result.late],
            "published": result.is_published,
            "state_dir": str(self.settings.state_dir),
        }

    def as_document(self) -> Document:
        """Which days were built, which are unknown, and what to do next."""
        result = self.backfilled
        parts = [
            f"{counted(len(result.built), 'day')} built, {counted(result.rows, 'row')} of "
            f"fct_account_health_daily: an account and day each, as of {result.at:%H:%M} "
            f"{self.settings.company.time_zone}. Nothing was sent."
        ]
        if days_built_before := len(result.days) - len(result.built):
            parts.append(f"{counted(days_built_before, 'day')} were there, of an earlier backfill.")
        if result.late:
            parts.append(
                f"The usage feed was late on {counted(len(result.late), 'day')}, and what needs it "
                f"is unknown of them: {named(result.late)}."
            )
        parts.append(
            "Published: explain, score-report and the next run see it."
            if result.is_published
            else "Nothing was published yet: the first `lifecycle run` shows it."
        )
        span = named(result.days)
        return [Section(f"Backfilled {span}", tuple(parts), "good")]
