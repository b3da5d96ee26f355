"""The status for a person: sections of sentences and tables."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lifecycle.document import Document, Id, Section, Table, counted, moment, table
from lifecycle.ledger.tables import State
from lifecycle.report.waiting import BROKEN, broken_lines, question_line, waits

if TYPE_CHECKING:
    from lifecycle.status.overview import Status
    from lifecycle.status.timeliness import Timeliness

ALWAYS_SHOWN = (State.PLANNED, State.ACCEPTED)


def as_page(status: Status) -> Document:
    """The sections that are not empty."""
    sections = (
        _warehouse,
        _runs,
        _schedules,
        _approvals,
        _feed_questions,
        _files,
        _mails,
        _refusals,
        _to_decide,
    )
    return [section for of in sections if (section := of(status)).parts]


def _warehouse(status: Status) -> Section:
    title = f"State folder {status.state_dir}"
    published = status.published
    if published is None:
        return Section(title, ("Nothing was published yet: `lifecycle run` makes it.",))
    accounts, as_of = counted(published["accounts"], "account"), _when(status, published["as_of"])
    lines = [f"{accounts} as of {as_of}."]
    if published["feed_status"] == "late":
        lines.append(f"The usage feed is LATE: {published['feed_reason']}.")
    else:
        lines.append(f"The usage feed is {published['feed_status']}.")
    return Section(title, tuple(lines))


def _runs(status: Status) -> Section:
    if not status.runs:
        return Section("", ())
    columns = ("as of", "status", "planned", "accepted", "withheld", "run")
    rows = (
        (
            _when(status, run["as_of"], short=True),
            run["status"],
            run["planned"],
            run["accepted"],
            run["withheld"],
            Id(run["run_id"]),
        )
        for run in status.runs
    )
    stops = [f"{run['run_id']}: {run['why']}" for run in status.runs if run["why"]]
    return Section("Last runs", (table(columns, rows), *stops))


def _schedules(status: Status) -> Section:
    if status.schedules_problem:
        return Section("Schedules", (status.schedules_problem,), "bad")
    if not status.schedules:
        return Section("", ())
    if status.is_unscheduled:
        return Section(
            "Schedules",
            ("No schedule has run in this folder, which looks at the past; `make server` starts "
             "them.",),
        )  # fmt: skip
    rows = (
        (
            schedule.schedule,
            _short(status, schedule.last_began_at),
            schedule.last_outcome or "never ran",
            _short(status, schedule.next_at),
            _verdict(schedule),
        )
        for schedule in status.schedules
    )
    parts: list[str | Table] = [table(("schedule", "last run", "outcome", "next", ""), rows)]
    parts += [
        f"{schedule.schedule} {schedule.last_outcome}: {schedule.last_why}"
        for schedule in status.schedules
        if schedule.last_why
    ]
    if prefect := status.prefect:
        if prefect.problem:
            parts.append(f"{prefect.problem}, so it is unknown whether a run is scheduled.")
        elif prefect.without_run:
            names = ", ".join(prefect.without_run)
            parts.append(f"NOTHING IS SCHEDULED in Prefect at {prefect.api} for {names}.")
        else:
            parts.append(f"Prefect at {prefect.api} has scheduled a next run for each of them.")
    is_bad = any(schedule.overdue_since or schedule.failing_since for schedule in status.schedules)
    is_bad = is_bad or bool(prefect and (prefect.problem or prefect.without_run))
    return Section("Schedules", tuple(parts), "warning" if is_bad else "")


def _verdict(schedule: Timeliness) -> str:
    if schedule.overdue_since:
        return "OVERDUE"
    return "FAILING" if schedule.failing_since else ""


def _approvals(status: Status) -> Section:
    if not status.needs_approval:
        return Section("", ())
    columns = ("run", "people", "mails left", "why")
    parts: list[str | Table] = []
    floods = [run for run in status.needs_approval if run["mails"] is not None]
    if floods:
        rows = (
            (Id(run["run_id"]), *(run[name] for name in ("people", "mails", "why")))
            for run in floods
        )
        parts.append(table(columns, rows))
    for run in status.needs_approval:
        if run["mails"] is None:
            parts.append(f"The delivery of run {run['run_id']} waits:")
            parts += run["why"].splitlines()
    ask = "Decide: lifecycle approve RUN --by NAME --why TEXT, or lifecycle reject RUN …"
    return Section("Waits for an approval", (*parts, ask), "warning")


def _feed_questions(status: Status) -> Section:
    lines = (
        question_line(asked["part"], date.fromisoformat(asked["since"]), asked["why"])
        for asked in status.feed_questions
    )
    return Section("Is it normal now?", tuple(lines), "warning")


def _files(status: Status) -> Section:
    parts: list[str] = []
    if status.wrong_everywhere:
        parts += ["No run begins before this is mended:", *map(str, status.wrong_everywhere)]
    if status.broken:
        parts += [BROKEN, *broken_lines(status.broken)]
    return Section("Triggers that cannot be used", tuple(parts), "bad")


def _mails(status: Status) -> Section:
    if not status.triggers and not status.holds:
        return Section("", ())
    states = [state for state, count in status.states.items() if count or state in ALWAYS_SHOWN]
    rows = (
        (
            trigger["trigger"],
            trigger["in_sequence"],
            *(trigger["mails"].get(state, 0) for state in states),
        )
        for trigger in status.triggers
    )
    parts: list[str | Table] = [table(("trigger", "in sequence", *states), rows)]
    if status.next_due:
        parts.append(f"The next mail may go {_when(status, status.next_due)}.")
    parts += waits(status.no_room)
    for trigger in status.triggers:
        parts += [
            f"{trigger['trigger']} (version {wait['version'][:8]}) waits since "
            f"{_when(status, wait['since'])}: {wait['for']}"
            for wait in trigger["waiting"]
        ]
    parts += [_stopped(status, trigger) for trigger in status.triggers if trigger["stop"]]
    parts += [
        f"Account {hold['account_id']} is on hold until {_when(status, hold['until'])}, "
        f"by {hold['by']}: {hold['why']}"
        for hold in status.holds
    ]
    if waiting := status.answers_waiting:
        counts = ", ".join(f"{n:,} {_MESSAGES[kind]}" for kind, n in sorted(waiting.items()))
        parts.append(f"Waits for a person: {counts}; `lifecycle answers` lists them.")
    if status.suppressed:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(status.suppressed.items()))
        parts.append(f"Addresses that are never mailed: {reasons}.")
    parts += [
        f"{people:,} left by the word of run {run_id}'s delivery, which did not pass the gates: "
        "nobody is mailed on it. `lifecycle approve` makes it permanent, `lifecycle reject` "
        "takes it back."
        for run_id, people in status.departures_waiting.items()
    ]
    if status.feedback:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(status.feedback.items()))
        parts.append(f"Came back: {kinds}.")
    if status.feedback_read:
        oldest = min(status.feedback_read.values())
        parts.append(f"Bounces and unsubscribes were last read {_when(status, oldest)}.")
    return Section("Mails", tuple(parts))


_MESSAGES = {"answer": "answered by customers", "unmatched": "that fit no one mail of ours"}


def _stopped(status: Status, trigger: dict[str, Any]) -> str:
    stop = trigger["stop"]
    since = _when(status, stop["since"])
    name = trigger["trigger"]
    return f"{name} is {stop['mode']} since {since}, by {stop['by']}: {stop['why']}"


def _refusals(status: Status) -> Section:
    """What became of refused mails, by what the provider said."""
    if not status.refusals:
        return Section("", ())
    lines = [
        f"{counted(refusal['mails'], 'mail')} {_FATES[refusal['state']]}, last "
        f"{_when(status, refusal['at'])}: {refusal['why']}"
        for refusal in status.refusals
    ]
    if any(refusal["state"] == State.REJECTED for refusal in status.refusals):
        lines.append("Refused by mistake? lifecycle retry --reason TEXT --by NAME --why TEXT")
    return Section("Refused by the provider", tuple(lines), "warning")


_FATES = {State.QUEUED: "stayed in the queue", State.REJECTED: "rejected"}


def _to_decide(status: Status) -> Section:
    waiting = status.states.get(State.UNCERTAIN, 0)
    later: tuple[str, ...] = ()
    if waiting:
        later = (
            f"{counted(waiting, 'mail')} may or may not have left; evidence is awaited, and "
            "without any a person decides.",
        )
    if not status.needs_a_person:
        return Section("To decide" if later else "", later, "warning")
    columns = ("account", "trigger", "step", "state")
    rows = ((*(mail[name] for name in columns), Id(mail["send"])) for mail in status.needs_a_person)
    introduction = "Nothing proves whether these mails left:"
    ask = "Decide: lifecycle decide SEND... resend|give_up --by NAME --why TEXT"
    parts: tuple[str | Table, ...] = (introduction, table((*columns, "send"), rows), ask, *later)
    return Section("To decide", parts, "warning")


def _when(status: Status, text: str | None, *, short: bool = False) -> str:
    value = datetime.fromisoformat(text) if text else None
    return _short(status, value) if short else moment(value, status.time_zone)


def _short(status: Status, value: datetime | None) -> str:
    """Day and minute, without weekday and zone."""
    if value is None:
        return "–"
    return moment(value, status.time_zone)[4:].rpartition(" ")[0]
