"""A journey: a trigger as CS ops write it, an account's days, and the minutes of its mails.

Planner, ledger, release, claim and settlement are the real ones. Every morning at six, local
time, there is a run; mails leave at the minute from which they may. The provider takes every
mail and writes down when.

A day of the script is `2026-06-10 14:00  event, event`; without a time of day, the events
are there before the morning's run. They stay until another one changes them:

    silent, active, unknown        is_dormant is true, false, null
    plan = trial                   any other column of the account, or of a person
    deleted, back                  the account, or a person, goes from the CRM, or returns
    ann: unsubscribes              the person's choice, in the CRM
    ann: complains                 the address is suppressed, in the ledger
    feed late, feed fresh          the usage feed
    no runs, runs                  the machine is off, and on again
    no mail, mail                  nothing is delivered, and it is again
    run                            one more run, now
    delivery                       one more delivery, now
    approve                        a person approves the runs that reach too many people
    pause NAME, resume NAME        a person stops a trigger, and lets it go on
    hold NAME HOURS                a person holds an account back for so long
    file NAME                      the trigger file now says what `files` has by that name

`a2: silent` is about one account, `bob: role = user` about one person, a line without a name
about every account.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import make_url, select

from company import Company, Marts
from lifecycle.errors import InputError
from lifecycle.ledger import approvals, controls, delivery, runs
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.suppressions import suppress
from lifecycle.ledger.tables import NOT_LEFT, State, sends
from lifecycle.planning import guard
from lifecycle.planning.plan import decide
from lifecycle.settings import Guard, Settings
from lifecycle.triggers.columns import Columns
from lifecycle.triggers.folder import parse_trigger
from lifecycle.triggers.model import Trigger

WORDS = {
    "silent": {"is_dormant": True},
    "active": {"is_dormant": False},
    "unknown": {"is_dormant": None},
}

SILENT = """
audience: is_dormant
recipients: role = 'admin'
launch: existing
exit_when: not is_dormant
"""
"""How most trigger files of the journeys begin."""

SIX = time(6)
DELIVERY_EVERY = timedelta(minutes=10)
SOMEBODY = {"by": "Aiko", "why": "a test"}

Row = dict[str, Any]
Act = Callable[[datetime], object]


@dataclass(frozen=True)
class Shared:
    """What all journeys use and none changes: one warehouse, and what may be asked."""

    warehouse: duckdb.DuckDBPyConnection
    marts: Marts
    account_columns: Columns
    contact_columns: Columns


@dataclass(frozen=True)
class Left:
    """A mail that left."""

    send: Any
    """Its row of `sends`."""
    at: datetime
    active_at: datetime | None
    """When a run had last seen its account active."""


class Journey:
    """One company's days; `people` are written as `ann of a1`."""

    def __init__(
        self,
        shared: Shared,
        folder: Path,
        triggers: Mapping[str, str],
        *,
        where: str = "Asia/Tokyo JP",
        people: str = "ann of a1",
        files: Mapping[str, str] | None = None,
        mails_in: Mapping[str, str] | None = None,
        spread_minutes: float = 0,
        delivers_by_itself: bool = True,
        people_limit: int | None = None,
    ) -> None:
        self.shared, self.files = shared, files or {}
        self.company = Company(folder)
        zone, country = where.split()
        self.zone = ZoneInfo(zone)
        self.settings = _settings(self.company.settings, zone, country, spread_minutes)
        limits = Guard(people=1_000 if people_limit is None else people_limit, share=1)
        self.settings = self.settings.model_copy(update={"guard": limits})
        self.ledger = _new_ledger(self.settings.ledger_url)
        pairs = [person.split(" of ") for person in people.split(", ")]
        place = {"time_zone": zone, "country_code": country, "is_dormant": False}
        self.accounts: dict[str, Row] = {of: {"account_id": of, **place} for _, of in pairs}
        self.people: dict[str, Row] = {
            who: {"contact_id": who, "account_id": of} for who, of in pairs
        }
        self.absent: set[str] = set()
        self.published: dict[str, list[Row]] = {}
        self.triggers: dict[str, Trigger] = {}
        self.mails_in = dict(mails_in or {})
        for name, text in triggers.items():
            self.write(name, text)
        self.has_runs = self.has_mail = True
        self.run_number = 0
        self.again_at: datetime | None = None
        self.delivers_by_itself = delivers_by_itself
        self.delivered: list[datetime] = []
        """When there was a delivery, whether a mail left or not."""
        self.mails: list[str] = []
        """Each mail that left: `Wed 10 Jun 09:00 check_in`; where there are several of them
        also its trigger, its reader and its language."""
        self.withheld: list[str] = []
        """Each mail or entry decided against: `Wed 10 Jun capped`."""
        self.left: list[Left] = []
        """The same with all that the ledger knows of each."""
        self.seen_active: dict[str, datetime] = {}
        """When a run last saw an account active."""
        shared.marts.feed("fresh")

    def write(self, name: str, text: str) -> None:
        """The trigger's file says this from now on."""
        path = self.company.folder / "triggers" / f"{name}.yaml"
        trigger = parse_trigger(
            text, path, self.shared.account_columns, self.shared.contact_columns
        )
        self.triggers[name] = trigger
        self.company.trigger(name, text, *(step.id for step in trigger.steps))
        mails = self.company.folder / "email_templates" / name
        for step, locales in self.mails_in.items():
            for locale in locales.split():
                mails.joinpath(f"{step}.{locale}.txt").write_text(f"Subject: {locale}\n\n{step}\n")

    # The days. ---------------------------------------------------------------------------

    def live(self, days: str, *, until: str) -> list[str]:
        """Live through the days, the last one included; returns the mails."""
        script = [line.strip() for line in days.splitlines() if line.strip()]
        acts = [act for line in script for act in self._read(line)]
        first, last = min(wall for wall, _ in acts).date(), date.fromisoformat(until)
        mornings = (first + timedelta(days=ahead) for ahead in range((last - first).days + 1))
        acts += [(datetime.combine(day, SIX), self._morning) for day in mornings]
        self.now = self._utc(datetime.combine(first, time()))
        for wall, act in sorted(acts, key=lambda item: item[0]):
            self._mails_until(self._utc(wall))
            self.now = self._utc(wall)
            act(self.now)
        self._mails_until(self._utc(datetime.combine(last, time(23, 59))))
        self.ledger.close()
        return self.mails

    def _utc(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone).astimezone(UTC)

    def _read(self, line: str) -> Iterator[tuple[datetime, Act]]:
        """The acts of one line of the script, each at a time on the clock on the wall."""
        match = re.fullmatch(r"(\S+)(?: (\d\d:\d\d))?  +(.*)", line)
        assert match, line
        day, clock, events = match.groups()
        for event in events.split(", "):
            yield datetime.fromisoformat(f"{day} {clock or '00:00'}"), self._act(event)

    def _act(self, event: str) -> Act:
        match event.split():
            case ["feed", status]:
                return lambda _: self.shared.marts.feed(status)
            case [*no, "runs" | "mail" as what]:
                return lambda now: self._switch(f"has_{what}", not no, now)
            case ["run"]:
                return self._run
            case ["delivery"]:
                return self._deliver
            case ["approve"]:
                return self._approve
            case ["pause", name]:
                return lambda _: controls.pause(self.ledger, name, **SOMEBODY)
            case ["resume", name]:
                return lambda _: self._resume(name)
            case ["hold", name, hours]:
                return lambda now: controls.hold(
                    self.ledger, name, until=now + timedelta(hours=int(hours)), **SOMEBODY
                )
            case ["file", name]:
                return lambda _: self.write(next(iter(self.triggers)), self.files[name])
        name, _, what = event.rpartition(": ")
        return lambda now: self._change([name] if name else list(self.accounts), what, now)

    def _approve(self, _: datetime) -> None:
        for run in approvals.waiting(self.ledger):
            approvals.approve(self.ledger, run.run_id, **SOMEBODY)

    def _resume(self, name: str) -> None:
        with contextlib.suppress(InputError):  # it was not stopped
            controls.resume(self.ledger, name, **SOMEBODY)

    def _switch(self, what: str, is_on: bool, now: datetime) -> None:
        setattr(self, what, is_on)
        self._deliver(now)

    def _change(self, names: list[str], what: str, now: datetime) -> None:
        for name in names:
            row = self.accounts.get(name) or self.people[name]
            column, _, value = what.partition(" = ")
            match what:
                case "deleted":
                    self.absent.add(name)
                case "back":
                    self.absent.discard(name)
                case "unsubscribes":
                    row["unsubscribed_at"] = now.replace(tzinfo=None)
                case "complains":
                    suppress(self.ledger, f"{name}@example.com", reason="complained", by="test")
                case _ if value:
                    row[column] = {"null": None, "true": True, "false": False}.get(value, value)
                case _:
                    row.update(WORDS[what])

    # What happens in production. ----------------------------------------------------------

    def _morning(self, now: datetime) -> None:
        if self.has_runs:
            self._run(now)

    def _run(self, now: datetime) -> None:
        self._publish()
        for name, row in self.accounts.items():
            if row["is_dormant"] is False:
                self.seen_active[name] = now
        self.run_number += 1
        run_id = f"run-{self.run_number}"
        triggers = list(self.triggers.values())
        with self.ledger.read() as known:
            decision = decide(self.settings, self.shared.warehouse, known, triggers, as_of=now)
            planned = decision.decisions.sends
            flood = guard.judge(self.settings, self.shared.warehouse, known, planned, as_of=now)
        runs.begin(self.ledger, run_id=run_id, as_of=now, source="files")
        with self.ledger.write() as connection:
            record(connection, decision.decisions, run_id=run_id, at=now)
            why, people = flood.why if flood else None, guard.people(planned)
            approvals.mark(connection, run_id, people=people, over_budget=why)
        self.withheld += [
            f"{now.astimezone(self.zone):%a %d %b} {reason}"
            for reason in decision.withheld.elements()
        ]
        self._deliver(now)

    def _publish(self) -> None:
        here = {"accounts": self.accounts, "contacts": self.people}
        now = {
            table: [
                dict(row)
                for name, row in rows.items()
                if not {name, row["account_id"]} & self.absent
            ]
            for table, rows in here.items()
        }
        if now != self.published:
            self.shared.marts.accounts(now["accounts"])
            self.shared.marts.contacts(now["contacts"])
            self.published = now

    def _mails_until(self, moment: datetime) -> None:
        """Deliver at every minute before that moment at which a mail may leave."""
        while self.delivers_by_itself:
            with self.ledger.read() as connection:
                due = connection.scalars(
                    select(sends.c.not_before)
                    .where(sends.c.state.in_(NOT_LEFT), sends.c.not_before > self.now)
                    .where(sends.c.not_before < moment)
                    .order_by(sends.c.not_before)
                ).first()
            due = min((at for at in (due, self.again_at) if at is not None), default=None)
            if due is None or due >= moment:
                return
            self.now = due
            self._deliver(due)

    def _deliver(self, now: datetime) -> None:
        self.again_at = None
        if not self.has_mail:
            return
        self.delivered.append(now)
        with self.ledger.write() as connection:
            delivery.release(connection, now)
            claims, _ = delivery.claim(connection, now, worker="w:1:1", lease=timedelta(hours=1))
            taken = [
                delivery.Settlement(claim.send_id, State.ACCEPTED, None, attempt=claim.attempts)
                for claim in claims
            ]
            delivery.settle_all(connection, taken, now, worker="w:1:1")
            ids = [claim.send_id for claim in claims]
            result = connection.execute(select(sends).where(sends.c.send_id.in_(ids)))
            rows = sorted(result, key=lambda row: ids.index(row.send_id))
        active = dict(self.seen_active)
        self.left += [Left(row, now, active.get(row.account_id)) for row in rows]
        self.mails += sorted(self._told(row, now) for row in rows)
        if rows:  # what waited for one of them may go with the next delivery
            self.again_at = now + DELIVERY_EVERY

    def _told(self, row: Any, now: datetime) -> str:
        words = [f"{now.astimezone(self.zone):%a %d %b %H:%M}", row.step]
        if len(self.triggers) > 1:
            words.append(f"of {row.trigger}")
        if len(self.people) > 1:
            words.append(f"to {row.contact_id}")
        if self.mails_in:
            words.append(f"in {row.locale}")
        return " ".join(words)


@cache
def _empty_ledger() -> bytes:
    """An SQLite file with the ledger's tables: to make them takes as long as a week's runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        Ledger.open(f"sqlite:///{path}", durable=False).close()
        return path.read_bytes()


def _new_ledger(url: str) -> Ledger:
    path = Path(str(make_url(url).database))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_empty_ledger())
    return Ledger.open(url, durable=False)


def _settings(settings: Settings, zone: str, country: str, spread_minutes: float) -> Settings:
    company = settings.company.model_copy(update={"time_zone": zone, "country": country})
    plan = settings.plan.model_copy(update={"spread_minutes": spread_minutes})
    return settings.model_copy(update={"company": company, "plan": plan})
