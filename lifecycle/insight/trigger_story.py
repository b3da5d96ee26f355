"""The part of an account's story about one trigger: its rules, its steps, its mails."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from lifecycle.document import Section, Table, moment, plain, table
from lifecycle.insight.condition_tree import tree_as_json, tree_as_rows
from lifecycle.insight.enrolment_steps import StepStory, schedule
from lifecycle.ledger.account_history import AccountHistory
from lifecycle.ledger.tables import NOT_LEFT, PAUSED
from lifecycle.planning.decision import Pace
from lifecycle.report.waiting import BROKEN
from lifecycle.triggers.commit import commit_of
from lifecycle.triggers.condition import Outcome
from lifecycle.triggers.model import Trigger

PENDING = {"planned": "planned", "queued": "on its way", "attempting": "on its way"}
SAID_BY_STATE = ("processed", "delivered")
"""Feedback kinds that the mail's state shows already."""


@dataclass(frozen=True)
class TriggerStory:
    """The story of one trigger for one account."""

    name: str
    trigger: Trigger | None
    """None: its file is gone, or cannot be read."""
    matches: bool | None
    """Whether the account is in the audience now; None: unknown."""
    rules: Mapping[str, Outcome]
    """Key of the trigger file: its condition evaluated on the account."""
    recipients: Mapping[str, Outcome]
    """Contact id: `recipients` evaluated on the contact."""
    kept_out: str
    """Why the account cannot match, whatever the audience says; empty otherwise."""
    history: AccountHistory
    people: Mapping[str, str]
    """Contact id: name."""
    waiting_for: str | None
    """Why the trigger waits: the problems of its files, or the reason in the last run."""
    is_broken: bool
    """Its file or its mails cannot be used as they stand."""
    stop: Mapping[str, Any] | None
    """Who paused the trigger or turned it off: mode, since, by, why."""
    unapproved: Collection[str]
    """Runs whose mails wait for an approval."""
    time_zone: str
    now: datetime
    """As-of of the published marts (UTC); future steps are computed from it."""
    pace: Pace
    """How mails that waited for a window leave."""
    versions: Mapping[str, tuple[Trigger | None, str | None]]
    """Version that the account entered with or follows: its trigger (None where it cannot be read
    any more) and its git commit."""
    is_asked_for: bool = False
    """Whether the story is about this trigger alone: then it shows every rule."""

    @cached_property
    def commit(self) -> str | None:
        """The git commit with the present text of the trigger's file; None where there is none."""
        return commit_of(self.trigger.file) if self.trigger else None

    @cached_property
    def schedule(self) -> list[StepStory]:
        """The steps of every enrolment, by the trigger version that it follows."""
        steps = []
        for enrollment in self._of("enrollments"):
            version, _ = self.versions.get(enrollment.trigger_version, (None, None))
            if version is not None:
                decided, mails = (
                    [row for row in self._of(table) if row.cycle == enrollment.cycle]
                    for table in ("steps", "sends")
                )
                steps += schedule(version, enrollment, decided, mails, self.now, self.pace)
        return steps

    def as_json(self) -> dict[str, Any]:
        """The story as data."""
        return {
            "trigger": self.name,
            "audience": self.trigger.audience.text if self.trigger else None,
            "matches": self.matches,
            "waiting_for": self.waiting_for,
            "is_broken": self.is_broken,
            "stop": plain(self.stop) if self.stop else None,
            "because": tree_as_json(self.rules.get("audience")),
            "rules": {key: tree_as_json(tree) for key, tree in self.rules.items()},
            "recipients": {
                contact_id: tree_as_json(tree) for contact_id, tree in self.recipients.items()
            },
            "version": self.trigger.version if self.trigger else None,
            "git_commit": self.commit,
            "schedule": [story.as_json() for story in self.schedule],
            "enrollments": [plain(row._mapping) for row in self._of("enrollments")],
            "steps": [plain(row._mapping) for row in self._of("steps")],
            "sends": [
                {
                    **plain(row._mapping),
                    "log": [plain(entry._mapping) for entry in self.history.log[row.send_id]],
                    "feedback": [plain(fact._mapping) for fact in self.history.facts[row.send_id]],
                }
                for row in self._of("sends")
            ],
            "withheld": [plain(row._mapping) for row in self._of("withheld")],
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
        if self.is_broken and self.waiting_for:
            parts.append(f"It cannot be used: {self.waiting_for}. {BROKEN}")
        parts.append(f"Next: {self.next()}")
        verdict = {True: "matches", False: "does not match", None: "unknown"}[self.matches]
        if self.is_broken:
            verdict = "cannot be used, and waits"
        elif self.trigger is None:
            verdict = "its file is gone"
        return Section(f"{self.name}: {verdict}", tuple(parts), "good" if self.matches else "")

    def next(self) -> str:
        """One sentence about what comes next, as far as it is known."""
        open_now = [row for row in self._of("enrollments") if row.ended_at is None]
        waiting = [row for row in self._of("sends") if row.state in NOT_LEFT]
        if self.is_broken:
            return "nothing, until a run finds it mended."
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
            step = self._next_step(open_now[-1])
            when = moment(open_now[-1].next_at, self.time_zone)
            return f"{step} may go {when} at the earliest, if the account is still in."
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
                "trigger was launched, or since a new score version."
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
        to_come = [step.id for step in self.trigger.steps if step.id not in done]
        return to_come[0] if to_come else "the next step"

    def _judgement(self) -> list[str | Table]:
        if self.trigger is None or "audience" not in self.rules:
            return []
        parts: list[str | Table] = [f"Audience: {self.trigger.audience.text}"]
        if self.is_asked_for or self.rules["audience"].parts:
            parts.append(table(("rule", "here", ""), self._trees()))
        else:
            parts.append(f"Here: {self.rules['audience']}.")
        if self.kept_out:
            parts.append(f"It does not match all the same: {self.kept_out}.")
        return parts

    def _trees(self) -> Iterator[tuple[str, str, str]]:
        rules = self.rules if self.is_asked_for else {"audience": self.rules["audience"]}
        trees = [*rules.items()]
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
        commit = f"of commit {self.commit[:8]}" if self.commit else "not committed as it stands"
        file = f"{self.trigger.file.parent.name}/{self.trigger.file.name}"
        return [f"{file}, version {self.trigger.version[:8]}, {commit}."]

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
        lines = []
        for row in self._of("enrollments"):
            line = f"Entered {moment(row.enrolled_at, self.time_zone)} (cycle {row.cycle})"
            if row.held_out:
                line += ", held out without mails"
            if row.goal_met_at:
                line += f", met the goal {moment(row.goal_met_at, self.time_zone)}"
            if row.ended_at:
                line += f", ended {moment(row.ended_at, self.time_zone)}: {row.end_reason}"
            lines.append(f"{line}.")
            if self.is_asked_for or row.ended_at is None:
                lines.append(f"By {self._version(row.trigger_version)}, decided by {row.run_id}.")
        return lines

    def _version(self, version: str) -> str:
        _, commit = self.versions.get(version, (None, None))
        return f"version {version[:8]}" + (f" of commit {commit[:8]}" if commit else "")

    def _mails(self) -> list[list[str | None]]:
        rows: list[list[str | None]] = []
        for row in self._of("sends"):
            pending = row.state in PENDING
            when = row.not_before if pending else row.accepted_at or row.state_at
            rows.append(
                [
                    row.step,
                    self._person(row.contact_id),
                    PENDING.get(row.state, row.state),
                    moment(when, self.time_zone).rpartition(" ")[0],
                    row.detail or "",
                ]
            )
            rows += [
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
        return rows

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

    def _of(self, table: str) -> list[Any]:
        return [row for row in getattr(self.history, table) if row.trigger == self.name]
