"""An account's story: how it stands, and for every trigger what was done, or not, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from lifecycle.errors import TriggerError, UnknownName, did_you_mean
from lifecycle.insight import published
from lifecycle.insight.deciding_runs import DecidingRuns, deciding_runs
from lifecycle.insight.document import Document, Section, Table, counted, moment, table
from lifecycle.insight.find import find_account
from lifecycle.insight.rule import ANSWER, tree_as_json, tree_as_rows
from lifecycle.insight.schedule import StepStory, schedule
from lifecycle.ledger import approvals, history, memory
from lifecycle.ledger.history import AccountHistory
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_LEFT, PAUSED
from lifecycle.planning import versions
from lifecycle.settings import Settings
from lifecycle.triggers.commit import commit_of
from lifecycle.triggers.condition import Outcome
from lifecycle.triggers.model import Trigger, load_triggers
from lifecycle.warehouse.connection import connect_published

PENDING = {"planned": "planned", "queued": "on its way", "attempting": "on its way"}
SAID_BY_STATE = ("processed", "delivered")
"""What came back about a mail and its state says already."""


@dataclass(frozen=True)
class Explanation:
    """Everything that can be said of one account. Times are UTC."""

    account_id: str
    settings: Settings
    account: Mapping[str, Any] | None
    """Its row of account_360; None when the CRM does not hold it any more."""
    contacts: Sequence[Mapping[str, Any]]
    rejected: Sequence[Mapping[str, Any]]
    """Its rows, or its contacts', that were set aside."""
    feed: Mapping[str, Any]
    history: AccountHistory
    suppressed: Mapping[str, str]
    """Address: why it may not be mailed."""
    triggers: Sequence[TriggerStory]
    hold: Mapping[str, Any] | None
    """Who put the account on hold: until, since, by, why."""
    runs: DecidingRuns
    """The runs that decided what is told."""

    @property
    def time_zone(self) -> str:
        """The zone that times are told in: the account's."""
        return _zone(self.account, self.settings)

    def as_json(self) -> dict[str, Any]:
        """The object of `explain --json`."""
        return {
            "account_id": self.account_id,
            "account": _plain(self.account) if self.account else None,
            "feed": _plain(self.feed),
            "contacts": [_plain(row) for row in self.contacts],
            "rejected_rows": [_plain(row) for row in self.rejected],
            "suppressed": dict(self.suppressed),
            "hold": _plain(self.hold) if self.hold else None,
            "triggers": [story.as_json() for story in self.triggers],
            "published_by": self.runs.published,
            "runs": [run.as_json() for run in self.runs.runs],
        }

    def as_document(self) -> Document:
        """The story for a person."""
        parts = [self._who(), self._held(), self._stands(), self._people(), self._set_aside()]
        stories = [story.as_section() for story in self.triggers]
        told = (*parts, *stories, self.runs.as_section(self.time_zone))
        return [section for section in told if section.parts]

    def _who(self) -> Section:
        if self.account is None:
            told = "The CRM does not hold this account as of the last run."
            if self.history.triggers:
                told += " The ledger remembers its mails."
            return Section(self.account_id, (told,), "warning")
        one = self.account
        facts = [
            _said("plan", one["plan"]),
            _said("segment", one["segment"]),
            _said("touch model", one["touch_model"]),
            _said("seats", one["seats"]),
            _said("country", one["country"]),
            f"time zone {one['time_zone']} (of the {one['time_zone_source']})",
        ]
        told = ", ".join(fact for fact in facts if fact)
        parts = [f"{told[0].upper()}{told[1:]}."]
        if one["owner_name"] or one["owner_email"]:
            parts.append(f"Looked after by {one['owner_name'] or one['owner_email']}.")
        if one["purpose"]:
            parts.append(f"Bought for: {one['purpose']}")
        if one["background"]:
            parts.append(f"Background: {one['background']}")
        return Section(f"{one['name']} ({one['account_id']})", tuple(parts))

    def _held(self) -> Section:
        if self.hold is None:
            return Section("", ())
        until = moment(self.hold["until"], self.settings.company.time_zone)
        told = f"Nothing goes to it, and it enters nothing: {self.hold['by']}: {self.hold['why']}"
        return Section(f"On hold until {until}", (told,), "warning")

    def _stands(self) -> Section:
        if self.account is None:
            return Section("", ())
        one = self.account
        rows = [
            ("stage", one["stage"] or "unknown", self._why_stage(one)),
            ("course", one["course"] or "unknown", ""),
            ("usage health", _score(one, "usage"), one["usage_reasons"] or ""),
            *([("", "", one["usage_change"])] if one.get("usage_change") else []),
            ("satisfaction", _score(one, "satisfaction"), one.get("satisfaction_reasons") or ""),
            ("dormant", _truth(one["is_dormant"]), one["dormancy_reason"] or ""),
            ("onboarding", one["onboarding_status"] or "unknown", self._why_onboarding(one)),
            ("usage ladder", _step(one["ladder_step"]), ""),
            ("last active", _day(self._local(one["last_active_at"])), ""),
        ]
        parts: list[str | Table] = [table(("", "now", "why"), rows)]
        if one["feed_status"] == "late":
            parts.append(
                f"The usage feed is late ({self.feed['reason']}): what depends on it is unknown, "
                "and nobody is judged by missing data."
            )
        else:
            parts.append("The usage feed is fresh.")
        return Section(f"As of {moment(self._local(one['as_of']), self.time_zone)}", tuple(parts))

    def _local(self, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC).astimezone(ZoneInfo(self.time_zone)) if value else None

    def _why_stage(self, one: Mapping[str, Any]) -> str:
        limits = self.settings.stages
        match one["stage"]:
            case "churned":
                return f"it left on {_day(one['churned_at'])}"
            case "renewal":
                days = one["days_to_renewal"]
                return f"renews in {counted(days, 'day')}, within {limits.renewal_days}"
            case "onboarding":
                return "no first outcome yet, and its onboarding is not over"
            case "adoption":
                return f"usage ladder below step {limits.mature_from_step}"
            case "mature":
                return f"usage ladder at step {limits.mature_from_step} or above"
        return "the usage feed is late"

    def _why_onboarding(self, one: Mapping[str, Any]) -> str:
        if one["onboarding_status"] is None:
            return "the usage feed is late"
        if one["first_outcome_at"]:
            return f"first outcome {_day(one['first_outcome_at'])}"
        if one["went_live_at"] is None:
            return "not live yet"
        due = f", due {_day(one['onboarding_due_on'])}" if one["onboarding_due_on"] else ""
        return f"live since {_day(one['went_live_at'])}, no outcome yet{due}"

    def _people(self) -> Section:
        if self.account is None:
            return Section("", ())
        if not self.contacts:
            return Section("Contacts", ("It has no contact: nobody can be mailed.",), "warning")
        rows = []
        for one in self.contacts:
            address = one["email_normalized"]
            if address in self.suppressed:
                mailable = f"no: {self.suppressed[address]}"
            elif one["unsubscribed_at"]:
                mailable = f"no: unsubscribed {_day(one['unsubscribed_at'])}"
            else:
                mailable = "yes" if one["consent_basis"] else "no: gave no consent"
            rows.append((one["name"], one["role"], one["locale"], address, mailable))
        return Section("Contacts", (table(("name", "role", "locale", "address", "mail"), rows),))

    def _set_aside(self) -> Section:
        if not self.rejected:
            return Section("", ())
        columns = ("table_name", "file", "row_number", "column_name", "reason")
        rows = ([row[name] for name in columns] for row in self.rejected)
        shown = table(("table", "file", "row", "column", "reason"), rows)
        return Section("Set aside", ("Rows of it that could not be used:", shown), "warning")


