"""A month of a small company with each trouble once, through the commands' own functions.

Four runs a day through all stages, and a delivery every ten minutes, in one process. 20 April to
19 May 2026 in Japan, with its holiday week.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from corruptions.living import Living, Row, accounts, contacts
from flows.deliver_due import deliver_due
from lifecycle.errors import LifecycleError
from lifecycle.ledger import approvals, controls

TOKYO = ZoneInfo("Asia/Tokyo")
FIRST = date(2026, 4, 20)
RUNS = (time(0, 30), time(6), time(12), time(18))
COUNT = 40
BY = {"by": "Aiko", "why": "a test"}

COMPANY = """
delivery_every_minutes = 10
[guard]
people = 30
share = 1.0
[events]
activity = ["*"]
"""
COURSE = """
audience: segment = 'course'
recipients: role = 'admin'
launch: existing
exit_when: plan = 'cancelled'
steps:
  - {id: s0, after: 0d}
  - {id: s1, after: 1d}
  - {id: s2, after: 2d}
  - {id: s3, after: 5bd}
  - {id: s4, after: 14d}
"""
SHORT = """
audience: plan = 'short'
recipients: role = 'admin'
launch: existing
enter: {every: 2d}
send_window: {days: mon-fri, from: "09:00", to: "09:20"}
late: {after: 1d}
steps:
  - {id: s0, after: 0d}
"""
WEEKLY = """
audience: plan = 'weekly'
recipients: role = 'admin'
launch: existing
caps: {contact: 1/7d}
priority: 10
steps:
  - {id: s0, after: 0d}
  - {id: s1, after: 7d}
  - {id: s2, after: 14d}
"""
URGENT = """
audience: purpose = 'urgent'
recipients: role = 'admin'
launch: existing
caps: {contact: 1/7d}
priority: 90
steps:
  - {id: s0, after: 0d}
"""
WIN_BACK = """
audience: days_silent >= 5
recipients: role = 'admin'
launch: existing
exit_when: days_silent < 2
steps:
  - {id: s0, after: 0d}
  - {id: s1, after: 1d}
  - {id: s2, after: 2d}
"""
NEWS = """
audience: name is not null
recipients: role = 'admin'
'on': 2026-05-12
steps:
  - {id: s0, after: 0d}
"""
TRIGGERS = {
    "course": COURSE,
    "short": SHORT,
    "weekly": WEEKLY,
    "urgent": URGENT,
    "win_back": WIN_BACK,
    "news": NEWS,
}


@dataclass
class Month:
    """The company, its clock, and its script: what happens before which moment."""

    folder: Path
    script: dict[datetime, Callable[[Month], None]]
    living: Living = field(init=False)
    silent: set[str] = field(default_factory=set)
    feed_until: datetime | None = None
    """From then on no event comes; None: they come."""
    absent: set[str] = field(default_factory=set)
    stops: list[str] = field(default_factory=list)
    """What stopped a run."""
    refusals: list[str] = field(default_factory=list)
    """What stopped a delivery."""
    now: datetime = field(init=False)

    def __post_init__(self) -> None:
        people = [*contacts(COUNT), *contacts(1, contact_id="C1b", email="b@firm1.example.com")]
        people[-1]["role"] = "user"
        nothing = {"segment": "none", "plan": "none", "purpose": ""}
        rows = [{**row, **nothing} for row in accounts(COUNT)]
        self.living = Living(self.folder, COMPANY, rows, people, TRIGGERS)
        for name in TRIGGERS:
            for number in range(5):
                mail = self.folder / "email_templates" / name / f"s{number}.en.txt"
                mail.write_text(f"Subject: s{number}\n\nHello.\n")

    # The world. ------------------------------------------------------------------------------

    def account(self, number: int, **columns: Any) -> None:
        self.living.accounts[number - 1].update(columns)

    def contact(self, number: int, **columns: Any) -> None:
        self.living.contacts[number - 1].update(columns)

    @property
    def outbox(self) -> Path:
        return self.living.settings.outbox_dir

    def break_provider(self) -> None:
        """The folder that takes the mails is gone, and a file stands in its place."""
        self.outbox.rename(self.outbox.with_name("outbox.away"))
        self.outbox.write_text("no folder")

    def mend_provider(self) -> None:
        self.outbox.unlink()
        self.outbox.with_name("outbox.away").rename(self.outbox)

    def pause(self, name: str) -> None:
        with self.living.ledger() as ledger:
            controls.pause(ledger, name, **BY)

    def resume(self, name: str) -> None:
        with self.living.ledger() as ledger:
            controls.resume(ledger, name, **BY)

    def hold(self, account_id: str, until: datetime) -> None:
        with self.living.ledger() as ledger:
            controls.hold(ledger, account_id, until=until, **BY)

    def approve(self) -> None:
        with self.living.ledger() as ledger:
            for run in approvals.waiting(ledger):
                approvals.approve(ledger, run.run_id, **BY)

    # The days. -------------------------------------------------------------------------------

    def live(self, days: int = 30) -> None:
        acts = sorted(self.script)
        for ahead in range(days):
            day = FIRST + timedelta(days=ahead)
            for number in range(144):
                minutes = timedelta(minutes=10 * number)
                self.now = datetime.combine(day, time(), TOKYO) + minutes
                while acts and acts[0] <= self.now:
                    self.script[acts.pop(0)](self)
                if self.now.time() in RUNS:
                    self._run()
                self._deliver()

    def _run(self) -> None:
        self._export()
        whole = self.living.accounts, self.living.contacts
        self.living.accounts, self.living.contacts = (
            [row for row in rows if row["account_id"] not in self.absent] for rows in whole
        )
        try:
            self.living.run(self.now.isoformat(), delivered=f"{self.now:%Y-%m-%d}")
        finally:
            self.living.accounts, self.living.contacts = whole
        if self.living.error is not None:
            self.stops.append(f"{self.now:%m-%d %H:%M} {self.living.error}")

    def _export(self) -> None:
        """All events so far, at one in the morning (UTC) of each day."""
        known = min(self.now, self.feed_until or self.now)
        first = FIRST - timedelta(days=60)
        events: list[Row] = []
        for ahead in range((known.astimezone(UTC).date() - first).days + 1):
            at = datetime.combine(first + timedelta(days=ahead), time(1), UTC)
            if at <= known:
                events += [
                    {
                        "event_id": f"E-{row['account_id']}-{at:%Y%m%d}",
                        "account_id": row["account_id"],
                        "occurred_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                        "event_name": "dashboard_viewed",
                    }
                    for row in self.living.accounts
                    if row["account_id"] not in self.silent or ahead < 40
                ]
        self.living.file("usage_events.csv", events)

    def _deliver(self) -> None:
        config = str(self.folder / "lifecycle.toml")
        try:
            deliver_due.fn(config=config, as_of=self.now.isoformat())
        except (LifecycleError, OSError) as error:
            self.refusals.append(f"{self.now:%m-%d %H:%M} {error}")


def at(day: str, clock: str = "00:00") -> datetime:
    """`04-21`, `09:00` as the company's clocks show it."""
    return datetime.fromisoformat(f"2026-{day}T{clock}").replace(tzinfo=TOKYO)
