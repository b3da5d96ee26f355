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
    """A backfill that went to its end."""

    backfilled: Backfilled
    settings: Settings

    def as_json(self) -> dict[str, Any]:
        """The object of `backfill --json`; `rows` counts accounts and days that were built."""
        found = self.backfilled
        return {
            "from": str(found.days[0]),
            "to": str(found.days[-1]),
            "at": f"{found.at:%H:%M}",
            "days": len(found.days),
            "built": len(found.built),
            "rows": found.rows,
            "late_days": [str(day) for day in found.late],
            "published": found.is_published,
            "state_dir": str(self.settings.state_dir),
        }

    def as_document(self) -> Document:
        """How many days were built, what is unknown of them, and what comes next."""
        found = self.backfilled
        parts = [
            f"{counted(len(found.built), 'day')} built, {counted(found.rows, 'row')} of "
            f"fct_account_health_daily: an account and day each, as of {found.at:%H:%M} "
            f"{self.settings.company.time_zone}. Nothing was sent."
        ]
        if there := len(found.days) - len(found.built):
            parts.append(f"{counted(there, 'day')} were there, of an earlier backfill.")
        if found.late:
            parts.append(
                f"The usage feed was late on {counted(len(found.late), 'day')}, and what needs it "
                f"is unknown of them: {named(found.late)}."
            )
        parts.append(
            "Published: explain, score-report and the next run see it."
            if found.is_published
            else "Nothing was published yet: the first `lifecycle run` shows it."
        )
        span = named(found.days)
        return [Section(f"Backfilled {span}", tuple(parts), "good")]
