"""A small company for tests: settings, triggers and mails in a folder, marts in DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from lifecycle import settings as settings_module
from lifecycle.settings import Settings
from lifecycle.triggers.columns import account_columns, contact_columns

TOML = """
[company]
name = "Sakura Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Tokyo"
contact = "support@example.com"
country = "JP"
time_zone = "Asia/Tokyo"
locale = "en"

[plan]
spread_minutes = 0
"""

FOOTER = "{{ company.name }}, {{ company.postal_address }}\nLeave: {{ unsubscribe_url }}\n"


def utc(text: str) -> datetime:
    """`2026-06-10 01:00` as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Company:
    """A folder that `lifecycle --config` could be pointed at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lifecycle.toml").write_text(TOML, encoding="utf-8")
        for name in ("triggers", "email_templates"):
            (folder / name).mkdir(exist_ok=True)
        for locale in ("en", "ja"):
            (folder / "email_templates" / f"_footer.{locale}.txt").write_text(FOOTER)

    @property
    def settings(self) -> Settings:
        """Read anew, as each run does."""
        return settings_module.load(self.folder / "lifecycle.toml")

    def trigger(self, name: str, text: str, *steps: str) -> None:
        """Write a trigger file and an English mail for each of its steps."""
        (self.folder / "triggers" / f"{name}.yaml").write_text(text, encoding="utf-8")
        mails = self.folder / "email_templates" / name
        mails.mkdir(exist_ok=True)
        for step in steps:
            (mails / f"{step}.en.txt").write_text(
                f"Subject: {step}\n\nHello {{{{ contact.name or 'there' }}}}, {step}.\n"
            )


class Marts:
    """The schema `marts` with the columns that the models' YAML gives, in any DuckDB."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        connection.execute("create schema if not exists marts")
        for name, columns in (
            ("account_360", account_columns()),
            ("dim_contacts", contact_columns()),
        ):
            fields = ", ".join(f'"{column.name}" {column.data_type}' for column in columns.values())
            connection.execute(f"create or replace table marts.{name} ({fields})")
        connection.execute(
            "create or replace table marts.feed_health as"
            " select 'fresh' as feed_status, 'the newest event is an hour old' as reason"
        )
        connection.execute(
            "create or replace table marts.rejected_rows"
            " (table_name varchar, key varchar, reason varchar, column_name varchar)"
        )
        connection.execute(
            "create or replace table marts.fct_account_health_daily (account_id varchar,"
            " as_of timestamp, change_cause varchar, parameters_version varchar,"
            " is_dormant boolean)"
        )
        connection.execute(
            "create or replace table marts.rejected_cells (table_name varchar, file varchar,"
            " row_number bigint, column_name varchar, value varchar, reason varchar, key varchar,"
            " loaded_at timestamp)"
        )

    def feed(self, status: str) -> None:
        """Say how the usage feed is: fresh or late."""
        self.connection.execute("update marts.feed_health set feed_status = ?", [status])

    def accounts(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace account_360. Each row needs an account_id; the rest has a default."""
        self._fill("account_360", rows, ACCOUNT)

    def contacts(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace dim_contacts. Each row needs a contact_id and an account_id."""
        self._fill("dim_contacts", rows, CONTACT)
        self.connection.execute(
            "update marts.dim_contacts set address_unsubscribed_at = ("
            "select min(c.unsubscribed_at) from marts.dim_contacts c"
            " where c.email_normalized = dim_contacts.email_normalized)"
        )

    def _fill(
        self, table: str, rows: Iterable[Mapping[str, Any]], default: Mapping[str, Any]
    ) -> None:
        self.connection.execute(f"delete from marts.{table}")
        for row in rows:
            full = {**default, **row}
            if table == "dim_contacts":
                full.setdefault("email", f"{row['contact_id']}@example.com")
                full.setdefault("email_normalized", full["email"].lower())
            names = ", ".join(f'"{name}"' for name in full)
            marks = ", ".join("?" for _ in full)
            self.connection.execute(
                f"insert into marts.{table} ({names}) values ({marks})", list(full.values())
            )


ACCOUNT = {
    "name": "Example Inc",
    "stage": "mature",
    "is_dormant": True,
    "time_zone": "Asia/Tokyo",
    "time_zone_source": "account",
    "country_code": "JP",
    "feed_status": "fresh",
}
CONTACT = {
    "name": "Aiko Sato",
    "role": "admin",
    "consent_basis": "contract",
}
