"""A year of ordinary life, day by day through the stages of the real run: how often would it stop?

    .venv/bin/python tests/corruptions/year.py demo
    .venv/bin/python tests/corruptions/year.py orders --data ../shared/data/online_retail

`demo` is the demo company as it grows, with what a year brings besides: a segment of its own for
new accounts, a new price list, a tenth of the accounts moved to a new owner. `orders` is a folder
in the form of the file source (accounts.csv, contacts.csv, usage_events.parquet), lived through
from a month after its first event on. Nothing is broken in either, so every stop is a false one:
a person answers it, and the day goes on. Exits with 1 when there are more than `--allowed`.

Every day is pulled and held against the day before. All other checks, models and plan take most of
a day's time: `--whole 7` has one day in seven go all the way. `--every 7` delivers once a week:
what a delivery is held against is a week old, and moves further.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="prefect-"))
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

import duckdb

from flows import stages
from lifecycle.errors import DeliveryHeld, LossesHeld, Stopped
from lifecycle.ledger import approvals
from lifecycle.ledger.store import Ledger
from lifecycle.run import Run
from lifecycle.settings import CHECKOUT
from lifecycle.settings import load as load_settings
from lifecycle.sources import demo
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.gate import drift, suites
from lifecycle.warehouse.gate.drift_within import rows_beyond
from lifecycle.warehouse.published_days import keep_published_delivery

NEW_SEGMENT, NEW_PRICES, NEW_OWNER = 100, 150, 200
"""Days after the first on which the demo company's year brings these."""

MORNING = time(1, 0)
"""UTC: ten in Tokyo."""

DEMO = """
[source]
kind = "files"
path = "export"
time_zone = "UTC"
[owners]
morning_list = false
[guard]
share = 1.0
people = 1000000
times = 1000000.0
[state]
dir = "state"
"""
RETAIL_EVENTS = """
[events]
activity = ["order_line"]
core = ["order_line"]
outcome = ["order_line"]
"""

Deliver = Callable[[Path, datetime, datetime | None], None]
"""Writes an export as of a moment, with the events since the one before."""


def main() -> int:
    """Live the year, and print every stop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("company", choices=["demo", "orders"])
    parser.add_argument("--data", type=Path, help="orders: the folder with the data")
    parser.add_argument("--begin", type=date.fromisoformat, help="the first day")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--every", type=int, default=1, help="days from delivery to delivery")
    parser.add_argument("--whole", type=int, default=1, help="one delivery in so many is built too")
    parser.add_argument("--allowed", type=int, default=None, help="default: demo 2, orders 0")
    asked = parser.parse_args()
    if asked.company == "orders" and asked.data is None:
        parser.error("orders: name the folder with --data")
    deliver, begin, days = (
        (demo_day, date(2025, 6, 9), asked.days)
        if asked.company == "demo"
        else orders(asked.data, asked.days)
    )
    begin = asked.begin or begin
    allowed = asked.allowed if asked.allowed is not None else {"demo": 2}.get(asked.company, 0)
    with tempfile.TemporaryDirectory(prefix="lifecycle-year-") as folder:
        config = _company(Path(folder), asked.company)
        stops = live(config, deliver, begin, range(0, days, asked.every), asked.whole)
    print(f"{len(stops)} stops in {days} days; {allowed} are allowed")
    return 1 if len(stops) > allowed else 0


def live(config: Path, deliver: Deliver, begin: date, days: range, whole: int) -> list[str]:
    """Each day's run: one in `whole` up to its plan, the others up to the drift limits; returns a
    line for every stop."""
    stops: list[str] = []
    before: datetime | None = None
    for number, day in enumerate(days):
        now = datetime.combine(begin + timedelta(days=day), MORNING, UTC)
        deliver(config.parent / "export", now, before)
        before = now
        for _ in range(3):
            stop = one_day(config, now, is_whole=number % whole == 0)
            if stop is None:
                break
            stops.append(f"{now:%Y-%m-%d}: {stop}")
            print(stops[-1], flush=True)
            if number % whole:
                break
    return stops


def one_day(config: Path, now: datetime, *, is_whole: bool) -> str | None:
    """A run; what stopped it, once somebody has let that through."""
    run: Run | None = None
    try:
        day = f"{now:%Y-%m-%d}"
        with Run.begin(as_of=now.isoformat(), delivered=day, config=str(config)) as run:
            stages.pull.fn(run)
            if not is_whole:
                return moved_too_far(run)
            stages.check_door.fn(run, "raw")
            stages.build.fn(run)
            stages.check_door.fn(run, "marts")
            stages.publish.fn(run)
            stages.plan_run.fn(run)
            run.conclude()
            print(
                f"{now:%Y-%m-%d}: {run.report.accounts} accounts, feed {run.report.feed_status},"
                f" {run.report.accounts_late} late, {run.report.planned} mails",
                flush=True,
            )
            for reason, late in run.report.late_parts.items():
                print(f"  late for {late}: {reason}", flush=True)
    except (DeliveryHeld, LossesHeld) as held:
        assert run is not None
        with Ledger.open(load_settings(str(config)).ledger_url) as ledger:
            approvals.approve(ledger, run.run_id, by="year", why="an ordinary day")
        return str(held)
    except Stopped as stopped:
        return str(stopped)
    return None


def moved_too_far(run: Run) -> str | None:
    """The critical drift limits that the delivery is beyond; it is the published one afterwards."""
    with connect_work(run.settings) as work:
        drift.measure(work, run.settings)
        result = work.execute(f"from {drift.DRIFT}")
        names = [column[0] for column in result.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    beyond = [
        f"{suite.name}: {check.because} {rows_beyond(limit, rows)}"
        for suite in suites.load(run.settings, "raw")
        for check in suite.checks
        if check.is_drift and check.severity == "critical"
        if rows_beyond(limit := check.expectation.configuration.kwargs, rows)
    ]
    keep_published_delivery(run.settings)
    return "; ".join(beyond) or None


def _company(folder: Path, company: str) -> Path:
    """The checkout's triggers and mails, with files for a source."""
    for name in ("triggers", "email_templates", "expectations"):
        (folder / name).symlink_to(CHECKOUT / name)
    text = (CHECKOUT / "lifecycle.toml").read_text(encoding="utf-8")
    sections = {"source", "state", "owners", "guard", *(["events"] if company == "orders" else [])}
    kept = [part for part in text.split("\n[") if part.split("]")[0].strip("[ \n") not in sections]
    more = DEMO + (RETAIL_EVENTS if company == "orders" else "")
    (folder / "lifecycle.toml").write_text("\n[".join(kept) + "\n" + more, encoding="utf-8")
    return folder / "lifecycle.toml"


