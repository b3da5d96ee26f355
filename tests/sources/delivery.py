"""A small company in the file source's form, and what a pull makes of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb

from lifecycle import settings as settings_module
from lifecycle.settings import Settings
from lifecycle.sources.pull import PullResult, pull

NOW = datetime(2026, 6, 10, 1, 0, tzinfo=UTC)

COMPANY = """
[company]
name = "Test Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Tokyo"
contact = "support@example.com"
[source]
kind = "files"
path = "data"
"""

ACCOUNTS: list[dict[str, Any]] = [
    {"account_id": f"A{n}", "name": f"会社 {n}", "created_at": "2026-01-05T09:00:00+09:00",
     "seats": "12", "mrr": "1200.5", "touch_model": "tech", "time_zone": "Asia/Tokyo",
     "locale": "ja", "owner_email": "owner@example.com", "Industry": "Retail"}
    for n in range(1, 4)
]  # fmt: skip
CONTACTS: list[dict[str, Any]] = [
    {"contact_id": f"C{n}", "account_id": f"A{n}", "email": f"person{n}@example.com",
     "role": "admin", "locale": ""}
    for n in range(1, 4)
]  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {"event_id": f"E{n}", "account_id": f"A{1 + n % 3}", "occurred_at": f"2026-06-0{n} 3:15:52",
     "event_name": "report_created", "feature": ""}
    for n in range(1, 9)
]  # fmt: skip
SURVEYS: list[dict[str, Any]] = [
    {"response_id": "R1", "account_id": "A1", "responded_at": "2026-06-01", "score": "9",
     "comment": 'two\nlines, "quoted"'},
]  # fmt: skip


class World:
    """A source folder and the warehouse it is pulled into."""

    def __init__(self, root: Path, *, is_new: bool = True) -> None:
        self.root = root
        self.data = root / "data"
        if not is_new:
            return
        self.data.mkdir()
        self.config(COMPANY)
        self.csv("accounts", ACCOUNTS)
        self.csv("contacts", CONTACTS)
        self.csv("usage_events", EVENTS)

    def config(self, text: str) -> None:
        (self.root / "lifecycle.toml").write_text(text, encoding="utf-8")

    @property
    def settings(self) -> Settings:
        return settings_module.load(self.root / "lifecycle.toml")

    def csv(self, name: str, rows: Sequence[dict[str, Any]], **options: Any) -> Path:
        path = self.data / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
            writer = csv.DictWriter(file, columns, **options)
            writer.writeheader()
            writer.writerows(rows)
        return path

    def jsonl(self, name: str, rows: Sequence[dict[str, Any]]) -> Path:
        path = self.data / f"{name}.jsonl"
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def pull(self, at: datetime = NOW) -> PullResult:
        return pull(self.settings, loaded_at=at)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.settings.work_db)) as db:
            return db.execute(query).fetchall()

    def rejected(self) -> list[tuple[Any, ...]]:
        return self.ask(
            "SELECT table_name, file, row_number, column_name, reason FROM raw.rejected_rows"
            " ORDER BY ALL"
        )

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the models see, in a fixed order; not which file brought a row."""
        names = ("accounts", "contacts", "usage_events", "survey_responses", "rejected_rows")
        columns = "columns(name -> name <> '_file')"
        return {name: self.ask(f"SELECT {columns} FROM raw.{name} ORDER BY ALL") for name in names}


def pull_telling(config: str, pipe: Connection) -> None:
    """Pull, and send each step's name before it begins."""
    pull(settings_module.load(config), loaded_at=NOW, progress=pipe.send)