@dataclass(frozen=True)
class TriggerStory:
    """What one trigger has to do with one account."""

    name: str
    trigger: Trigger | None
    """None: its file is gone."""
    matches: bool | None
    """Whether the account is in the audience now; None: unknown."""
    rules: Mapping[str, Outcome]
    """What each of the trigger's conditions says of the account, by its key in the file."""
    recipients: Mapping[str, Outcome]
    """What `recipients` says of each of the account's contacts, by id."""
    kept_out: str
    """Why it cannot match whatever the audience says; empty otherwise."""
    history: AccountHistory
    people: Mapping[str, str]
    """Contact id: name."""
    waiting_for: str | None
    stop: Mapping[str, Any] | None
    """Who paused the trigger or turned it off: mode, since, by, why."""
    unapproved: Collection[str]
    """Runs whose mails wait for an approval."""
    time_zone: str
    now: datetime
    """The moment that the marts show; steps that are to come are seen from there."""
    spread: timedelta
    """Over how much of an opening the mails that waited for it leave."""
    versions: Mapping[str, tuple[Trigger | None, str | None]]
    """Versions that the account entered or goes on by, each with its commit; no trigger where it
    cannot be read any more."""
    is_asked_for: bool = False
    """Somebody asked about this trigger alone: every rule is shown."""

    @cached_property
    def commit(self) -> str | None:
        """The commit that holds the trigger's file as it is now; None where none does."""
        return commit_of(self.trigger.file) if self.trigger else None

    @cached_property
    def schedule(self) -> list[StepStory]:
        """The steps of every enrolment, by the version that it goes on by."""
        decided = self._of("steps")
        told = []
        for one in self._of("enrollments"):
            version, _ = self.versions.get(one.trigger_version, (None, None))
            if version is not None:
                its_own = [row for row in decided if row.cycle == one.cycle]
                told += schedule(version, one, its_own, self.now, self.spread)
        return told

    def as_json(self) -> dict[str, Any]:
        """The story as data."""
        return {
            "trigger": self.name,
            "audience": self.trigger.audience.text if self.trigger else None,
            "matches": self.matches,
            "stop": _plain(self.stop) if self.stop else None,
            "because": tree_as_json(self.rules.get("audience")),
            "rules": {key: tree_as_json(one) for key, one in self.rules.items()},
            "recipients": {one: tree_as_json(tree) for one, tree in self.recipients.items()},
            "version": self.trigger.version if self.trigger else None,
            "git_commit": self.commit,
            "schedule": [story.as_json() for story in self.schedule],
            "enrollments": [_plain(row._mapping) for row in self._of("enrollments")],
            "steps": [_plain(row._mapping) for row in self._of("steps")],
            "sends": [
                {
                    **_plain(row._mapping),
                    "log": [_plain(entry._mapping) for entry in self.history.log[row.send_id]],
                    "feedback": [_plain(fact._mapping) for fact in self.history.facts[row.send_id]],
                }
                for row in self._of("sends")
            ],
            "withheld": [_plain(row._mapping) for row in self._of("withheld")],
            "next": self.next(),
        }

    def as_section(self) -> Section:
        """The story for a person."""
        parts: list[str | Table] = [*self._file(), *self._judgement(), *self._entries()]
        if self.stop:
            parts.append(f"{self._stopped()}.")
        parts += self._steps()
        if rows := self._mails():
            parts.append(table(("step", "to", "state", "when", "why"), rows))
        if rows := self._withheld():
            parts.append("Withheld:")
            parts.append(table(("step", "to", "reason", "last said", "detail"), rows))
        parts.append(f"Next: {self.next()}")
        verdict = {True: "matches", False: "does not match", None: "unknown"}[self.matches]
        if self.trigger is None:
            verdict = "its file is gone"
        return Section(f"{self.name}: {verdict}", tuple(parts), "good" if self.matches else "")

    def next(self) -> str:
        """What comes next, as far as it is known."""
        open_now = [row for row in self._of("enrollments") if row.ended_at is None]
        waiting = [row for row in self._of("sends") if row.state in NOT_LEFT]
        if self.waiting_for and (open_now or waiting or self.matches is not False):
            return f"it waits: {self.waiting_for}"
        if self.stop and (self.stop["mode"] == PAUSED or not (open_now or waiting)):
            return f"nothing, until somebody resumes the trigger: {self._stopped()}."
        if waiting and all(row.run_id in self.unapproved for row in waiting):
            return f"it waits for an approval of run {waiting[0].run_id}."
        if waiting:
            first = min(waiting, key=lambda row: row.not_before)
            return f"{first.step} goes {moment(first.not_before, self.time_zone)} at the earliest."
        if open_now:
            if open_now[-1].held_out:
                return "nothing: it is held out, to compare with."
            if open_now[-1].next_at is None:
                return "no step is left; the sequence ends with the next run."
            left = self._next_step(open_now[-1])
            when = moment(open_now[-1].next_at, self.time_zone)
            return f"{left} may go {when} at the earliest, if the account is still in."
        return self._may_enter()

    def _stopped(self) -> str:
        assert self.stop is not None
        since = moment(self.stop["since"], self.time_zone)
        return f"{self.stop['mode']} since {since} by {self.stop['by']}: {self.stop['why']}"

    def _may_enter(self) -> str:
        entered = self._of("enrollments")
        if self.trigger is None:
            return "nothing."
        if self.kept_out:
            return f"nothing: {self.kept_out}."
        if self.name in self.history.before_launch:
            return (
                "nothing, until it has been seen outside the audience: it matched before the "
                "trigger was launched."
            )
        mode = self.trigger.enter.mode
        if entered and mode == "once":
            return "nothing: an account enters this trigger once."
        if entered and mode == "once_per_episode" and entered[-1].seen_false_at is None:
            return "it may enter again after it has been seen outside the audience."
        if entered and self.trigger.enter.every:
            again = entered[-1].enrolled_at + self.trigger.enter.every
            return f"it may enter again {moment(again, self.time_zone)}, if it matches then."
        if self.matches:
            return "it enters with the next run, unless one of the reasons above still holds."
        return "it enters when it comes to match."

    def _next_step(self, enrolment: Any) -> str:
        if self.trigger is None:
            return "the next step"
        done = {row.step for row in self._of("steps") if row.cycle == enrolment.cycle}
        left = [step.id for step in self.trigger.steps if step.id not in done]
        return left[0] if left else "the next step"

    def _judgement(self) -> list[str | Table]:
        if self.trigger is None or "audience" not in self.rules:
            return []
        told: list[str | Table] = [f"Audience: {self.trigger.audience.text}"]
        if self.is_asked_for or self.rules["audience"].parts:
            told.append(table(("rule", "here", ""), self._trees()))
        else:
            told.append(f"Here: {self.rules['audience']}.")
        if self.kept_out:
            told.append(f"It does not match all the same: {self.kept_out}.")
        return told

    def _trees(self) -> Iterator[tuple[str, str, str]]:
        shown = self.rules if self.is_asked_for else {"audience": self.rules["audience"]}
        trees = [*shown.items()]
        if self.is_asked_for:
            trees += [
                (f"recipients: {self._person(contact_id)}", tree)
                for contact_id, tree in self.recipients.items()
            ]
        for rule, tree in trees:
            for number, row in enumerate(tree_as_rows(tree)):
                yield ("" if number else rule, *row)

    def _file(self) -> list[str]:
        if self.trigger is None:
            return []
        kept = f"of commit {self.commit[:8]}" if self.commit else "not committed as it stands"
        file = f"{self.trigger.file.parent.name}/{self.trigger.file.name}"
        return [f"{file}, version {self.trigger.version[:8]}, {kept}."]

    def _steps(self) -> list[Table]:
        newest = max((story.cycle for story in self.schedule), default=0)
        rows = [
            (
                story.step,
                moment(story.due_at, self.time_zone).rpartition(" ")[0],
                moment(story.not_before, self.time_zone).rpartition(" ")[0] or None,
                story.fate,
                story.why,
            )
            for story in self.schedule
            if self.is_asked_for or story.cycle == newest
        ]
        columns = ("step", "due", "may go", "fate", "why")
        return [table(columns, rows)] if rows else []

    def _entries(self) -> list[str]:
        told = []
        for row in self._of("enrollments"):
            line = f"Entered {moment(row.enrolled_at, self.time_zone)} (cycle {row.cycle})"
            if row.held_out:
                line += ", held out without mails"
            if row.goal_met_at:
                line += f", met the goal {moment(row.goal_met_at, self.time_zone)}"
            if row.ended_at:
                line += f", ended {moment(row.ended_at, self.time_zone)}: {row.end_reason}"
            told.append(f"{line}.")
            if self.is_asked_for or row.ended_at is None:
                told.append(f"By {self._version(row.trigger_version)}, decided by {row.run_id}.")
        return told

    def _version(self, version: str) -> str:
        _, commit = self.versions.get(version, (None, None))
        return f"version {version[:8]}" + (f" of commit {commit[:8]}" if commit else "")

    def _mails(self) -> list[list[str | None]]:
        told: list[list[str | None]] = []
        for row in self._of("sends"):
            pending = row.state in PENDING
            when = row.not_before if pending else row.accepted_at or row.state_at
            told.append(
                [
                    row.step,
                    self._person(row.contact_id),
                    PENDING.get(row.state, row.state),
                    moment(when, self.time_zone).rpartition(" ")[0],
                    row.detail or "",
                ]
            )
            told += [
                [
                    row.step,
                    self._person(row.contact_id),
                    fact.kind,
                    moment(fact.at, self.time_zone).rpartition(" ")[0],
                    fact.detail or "",
                ]
                for fact in self.history.facts[row.send_id]
                if fact.kind not in SAID_BY_STATE
            ]
        return told

    def _withheld(self) -> list[list[str | None]]:
        return [
            [
                row.step or "entry",
                self._person(row.contact_id) if row.contact_id else "account",
                row.reason,
                moment(row.last_at, self.time_zone).rpartition(" ")[0],
                row.detail,
            ]
            for row in self._of("withheld")
        ]

    def _person(self, contact_id: str) -> str:
        return self.people.get(contact_id) or contact_id

    def _of(self, what: str) -> list[Any]:
        return [row for row in getattr(self.history, what) if row.trigger == self.name]


