"""`lifecycle status`: the last runs, the schedules, the queue, and what waits for a person."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from lifecycle import schedules as schedules_file
from lifecycle.authoring.broken import broken_files
from lifecycle.document import Document, counted, moment
from lifecycle.errors import Problem, SettingsError
from lifecycle.ledger import (
    account_history,
    approvals,
    commands,
    delivery,
    feed_questions,
    feedback,
    held_deliveries,
    held_losses,
    replies,
    warmup,
)
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.counting import due_now
from lifecycle.mail.live import is_live
from lifecycle.settings import Settings
from lifecycle.status import prefect_schedule
from lifecycle.status.alarms import Alarm, Facts, alarms
from lifecycle.status.page import as_page
from lifecycle.status.prefect_schedule import PrefectSchedule
from lifecycle.status.timeliness import Timeliness, delivers_nothing, timeliness
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published

RUNS = 7
SHOWN = 10
LOOKS_AT_THE_PAST = timedelta(hours=24)
"""A delivery clock further than this from the wall clock stands still."""


@dataclass(frozen=True)
class Status:
    """The present status of one state folder. Times are ISO 8601 in UTC."""

    state_dir: str
    time_zone: str
    published: dict[str, Any] | None
    """accounts, as_of, feed_status, feed_reason; None before the first run that passed."""
    schedules: list[Timeliness]
    """One item a schedule of prefect.yaml: its last run, its next run, and whether it is late."""
    schedules_problem: str | None
    """Why prefect.yaml cannot be read."""
    is_unscheduled: bool
    """Whether the folder replays the past and Prefect never started a run in it."""
    prefect: PrefectSchedule | None
    """What Prefect's API has planned; None without PREFECT_API_URL."""
    alarms: list[Alarm]
    """What `--check` finds wrong."""
    runs: list[dict[str, Any]]
    """The newest runs: run_id, status, as_of, started_at, and counts of their reports."""
    triggers: list[dict[str, Any]]
    """One item a trigger: in_sequence, its versions that wait (version, since, for), who stopped
    it (mode, since, by, why), and its mails by state."""
    needs_approval: list[dict[str, Any]]
    """Runs without a decision, over their budget, with a delivery that moved too far or by which
    too much would end: run_id, as_of, people, mails, why. The last two have neither people nor
    mails."""
    feed_questions: list[dict[str, Any]]
    """Parts of the usage feed that stayed thin, of which nobody said whether that is normal: part,
    since, why."""
    holds: list[dict[str, Any]]
    """Accounts on hold: account_id, until, since, by, why."""
    next_due: str | None
    no_room: dict[str, int]
    """Domain: due mails that wait, because the domain had its daily number while warming up."""
    needs_a_person: list[dict[str, Any]]
    """Mails to decide about now, since nothing proves whether they left: send, account, trigger,
    step, state, detail."""
    refusals: list[dict[str, Any]]
    """What the provider said of mails that it refused: state (queued: they go again; rejected),
    mails, why and when it said so last."""
    answers_waiting: dict[str, int]
    """Messages that came back and that nobody has settled, by kind: answer, unmatched."""
    suppressed: dict[str, int]
    """Addresses that are never mailed, by reason."""
    departures_waiting: dict[str, int]
    """Run: how many left by the word of its delivery, which did not pass the gates."""
    states: dict[str, int]
    """Mails of all triggers by state; every state is there."""
    feedback: dict[str, int]
    """Feedback facts (bounced, complained, …) by kind."""
    feedback_read: dict[str, str]
    """When each list of the provider was last read."""
    broken: dict[str, list[Problem]]
    """Trigger that waits because its file or mails cannot be used: its problems (file, line, what,
    hint)."""
    wrong_everywhere: list[Problem]
    """Problems that concern all triggers: no run begins before they are mended."""

    def as_json(self) -> dict[str, Any]:
        """The object of `status --json`."""
        own = {
            "schedules": [schedule.as_json() for schedule in self.schedules],
            "prefect": self.prefect.as_json() if self.prefect else None,
            "alarms": [alarm.as_json() for alarm in self.alarms],
            "broken": {
                name: [asdict(problem) for problem in problems]
                for name, problems in self.broken.items()
            },
            "wrong_everywhere": [asdict(problem) for problem in self.wrong_everywhere],
        }
        published_fields = {
            column.name: getattr(self, column.name)
            for column in fields(self)
            if column.name not in own
        }
        return {**published_fields, **own}

    def as_check(self) -> dict[str, Any]:
        """The object of `status --check --json`."""
        return {"ok": not self.alarms, "alarms": [alarm.as_json() for alarm in self.alarms]}

    def as_line(self) -> str:
        """The line of `status --check`."""
        if self.alarms:
            return " · ".join(alarm.text for alarm in self.alarms)
        on_time = counted(len(self.schedules), "schedule")
        as_of = datetime.fromisoformat(self.published["as_of"]) if self.published else None
        return f"ok: {on_time} on time, published as of {moment(as_of, self.time_zone)}"

    def as_document(self) -> Document:
        """The status for a person."""
        return as_page(self)


