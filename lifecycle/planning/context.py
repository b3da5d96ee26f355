"""One planning: what is known from its beginning, and what was decided so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import Connection

from lifecycle.calendar import country_of_zone
from lifecycle.consent import ConsentWords
from lifecycle.ledger import controls, runs
from lifecycle.ledger.decisions import Withdrawal
from lifecycle.ledger.tables import State
from lifecycle.mail.folder import Templates
from lifecycle.mail.render import Renderer
from lifecycle.planning import audience, ledger_state
from lifecycle.planning.audience import Row
from lifecycle.planning.decision import Pace, Place, Reason
from lifecycle.planning.plan_result import PlanResult
from lifecycle.planning.recipients import People
from lifecycle.planning.steps import Steps
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse import published_marts

CHUNK = 5_000
"""Accounts in Python at a time."""


def chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    """The items in lists of at most CHUNK."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


class PlanningContext:
    """The state of one planning."""

    def __init__(
        self,
        settings: Settings,
        warehouse: duckdb.DuckDBPyConnection,
        ledger: Connection,
        as_of: datetime,
        *,
        is_preview: bool,
        templates: Templates | None,
        run_id: str | None,
    ) -> None:
        self.settings = settings
        self.is_preview = is_preview
        self.warehouse = warehouse
        self.ledger = ledger
        self.as_of = as_of
        self.ahead = timedelta(hours=settings.plan.ahead_hours)
        self.absent_for = settings.plan.absent_for
        self.result = PlanResult()
        self.decisions = self.result.decisions
        self.people = People(
            warehouse,
            ledger,
            erasure_key=settings.privacy.erasure_key.get_secret_value(),
            consent=ConsentWords(settings.consent.bases),
            run_id=run_id,
        )
        self.renderer = Renderer(settings, is_preview=is_preview, templates=templates)
        self.steps = Steps(
            ledger,
            self.result,
            now=as_of,
            ahead=self.ahead,
            pace=Pace.of(settings.plan),
            same_step_again_days=settings.plan.same_step_again_days,
        )
        feed = audience.rows(warehouse, "select feed_status, reason from marts.feed_health")[0]
        self.feed_is_fresh = feed["feed_status"] == "fresh"
        self.feed_reason: str = feed["reason"]
        self.milestones_unknown = published_marts.milestones_unknown(warehouse)
        """Why first core events and outcomes are unknown; None where they are known."""
        self.late = audience.late_accounts(warehouse) if self.feed_is_fresh else set()
        """Accounts of a part of the feed that is late, while the feed is not."""
        self.leaving_unclear = published_marts.unclear_departures(warehouse)
        """Accounts of which nobody can read whether they left: nothing goes to them."""
        self.rejected_accounts = self.leaving_unclear | {
            row["key"]: row["reason"]
            for row in audience.rows(
                warehouse,
                "select key, reason from marts.rejected_rows where table_name = 'accounts'",
            )
        }

        self.moved = audience.moved(warehouse, ledger, as_of + self.ahead)
        """By trigger, the accounts inside that are in another place now."""
        self.missed = ledger_state.missed(ledger)
        """By trigger and version, the open enrolments whose account was missing before."""
        company = settings.company
        self.here = Place(company.time_zone, "company", company.country)
        self.last_run = runs.last_decision(ledger)
        self.moved_by_version = audience.moved_by_version(warehouse, self.last_run)
        """Accounts whose score or dormancy a new score version moved since the last run."""
        self.launched = ledger_state.launched(ledger)
        self.stops = controls.stops(ledger)
        self.holds = controls.holds(ledger, as_of)

    def place(self, account: Row) -> Place:
        """Where an account keeps its hours now; without a country it keeps the week of its zone's,
        or the company's."""
        zone, source = account["time_zone"], account["time_zone_source"]
        country = account["country_code"]
        if country is None and source == "account":
            country = country_of_zone(zone)
        if country is None and source in ("account", "company"):
            country = self.settings.company.country
        return Place(zone, source, country)

    def on_hold(self, trigger: Trigger, account_id: str) -> bool:
        """Whether somebody holds an account back; if so, that is written down."""
        if (hold := self.holds.get(account_id)) is None:
            return False
        until = hold.until.astimezone(ZoneInfo(self.settings.company.time_zone))
        detail = f"until {until:%Y-%m-%d} ({hold.by}: {hold.why})"
        self.result.withhold(trigger.name, account_id, Reason.ON_HOLD, detail)
        return True

    def why_it_waits(self, trigger: Trigger) -> str | None:
        """Why nothing of a trigger is decided: what it asks about is unknown; None where it goes
        on."""
        if trigger.needs_feed and not self.feed_is_fresh:
            return self.feed_reason
        return self.milestones_unknown if trigger.needs_milestones else None

    def waits_for_its_feed(self, trigger: Trigger, account_id: str) -> bool:
        """Whether an account's part of the feed is late, and the trigger asks for it; if so, that
        is written down."""
        if not (trigger.needs_feed and account_id in self.late):
            return False
        detail = "its part of the usage feed is late"
        self.result.withhold(trigger.name, account_id, Reason.WAITING_FOR_FEED, detail)
        return True

    def suppress(self, send_id: str, why: str) -> None:
        """Withdraw a mail that has not left: its reader may not be mailed any more."""
        self.decisions.withdrawals.append(Withdrawal(send_id, State.SUPPRESSED, why))