def explain(
    settings: Settings,
    ledger: Ledger,
    wanted: str,
    *,
    only: str | None = None,
    as_of: datetime | None = None,
) -> Explanation:
    """Tell the story of the account with that id or name.

    `only` names one trigger; `as_of` is the clock of mails, or now.

    Raises UnknownName when no account, or more than one, may be meant, and for a trigger that
    neither has a file nor ever had to do with the account; WarehouseError when nothing was
    published yet; TriggerError.
    """
    triggers = load_triggers(settings)
    with connect_published(settings) as warehouse:
        account_id = find_account(warehouse, ledger, wanted)
        account = published.account(warehouse, account_id)
        contacts = published.contacts(warehouse, account_id)
        rejected = published.rejected(warehouse, account_id)
        feed = published.feed(warehouse)
        published_by, now = published.run_id(warehouse), published.as_of(warehouse)
    past = AccountHistory(ledger, account_id)
    waiting = {(row.trigger, row.version): row.waiting_for for row in history.waiting(ledger)}
    stops, holds = history.stops(ledger), history.holds(ledger, as_of or datetime.now(UTC))
    unapproved = approvals.unapproved(ledger)
    people = {row["contact_id"]: row["name"] or row["email_normalized"] for row in contacts}
    known = {trigger.name: trigger for trigger in triggers}
    names = [*known, *sorted(past.triggers - known.keys())]
    if only is not None and only not in names:
        hint = did_you_mean(only, names) or f"there are: {', '.join(sorted(names)) or 'none'}"
        raise UnknownName(f"no trigger {only!r}; {hint}")
    return Explanation(
        account_id=account_id,
        settings=settings,
        account=account,
        contacts=contacts,
        rejected=rejected,
        feed=feed,
        history=past,
        suppressed=history.suppressed(ledger, [row["email_normalized"] for row in contacts]),
        triggers=[
            TriggerStory(
                name=name,
                trigger=known.get(name),
                **_judged(known.get(name), account, contacts),
                history=past,
                people=people,
                waiting_for=waiting.get((name, _version(name, known.get(name), past))),
                stop=stops.get(name),
                unapproved=unapproved,
                time_zone=_zone(account, settings),
                now=now,
                spread=timedelta(minutes=settings.plan.spread_minutes),
                versions=_versions(ledger, settings, name, known.get(name)),
                is_asked_for=only is not None,
            )
            for name in names
            if only in (None, name)
        ],
        hold=holds.get(account_id),
        runs=deciding_runs(ledger, past.run_ids(only), published_by),
    )


