"""A company whose raw tables a test writes by hand, as the sources would."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from lifecycle import settings as settings_module
from lifecycle.settings import Settings
from lifecycle.warehouse import context
from lifecycle.warehouse.published_days import keep_built_day

TOML = """
[company]
name = "Sakura Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Tokyo"
contact = "support@example.com"
country = "JP"
time_zone = "Asia/Tokyo"

[events]
activity = ["*"]
core = ["report_*"]
outcome = ["report_shared"]
"""

TABLES = {
    "accounts": (
        "account_id varchar, name varchar, created_at timestamp, went_live_at timestamp,"
        " segment varchar, plan varchar, mrr double, seats bigint, touch_model varchar,"
        " country varchar, time_zone varchar, locale varchar, owner_name varchar,"
        " owner_email varchar, purpose varchar, background varchar, renewal_at timestamp,"
        " churned_at timestamp, _loaded_at timestamp"
    ),
    "contacts": (
        "contact_id varchar, account_id varchar, email varchar, name varchar, role varchar,"
        " locale varchar, consent_basis varchar, consented_at timestamp,"
        " unsubscribed_at timestamp, _loaded_at timestamp"
    ),
    "usage_events": (
        "event_id varchar, account_id varchar, occurred_at timestamp, event_name varchar,"
        " user_id varchar, feature varchar, _file varchar, _loaded_at timestamp"
    ),
    "survey_responses": (
        "response_id varchar, account_id varchar, responded_at timestamp, score double,"
        " contact_id varchar, feature varchar, comment varchar, _loaded_at timestamp"
    ),
    "rejected_rows": (
        "table_name varchar, file varchar, row_number bigint, column_name varchar,"
        " value varchar, reason varchar, record varchar, key varchar, loaded_at timestamp"
    ),
    "ledger_sends": (
        "send_id varchar, account_id varchar, contact_id varchar, trigger varchar, step varchar,"
        " cycle bigint, trigger_version varchar, locale varchar, due_at timestamp,"
        " not_before timestamp, state varchar, state_at timestamp, detail varchar,"
        " attempts bigint, accepted_at timestamp"
    ),
    "ledger_enrollments": (
        "account_id varchar, trigger varchar, cycle bigint, entered_version varchar,"
        " enrolled_at timestamp, ended_at timestamp, end_reason varchar,"
        " held_out boolean, goal_until timestamp, goal_met_at timestamp"
    ),
    "ledger_replies": (
        "key varchar, kind varchar, came_at timestamp, read_at timestamp, send_id varchar,"
        " account_id varchar, contact_id varchar, trigger varchar, step varchar, cycle bigint,"
        " label varchar, return_on date, settled_at timestamp"
    ),
}


def place(table: str) -> str:
    """The table with its schema."""
    return f"context.{table}" if table.startswith("ledger_") else f"raw.{table}"


def utc(text: str) -> datetime:
    """`2026-06-10 01:00` as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Company:
    """A state folder with a `work.duckdb`."""

    def __init__(self, folder: Path, toml: str = TOML) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "lifecycle.toml"
        self._file.write_text(toml, encoding="utf-8")
        self.settings.state_dir.mkdir()
        self.sql("create schema raw; create schema context")
        for table, columns in TABLES.items():
            self.sql(f"create table {place(table)} ({columns})")

    @property
    def settings(self) -> Settings:
        """Read anew, as each run does."""
        return settings_module.load(self._file)

    def sql(self, query: str, values: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        """Run SQL on the work file; the file is free again afterwards."""
        with duckdb.connect(str(self.settings.work_db)) as connection:
            return connection.execute(query, list(values)).fetchall()

    def add(self, table: str, *rows: dict[str, object]) -> None:
        """Add rows to a table; what is not named is null."""
        with duckdb.connect(str(self.settings.work_db)) as connection:
            for row in rows:
                names = ", ".join(row)
                slots = ", ".join("?" * len(row))
                connection.execute(
                    f"insert into {place(table)} ({names}) values ({slots})", list(row.values())
                )

    def deliver(self, table: str, loaded_at: str, *rows: dict[str, object]) -> None:
        """Replace a raw table by a new snapshot, as a load does."""
        self.sql(f"delete from raw.{table}")
        self.add(table, *({"_loaded_at": loaded_at, **row} for row in rows))

    def events(self, loaded_at: str, *events: tuple[str, str, str]) -> None:
        """Append events: account, time, event name. Users and features follow from the time."""
        known = self.sql("select count(*) from raw.usage_events")[0][0]
        rows = []
        for number, (account, moment, name) in enumerate(events, start=known):
            dice = zlib.crc32(f"{account} {moment}".encode())
            user, feature = dice % 4, dice // 4 % 5
            rows.append(
                {
                    "event_id": f"e{number}",
                    "account_id": account,
                    "occurred_at": moment,
                    "event_name": name,
                    "user_id": f"u{user}" if user else None,
                    "feature": f"f{feature}" if feature else None,
                    "_loaded_at": loaded_at,
                }
            )
        self.add("usage_events", *rows)

    def see(self, as_of: str, loaded_at: str | None = None) -> None:
        """Tell the models the clock of a run; what was built before counts as published."""
        with duckdb.connect(str(self.settings.work_db)) as connection:
            keep_built_day(connection)
        context.write(
            self.settings, run_id="run", as_of=utc(as_of), loaded_at=utc(loaded_at or as_of)
        )
