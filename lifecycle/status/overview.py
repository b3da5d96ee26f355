"""How things stand: the last runs, the queue, and what waits for a person."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from lifecycle import schedules as schedules_file
from lifecycle.authoring.files import read_files
from lifecycle.document import Document, counted, moment
from lifecycle.errors import Problem, SettingsError, TriggerError
from lifecycle.ledger import (
    account_history,
    approvals,
    commands,
    delivery,
    feedback,
    held_deliveries,
    warmup,
)
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.counting import due_now
from lifecycle.mail.providers import is_live
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
"""A clock of mails that is further from the wall clock stands."""


@dataclass(frozen=True)
class Status:
    """One state folder as it is now. Times are ISO 8601 in UTC."""

    state_dir: str
    time_zone: str
    published: dict[str, Any] | None
    """accounts, as_of, feed_status, feed_reason; None before the first run that passed."""
    schedules: list[Timeliness]
    """One item a schedule of prefect.yaml: its command's last run, the next, and what is late."""
    schedules_problem: str | None
    """Why prefect.yaml cannot be read."""
    is_unscheduled: bool
    """Whether this is a folder that looks at the past, in which Prefect started nothing."""
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
    """Runs that nobody decided about, over their budget or with a delivery that moved too far:
    run_id, as_of, people, mails, why. A delivery has neither people nor mails."""
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
        own = {
            "schedules": [one.as_json() for one in self.schedules],
            "prefect": self.prefect.as_json() if self.prefect else None,
            "alarms": [one.as_json() for one in self.alarms],
        }
        rest = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in own}
        return {**rest, **own}

    def as_check(self) -> dict[str, Any]:
        """The object of `status --check --json`."""
        return {"ok": not self.alarms, "alarms": [one.as_json() for one in self.alarms]}

    def as_line(self) -> str:
        """The line of `status --check`."""
        if self.alarms:
            return " · ".join(one.text for one in self.alarms)
        on_time = counted(len(self.schedules), "schedule")
        as_of = datetime.fromisoformat(self.published["as_of"]) if self.published else None
        return f"ok: {on_time} on time, published as of {moment(as_of, self.time_zone)}"

    def as_document(self) -> Document:
        """The status for a person."""
        return as_page(self)


def status(settings: Settings, ledger: Ledger, *, as_of: datetime | None = None) -> Status:
    """Read how things stand; `as_of` is the clock of mails, or now. Raises LedgerError."""
    wall_clock = datetime.now(UTC)
    now = as_of or wall_clock
    schedules, problem = _schedules(settings)
    prefect = prefect_schedule.ask(settings, schedules)
    seen = _published(settings)
    launched = {row.trigger for row in account_history.launched(ledger)}
    waiting, stops = account_history.waiting(ledger), account_history.stops(ledger)
    mails, inside = account_history.sends_by_state(ledger), account_history.enrolled_now(ledger)
    with ledger.read() as connection:
        next_due = delivery.next_due(connection, now)
        decisions = approvals.decisions(connection)
        recorded = commands.read(connection)
        due = due_now(settings, connection, now)
        stale_feedback = feedback.stale(connection, settings, wall_clock)
    total = sum(mails.values(), Counter())
    broken, wrong_everywhere = _broken(settings)
    kept = timeliness(settings, schedules, recorded, wall_clock)
    facts = Facts(
        now=wall_clock,
        clock=now,
        schedules=kept,
        schedules_problem=problem,
        prefect=prefect,
        published_as_of=datetime.fromisoformat(seen["as_of"]) if seen else None,
        due=due,
        held=total[State.HELD],
        stale_feedback=stale_feedback,
        fruitless=delivers_nothing(recorded),
    )
    return Status(
        state_dir=str(settings.state_dir),
        time_zone=settings.company.time_zone,
        published=seen,
        schedules=kept,
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
            for row in held_deliveries.waiting(ledger)
        ],
        holds=[
            {**one, "until": _iso(one["until"]), "since": _iso(one["since"])}
            for one in account_history.holds(ledger, now).values()
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
        suppressed=account_history.suppressed_by_reason(ledger),
        states={state: total[state] for state in State},
        feedback=account_history.facts_by_kind(ledger),
        feedback_read={
            source: at.isoformat() for source, at in account_history.feedback_read(ledger).items()
        },
        broken=broken,
        wrong_everywhere=wrong_everywhere,
    )


def _schedules(settings: Settings) -> tuple[list[schedules_file.Schedule], str | None]:
    """The schedules, or why they cannot be read: a status is wanted most when things are wrong."""
    try:
        return schedules_file.read(settings), None
    except SettingsError as error:
        return [], str(error)


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
