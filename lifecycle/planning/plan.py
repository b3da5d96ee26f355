"""One run's plan: the audience from the warehouse, the memory from the ledger, the decision.

Reads only what is published, writes only the ledger. A dry run and a preview write nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import Connection, and_, select

from lifecycle.errors import TemplateError
from lifecycle.ledger import suppressions
from lifecycle.ledger.decisions import (
    Decisions,
    Ending,
    Entry,
    GoalMet,
    Launch,
    Objection,
    PlannedSend,
    Progress,
    PutOff,
    StepFate,
    Withheld,
    record,
)
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import (
    MAILED,
    NOT_LEFT,
    OWNER_LIST,
    enrollments,
    launches,
    recipients,
    send_identity,
    sends,
    steps,
)
from lifecycle.mail.render import Renderer
from lifecycle.planning import audience
from lifecycle.planning.audience import Row
from lifecycle.planning.caps import MailCount
from lifecycle.planning.decision import (
    Contact,
    Enrolment,
    Place,
    Reason,
    StepDecision,
    decide_steps,
    last_due,
    next_opening,
    objection,
)
from lifecycle.planning.launch import baseline
from lifecycle.settings import Settings
from lifecycle.triggers.condition import Condition
from lifecycle.triggers.model import Trigger, load_triggers
from lifecycle.warehouse.connection import connect_published

CHUNK = 5_000
"""Accounts in Python at a time."""

GONE = (Reason.CONTACT_GONE, "no longer a contact of the account")


@dataclass
class PlanResult:
    """What a run decided, counted."""

    decisions: Decisions = field(default_factory=Decisions)
    withheld: Counter[str] = field(default_factory=Counter)
    """Accounts or mails that were decided against in this run, by reason."""
    waiting: list[str] = field(default_factory=list)
    """A sentence for each trigger that waits for the usage feed."""

    @property
    def planned(self) -> int:
        """Mails planned by this run."""
        return len(self.decisions.sends)

    @property
    def enrolled(self) -> dict[str, int]:
        """Accounts that entered, by trigger."""
        return dict(Counter(entry.trigger for entry in self.decisions.entries))

    @property
    def exited(self) -> dict[str, int]:
        """Accounts that left before the end, by trigger."""
        return dict(Counter(ending.trigger for ending in self.decisions.endings))


def plan(
    settings: Settings,
    ledger: Ledger,
    *,
    run_id: str,
    as_of: datetime,
    dry_run: bool = False,
    only: str | None = None,
) -> PlanResult:
    """Decide what every trigger does now, and write it to the ledger unless it is a dry run.

    `only` names the one trigger to look at, for a preview. Raises TriggerError or
    TemplateError for files that cannot be used, LedgerError and WarehouseError.
    """
    triggers = load_triggers(settings)
    with connect_published(settings) as warehouse, ledger.read() as memory:
        result = decide(
            settings, warehouse, memory, triggers, as_of=as_of, only=only, rehearsal=dry_run
        )
    if not dry_run:
        with ledger.write() as connection:
            record(connection, result.decisions, run_id=run_id, at=as_of)
    return result


def decide(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    memory: Connection,
    triggers: Sequence[Trigger],
    *,
    as_of: datetime,
    only: str | None = None,
    rehearsal: bool = False,
) -> PlanResult:
    """What `plan` writes: reads the schema `marts` of a warehouse and a ledger, writes neither.

    The mails of a rehearsal are for looking at: their way out leads nowhere.
    """
    planner = _Planner(settings, warehouse, memory, as_of, Renderer(settings, rehearsal=rehearsal))
    for trigger in triggers:
        if only in (None, trigger.name):
            planner.run(trigger)
    if only is None:
        planner.end_removed([trigger.name for trigger in triggers])
        planner.object_to_planned()
    return planner.result


class _Planner:
    """The state of one planning: what is known once, and what was decided so far."""

    def __init__(
        self,
        settings: Settings,
        warehouse: duckdb.DuckDBPyConnection,
        memory: Connection,
        as_of: datetime,
        renderer: Renderer,
    ) -> None:
        self.settings = settings
        self.warehouse = warehouse
        self.memory = memory
        self.as_of = as_of
        self.ahead = timedelta(hours=settings.plan.ahead_hours)
        self.renderer = renderer
        self.result = PlanResult()
        self.made = self.result.decisions
        feed = audience.rows(warehouse, "select feed_status, reason from marts.feed_health")[0]
        self.feed_is_fresh = feed["feed_status"] == "fresh"
        self.feed_reason = feed["reason"]
        self.suppressed: dict[str, str] = {}
        self.erasure_key = settings.privacy.erasure_key.get_secret_value()
        self.set_aside = {
            row["key"]: row["reason"]
            for row in audience.rows(
                warehouse,
                "select key, reason from marts.rejected_rows where table_name = 'accounts'",
            )
        }
        self.by_address, self.by_account = self._mails_so_far()

    def run(self, trigger: Trigger) -> None:
        """Decide all that this trigger does now."""
        audience.judge(self.warehouse, trigger)
        audience.remember(self.warehouse, self.memory, trigger, self.as_of)
        launched = self.memory.execute(
            select(launches.c.launched_at).where(launches.c.trigger == trigger.name)
        ).scalar()
        if trigger.on and launched is None and self.as_of < self._day_begins(trigger.on):
            return
        waits = trigger.needs_feed and not self.feed_is_fresh
        self._leave(trigger, waits)
        if launched is not None or not waits:
            self.made.waiting[trigger.name] = self.feed_reason if waits else None
        if waits:
            self._wait(trigger)
            return
        if self.feed_is_fresh:
            seen = audience.seen_false(self.warehouse)
            self.made.seen_false.extend((trigger.name, account_id) for account_id in seen)
        before_launch: set[str] = set()
        if launched is None:
            before_launch = self._launch(trigger)
        if trigger.goal:
            self.made.goals.extend(
                GoalMet(row["account_id"], trigger.name, row["cycle"])
                for row in audience.arrived(self.warehouse)
            )
        self._put_off(trigger)
        self._continue(trigger)
        self._finish_held_out(trigger)
        if trigger.on is None or launched is None:  # a broadcast goes once
            self._enter(trigger, before_launch)

    def _day_begins(self, day: date) -> datetime:
        zone = ZoneInfo(self.settings.company.time_zone)
        return datetime.combine(day, time(), zone).astimezone(UTC)

    # Leaving and waiting. ----------------------------------------------------------------

    def _leave(self, trigger: Trigger, waits: bool) -> None:
        for row in audience.leavers(self.warehouse):
            account_id, reason = row["account_id"], row["reason"]
            if reason == "deleted" and account_id in self.set_aside:
                self._withhold(
                    trigger, account_id, Reason.ACCOUNT_SET_ASIDE, self.set_aside[account_id]
                )
            elif reason != "exit" or not waits:
                self.made.endings.append(Ending(account_id, trigger.name, row["cycle"], reason))

    def _wait(self, trigger: Trigger) -> None:
        self.result.waiting.append(f"{trigger.name} waits: {self.feed_reason}")
        gone = {one.account_id for one in self.made.endings if one.trigger == trigger.name}
        inside = audience.rows(self.warehouse, "from latest where ended_at is null")
        held = [row for row in inside if row["account_id"] not in gone]
        self.result.withheld[Reason.WAITING_FOR_FEED] += len(held)

    def end_removed(self, names: Sequence[str]) -> None:
        """End what triggers began whose file is gone."""
        orphans = self.memory.execute(
            select(enrollments.c.account_id, enrollments.c.trigger, enrollments.c.cycle).where(
                enrollments.c.ended_at.is_(None), enrollments.c.trigger.not_in(names)
            )
        )
        self.made.endings.extend(
            Ending(row.account_id, row.trigger, row.cycle, "trigger_removed") for row in orphans
        )

    def object_to_planned(self) -> None:
        """Stop mails planned by an earlier run to contacts that may not be mailed any more."""
        waiting = self.memory.execute(
            select(sends.c.send_id, sends.c.account_id, sends.c.contact_id).where(
                sends.c.state.in_(NOT_LEFT), sends.c.trigger != OWNER_LIST
            )
        ).all()
        for some in _chunks(waiting):
            account_ids = sorted({row.account_id for row in some})
            found = {
                (account_id, person["contact_id"]): self._contact(person)
                for account_id, people in self._people(account_ids, None).items()
                for person in people
            }
            for row in some:
                if row.account_id in self.set_aside:
                    continue
                contact = found.get((row.account_id, row.contact_id))
                against = objection(contact) if contact else GONE
                if against:
                    self.made.objections.append(Objection(row.send_id, ": ".join(against)))
                    self.result.withheld[against[0]] += 1

    # Entering. ---------------------------------------------------------------------------

    def _launch(self, trigger: Trigger) -> set[str]:
        before = baseline(self.settings, self.warehouse, trigger, self.as_of)
        self.made.launches.append(Launch(trigger.name, str(trigger.launch), tuple(sorted(before))))
        return before

    def _enter(self, trigger: Trigger, before_launch: set[str]) -> None:
        candidates = audience.entrants(self.warehouse, trigger.enter, self.as_of)
        for account_id in before_launch & candidates.keys():
            del candidates[account_id]
        matched_before = self.warehouse.execute(
            "select count(*) from verdict join baseline using (account_id) where is_member"
        ).fetchone()
        assert matched_before is not None
        held_back = matched_before[0] + len(before_launch)
        if held_back:
            self.result.withheld[Reason.MATCHED_BEFORE_LAUNCH] += held_back
        for account_ids in _chunks(list(candidates)):
            accounts = audience.accounts(self.warehouse, account_ids)
            people = self._people(account_ids, trigger.recipients)
            for account_id in account_ids:
                self._enter_account(
                    trigger,
                    accounts[account_id],
                    candidates[account_id],
                    people.get(account_id, []),
                )

    def _enter_account(
        self, trigger: Trigger, account: Row, cycle: int, people: Sequence[Row]
    ) -> None:
        chosen = [person for person in people if person["is_recipient"]]
        if not chosen:
            detail = (
                f"none of its {len(people)} contacts matches {trigger.recipients.text}"
                if people
                else "it has no contact"
            )
            self._withhold(trigger, account["account_id"], Reason.NO_RECIPIENT, detail)
            return
        mailable: dict[str, Row] = {}
        for person in chosen:
            if against := objection(self._contact(person)):
                self._withhold(trigger, account["account_id"], *against, person["contact_id"])
            else:
                mailable[person["contact_id"]] = person
        if not mailable:
            return
        enrolment = Enrolment(
            account_id=account["account_id"],
            trigger=trigger.name,
            cycle=cycle,
            # A broadcast that comes late is late from its day on.
            enrolled_at=self._day_begins(trigger.on) if trigger.on else self.as_of,
            place=_place(account),
        )
        held_out = trigger.holds_out(enrolment.account_id)
        if held_out:
            told = f"one of the {trigger.holdout} that get no mail, to compare with"
            self._withhold(trigger, enrolment.account_id, Reason.HELD_OUT, told)
            next_at: datetime | None = last_due(trigger, enrolment)
        else:
            next_at = self._decide(trigger, enrolment, account, mailable, list(mailable))
        self.made.entries.append(
            Entry(
                account_id=enrolment.account_id,
                trigger=trigger.name,
                cycle=cycle,
                trigger_version=trigger.version,
                enrolled_at=enrolment.enrolled_at,
                time_zone=enrolment.place.time_zone,
                time_zone_source=enrolment.place.source,
                country=enrolment.place.country,
                next_at=next_at,
                contact_ids=() if held_out else tuple(mailable),
                held_out=held_out,
                goal_until=enrolment.enrolled_at + trigger.goal.within if trigger.goal else None,
            )
        )

    # Going on. ---------------------------------------------------------------------------

    def _continue(self, trigger: Trigger) -> None:
        left = {one.account_id for one in self.made.endings if one.trigger == trigger.name}
        open_now = self.memory.execute(
            select(enrollments).where(
                enrollments.c.trigger == trigger.name,
                enrollments.c.ended_at.is_(None),
                enrollments.c.held_out.is_(False),
                (enrollments.c.next_at <= self.as_of + self.ahead)
                | (enrollments.c.next_version != trigger.version),
            )
        ).all()
        due = [
            row
            for row in open_now
            if row.account_id not in left and row.account_id not in self.set_aside
        ]
        for some in _chunks(due):
            ids = [row.account_id for row in some]
            accounts = audience.accounts(self.warehouse, ids)
            people = self._people(ids, trigger.recipients)
            decided = self._decided(trigger, ids)
            chosen = self._recipients(trigger, ids)
            for row in some:
                key = (row.account_id, row.cycle)
                enrolment = Enrolment(
                    account_id=row.account_id,
                    trigger=trigger.name,
                    cycle=row.cycle,
                    enrolled_at=row.enrolled_at,
                    place=Place(row.time_zone, row.time_zone_source, row.country),
                    decided=decided.get(key, {}),
                )
                known = {person["contact_id"]: person for person in people.get(row.account_id, [])}
                next_at = self._decide(
                    trigger, enrolment, accounts[row.account_id], known, chosen.get(key, [])
                )
                self.made.progress.append(
                    Progress(row.account_id, trigger.name, row.cycle, next_at, trigger.version)
                )

    def _finish_held_out(self, trigger: Trigger) -> None:
        """Those held out are through when their last mail would have been due."""
        over = self.memory.execute(
            select(enrollments.c.account_id, enrollments.c.cycle).where(
                enrollments.c.trigger == trigger.name,
                enrollments.c.ended_at.is_(None),
                enrollments.c.held_out.is_(True),
                enrollments.c.next_at <= self.as_of,
            )
        )
        self.made.progress.extend(
            Progress(row.account_id, trigger.name, row.cycle, None, trigger.version) for row in over
        )

    def _put_off(self, trigger: Trigger) -> None:
        """Find the next opening for mails whose window shut before they left."""
        missed = self.memory.execute(
            select(
                sends.c.send_id,
                enrollments.c.time_zone,
                enrollments.c.time_zone_source,
                enrollments.c.country,
            )
            .join(
                enrollments,
                and_(
                    enrollments.c.account_id == sends.c.account_id,
                    enrollments.c.trigger == sends.c.trigger,
                    enrollments.c.cycle == sends.c.cycle,
                ),
            )
            .where(
                sends.c.trigger == trigger.name,
                sends.c.state.in_(NOT_LEFT),
                sends.c.closes_at <= self.as_of,
            )
        )
        for row in missed:
            place = Place(row.time_zone, row.time_zone_source, row.country)
            if opening := next_opening(trigger, place, self.as_of):
                self.made.put_off.append(PutOff(row.send_id, opening.not_before, opening.closes_at))

    def _decided(
        self, trigger: Trigger, account_ids: Sequence[str]
    ) -> dict[tuple[str, int], dict[str, datetime | None]]:
        found: dict[tuple[str, int], dict[str, datetime | None]] = {}
        for some in _chunks(account_ids, 500):
            for row in self.memory.execute(
                select(steps).where(steps.c.trigger == trigger.name, steps.c.account_id.in_(some))
            ):
                found.setdefault((row.account_id, row.cycle), {})[row.step] = row.not_before
        return found

    def _recipients(
        self, trigger: Trigger, account_ids: Sequence[str]
    ) -> dict[tuple[str, int], list[str]]:
        found: dict[tuple[str, int], list[str]] = {}
        table = recipients
        for some in _chunks(account_ids, 500):
            for row in self.memory.execute(
                select(table).where(table.c.trigger == trigger.name, table.c.account_id.in_(some))
            ):
                found.setdefault((row.account_id, row.cycle), []).append(row.contact_id)
        return found

    # One enrolment's steps. --------------------------------------------------------------

    def _decide(
        self,
        trigger: Trigger,
        enrolment: Enrolment,
        account: Row,
        known: Mapping[str, Row],
        contact_ids: Sequence[str],
    ) -> datetime | None:
        """Decide the steps that come due; returns when the next one may go, None for none."""
        holds = {step.id: account[f"step_{number}"] for number, step in enumerate(trigger.steps)}
        for decision in decide_steps(
            trigger, enrolment, now=self.as_of, ahead=self.ahead, holds=holds
        ):
            if decision.action == "wait":
                return decision.timing.not_before
            if decision.action == "skip":
                self._skip(trigger, enrolment, decision)
                continue
            planned, put_off = self._mails(
                trigger, enrolment, decision, account, known, contact_ids
            )
            if put_off and not planned:
                return self.as_of  # nothing went, and it may go later: the next run tries again
            self.made.sends.extend(planned)
            self._settle(enrolment, decision, "planned" if planned else "skipped", planned)
        return None

    def _mails(
        self,
        trigger: Trigger,
        enrolment: Enrolment,
        decision: StepDecision,
        account: Row,
        known: Mapping[str, Row],
        contact_ids: Sequence[str],
    ) -> tuple[list[PlannedSend], bool]:
        """The mails of one step, and whether any was put off for a reason that may pass."""
        planned: list[PlannedSend] = []
        put_off = False
        for contact_id in contact_ids:
            person = known.get(contact_id)
            against = self._objection(trigger, person)
            if against is None and person is not None:
                mail, against = self._mail(trigger, enrolment, decision, account, person)
                if mail is not None:
                    planned.append(mail)
                    self.by_address.add(mail.address, mail.not_before)
                    self.by_account.add(mail.account_id, mail.not_before)
                else:
                    put_off = True
            if against is not None:
                self._withhold(
                    trigger, enrolment.account_id, *against, contact_id, decision.step.id
                )
        return planned, put_off

    def _objection(self, trigger: Trigger, person: Row | None) -> tuple[Reason, str] | None:
        if person is None:
            return GONE
        if not person["is_recipient"]:
            return Reason.NO_RECIPIENT, f"no longer matches {trigger.recipients.text}"
        return objection(self._contact(person))

    def _mail(
        self,
        trigger: Trigger,
        enrolment: Enrolment,
        decision: StepDecision,
        account: Row,
        person: Row,
    ) -> tuple[PlannedSend | None, tuple[Reason, str] | None]:
        step, when = decision.step, decision.timing
        assert when.opening is not None
        opening = when.opening
        address = person["email_normalized"]
        caps = trigger.caps
        for count, key, cap, whom in (
            (self.by_address, address, caps.contact, "this address"),
            (self.by_account, enrolment.account_id, caps.account, "this account"),
        ):
            if not count.allows(key, opening.not_before, cap):
                return None, (Reason.CAPPED, f"{whom} may get {cap}")
        send_id = send_identity(
            enrolment.account_id, person["contact_id"], trigger.name, step.id, enrolment.cycle
        )
        try:
            locale, source = self.renderer.choose_locale(
                trigger.name, step.id, person["locale"], account["locale"]
            )
            message = self.renderer.render(
                send_id=send_id,
                trigger=trigger.name,
                step=step.id,
                locale=locale,
                account=account,
                contact=person,
                date=opening.not_before,
            )
        except TemplateError as error:
            return None, (Reason.TEMPLATE_ERROR, str(error))
        planned = PlannedSend(
            send_id=send_id,
            account_id=enrolment.account_id,
            contact_id=person["contact_id"],
            trigger=trigger.name,
            step=step.id,
            cycle=enrolment.cycle,
            trigger_version=trigger.version,
            address=address,
            locale=locale,
            locale_source=source,
            priority=trigger.priority,
            account_cap=str(caps.account) if caps.account else None,
            contact_cap=str(caps.contact) if caps.contact else None,
            due_at=when.due_at,
            not_before=opening.not_before,
            closes_at=opening.closes_at,
            expires_at=when.expires_at,
            mime=message.as_bytes(),
        )
        return planned, None

    def _skip(self, trigger: Trigger, enrolment: Enrolment, decision: StepDecision) -> None:
        assert decision.reason is not None
        self._withhold(
            trigger,
            enrolment.account_id,
            decision.reason,
            decision.detail,
            step=decision.step.id,
        )
        self._settle(enrolment, decision, "skipped", [])

    def _settle(
        self,
        enrolment: Enrolment,
        decision: StepDecision,
        fate: str,
        planned: Sequence[PlannedSend],
    ) -> None:
        self.made.steps.append(
            StepFate(
                account_id=enrolment.account_id,
                trigger=enrolment.trigger,
                cycle=enrolment.cycle,
                step=decision.step.id,
                fate=fate,
                reason=decision.reason,
                due_at=decision.timing.due_at,
                not_before=decision.timing.not_before if planned else None,
            )
        )

    # What is known. ----------------------------------------------------------------------

    def _withhold(
        self,
        trigger: Trigger,
        account_id: str,
        reason: Reason,
        detail: str,
        contact_id: str = "",
        step: str = "",
    ) -> None:
        self.made.withheld.append(
            Withheld(trigger.name, account_id, contact_id, step, reason, detail)
        )
        self.result.withheld[reason] += 1

    def _people(
        self, account_ids: Sequence[str], recipients_of: Condition | None
    ) -> dict[str, list[Row]]:
        """The contacts of these accounts; who of them is suppressed is known from then on."""
        found = audience.contacts(self.warehouse, account_ids, recipients_of)
        addresses = {one["email_normalized"] for people in found.values() for one in people}
        self.suppressed |= suppressions.reasons(self.memory, addresses, self.erasure_key)
        return found

    def _contact(self, person: Row) -> Contact:
        address = person["email_normalized"]
        return Contact(
            contact_id=person["contact_id"],
            address=address,
            has_consent=bool(person["consent_basis"]),
            is_unsubscribed=person["unsubscribed_at"] is not None,
            suppressed_for=self.suppressed.get(address),
        )

    def _mails_so_far(self) -> tuple[MailCount, MailCount]:
        """Every mail that a cap could still count: sent, under way, or planned."""
        by_address, by_account = MailCount(), MailCount()
        since = self.as_of - timedelta(days=366)
        moment = sends.c.accepted_at
        for row in self.memory.execute(
            select(sends.c.address, sends.c.account_id, moment, sends.c.not_before).where(
                sends.c.state.in_([*MAILED, *NOT_LEFT]),
                sends.c.not_before >= since,
                sends.c.trigger != OWNER_LIST,
            )
        ):
            at = row.accepted_at or row.not_before
            by_address.add(row.address, at)
            by_account.add(row.account_id, at)
        return by_address, by_account


def _place(account: Mapping[str, Any]) -> Place:
    return Place(account["time_zone"], account["time_zone_source"], account["country_code"])


def _chunks(items: Sequence[Any], size: int = CHUNK) -> Iterator[list[Any]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
