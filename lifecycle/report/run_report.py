"""The report of a run: what happened and why, for a machine and for a person."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

from lifecycle.document import Cell, Document, Id, Section, Table, as_text, counted, moment, table
from lifecycle.errors import GateStopped, LifecycleError, Problem
from lifecycle.ledger.tables import State
from lifecycle.report.waiting import BROKEN, broken_lines, left_alone, waits
from lifecycle.template_names import OWNER_LIST
from lifecycle.warehouse import published_marts

if TYPE_CHECKING:  # The command line shows a report without importing the modules that filled it.
    from lifecycle.mail.deliver import DeliveryResult
    from lifecycle.planning.guard import Flood
    from lifecycle.planning.owner_lists import OwnerLists
    from lifecycle.planning.plan_result import PlanResult
    from lifecycle.sources.pull import PullResult
    from lifecycle.warehouse.build import BuildResult
    from lifecycle.warehouse.gate.checkpoint import GateResult
    from lifecycle.warehouse.known_then import KnownThen


class MeasuredEffect(Protocol):
    """What the mails of one version of a trigger changed, as a run reports it."""

    def as_json(self) -> dict[str, Any]:
        """All of it, for a machine."""

    def in_short(self) -> str:
        """One line of it."""


BANDS = ("green", "yellow", "red", "unknown")

WHY = {
    "matched_before_launch": "matched before the trigger was launched",
    "held_out": "held out without mails, to compare with",
    "no_recipient": "no contact is among the trigger's recipients",
    "no_consent": "the contact gave no consent",
    "unsubscribed": "the contact unsubscribed",
    "suppressed": "the address may not be mailed any more",
    "contact_gone": "the contact is no longer in the CRM",
    "capped": "enough mails to this person or account already",
    "step_condition": "the step's own condition does not hold",
    "late": "too late to be useful",
    "no_window": "its send window never opens",
    "no_civil_hour": "nobody can tell an hour inside the window where the account is",
    "template_error": "the mail could not be written",
    "waiting_for_feed": "the usage feed is late: nobody is judged by missing data",
    "account_set_aside": "the account's row in the CRM is not usable",
    "version_unreadable": "the version of the trigger that it entered cannot be read any more",
    "trigger_unusable": "the trigger's file or its mails cannot be used as they stand",
    "paused": "somebody paused the trigger",
    "turned_off": "somebody turned the trigger off: nobody enters any more",
    "on_hold": "somebody put the account on hold",
    "contact_set_aside": "the contact's row in the CRM is not usable",
    "same_step_under_way": "the person's mail of this step, through another account, has not left",
    "same_step_recently": "the person has this step's mail already, as another contact or account",
    "would_leave": "it meets exit_when already, so it does not enter",
    "absent": "the account is missing in the CRM: its sequence waits for it",
    "left_provisionally": "it left by the word of a delivery that has not passed the gates",
}
"""What each reason for withholding means, in words."""


@dataclass(frozen=True)
class Stop:
    """Where and why a run ended before its end."""

    stage: str
    error: str
    exit_status: int
    message: str
    door: str | None = None
    failures: tuple[str, ...] = ()

    @classmethod
    def at(cls, stage: str, error: BaseException) -> Stop:
        """Build the stop from the error that ended a stage."""
        status = error.exit_status if isinstance(error, LifecycleError) else 1
        kind, message = type(error).__name__, str(error) or type(error).__name__
        if isinstance(error, GateStopped):
            return cls(stage, kind, status, message, error.door, error.failures)
        return cls(stage, kind, status, message)


@dataclass
class RunReport:
    """One run, filled stage by stage. Counts are of this run alone; times are UTC."""

    run_id: str
    as_of: datetime
    source: str
    dry_run: bool
    state_dir: str
    time_zone: str
    """The company's time zone, in which a person reads times."""
    report_file: str | None = None
    """Where the report for a person is written when the run ends."""
    status: str = "running"
    """running, done, stopped (by a gate, or for want of an approval) or failed."""
    known_then: dict[str, Any] | None = None
    """Of a run of the past: from when on the newest delivery is known (loaded_at), and by table
    the rows that came later, or changed later."""
    accounts: int | None = None
    feed_status: str | None = None
    feed_reason: str | None = None
    gate: dict[str, dict[str, int]] = field(default_factory=dict)
    """Door: checks passed, failed, warnings."""
    data_docs: str | None = None
    rows: dict[str, int] = field(default_factory=dict)
    new_rows: dict[str, int] = field(default_factory=dict)
    gone_rows: dict[str, int] = field(default_factory=dict)
    """Table: rows that the CRM delivered before and does not deliver any more."""
    corrected_rows: int = 0
    """Rows of events and answers that say something else now, or were taken out."""
    corrected_accounts: int = 0
    """Accounts whose history changed by it, and was counted again."""
    accounts_late: int = 0
    """Accounts of a part of the usage feed that is late, while the feed is fresh."""
    late_parts: dict[str, int] = field(default_factory=dict)
    """Why they are late, and how many accounts of each."""
    rejected_rows: int = 0
    """Rejected rows of all tables."""
    rejected_by_table: dict[str, int] = field(default_factory=dict)
    rejected_cells: int = 0
    """Optional values of the delivery that cannot be used: they are empty."""
    rejected_cell_examples: list[dict[str, Any]] = field(default_factory=list)
    rejected_examples: list[dict[str, Any]] = field(default_factory=list)
    enrolled: dict[str, int] = field(default_factory=dict)
    exited: dict[str, int] = field(default_factory=dict)
    planned: int = 0
    """Mails planned; those whose window opens later wait in the ledger."""
    planned_by_trigger: dict[str, int] = field(default_factory=dict)
    withheld: dict[str, int] = field(default_factory=dict)
    """Reason: mails and entries decided against."""
    waiting: list[str] = field(default_factory=list)
    """A sentence for each trigger that waits."""
    broken: dict[str, list[Problem]] = field(default_factory=dict)
    """Trigger that waits because its file or mails cannot be used: its problems (file, line, what,
    hint)."""
    flood: Flood | None = None
    """Why the run needs an approval: people, budget, why, by_trigger, sample."""
    owner_lists: dict[str, int] = field(default_factory=dict)
    """lists planned for account owners, accounts on them, and owners whose news waits because
    they had today's list."""
    owners_unreached: dict[str, Any] = field(default_factory=dict)
    """News of accounts whose owner cannot be mailed: accounts, and a few examples."""
    accepted: int = 0
    by_trigger: dict[str, int] = field(default_factory=dict)
    """Trigger: mails that the provider took."""
    not_accepted: dict[str, int] = field(default_factory=dict)
    """State of the due mails that were not accepted (rejected, expired, suppressed, …): mails."""
    remaining_planned: int = 0
    next_due: datetime | None = None
    rests_until: datetime | None = None
    """Until when the provider asked for a pause, where that ended the delivery."""
    no_room: dict[str, int] = field(default_factory=dict)
    """Domain: due mails that wait, because it had its mails of today while warming up."""
    stage_health: list[dict[str, Any]] = field(default_factory=list)
    """One item per stage and usage band: stage, usage_band, accounts."""
    effects: list[dict[str, Any]] = field(default_factory=list)
    """The newest version of each trigger that is measured, as `effect --json` tells it."""
    effects_in_short: list[str] = field(default_factory=list)
    """A line for each of them."""
    warnings: list[str] = field(default_factory=list)
    stopped: Stop | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage: seconds spent."""

    # Filled by the stages. ---------------------------------------------------------------

    def add_pull(self, pulled: PullResult) -> None:
        """Add what the pull loaded."""
        self.rows = dict(pulled.rows)
        self.new_rows = dict(pulled.new_rows)
        self.gone_rows = {name: n for name, n in pulled.gone_rows.items() if n}
        self.rejected_by_table = {name: n for name, n in pulled.rejected.items() if n}
        self.rejected_rows = sum(self.rejected_by_table.values())
        self.rejected_cells = sum(pulled.rejected_cells.values())
        self.corrected_rows = sum(pulled.corrected.values())
        self.corrected_accounts = pulled.corrected_accounts
        self.accounts = self.rows.get("accounts")
        if pulled.passed_over:
            named = ", ".join(pulled.passed_over[:5])
            more = len(pulled.passed_over) - 5
            named += f" and {more:,} more" if more > 0 else ""
            self.warnings.append(
                f"Not read, for the name does not end in .csv, .jsonl or .parquet: {named}."
            )

    def add_gate(self, result: GateResult) -> None:
        """Add what a gate found; a gate may be passed again after an approval."""
        self.gate[result.door] = result.as_json()
        self.warnings += [text for text in result.warnings if text not in self.warnings]
        self.data_docs = str(result.data_docs)

    def add_build(self, built: BuildResult) -> None:
        """Add dbt's warnings."""
        self.warnings += built.warnings

    def add_known_then(self, known: KnownThen | None) -> None:
        """Add what a run of the past saw of the CRM."""
        if known is not None:
            self.known_then = {**asdict(known), "loaded_at": known.loaded_at.isoformat()}

    def add_published(self, warehouse: duckdb.DuckDBPyConnection) -> None:
        """Add figures of the published marts."""
        feed = published_marts.feed(warehouse)
        self.feed_status, self.feed_reason = feed["feed_status"], feed["reason"]
        self.accounts = published_marts.account_count(warehouse)
        if self.feed_status == "fresh":
            self.late_parts = published_marts.late_parts(warehouse)
            self.accounts_late = sum(self.late_parts.values())
        self.stage_health = published_marts.stage_health(warehouse)
        if self.rejected_cells:
            self.rejected_cell_examples = published_marts.rejected_examples(
                warehouse, "rejected_cells"
            )
        if self.rejected_rows:
            self.rejected_examples = published_marts.rejected_examples(warehouse)

    def add_effects(self, versions: Sequence[MeasuredEffect]) -> None:
        """Add the measured effects."""
        self.effects = [version.as_json() for version in versions]
        self.effects_in_short = [version.in_short() for version in versions]

    def add_plan(self, result: PlanResult) -> None:
        """Add what the planner decided."""
        self.planned = result.planned
        self.planned_by_trigger = dict(Counter(send.trigger for send in result.decisions.sends))
        self.enrolled, self.exited = result.enrolled, result.exited
        self.withheld = {str(reason): count for reason, count in result.withheld.items()}
        self.waiting = list(result.waiting)
        self.broken = {name: list(problems) for name, problems in result.broken.items()}
        self.flood = result.flood
        if result.losses:  # of a dry run: any other stops
            self.warnings += [f"a run would stop: {text}" for text in result.losses.failures]

    def add_owner_lists(self, owner_lists: OwnerLists) -> None:
        """Add the owners' lists, and the news whose owner has no address."""
        self.planned += len(owner_lists.lists)
        if owner_lists.lists:
            self.planned_by_trigger[OWNER_LIST] = len(owner_lists.lists)
        self.owner_lists = {
            "lists": len(owner_lists.lists),
            "accounts": owner_lists.accounts,
            "waiting": owner_lists.waiting,
        }
        unreached = [(entry, why) for news, why in owner_lists.unreached for entry in news.entries]
        unreached.sort(key=lambda news: (news[0].urgency, news[0].account_id))
        if unreached:
            self.owners_unreached = {
                "accounts": len(unreached),
                "examples": [
                    {
                        "account_id": entry.account_id,
                        "name": entry.account["name"],
                        "news": list(entry.news),
                        "why": why,
                    }
                    for entry, why in unreached[: published_marts.EXAMPLES]
                ],
            }

    def add_delivery(self, done: DeliveryResult, *, remaining: int) -> None:
        """Add what was delivered, and how many mails wait."""
        self.accepted = done.accepted
        self.by_trigger = dict(done.by_trigger)
        self.not_accepted = {
            str(state): count for state, count in done.states.items() if state != State.ACCEPTED
        }
        self.remaining_planned, self.next_due = remaining, done.next_due
        self.rests_until, self.no_room = done.rests_until, dict(done.no_room)

    # Shown. ------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """The object of `run --json`."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }

    def as_document(self) -> Document:
        """The report for a person."""
        return [
            part
            for part in (
                self._headline(),
                self._stop(),
                self.over_budget(),
                self._broken(),
                self._mails(),
                self._withheld(),
                self._owners(),
                self._attention(),
                self._rejected(),
                self._effects(),
                self._health(),
                self._time(),
            )
            if part.parts
        ]

    def in_short(self) -> str:
        """The result of the run in one log line."""
        withheld = sum(self.withheld.values())
        return (
            f"run {self.run_id}: {self.status}; {self.accounts or 0} accounts, "
            f"{self.planned} mails planned, {self.accepted} accepted, {withheld} withheld, "
            f"{self.remaining_planned} waiting, {len(self.broken)} triggers cannot be used"
        )

    def as_text(self) -> str:
        """The report as plain text of 80 columns."""
        return as_text(self.as_document())

    def write(self, folder: Path) -> None:
        """Leave the report as `<run_id>.json` and `.txt`; all but a dry run's also as `latest`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in [self.run_id] if self.dry_run else [self.run_id, "latest"]:
            content = json.dumps(self.as_json(), ensure_ascii=False, indent=2)
            _replace(folder / f"{name}.json", f"{content}\n")
            _replace(folder / f"{name}.txt", self.as_text())

    def path(self, folder: Path) -> Path:
        """Where `write` leaves the report for a person."""
        return folder / f"{self.run_id}.txt"

    # The parts. --------------------------------------------------------------------------

    def _headline(self) -> Section:
        kind = "Dry run" if self.dry_run else "Run"
        tone = {"done": "good", "stopped": "bad", "failed": "bad"}.get(self.status, "")
        as_of = moment(self.as_of, self.time_zone)
        parts = [f"As of {as_of}. Source: {self.source}."]
        if self.accounts is not None:
            parts.append(f"{counted(self.accounts, 'account')}.")
        if self.known_then is not None:
            parts.append(self._seen(self.known_then))
        if self.gone_rows:
            counts = ", ".join(f"{n:,} of {name}" for name, n in self.gone_rows.items())
            parts.append(f"No longer in the CRM, so not mailed any more: {counts}.")
        if self.feed_status == "late":
            parts.append(f"The usage feed is LATE: {self.feed_reason}.")
        elif self.feed_status:
            parts.append(f"The usage feed is {self.feed_status}.")
        for reason, late in self.late_parts.items():
            parts.append(f"LATE for {counted(late, 'account')}: {reason}.")
        if self.corrected_rows:
            parts.append(
                f"{counted(self.corrected_rows, 'row')} of events and answers corrected; "
                f"{counted(self.corrected_accounts, 'account')} counted again."
            )
        for door, checks in self.gate.items():
            parts.append(
                f"Gate {door}: {checks['passed']} checks passed, {checks['failed']} failed, "
                f"{counted(checks['warnings'], 'warning')}."
            )
        return Section(f"{kind} {self.run_id}: {self.status}", tuple(parts), tone)

    def _seen(self, known: dict[str, Any]) -> str:
        """What a run of the past saw of the CRM, in a line."""
        since = moment(datetime.fromisoformat(known["loaded_at"]), self.time_zone)
        text = f"The CRM is seen as it was known then; this delivery counts from {since} on."
        if changed := _listed(known["changed_later"]):
            text += f" Its changes of {changed} are not seen."
        if came := _listed(known["came_later"]):
            text += f" What no delivery had by then is seen as it first came: {came}."
        return f"{text} `lifecycle run --delivered DAY` reads a dated export as of its day."

    def _stop(self) -> Section:
        if self.stopped is None:
            return Section("", ())
        parts: list[str | Table] = [self.stopped.message]
        if self.accepted == 0 and not self.planned:
            parts.append("Nothing was planned and nothing was sent.")
        else:
            parts.append(
                f"{counted(self.planned, 'mail')} had been planned, "
                f"{self.accepted:,} accepted. Run again to go on: nothing is sent twice."
            )
        if self.data_docs:
            parts.append(f"Every check with its rows: {self.data_docs}")
        return Section(f"Why it ended in stage {self.stopped.stage}", tuple(parts), "bad")

    def _broken(self) -> Section:
        if not self.broken:
            return Section("", ())
        title = f"{counted(len(self.broken), 'trigger')} cannot be used"
        return Section(title, (BROKEN, *broken_lines(self.broken)), "bad")

    def _mails(self) -> Section:
        if self.stopped and not self.planned and not self.accepted:
            return Section("", ())
        parts: list[str | Table] = []
        if self.dry_run:
            parts.append(f"{counted(self.planned, 'mail')} would be planned. Nothing was sent.")
        else:
            parts.append(
                f"{counted(self.accepted, 'mail')} accepted by the provider, "
                f"{self.planned:,} newly planned, {self.remaining_planned:,} waiting in the queue."
            )
        if self.next_due and self.remaining_planned:
            parts.append(f"The next one may go {moment(self.next_due, self.time_zone)}.")
        if self.rests_until:
            parts.append(left_alone(self.rests_until, self.time_zone))
        parts += waits(self.no_room)
        names = sorted({*self.enrolled, *self.exited, *self.planned_by_trigger, *self.by_trigger})
        if names:
            parts.append(
                table(
                    ("trigger", "entered", "left", "planned", "accepted"),
                    (
                        (
                            name,
                            self.enrolled.get(name, 0),
                            self.exited.get(name, 0),
                            self.planned_by_trigger.get(name, 0),
                            self.by_trigger.get(name, 0),
                        )
                        for name in names
                    ),
                )
            )
        fates = {fate: count for fate, count in self.not_accepted.items() if count}
        if fates:
            counts = ", ".join(f"{count:,} {fate}" for fate, count in fates.items())
            parts.append(f"Due, but not accepted: {counts}.")
        return Section("Mails", tuple(parts))

    def over_budget(self) -> Section:
        """Why the run needs an approval, and whom it reaches; empty where it needs none."""
        if self.flood is None:
            return Section("", ())
        title = "This run would wait for an approval" if self.dry_run else "Needs an approval"
        parts: list[str | Table] = [
            f"More people than its budget of {self.flood.budget:,}: {self.flood.why}.",
            table(("trigger", "people"), self.flood.by_trigger.items()),
            "Some of the accounts:",
            table(
                ("account", "id", "trigger"),
                (
                    (mail["name"], Id(mail["account_id"]), mail["trigger"])
                    for mail in self.flood.sample
                ),
            ),
        ]
        if not self.dry_run:
            parts.append(f"lifecycle approve {self.run_id} --by NAME --why TEXT")
            parts.append(f"lifecycle reject {self.run_id} --by NAME --why TEXT")
        return Section(title, tuple(parts), "warning")

    def _withheld(self) -> Section:
        if not self.withheld:
            return Section("", ())
        rows = Counter(self.withheld).most_common()
        reasons = table(
            ("reason", "count", "why"), ((name, n, WHY.get(name, "")) for name, n in rows)
        )
        return Section("Withheld", (reasons,))

    def _owners(self) -> Section:
        parts: list[str | Table] = []
        counts = self.owner_lists
        if counts.get("lists"):
            will = "would be" if self.dry_run else "are"
            parts.append(
                f"{counted(counts['accounts'], 'account')} with news {will} on "
                f"{counted(counts['lists'], 'list')} for their owners."
            )
        if counts.get("waiting"):
            parts.append(
                f"{counted(counts['waiting'], 'owner')} had today's list before: "
                "the newer news comes with the next one."
            )
        if self.owners_unreached:
            number, examples = self.owners_unreached["accounts"], self.owners_unreached["examples"]
            parts.append(f"{counted(number, 'account')} with news, and no owner to tell:")
            rows = (
                (
                    example["name"],
                    Id(example["account_id"]),
                    ", ".join(example["news"]),
                    example["why"],
                )
                for example in examples
            )
            parts.append(table(("account", "id", "news", "why"), rows))
            if number > len(examples):
                parts.append("`lifecycle owners --json` lists them all.")
        return Section("Account owners", tuple(parts))

    def _attention(self) -> Section:
        return Section("To know", (*self.waiting, *self.warnings), "warning")

    def _rejected(self) -> Section:
        counts = ", ".join(f"{n:,} of {name}" for name, n in self.rejected_by_table.items() if n)
        parts: list[str | Table] = []
        if self.rejected_rows:
            parts.append(f"{counted(self.rejected_rows, 'row')} not usable: {counts}.")
            parts += _examples(self.rejected_examples, self.rejected_rows, "rejected_rows")
        if self.rejected_cells:
            values = counted(self.rejected_cells, "value")
            parts.append(f"{values} not usable, empty in rows that stay:")
            parts += _examples(self.rejected_cell_examples, self.rejected_cells, "rejected_cells")
        if self.rejected_examples or self.rejected_cell_examples:
            parts.append("A row counts records: in a spreadsheet with a header it is one further.")
        return Section("Rejected rows", tuple(parts), "warning")

    def _effects(self) -> Section:
        return Section("What mails changed, 95 % sure at every look", tuple(self.effects_in_short))

    def _health(self) -> Section:
        if not self.stage_health:
            return Section("", ())
        return Section("Accounts by stage and usage health", (self.matrix(),))

    def matrix(self) -> Table:
        """Stages down, usage bands across, accounts in the cells."""
        cells: Counter[tuple[str, str]] = Counter()
        for row in self.stage_health:
            cells[row["stage"] or "unknown", row["usage_band"] or "unknown"] += row["accounts"]
        stages = sorted({stage for stage, _ in cells}, key=_stage_order)
        rows: list[list[Cell]] = [[name, *[cells[name, band] for band in BANDS]] for name in stages]
        return table(("stage", *BANDS), rows)

    def _time(self) -> Section:
        if not self.seconds:
            return Section("", ())
        stages = ", ".join(
            f"{name.replace('_', ' ')} {spent:.1f}" for name, spent in self.seconds.items()
        )
        total = sum(self.seconds.values())
        where = f"Mails, reports and Data Docs: {self.state_dir}"
        return Section("", (f"{total:.1f} seconds: {stages}.", where))


def _listed(counts: dict[str, int]) -> str:
    """Counts of accounts and contacts, those that are not 0."""
    return " and ".join(counted(n, table.removesuffix("s")) for table, n in counts.items() if n)


def _stage_order(stage: str) -> tuple[int, str]:
    order = ("onboarding", "adoption", "mature", "renewal", "churned", "unknown")
    return (order.index(stage) if stage in order else len(order), stage)


def _replace(path: Path, content: str) -> None:
    # A reader never finds half a report.
    draft = path.with_suffix(f"{path.suffix}.part")
    draft.write_text(content, encoding="utf-8")
    os.replace(draft, path)


def _examples(examples: Sequence[dict[str, Any]], count: int, mart: str) -> list[str | Table]:
    """A table of a few rows of a mart, and how many more there are."""
    if not examples:
        return []
    columns = ("table", "file", "row", "column", "reason")
    parts: list[str | Table] = [table(columns, ([row[n] for n in columns] for row in examples))]
    if more := count - len(examples):
        parts.append(f"and {more:,} more: marts.{mart} in published.duckdb.")
    return parts
