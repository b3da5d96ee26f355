"""How things stand: the last runs, the queue, and what waits for a person."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lifecycle.errors import Problem, TriggerError
from lifecycle.insight import published
from lifecycle.insight.document import Document, Id, Section, Table, counted, moment, table
from lifecycle.insight.waiting import BROKEN, broken_lines, waits
from lifecycle.ledger import approvals, delivery, history, warmup
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.providers import is_live
from lifecycle.settings import Settings
from lifecycle.triggers.files import read_files
from lifecycle.warehouse.connection import connect_published

RUNS = 7
SHOWN = 10
UNSURE = (State.UNCERTAIN, State.HELD)
ALWAYS_SHOWN = (State.PLANNED, State.ACCEPTED)


@dataclass(frozen=True)
class Status:
    """One state folder as it is now. Times are ISO 8601 in UTC."""

    state_dir: str
    time_zone: str
    published: dict[str, Any] | None
    """accounts, as_of, feed_status, feed_reason; None before the first run that passed."""
    runs: list[dict[str, Any]]
    """The newest runs: run_id, status, as_of, started_at, and counts of their reports."""
    triggers: list[dict[str, Any]]
    """One item a trigger: in_sequence, its versions that wait (version, since, for), who stopped
    it (mode, since, by, why), and its mails by state."""
    needs_approval: list[dict[str, Any]]
    """Runs over their budget that nobody decided about: run_id, as_of, people, mails, why."""
    holds: list[dict[str, Any]]
    """Accounts on hold: account_id, until, since, by, why."""
    next_due: str | None
    no_room: dict[str, int]
    """Domain: due mails that wait, because it had its mails of today while warming up."""
    needs_a_person: list[dict[str, Any]]
    """Mails of which nothing proves whether they left: send_id, account, step, state, detail."""
    suppressed: dict[str, int]
    """Addresses that are never mailed, by reason."""
    states: dict[str, int]
    """Mails of all triggers by state; every state is there."""
    feedback: dict[str, int]
    """What came back, by kind."""
    feedback_read: dict[str, str]
    """When each list of the provider was last read."""
    broken: dict[str, list[Problem]]
    """By name, the triggers that wait because their file or their mails cannot be used now: file,
    line, what and hint of all that is wrong with each."""
    wrong_everywhere: list[Problem]
    """What is wrong with the files of all triggers: no run begins before it is mended."""

    def as_json(self) -> dict[str, Any]:
        """The object of `status --json`."""
        return asdict(self)

    def as_document(self) -> Document:
        """The status for a person."""
        return [
            part
            for part in (
                self._warehouse(),
                self._runs(),
                self._approvals(),
                self._files(),
                self._mails(),
                self._unsure(),
            )
            if part.parts
        ]

    def _warehouse(self) -> Section:
        title = f"State folder {self.state_dir}"
        if self.published is None:
            return Section(title, ("Nothing was published yet: `lifecycle run` makes it.",))
        told = self.published
        lines = [f"{counted(told['accounts'], 'account')} as of {self._when(told['as_of'])}."]
        if told["feed_status"] == "late":
            lines.append(f"The usage feed is LATE: {told['feed_reason']}.")
        else:
            lines.append(f"The usage feed is {told['feed_status']}.")
        return Section(title, tuple(lines))

    def _runs(self) -> Section:
        if not self.runs:
            return Section("", ())
        columns = ("as of", "status", "planned", "accepted", "withheld", "run")
        rows = (
            (
                self._when(run["as_of"], short=True),
                run["status"],
                run["planned"],
                run["accepted"],
                run["withheld"],
                Id(run["run_id"]),
            )
            for run in self.runs
        )
        stops = [f"{run['run_id']}: {run['why']}" for run in self.runs if run["why"]]
        return Section("Last runs", (table(columns, rows), *stops))

    def _approvals(self) -> Section:
        if not self.needs_approval:
            return Section("", ())
        columns = ("run", "people", "mails left", "why")
        rows = (
            (Id(one["run_id"]), *(one[name] for name in ("people", "mails", "why")))
            for one in self.needs_approval
        )
        ask = "Decide: lifecycle approve RUN --by NAME --why TEXT, or lifecycle reject RUN …"
        return Section("Waits for an approval", (table(columns, rows), ask), "warning")

    def _files(self) -> Section:
        parts: list[str] = []
        if self.wrong_everywhere:
            parts += ["No run begins before this is mended:", *map(str, self.wrong_everywhere)]
        if self.broken:
            parts += [BROKEN, *broken_lines(self.broken)]
        return Section("Triggers that cannot be used", tuple(parts), "bad")

    def _mails(self) -> Section:
        if not self.triggers and not self.holds:
            return Section("", ())
        seen = [state for state, count in self.states.items() if count or state in ALWAYS_SHOWN]
        rows = (
            (one["trigger"], one["in_sequence"], *(one["mails"].get(state, 0) for state in seen))
            for one in self.triggers
        )
        parts: list[str | Table] = [table(("trigger", "in sequence", *seen), rows)]
        if self.next_due:
            parts.append(f"The next mail may go {self._when(self.next_due)}.")
        parts += waits(self.no_room)
        parts += [
            f"{one['trigger']} (version {wait['version'][:8]}) waits since "
            f"{self._when(wait['since'])}: {wait['for']}"
            for one in self.triggers
            for wait in one["waiting"]
        ]
        parts += [
            f"{one['trigger']} is {one['stop']['mode']} since {self._when(one['stop']['since'])}, "
            f"by {one['stop']['by']}: {one['stop']['why']}"
            for one in self.triggers
            if one["stop"]
        ]
        parts += [
            f"Account {one['account_id']} is on hold until {self._when(one['until'])}, "
            f"by {one['by']}: {one['why']}"
            for one in self.holds
        ]
        if self.suppressed:
            told = ", ".join(f"{n:,} {reason}" for reason, n in sorted(self.suppressed.items()))
            parts.append(f"Addresses that are never mailed: {told}.")
        if self.feedback:
            told = ", ".join(f"{n:,} {kind}" for kind, n in sorted(self.feedback.items()))
            parts.append(f"Came back: {told}.")
        if self.feedback_read:
            oldest = min(self.feedback_read.values())
            parts.append(f"Bounces and unsubscribes were last read {self._when(oldest)}.")
        return Section("Mails", tuple(parts))

    def _unsure(self) -> Section:
        if not self.needs_a_person:
            return Section("", ())
        columns = ("account", "trigger", "step", "state")
        rows = ((*(one[name] for name in columns), Id(one["send"])) for one in self.needs_a_person)
        told = "Nothing proves whether these mails left:"
        return Section("To decide", (told, table((*columns, "send"), rows)), "warning")

    def _when(self, text: str | None, *, short: bool = False) -> str:
        told = moment(datetime.fromisoformat(text) if text else None, self.time_zone)
        return told[4:].rpartition(" ")[0] if short else told


def status(settings: Settings, ledger: Ledger, *, as_of: datetime | None = None) -> Status:
    """Read how things stand; `as_of` is the clock of mails, or now. Raises LedgerError."""
    launched = {row.trigger for row in history.launched(ledger)}
    waiting, stops = history.waiting(ledger), history.stops(ledger)
    mails, inside = history.sends_by_state(ledger), history.enrolled_now(ledger)
    now = as_of or datetime.now(UTC)
    with ledger.read() as connection:
        next_due = delivery.next_due(connection, now)
        decisions = approvals.decisions(connection)
    total = sum(mails.values(), Counter())
    broken, wrong_everywhere = _broken(settings)
    return Status(
        state_dir=str(settings.state_dir),
        time_zone=settings.company.time_zone,
        published=_published(settings),
        runs=[_run(row, decisions.get(row.run_id)) for row in history.last_runs(ledger, RUNS)],
        triggers=[
            {
                "trigger": name,
                "in_sequence": inside.get(name, 0),
                "waiting": [
                    {
                        "version": row.version,
                        "since": _iso(row.waiting_since),
                        "for": row.waiting_for,
                    }
                    for row in waiting
                    if row.trigger == name
                ],
                "stop": _stop(stops.get(name)),
                "mails": dict(mails.get(name, Counter())),
            }
            for name in sorted({*launched, *mails, *inside, *stops})
        ],
        needs_approval=[
            {
                "run_id": row.run_id,
                "as_of": _iso(row.as_of),
                "people": row.people,
                "mails": row.mails,
                "why": row.over_budget,
            }
            for row in approvals.waiting(ledger)
        ],
        holds=[
            {**one, "until": _iso(one["until"]), "since": _iso(one["since"])}
            for one in history.holds(ledger, now).values()
        ],
        next_due=_iso(next_due) if next_due else None,
        no_room=_no_room(settings, ledger),
        needs_a_person=[
            {
                "account": row.account_id,
                "trigger": row.trigger,
                "step": row.step,
                "state": row.state,
                "send": row.send_id,
                "detail": row.detail,
            }
            for row in history.needing_a_person(ledger, SHOWN)
        ],
        suppressed=history.suppressed_by_reason(ledger),
        states={state: total[state] for state in State},
        feedback=history.facts_by_kind(ledger),
        feedback_read={
            source: at.isoformat() for source, at in history.feedback_read(ledger).items()
        },
        broken=broken,
        wrong_everywhere=wrong_everywhere,
    )


def _broken(settings: Settings) -> tuple[dict[str, list[Problem]], list[Problem]]:
    """What is wrong with the files now: by trigger, and for all of them."""
    try:
        files = read_files(settings)
    except TriggerError as error:
        return {}, list(error.problems)
    return {name: list(wrong) for name, wrong in files.broken.items()}, list(files.everywhere)


def _no_room(settings: Settings, ledger: Ledger) -> dict[str, int]:
    if not is_live(settings) or not settings.warmup.start:
        return {}
    with ledger.read() as connection:
        return warmup.waiting(connection, datetime.now(UTC), settings.warmup)


def _published(settings: Settings) -> dict[str, Any] | None:
    if not settings.published_db.exists():
        return None
    with connect_published(settings) as warehouse:
        feed = published.feed(warehouse)
        as_of = published.as_of(warehouse)
        return {
            "accounts": published.account_count(warehouse),
            "as_of": _iso(as_of),
            "feed_status": feed["feed_status"],
            "feed_reason": feed["reason"],
        }


def _run(row: Any, decision: Any) -> dict[str, Any]:
    report = json.loads(row.report) if row.report else {}
    stopped = report.get("stopped")
    told = [stopped["message"].splitlines()[0], *stopped["failures"][:1]] if stopped else []
    why = " ".join(told) or None
    if row.status == "failed" and not report:
        why = "it was ended from outside"
    if decision is not None:
        why = f"It was {decision.decision} by {decision.by}: {decision.why}"
    return {
        "run_id": row.run_id,
        "status": row.status,
        "as_of": _iso(row.as_of),
        "started_at": _iso(row.started_at),
        "finished_at": _iso(row.finished_at),
        "source": row.source,
        "planned": report.get("planned"),
        "accepted": report.get("accepted"),
        "withheld": sum(report["withheld"].values()) if report else None,
        "why": why,
    }


def _stop(one: dict[str, Any] | None) -> dict[str, Any] | None:
    return one and {"mode": one["mode"], "since": _iso(one["since"])} | {
        name: one[name] for name in ("by", "why")
    }


def _iso(value: Any) -> str | None:
    return value.isoformat() if value else None
