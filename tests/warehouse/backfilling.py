"""A backfill in a process of its own: a fork server imports it from here, and no test module."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

from lifecycle.settings import load
from lifecycle.warehouse.backfill import backfill

AT = time(6)


def backfill_telling(folder: str, days: list[date], done: str) -> None:
    """Backfill `days` of the company in `folder`; it leaves a file in `done` for each whole day."""
    backfill(
        load(Path(folder) / "lifecycle.toml"),
        days,
        at=AT,
        progress=lambda day: Path(done, str(day)).touch(),
    )