def _judged(
    trigger: Trigger | None,
    account: Mapping[str, Any] | None,
    contacts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What a trigger's conditions say of the account: rules, recipients, kept_out, matches."""
    rules: dict[str, Outcome] = {}
    recipients: dict[str, Outcome] = {}
    kept_out, matches = "", None
    if trigger is not None and account is not None:
        rules = {key: one.tree(account) for key, one in trigger.placed_conditions}
        recipients = {row["contact_id"]: trigger.recipients.tree(row) for row in contacts}
        matches = rules["audience"].holds
        if account["is_churned"] and not trigger.include_churned:
            kept_out, matches = "a churned account matches no trigger", False
    elif trigger is not None:
        kept_out, matches = "the CRM does not hold the account", False
    return {"rules": rules, "recipients": recipients, "kept_out": kept_out, "matches": matches}


def _versions(
    ledger: Ledger, settings: Settings, name: str, trigger: Trigger | None
) -> dict[str, tuple[Trigger | None, str | None]]:
    file = trigger.file if trigger else settings.folder("triggers") / f"{name}.yaml"
    with ledger.read() as connection:
        kept = memory.known_versions(connection, name)
    found: dict[str, tuple[Trigger | None, str | None]] = {}
    for version, row in kept.items():
        try:
            found[version] = versions.read(row, file), row.git_commit
        except TriggerError:
            found[version] = None, row.git_commit
    return found


def _version(name: str, trigger: Trigger | None, past: AccountHistory) -> str:
    """The version by which the account goes on, or by which it would enter."""
    inside = [row for row in past.enrollments if row.trigger == name and row.ended_at is None]
    return inside[-1].trigger_version if inside else trigger.version if trigger else ""


def _zone(account: Mapping[str, Any] | None, settings: Settings) -> str:
    return str(account["time_zone"]) if account else settings.company.time_zone


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(name): value.isoformat() if isinstance(value, date) else value
        for name, value in row.items()
    }


def _day(value: date | None) -> str:
    return f"{value:%Y-%m-%d}" if value else "–"


def _said(what: str, value: Any) -> str:
    return f"{what} {value}" if value is not None else ""


def _truth(value: bool | None) -> str:
    return ANSWER[value]


def _score(one: Mapping[str, Any], which: str) -> str:
    value, band = one[f"{which}_health"], one[f"{which}_band"]
    return "unknown" if value is None else f"{value:.0f} of 100, {band}"


def _step(value: int | None) -> str:
    return "unknown" if value is None else f"step {value} of 4"