def demo_day(export: Path, now: datetime, before: datetime | None) -> None:
    """The demo company on a morning, and what its year brings."""
    with tempfile.TemporaryDirectory() as name, duckdb.connect() as db:
        folder = demo.write(Path(name), until=now)
        day = (now.date() - date(2025, 6, 9)).days
        segment = "case when created_at > timestamp '2025-09-17' then 'startup' else segment end"
        owner = "hash(account_id) % 10 = 0"
        changes = {
            "segment": segment if day >= NEW_SEGMENT else "segment",
            "mrr": "mrr * 1.1" if day >= NEW_PRICES else "mrr",
            "owner_name": f"case when {owner} then 'New Owner' else owner_name end"
            if day >= NEW_OWNER
            else "owner_name",
            "owner_email": f"case when {owner} then 'new.owner@example.com' else owner_email end"
            if day >= NEW_OWNER
            else "owner_email",
        }
        replaced = ", ".join(f"{value} as {column}" for column, value in changes.items())
        export.mkdir(exist_ok=True)
        _copy(
            db,
            f"select * replace ({replaced}) from '{folder}/accounts.parquet'",
            export,
            "accounts",
        )
        _copy(db, f"from '{folder}/contacts.parquet'", export, "contacts")
        _copy(db, f"from '{folder}/survey_responses.parquet'", export, "survey_responses")
        since = f"where occurred_at > timestamp '{before:%F %T}'" if before else ""
        (export / "usage_events").mkdir(exist_ok=True)
        _copy(
            db,
            f"from '{folder}/usage_events.parquet' {since}",
            export / "usage_events",
            f"{now:%Y-%m-%d}",
        )


def orders(data: Path, days: int) -> tuple[Deliver, date, int]:
    """Who delivers a folder's data day by day, its first day with a month of events, and how many
    days there are."""
    events = f"'{data}/usage_events.parquet'"
    with duckdb.connect() as db:
        [(first, last)] = db.execute(
            f"select min(occurred_at)::date, max(occurred_at)::date from {events}"
        ).fetchall()

    def deliver(export: Path, now: datetime, before: datetime | None) -> None:
        known = f"created_at <= timestamp '{now:%F %T}'"
        since = f"and occurred_at > timestamp '{before:%F %T}'" if before else ""
        (export / "usage_events").mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as db:
            accounts = f"read_csv('{data}/accounts.csv')"
            _copy(db, f"from {accounts} where {known}", export, "accounts")
            _copy(
                db,
                f"from read_csv('{data}/contacts.csv', all_varchar = true) where account_id in"
                f" (select account_id::varchar from {accounts} where {known})",
                export,
                "contacts",
            )
            _copy(
                db,
                f"from {events} where occurred_at <= timestamp '{now:%F %T}' {since}",
                export / "usage_events",
                f"{now:%Y-%m-%d}",
            )

    begin = first + timedelta(days=30)
    return deliver, begin, min(days, (last - begin).days)


def _copy(db: duckdb.DuckDBPyConnection, query: str, folder: Path, name: str) -> None:
    db.execute(f"copy ({query}) to '{folder / name}.parquet' (format parquet)")


if __name__ == "__main__":
    sys.exit(main())
