"""One run's plan: the audience from the warehouse, the memory from the ledger, the decision.

Reads only what is published, writes only the ledger. A dry run and a preview write nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import Connection
from sqlalchemy import Row as SqlRow

from lifecycle.authoring.files import Seen, TriggerFiles, read_to_plan
from lifecycle.calendar import country_of_zone
from lifecycle.caps import local_day
from lifecycle.consent import ConsentWords
from lifecycle.days import DAY
from lifecycle.document import counted
from lifecycle.errors import Problem
from lifecycle.ledger import approvals, controls, held_losses, runs
from lifecycle.ledger.decisions import (
    Absence,
    Ending,
    Entry,
    GoalMet,
    KeptBack,
    Launch,
    Migration,
    Progress,
    Withdrawal,
)
from lifecycle.ledger.held_losses import Lost
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_LEFT, PAUSED, State
from lifecycle.mail.folder import Templates
from lifecycle.mail.render import Renderer
from lifecycle.planning import audience, guard, ledger_state, losses, readers, versions
from lifecycle.planning.audience import Entrant, Row
from lifecycle.planning.decision import (
    MAY_PASS,
    Enrolment,
    Pace,
    Place,
    Reason,
    last_due,
    next_opening,
    without_a_civil_hour,
)
from lifecycle.planning.launch import baseline
from lifecycle.planning.plan_result import PlanResult
from lifecycle.planning.readers import Going, Mails
from lifecycle.planning.recipients import People
from lifecycle.planning.steps import Inside, Steps
from lifecycle.planning.versions import Unreadable, Version
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger
from lifecycle.triggers.send_window import first_moment
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published

FIRST_ZONE = "Pacific/Kiritimati"
"""Where each day begins first."""

CHUNK = 5_000
"""Accounts in Python at a time."""


def plan(
    settings: Settings,
    ledger: Ledger,
    *,
    run_id: str,
    as_of: datetime,
    dry_run: bool = False,
    only: str | None = None,
    seen: Seen | None = None,
    files: TriggerFiles | None = None,
) -> PlanResult:
    """Decide what every trigger does now, and write it to the ledger unless it is a dry run.

    The mails of a run over its budget wait in the ledger for an approval. Of a run that would end
    too much (`losses`) nothing is written but that. So waits a trigger
    whose file or mails cannot be used, or are gone since `seen`, when the run began.

    `only` names the one trigger to look at, for a preview, and `files` are those that it has read
    already. Raises TriggerError where the models' own YAML cannot be read, LedgerError and
    WarehouseError.
    """
    files = files or read_to_plan(settings, seen)
    with connect_published(settings) as warehouse, ledger.read() as known:
        result = decide(
            settings,
            warehouse,
            known,
            files.usable,
            as_of=as_of,
            only=only,
            is_preview=dry_run,
            broken=files.broken,
            templates=files.templates,
            run_id=run_id,
        )
        result.losses = losses.judge(settings.guard, known, result, files.usable)
        sends = result.decisions.sends
        result.flood = guard.judge(settings, warehouse, known, sends, as_of=as_of)
    if not dry_run:
        with ledger.write() as connection:
            lost = result.losses.lost if result.losses else ()
            held_losses.hold(connection, run_id, lost, result.losses.why if result.losses else "")
            if result.losses:
                return result
            record(connection, result.decisions, run_id=run_id, at=as_of)
            why = result.flood.why if result.flood else None
            approvals.mark(connection, run_id, people=guard.people(sends), over_budget=why)
    return result


def decide(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Connection,
    triggers: Sequence[Trigger],
    *,
    as_of: datetime,
    only: str | None = None,
    is_preview: bool = False,
    broken: Mapping[str, Sequence[Problem]] | None = None,
    templates: Templates | None = None,
    run_id: str | None = None,
) -> PlanResult:
    """What `plan` writes: reads the schema `marts` of a warehouse and a ledger, writes neither.

    Who left by the delivery of `run_id` counts as having left for good. With `is_preview` no mail
    may be sent: its unsubscribe link unsubscribes nobody. `broken` are the triggers besides these
    that cannot be used, `templates` the mails that were read before.
    """
    planner = _Planner(
        settings, warehouse, ledger, as_of, is_preview=is_preview, mails=templates, run_id=run_id
    )
    for trigger in sorted(triggers, key=lambda it: it.rank):
        if only in (None, trigger.name):
            planner.run(trigger)
    broken = broken or {}
    for name, problems in broken.items():
        if only in (None, name):
            planner.keep_waiting(name, problems)
    if only is None:
        planner.end_removed([*(trigger.name for trigger in triggers), *broken])
        planner.object_to_planned()
        planner.end_waiting()
        planner.count_those_without_country()
    planner.result.name_those_without_zone()
    return planner.result


class _Planner:
    """The state of one planning: what is known once, and what was decided so far."""

    def __init__(
        self,
        settings: Settings,
        warehouse: duckdb.DuckDBPyConnection,
        ledger: Connection,
        as_of: datetime,
        *,
        is_preview: bool,
        mails: Templates | None,
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
        self.made = self.result.decisions
        self.people = People(
            warehouse,
            ledger,
            erasure_key=settings.privacy.erasure_key.get_secret_value(),
            consent=ConsentWords(settings.consent.bases),
            run_id=run_id,
        )
        self.renderer = Renderer(settings, is_preview=is_preview, templates=mails)
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
        self.feed_reason = feed["reason"]
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

        company = settings.company
        self.here = Place(company.time_zone, "company", company.country)
        self.last_run = runs.last_decision(ledger)
        self.launched = ledger_state.launched(ledger)
        self.stops = controls.stops(ledger)
        self.holds = controls.holds(ledger, as_of)

    def run(self, trigger: Trigger) -> None:
        """Decide all that this trigger does now.

        Who is inside goes on by the version that they entered by; who enters, by the file.
        """
        launched = self.launched.get(trigger.name)
        if (first := trigger.begins(FIRST_ZONE)) and self.as_of + self.ahead < first:
            return  # the broadcast's day begins nowhere before the next run
        renderer, find_commit = self.renderer, not self.is_preview
        if new := versions.first_use(self.ledger, trigger, renderer, find_commit=find_commit):
            self.made.first_uses.append(new)
        audience.register(self.warehouse, self.ledger, trigger.name, self.as_of)
        others = list(versions.older(self.ledger, trigger, renderer, self.as_of))
        for other in others:
            if isinstance(other, Version):
                audience.evaluate(self.warehouse, other.trigger, only_entered=True)
                if trigger.migrate:
                    self._meet_goals(other.trigger)
                elif other.wrong_mails:
                    self._meet_goals(other.trigger)
                    self._keep_waiting(
                        trigger, Unreadable(other.trigger.version, other.wrong_mails)
                    )
                else:
                    self._go_on(other)
            elif not trigger.migrate:
                audience.evaluate(self.warehouse, trigger, only_entered=True)
                self._keep_waiting(trigger, other)
        audience.evaluate(self.warehouse, trigger)
        covered_versions = [trigger.version]
        if trigger.migrate:
            covered_versions += [
                other.trigger.version if isinstance(other, Version) else other.version
                for other in others
            ]
        if not self._go_on(Version(trigger, renderer, tuple(covered_versions), trigger.name)):
            return
        if self.feed_is_fresh:
            seen = audience.seen_false(self.warehouse)
            self.made.seen_false.extend((trigger.name, account_id) for account_id in seen)
        if stop := self.stops.get(trigger.name):
            self._keep_out(trigger, stop, launched)
            return
        self._enter(trigger)

    def _go_on(self, version: Version) -> bool:
        """Decide about those inside, by the version whose verdict is the warehouse's now.

        False where it waits for the usage feed.
        """
        trigger = version.trigger
        waits = trigger.needs_feed and not self.feed_is_fresh
        self._leave(trigger.name, version.covered_versions, waits)
        moving = self._migrate(trigger) if trigger.migrate else []
        for one in {trigger.version, *version.covered_versions}:
            self.made.waiting[trigger.name, one] = self.feed_reason if waits else None
        if waits:
            self._wait(version)
            return False
        self._meet_goals(trigger)
        stop = self.stops.get(trigger.name)
        if stop is None or stop.mode != PAUSED:
            self._continue(version, moving)
            self._finish_held_out(trigger)
        elif inside := self._left_inside(trigger.name, version.covered_versions):
            self.result.withheld[Reason.PAUSED] += inside
        return True

    def _meet_goals(self, trigger: Trigger) -> None:
        self.made.goals.extend(
            GoalMet(row["account_id"], trigger.name, row["cycle"])
            for row in audience.arrived(self.warehouse, trigger.version)
        )

    # Leaving and waiting. ----------------------------------------------------------------

    def _leave(self, trigger: str, covered_versions: Sequence[str], waits: bool) -> None:
        for row in audience.leavers(self.warehouse, covered_versions):
            if row["reason"] != "exit" or not waits:
                ending = Ending(row["account_id"], trigger, row["cycle"], row["reason"])
                self.made.endings.append(ending)
        self._miss(trigger, audience.absent(self.warehouse, covered_versions))

    def _miss(self, trigger: str, absent: Sequence[Row]) -> None:
        """Count the runs that miss an account; one bad day of the CRM ends nothing."""
        missing: list[str] = []
        for row in absent:
            mine = (row["account_id"], trigger, row["cycle"])
            if not row["is_missing"]:
                self.made.absences.append(Absence(*mine, since=None, runs=0))
                continue
            if why := self.rejected_accounts.get(row["account_id"]):
                self.result.withhold(trigger, row["account_id"], Reason.ACCOUNT_SET_ASIDE, why)
                continue
            began = row["absent_since"]
            since = began.replace(tzinfo=UTC) if began else self.as_of
            runs = row["absent_runs"] + 1
            zone = self.settings.company.time_zone
            days = local_day(self.as_of, zone) - local_day(since, zone)
            if runs >= self.absent_for.runs and days >= self.absent_for.days:
                self.made.endings.append(Ending(*mine, "deleted"))
                continue
            self.made.absences.append(Absence(*mine, since=since, runs=runs))
            why = f"missing in the CRM for {counted(runs, 'run')}"
            self.result.withhold(trigger, row["account_id"], Reason.ABSENT, why)
            missing.append(row["account_id"])
        for mails in ledger_state.mails_of(self.ledger, trigger, missing).values():
            for mail in mails:
                if mail.state in NOT_LEFT:
                    kept = KeptBack(mail.send_id, f"{Reason.ABSENT}: missing in the CRM")
                    self.made.kept_back.append(kept)

    def _wait(self, version: Version) -> None:
        self.result.waiting.append(f"{version.called} waits: {self.feed_reason}")
        inside = self._left_inside(version.trigger.name, version.covered_versions)
        self.result.withheld[Reason.WAITING_FOR_FEED] += inside

    def _keep_waiting(self, trigger: Trigger, lost: Unreadable) -> None:
        """Keep those inside where they are: nobody knows what comes next for them."""
        self._leave(trigger.name, [lost.version], waits=True)
        self.made.waiting[trigger.name, lost.version] = f"it cannot be read: {lost.why}"
        if inside := self._left_inside(trigger.name, [lost.version]):
            self.result.withheld[Reason.VERSION_UNREADABLE] += inside
            self.result.waiting.append(
                f"{versions.called(trigger.name, lost.version)} cannot be read: {lost.why}. Those"
                " who entered by it wait; `migrate: true` in the file moves them to it"
            )

    def keep_waiting(self, name: str, problems: Sequence[Problem]) -> None:
        """Keep all of a trigger where it is whose file or mails cannot be used as they stand.

        Nobody enters, nobody leaves by a condition, and nothing is mailed, not even what is
        planned; it is not launched by this either. Whose account is gone leaves all the same,
        and goals are looked for, by the versions that the ledger keeps.
        """
        audience.register(self.warehouse, self.ledger, name, self.as_of)
        why = versions.told(problems)
        file = self.settings.folder("triggers") / f"{name}.yaml"
        in_use: list[str] = []
        for one in versions.in_use(self.ledger, file, self.renderer, self.as_of):
            if isinstance(one, Version):
                audience.evaluate(self.warehouse, one.trigger, only_entered=True)
                self._leave(name, one.covered_versions, waits=True)
                self._meet_goals(one.trigger)
                in_use += one.covered_versions
            else:
                in_use.append(one.version)
        self.made.waiting.update({(name, version): why for version in in_use})
        if inside := self._left_inside(name, in_use):
            self.result.withheld[Reason.TRIGGER_UNUSABLE] += inside
        self.result.broken[name] = tuple(problems)

    def end_waiting(self) -> None:
        """Let go what waited and has nobody any more to wait for."""
        for key in ledger_state.waiting_versions(self.ledger):
            self.made.waiting.setdefault(key, None)

    def _left_inside(self, trigger: str, covered_versions: Sequence[str]) -> int:
        gone = {one.account_id for one in self.made.endings if one.trigger == trigger}
        return sum(
            row["account_id"] not in gone
            for row in audience.insiders(self.warehouse, covered_versions)
        )

    def _migrate(self, trigger: Trigger) -> list[SqlRow[Any]]:
        """Move those inside by other versions to the file's; returns their enrolments."""
        left = {one.account_id for one in self.made.endings if one.trigger == trigger.name}
        inside = ledger_state.inside_by_others(self.ledger, trigger)
        moving = [row for row in inside if row.account_id not in left]
        for row in moving:
            place = Place(row.time_zone, row.time_zone_source, row.country)
            enrolment = _enrolment(row, place)
            self.made.migrations.append(
                Migration(
                    account_id=row.account_id,
                    trigger=trigger.name,
                    cycle=row.cycle,
                    from_version=row.trigger_version,
                    to_version=trigger.version,
                    steps=tuple(step.id for step in trigger.steps),
                    next_at=last_due(trigger, enrolment) if row.held_out else self.as_of,
                    goal_until=row.goal_until and _goal_until(trigger, enrolment),
                )
            )
        return moving

    def end_removed(self, names: Sequence[str]) -> None:
        """End what triggers began whose file is gone."""
        self.made.endings.extend(
            Ending(row.account_id, row.trigger, row.cycle, "trigger_removed")
            for row in ledger_state.left_behind(self.ledger, names)
        )

    def object_to_planned(self) -> None:
        """Stop mails that were planned before, and that no version decides about in this run, to
        contacts that may not be mailed any more."""
        for some in _chunks(ledger_state.not_left(self.ledger)):
            found = {
                (account_id, person["contact_id"]): person
                for account_id, people in self.people.of(
                    sorted({row.account_id for row in some})
                ).items()
                for person in people
            }
            for row in some:
                whose = row.trigger, row.account_id, row.contact_id
                if why := self.leaving_unclear.get(row.account_id):
                    self._suppress(row.send_id, why)
                    self.result.silenced.add(Lost(Reason.ACCOUNT_SET_ASIDE, *whose))
                    self.result.withheld[Reason.ACCOUNT_SET_ASIDE] += 1
                    continue
                if row.account_id in self.rejected_accounts or row.send_id in self.steps.looked_at:
                    continue
                person = found.get((row.account_id, row.contact_id))
                against = (
                    self.people.ineligibility(person)
                    if person
                    else self.people.ineligibility_of_absent(row.contact_id)
                )
                if against and against[0] not in MAY_PASS:
                    self._suppress(row.send_id, ": ".join(against))
                    if against[0] in losses.OF_THE_DELIVERY:
                        self.result.silenced.add(Lost(against[0], *whose))
                    self.result.withheld[against[0]] += 1
                elif against:
                    self.made.kept_back.append(KeptBack(row.send_id, ": ".join(against)))
                else:
                    self.result.due.add(whose)

    def _suppress(self, send_id: str, why: str) -> None:
        self.made.withdrawals.append(Withdrawal(send_id, State.SUPPRESSED, why))

    def count_those_without_country(self) -> None:
        """Say for how many accounts another country's holidays stand in."""
        query = "select count(*) as n from marts.account_360 where country_code is null"
        without = audience.rows(self.warehouse, query)[0]["n"]
        if without:
            self.result.waiting.append(
                f"{counted(without, 'account')} without a country: the holidays of their time"
                f" zone's country count, else those of {self.settings.company.country}"
            )

    # Entering. ---------------------------------------------------------------------------

    def _launch(self, trigger: Trigger) -> set[str]:
        before = baseline(self.settings, self.warehouse, trigger, self.as_of)
        self.made.launches.append(Launch(trigger.name, str(trigger.launch), tuple(sorted(before))))
        return before

    def _keep_out(self, trigger: Trigger, stop: SqlRow[Any], launched: datetime | None) -> None:
        """Nobody enters what is paused or off; it is not launched by then either."""
        is_paused = stop.mode == PAUSED
        what = "paused: its mails stay where they are" if is_paused else "off: nobody enters"
        self.result.waiting.append(f"{trigger.name} is {what} ({stop.by}: {stop.why})")
        if launched is not None:
            reason = Reason.PAUSED if is_paused else Reason.TURNED_OFF
            entrants = audience.entrants(self.warehouse, trigger.enter, self.as_of)
            if entrants and not trigger.is_broadcast:
                self.result.withheld[reason] += len(entrants)

    def _waits_for_its_feed(self, trigger: Trigger, account_id: str) -> bool:
        """Whether an account's part of the feed is late, and the trigger asks for it; if so, that
        is written down."""
        if not (trigger.needs_feed and account_id in self.late):
            return False
        told = "its part of the usage feed is late"
        self.result.withhold(trigger.name, account_id, Reason.WAITING_FOR_FEED, told)
        return True

    def _on_hold(self, trigger: Trigger, account_id: str) -> bool:
        """Whether somebody holds an account back; if so, that is written down."""
        if (hold := self.holds.get(account_id)) is None:
            return False
        until = hold.until.astimezone(ZoneInfo(self.settings.company.time_zone))
        told = f"until {until:%Y-%m-%d} ({hold.by}: {hold.why})"
        self.result.withhold(trigger.name, account_id, Reason.ON_HOLD, told)
        return True

    def _enter(self, trigger: Trigger) -> None:
        is_launched = trigger.name in self.launched
        candidates = audience.entrants(self.warehouse, trigger.enter, self.as_of)
        if trigger.is_broadcast:
            candidates = self._on_its_day(trigger, candidates)
            if not (candidates or is_launched or self._comes_due(trigger, self.here, self.as_of)):
                return
        before_launch = set() if is_launched else self._launch(trigger)
        for account_id in before_launch & candidates.keys():
            del candidates[account_id]
        matched_before = self.warehouse.execute(
            "select count(*) from verdicts join baseline using (account_id) where is_member"
        ).fetchone()
        assert matched_before is not None
        for account_id in sorted(self.rejected_accounts.keys() & candidates.keys()):
            why = self.rejected_accounts[account_id]
            self.result.withhold(trigger.name, account_id, Reason.ACCOUNT_SET_ASIDE, why)
            del candidates[account_id]
        if not trigger.is_broadcast:  # whose mail waits for the end of the hold
            for account_id in sorted(self.holds.keys() & candidates.keys()):
                self._on_hold(trigger, account_id)
                del candidates[account_id]
        if trigger.exit_when:
            why = f"it meets exit_when, {trigger.exit_when.text}"
            for account_id in [one for one, it in candidates.items() if it.would_leave]:
                self.result.withhold(trigger.name, account_id, Reason.WOULD_LEAVE, why)
                del candidates[account_id]
        held_back = matched_before[0] + len(before_launch)
        if held_back:
            self.result.withheld[Reason.MATCHED_BEFORE_LAUNCH] += held_back
        for account_ids in _chunks(list(candidates)):
            accounts = audience.accounts(self.warehouse, account_ids)
            people = self.people.of(account_ids, trigger.recipients)
            self.steps.recall(trigger, people, accounts)
            for account_id in account_ids:
                self._enter_account(
                    trigger,
                    accounts[account_id],
                    candidates[account_id],
                    people.get(account_id, []),
                )

    def _on_its_day(
        self, trigger: Trigger, candidates: Mapping[str, Entrant]
    ) -> dict[str, Entrant]:
        """Those whom a broadcast is decided about in this run, and in no other one.

        It is the first run of its day where the account is, or the run before, where the mail
        has to leave before that one.
        """
        zones = {
            row["account_id"]: self._place(row)
            for some in _chunks(list(candidates))
            for row in audience.accounts(self.warehouse, some).values()
        }
        return {
            account_id: entrant
            for account_id, entrant in candidates.items()
            if self._comes_due(trigger, zones[account_id], self.as_of)
            and (
                self.last_run is None
                or trigger.name not in self.launched
                or not self._comes_due(trigger, zones[account_id], self.last_run)
            )
        }

    def _comes_due(self, trigger: Trigger, place: Place, run: datetime) -> bool:
        begins = trigger.begins(place.time_zone)
        assert begins is not None
        opening = next_opening(trigger, place, begins)
        return begins <= run or (opening is not None and opening.not_before < run + self.ahead)

    def _enter_account(
        self, trigger: Trigger, account: Row, entrant: Entrant, people: Sequence[Row]
    ) -> None:
        account_id = account["account_id"]
        matching = [person for person in people if person["is_recipient"]]
        if not matching:
            detail = (
                f"none of its {len(people)} contacts matches {trigger.recipients.text}"
                if people
                else "it has no contact"
            )
            self.result.withhold(trigger.name, account_id, Reason.NO_RECIPIENT, detail)
            return
        place = self._place(account)
        if why := without_a_civil_hour(trigger, place, self.as_of):
            self.result.waits_for_a_zone(trigger.name, account, why)
            return
        mailable: dict[str, Row] = {}
        for person in matching:
            if against := self.people.ineligibility(person):
                self.result.withhold(trigger.name, account_id, *against, person["contact_id"])
            else:
                mailable[person["contact_id"]] = person
        if not mailable:
            return
        enrolment = Enrolment(
            account_id=account_id,
            trigger=trigger.name,
            cycle=entrant.cycle,
            # A broadcast that comes late is late from its day on.
            enrolled_at=trigger.begins(place.time_zone) or self.as_of,
            place=place,
        )
        held_out = trigger.holds_out(account_id)
        if held_out:
            told = f"one of the {trigger.holdout} that get no mail, to compare with"
            self.result.withhold(trigger.name, account_id, Reason.HELD_OUT, told)
            next_at: datetime | None = last_due(trigger, enrolment)
        else:
            next_at = self.steps.decide(
                Inside(
                    trigger,
                    enrolment,
                    account,
                    [Going(one, person, None, Mails()) for one, person in mailable.items()],
                    self.renderer,
                    decided={},
                )
            )
        self.made.entries.append(
            Entry(
                account_id=account_id,
                trigger=trigger.name,
                cycle=entrant.cycle,
                trigger_version=trigger.version,
                enrolled_at=enrolment.enrolled_at,
                time_zone=enrolment.place.time_zone,
                time_zone_source=enrolment.place.source,
                country=enrolment.place.country,
                next_at=next_at,
                contact_ids=() if held_out else tuple(mailable),
                held_out=held_out,
                despite_hold=trigger.is_broadcast,
                # What is so at entry, the mails did not bring about.
                goal_until=None if entrant.goal_is_met else _goal_until(trigger, enrolment),
            )
        )

    # Going on. ---------------------------------------------------------------------------

    def _continue(self, version: Version, moving: Sequence[SqlRow[Any]]) -> None:
        trigger = version.trigger
        left = {one.account_id for one in self.made.endings if one.trigger == trigger.name}
        own = ledger_state.to_decide(self.ledger, trigger, self.as_of + self.ahead)
        due = [
            row
            for row in (*own, *(row for row in moving if not row.held_out))
            if row.account_id not in left
            and row.account_id not in self.rejected_accounts
            and not self._on_hold(trigger, row.account_id)
            and not self._waits_for_its_feed(trigger, row.account_id)
        ]
        if trigger.needs_feed and self.late:
            self._keep_back_late(trigger)
        for some in _chunks(due):
            ids = [row.account_id for row in some]
            accounts = audience.accounts(self.warehouse, ids)
            people = self.people.of(ids, trigger.recipients)
            self.steps.recall(trigger, people, accounts)
            decided = ledger_state.decided_steps(self.ledger, trigger.name, ids)
            chosen = ledger_state.readers(self.ledger, trigger.name, ids)
            mails = ledger_state.mails_of(self.ledger, trigger.name, ids)
            missing = {
                one.contact_id
                for rows in chosen.values()
                for one in rows
                if one.contact_id not in {it["contact_id"] for it in people.get(one.account_id, ())}
            }
            elsewhere = audience.elsewhere(self.warehouse, sorted(missing)) if missing else {}
            for row in some:
                if row.account_id not in accounts:
                    continue  # it is missing: counted by `_miss`
                key = (row.account_id, row.cycle)
                contacts = {it["contact_id"]: it for it in people.get(row.account_id, [])}
                enrolment = _enrolment(row, self._place(accounts[row.account_id]))
                looked_at = readers.review(
                    trigger,
                    readers.Enrolled(
                        account_id=row.account_id,
                        trigger=trigger.name,
                        cycle=row.cycle,
                        time_zone=enrolment.place.time_zone,
                        readers=chosen.get(key, []),
                        mails=mails.get(key, []),
                    ),
                    contacts,
                    self.people,
                    elsewhere,
                    now=self.as_of,
                    absent_for=self.absent_for,
                )
                self._write_readers(trigger, row.account_id, looked_at)
                self.result.inside.add((trigger.name, row.account_id))
                self.result.due.update(
                    (trigger.name, row.account_id, one.contact_id) for one in looked_at.going
                )
                if not looked_at.going:
                    self.made.endings.append(
                        Ending(row.account_id, trigger.name, row.cycle, "no_reader")
                    )
                    continue
                next_at = self.steps.decide(
                    Inside(
                        trigger,
                        enrolment,
                        accounts[row.account_id],
                        looked_at.going,
                        version.renderer,
                        decided.get(key, {}),
                        mails.get(key, []),
                    )
                )
                place = enrolment.place
                self.made.progress.append(
                    Progress(
                        account_id=row.account_id,
                        trigger=trigger.name,
                        cycle=row.cycle,
                        next_at=next_at,
                        time_zone=place.time_zone,
                        time_zone_source=place.source,
                        country=place.country,
                    )
                )

    def _keep_back_late(self, trigger: Trigger) -> None:
        """Keep back the mails of accounts whose part of the feed is late."""
        for mails in ledger_state.mails_of(self.ledger, trigger.name, sorted(self.late)).values():
            for mail in mails:
                if mail.state in NOT_LEFT:
                    self.steps.looked_at.add(mail.send_id)
                    why = "its account's part of the usage feed is late"
                    self.made.kept_back.append(KeptBack(mail.send_id, why))

    def _write_readers(self, trigger: Trigger, account_id: str, looked_at: readers.Readers) -> None:
        self.made.readers.extend(looked_at.changes)
        for contact_id, against in looked_at.gone:
            self.result.withhold(trigger.name, account_id, *against, contact_id)
        for mail in looked_at.withdrawn:
            self.steps.looked_at.add(mail.send_id)
            self._suppress(mail.send_id, "its reader is gone")

    def _finish_held_out(self, trigger: Trigger) -> None:
        """Those held out are through when their last mail would have been due."""
        self.made.progress.extend(
            Progress(
                row.account_id,
                trigger.name,
                row.cycle,
                None,
                row.time_zone,
                row.time_zone_source,
                row.country,
            )
            for row in ledger_state.held_out_through(self.ledger, trigger, self.as_of)
        )

    def _place(self, account: Row) -> Place:
        """Where an account keeps its hours now; without a country it keeps the week of its zone's,
        or the company's."""
        zone, source = account["time_zone"], account["time_zone_source"]
        country = account["country_code"]
        if country is None and source == "account":
            country = country_of_zone(zone)
        if country is None and source in ("account", "company"):
            country = self.settings.company.country
        return Place(zone, source, country)


def _enrolment(row: SqlRow[Any], place: Place) -> Enrolment:
    """An enrolment as the ledger has it, where its account is now."""
    return Enrolment(row.account_id, row.trigger, row.cycle, row.enrolled_at, place)


def _goal_until(trigger: Trigger, enrolment: Enrolment) -> datetime | None:
    """The last moment of the goal's last calendar day, in the account's time zone."""
    if trigger.goal is None:
        return None
    zone = ZoneInfo(enrolment.place.time_zone)
    day = enrolment.enrolled_at.astimezone(zone).date() + trigger.goal.within
    return first_moment(day + DAY, time.min, zone) - timedelta(seconds=1)


def _chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while some := list(islice(iterator, CHUNK)):
        yield some
