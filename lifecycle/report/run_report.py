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

from lifecycle.document import Document, as_text
from lifecycle.errors import GateStopped, LifecycleError, Problem
from lifecycle.ledger.tables import State
from lifecycle.report import run_sections
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
    feed_questions: list[str] = field(default_factory=list)
    """Of parts of the feed that stayed thin: the questions that this run asks, once."""
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
    unwritten: list[str] = field(default_factory=list)
    """Why mails could not be written, a sentence for each cause: file, line, what and how many."""
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
    dropped: dict[str, int] = field(default_factory=dict)
    """Why due mails left the queue without being sent: mails (a full cap, a domain's full day)."""
    answers_waiting: int = 0
    """Messages that came back, and that nobody has answered or looked at."""
    held: int = 0
    """Mails that a person has to decide about since this delivery."""
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
        self.unwritten = result.unwritten
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
        self.held, self.dropped = done.held, dict(done.dropped)

    # Shown. ------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """The object of `run --json`."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }

    def as_document(self) -> Document:
        """The report for a person."""
        return run_sections.as_document(self)

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


def _replace(path: Path, content: str) -> None:
    # A reader never finds half a report.
    draft = path.with_suffix(f"{path.suffix}.part")
    draft.write_text(content, encoding="utf-8")
    os.replace(draft, path)