def status(settings: Settings, ledger: Ledger, *, as_of: datetime | None = None) -> Status:
    """Read the status. `as_of` is the delivery clock; now where left out. Raises LedgerError."""
    wall_clock = datetime.now(UTC)
    now = as_of or wall_clock
    schedules, problem = _schedules(settings)
    prefect = prefect_schedule.ask(settings.state_dir, schedules)
    published = _published(settings)
    launched = {row.trigger for row in account_history.launched(ledger)}
    waiting, stops = account_history.waiting(ledger), account_history.stops(ledger)
    mails, inside = account_history.sends_by_state(ledger), account_history.enrolled_now(ledger)
    with ledger.read() as connection:
        next_due = delivery.next_due(connection, now)
        decisions = approvals.decisions(connection)
        recorded = commands.read(connection)
        due = due_now(settings, connection, now)
        stale_feedback = feedback.stale(
            connection,
            settings.delivery.provider,
            settings.feedback.max_age,
            wall_clock,
            mailbox=settings.mailbox.is_read,
        )
    total = sum(mails.values(), Counter())
    broken = broken_files(settings)
    kept_schedules = timeliness(settings.status, schedules, recorded, wall_clock)
    facts = Facts(
        now=wall_clock,
        clock=now,
        schedules=kept_schedules,
        schedules_problem=problem,
        prefect=prefect,
        published_as_of=datetime.fromisoformat(published["as_of"]) if published else None,
        due=due,
        held=total[State.HELD],
        stale_feedback=stale_feedback,
        fruitless=delivers_nothing(recorded),
    )
    return Status(
        state_dir=str(settings.state_dir),
        time_zone=settings.company.time_zone,
        published=published,
        schedules=kept_schedules,
        schedules_problem=problem,
        is_unscheduled=abs(wall_clock - now) > LOOKS_AT_THE_PAST and not recorded.by_prefect,
        prefect=prefect,
        alarms=alarms(settings, facts),
        runs=[
            _run(row, decisions.get(row.run_id)) for row in account_history.last_runs(ledger, RUNS)
        ],
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
        ]
        + [
            {
                "run_id": row.run_id,
                "as_of": _iso(row.as_of),
                "people": None,
                "mails": None,
                "why": row.why,
            }
            for row in (*held_deliveries.waiting(ledger), *held_losses.waiting(ledger))
        ],
        feed_questions=[
            {"part": row.part, "since": row.since.isoformat(), "why": row.why}
            for row in feed_questions.waiting(ledger)
        ],
        holds=[
            {**hold, "until": _iso(hold["until"]), "since": _iso(hold["since"])}
            for hold in account_history.holds(ledger, now).values()
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
            for row in account_history.needing_a_person(ledger, SHOWN)
        ],
        refusals=[
            {"state": row.state, "mails": row.n, "why": row.detail, "at": _iso(row.at)}
            for row in account_history.refusals(ledger)[:SHOWN]
        ],
        answers_waiting=dict(Counter(str(row.kind) for row in replies.waiting(ledger))),
        suppressed=account_history.suppressed_by_reason(ledger),
        departures_waiting=account_history.departures_waiting(ledger),
        states={state: total[state] for state in State},
        feedback=account_history.facts_by_kind(ledger),
        feedback_read={
            source: at.isoformat() for source, at in account_history.feedback_read(ledger).items()
        },
        broken=broken.by_trigger,
        wrong_everywhere=broken.everywhere,
    )


def _schedules(settings: Settings) -> tuple[list[schedules_file.Schedule], str | None]:
    """The schedules, or why they cannot be read. A status must work when other things do not."""
    try:
        return schedules_file.read(settings.root), None
    except SettingsError as error:
        return [], str(error)


def _no_room(settings: Settings, ledger: Ledger) -> dict[str, int]:
    if not is_live(settings.delivery) or not settings.warmup.start:
        return {}
    with ledger.read() as connection:
        return warmup.waiting(connection, datetime.now(UTC), settings.warmup)


def _published(settings: Settings) -> dict[str, Any] | None:
    if not settings.published_db.exists():
        return None
    with connect_published(settings) as warehouse:
        feed = published_marts.feed(warehouse)
        as_of = published_marts.as_of(warehouse)
        return {
            "accounts": published_marts.account_count(warehouse),
            "as_of": _iso(as_of),
            "feed_status": feed["feed_status"],
            "feed_reason": feed["reason"],
        }


def _run(row: Any, decision: Any) -> dict[str, Any]:
    report = json.loads(row.report) if row.report else {}
    stopped = report.get("stopped")
    reasons = [stopped["message"].splitlines()[0], *stopped["failures"][:1]] if stopped else []
    why = " ".join(reasons) or None
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


def _stop(stop: dict[str, Any] | None) -> dict[str, Any] | None:
    return stop and {"mode": stop["mode"], "since": _iso(stop["since"])} | {
        name: stop[name] for name in ("by", "why")
    }


def _iso(value: Any) -> str | None:
    return value.isoformat() if value else None
