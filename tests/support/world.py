"""Runs over days: a company in DuckDB, a ledger in SQLite or PostgreSQL, mails as they leave."""

from __future__ import annotations

from datetime import datetime

import duckdb
from sqlalchemy import select

from company import Company, Marts, utc
from lifecycle.authoring.files import Seen, read_to_plan
from lifecycle.ledger import runs
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import sends
from lifecycle.mail.deliver import deliver
from lifecycle.planning.plan import decide
from lifecycle.planning.plan_result import PlanResult

WIN_BACK = """
audience: is_dormant
recipients: role = 'admin'
launch: existing
enter: once_per_episode
exit_when: not is_dormant
steps:
  - {id: check_in, after: 0d}
  - {id: last_call, after: 7d}
"""


class World:
    """A company on which runs can be made, day by day."""

    def __init__(self, folder, ledger_url: str | None = None) -> None:
        self.company = Company(folder)
        self.warehouse = duckdb.connect(":memory:")
        self.marts = Marts(self.warehouse)
        self.ledger = Ledger.open(ledger_url or self.company.settings.ledger_url)
        self.number = 0

    def win_back(self, *changes: tuple[str, str]) -> None:
        text = WIN_BACK
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.company.trigger("win_back", text, "check_in", "last_call")

    def account(self, **columns) -> None:
        """One dormant account with one admin."""
        self.marts.accounts([{"account_id": "a1", **columns}])
        self.marts.contacts([{"contact_id": "c1", "account_id": "a1"}])

    def run(
        self, now: datetime | str, *, dry_run: bool = False, seen: Seen | None = None
    ) -> PlanResult:
        at = utc(now) if isinstance(now, str) else now
        self.number += 1
        run_id = f"run-{self.number}"
        settings = self.company.settings
        files = read_to_plan(settings, seen)
        with self.ledger.read() as memory:
            result = decide(
                settings,
                self.warehouse,
                memory,
                files.usable,
                as_of=at,
                broken=files.broken,
                templates=files.templates,
            )
        if not dry_run:
            self.begin(run_id, at)
            with self.ledger.write() as connection:
                record(connection, result.decisions, run_id=run_id, at=at)
            deliver(settings, self.ledger, now=at)
        return result

    def begin(self, run_id: str, now: datetime | str) -> None:
        """Record that a run starts."""
        at = utc(now) if isinstance(now, str) else now
        runs.begin(self.ledger, run_id=run_id, as_of=at, source="files")

    def rows(self, table, *columns):
        with self.ledger.read() as connection:
            return connection.execute(select(*(table.c[name] for name in columns or ()))).all()

    def mails(self) -> list[tuple[str, str, str]]:
        """Account, step and state of every mail, in order of time."""
        with self.ledger.read() as connection:
            query = select(sends.c.account_id, sends.c.step, sends.c.state).order_by(
                sends.c.not_before, sends.c.account_id, sends.c.contact_id
            )
            return [tuple(row) for row in connection.execute(query)]

    def outbox(self) -> int:
        return len(list(self.company.settings.outbox_dir.glob("*.eml")))

    def close(self) -> None:
        self.ledger.close()
        self.warehouse.close()
