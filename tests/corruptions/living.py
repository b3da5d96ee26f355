"""A small company that lives day by day through the stages of the real run, in this process."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from flows import stages
from lifecycle import settings as settings_module
from lifecycle.errors import LifecycleError
from lifecycle.ledger.store import Ledger
from lifecycle.report.run_report import RunReport
from lifecycle.run import Run
from lifecycle.settings import Settings

COMPANY = """
[company]
name = "Test Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Tokyo"
contact = "support@example.com"
locale = "en"
[state]
dir = "state"
[source]
kind = "files"
path = "data"
[owners]
morning_list = false
[plan]
spread_minutes = 0
"""

WELCOME = """
audience: days_since_go_live >= 0
recipients: role = 'admin'
launch: existing
enter: once
steps:
  - {id: hello, after: 0d}
"""

Row = dict[str, Any]


def accounts(count: int, **more: Any) -> list[Row]:
    """Accounts A1, A2, … that are live since the spring."""
    return [
        {
            "account_id": f"A{n}",
            "name": f"Firm {n} Ltd",
            "created_at": "2026-03-01T00:00:00Z",
            "went_live_at": "2026-04-01T00:00:00Z",
            "touch_model": "tech",
            "country": "JP",
            "time_zone": "Asia/Tokyo",
            "churned_at": "",
            **more,
        }
        for n in range(1, count + 1)
    ]


def contacts(count: int, **more: Any) -> list[Row]:
    """Contacts C1, C2, …, the admins of these accounts."""
    return [
        {
            "contact_id": f"C{n}",
            "account_id": f"A{n}",
            "email": f"person{n}@firm{n}.example.com",
            "name": f"Person {n}",
            "role": "admin",
            "locale": "en",
            "consent_basis": "contract",
            "consented_at": "",
            "unsubscribed_at": "",
            **more,
        }
        for n in range(1, count + 1)
    ]


def changed(rows: Sequence[Row], number: int, **columns: Any) -> list[Row]:
    """The rows with other values in the row of that number, from 1."""
    return [{**row, **columns} if n == number else row for n, row in enumerate(rows, 1)]


def without(rows: Sequence[Row], column: str) -> list[Row]:
    """The rows as an export has them that lost a column."""
    return [{name: row[name] for name in row if name != column} for row in rows]


@dataclass
class Living:
    """One company in a folder; `accounts` and `contacts` are what its CRM delivers next."""

    folder: Path
    toml: str = ""
    accounts: list[Row] = field(default_factory=lambda: accounts(4))
    contacts: list[Row] = field(default_factory=lambda: contacts(4))
    triggers: Mapping[str, str] = field(default_factory=lambda: {"welcome": WELCOME})
    report: RunReport | None = None
    error: LifecycleError | None = None

    def __post_init__(self) -> None:
        for name in ("data", "triggers", "email_templates"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "lifecycle.toml").write_text(COMPANY + self.toml, encoding="utf-8")
        footer = "{{ company.name }}, {{ company.postal_address }}\nLeave: {{ unsubscribe_url }}\n"
        for locale in ("en", "ja"):
            (self.folder / "email_templates" / f"_footer.{locale}.txt").write_text(footer)
        for name, text in self.triggers.items():
            (self.folder / "triggers" / f"{name}.yaml").write_text(text, encoding="utf-8")
            mails = self.folder / "email_templates" / name
            mails.mkdir()
            for step in ("hello", "again"):
                if f"id: {step}," in text:
                    mails.joinpath(f"{step}.en.txt").write_text(f"Subject: {step}\n\nHello.\n")

    @property
    def settings(self) -> Settings:
        return settings_module.load(self.folder / "lifecycle.toml")

    def file(self, name: str, rows: Sequence[Row] | str | bytes) -> None:
        """Deliver a file: rows as CSV, or just this text."""
        path = self.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(rows, str):
            path.write_bytes(rows.encode())
        elif isinstance(rows, bytes):
            path.write_bytes(rows)
        else:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(
                    file, list(dict.fromkeys(key for row in rows for key in row))
                )
                writer.writeheader()
                writer.writerows(rows)

    def deliver(self) -> None:
        """Write the files that the CRM and the product deliver."""
        self.file("accounts.csv", self.accounts)
        self.file("contacts.csv", self.contacts)
        events = [
            {
                "event_id": f"E-{row['account_id']}-{day}",
                "account_id": row["account_id"],
                "occurred_at": f"2026-06-{day:02}T01:00:00Z",
                "event_name": "dashboard_viewed",
            }
            for row in self.accounts
            for day in range(1, 10)
        ]
        if not (self.folder / "data" / "usage_events.csv").exists():
            self.file("usage_events.csv", events)

    def run(
        self,
        as_of: str,
        *,
        dry_run: bool = False,
        deliver: bool = True,
        delivered: str | None = None,
    ) -> list[str]:
        """One day; returns the addresses that were mailed on it, in order.

        What stopped it is `error`; what it said is `report`.
        """
        if deliver:
            self.deliver()
        before = self.mailed()
        self.error = None
        with ExitStack() as stack:
            stack.enter_context(_caught(self))
            run = stack.enter_context(
                Run.begin(
                    as_of=as_of,
                    dry_run=dry_run,
                    config=str(self.folder / "lifecycle.toml"),
                    delivered=delivered,
                )
            )
            self.report = run.report
            stages.pull.fn(run)
            stages.check_door.fn(run, "raw")
            stages.build.fn(run)
            stages.check_door.fn(run, "marts")
            stages.publish.fn(run)
            stages.plan_run.fn(run)
            stages.approve(run)
            stages.deliver.fn(run)
            stages.report.fn(run)
        after = self.mailed()
        for mail in before:
            after.remove(mail)
        return sorted(after)

    def mailed(self) -> list[str]:
        """The readers of all mails in the outbox."""
        mails = self.settings.outbox_dir.glob("*.eml")
        parsed = [message_from_bytes(mail.read_bytes(), policy=policy.default) for mail in mails]
        return sorted(mail["To"].addresses[0].addr_spec for mail in parsed)

    def ledger(self) -> Ledger:
        return Ledger.open(self.settings.ledger_url)

    def withheld(self) -> dict[str, int]:
        assert self.report is not None
        return dict(json.loads(json.dumps(self.report.as_json()["withheld"])))


class _caught:  # noqa: N801 a context manager
    def __init__(self, living: Living) -> None:
        self.living = living

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, LifecycleError):
            self.living.error = error
            return True
        return False
