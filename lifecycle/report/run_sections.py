"""The report of a run for a person: its sections, from the figures that the stages left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lifecycle.document import Cell, Document, Id, Section, Table, counted, moment, table
from lifecycle.report.reasons import WHY
from lifecycle.report.waiting import BROKEN, broken_lines, left_alone, must_decide, not_sent, waits

if TYPE_CHECKING:
    from lifecycle.report.run_report import RunReport

BANDS = ("green", "yellow", "red", "unknown")


def as_document(report: RunReport) -> Document:
    """The report for a person."""
    return [
        part
        for part in (
            _headline(report),
            _stop(report),
            over_budget(report),
            _broken(report),
            _mails(report),
            _withheld(report),
            _owners(report),
            _attention(report),
            _rejected(report),
            _effects(report),
            _health(report),
            _time(report),
        )
        if part.parts
    ]


def _headline(report: RunReport) -> Section:
    kind = "Dry run" if report.dry_run else "Run"
    tone = {"done": "good", "stopped": "bad", "failed": "bad"}.get(report.status, "")
    as_of = moment(report.as_of, report.time_zone)
    parts = [f"As of {as_of}. Source: {report.source}."]
    if report.accounts is not None:
        parts.append(f"{counted(report.accounts, 'account')}.")
    if report.known_then is not None:
        parts.append(_seen(report, report.known_then))
    if report.gone_rows:
        counts = ", ".join(f"{n:,} of {name}" for name, n in report.gone_rows.items())
        parts.append(f"No longer in the CRM, so not mailed any more: {counts}.")
    if report.feed_status == "late":
        parts.append(f"The usage feed is LATE: {report.feed_reason}.")
    elif report.feed_status:
        parts.append(f"The usage feed is {report.feed_status}.")
    for reason, late in report.late_parts.items():
        parts.append(f"LATE for {counted(late, 'account')}: {reason}.")
    if report.corrected_rows:
        parts.append(
            f"{counted(report.corrected_rows, 'row')} of events and answers corrected; "
            f"{counted(report.corrected_accounts, 'account')} counted again."
        )
    for door, checks in report.gate.items():
        parts.append(
            f"Gate {door}: {checks['passed']} checks passed, {checks['failed']} failed, "
            f"{counted(checks['warnings'], 'warning')}."
        )
    return Section(f"{kind} {report.run_id}: {report.status}", tuple(parts), tone)


def _seen(report: RunReport, known: dict[str, Any]) -> str:
    """What a run of the past saw of the CRM, in a line."""
    since = moment(datetime.fromisoformat(known["loaded_at"]), report.time_zone)
    text = f"The CRM is seen as it was known then; this delivery counts from {since} on."
    if changed := _listed(known["changed_later"]):
        text += f" Its changes of {changed} are not seen."
    if came := _listed(known["came_later"]):
        text += f" What no delivery had by then is seen as it first came: {came}."
    return f"{text} `lifecycle run --delivered DAY` reads a dated export as of its day."


def _stop(report: RunReport) -> Section:
    if report.stopped is None:
        return Section("", ())
    parts: list[str | Table] = [report.stopped.message]
    if report.accepted == 0 and not report.planned:
        parts.append("Nothing was planned and nothing was sent.")
    else:
        parts.append(
            f"{counted(report.planned, 'mail')} had been planned, "
            f"{report.accepted:,} accepted. Run again to go on: nothing is sent twice."
        )
    if report.data_docs:
        parts.append(f"Every check with its rows: {report.data_docs}")
    return Section(f"Why it ended in stage {report.stopped.stage}", tuple(parts), "bad")


def _broken(report: RunReport) -> Section:
    if not report.broken:
        return Section("", ())
    title = f"{counted(len(report.broken), 'trigger')} cannot be used"
    return Section(title, (BROKEN, *broken_lines(report.broken)), "bad")


def _mails(report: RunReport) -> Section:
    if report.stopped and not report.planned and not report.accepted:
        return Section("", ())
    parts: list[str | Table] = []
    if report.dry_run:
        parts.append(f"{counted(report.planned, 'mail')} would be planned. Nothing was sent.")
    else:
        parts.append(
            f"{counted(report.accepted, 'mail')} accepted by the provider, "
            f"{report.planned:,} newly planned, {report.remaining_planned:,} waiting in the queue."
        )
    if report.next_due and report.remaining_planned:
        parts.append(f"The next one may go {moment(report.next_due, report.time_zone)}.")
    if report.rests_until:
        parts.append(left_alone(report.rests_until, report.time_zone))
    parts += waits(report.no_room)
    names = sorted(
        {*report.enrolled, *report.exited, *report.planned_by_trigger, *report.by_trigger}
    )
    if names:
        parts.append(
            table(
                ("trigger", "entered", "left", "planned", "accepted"),
                (
                    (
                        name,
                        report.enrolled.get(name, 0),
                        report.exited.get(name, 0),
                        report.planned_by_trigger.get(name, 0),
                        report.by_trigger.get(name, 0),
                    )
                    for name in names
                ),
            )
        )
    fates = {fate: count for fate, count in report.not_accepted.items() if count}
    if fates:
        counts = ", ".join(f"{count:,} {fate}" for fate, count in fates.items())
        parts.append(f"Due, but not accepted: {counts}.")
    parts += not_sent(report.dropped)
    if report.held:
        parts.append(must_decide(report.held))
    return Section("Mails", tuple(parts))


def over_budget(report: RunReport) -> Section:
    """Why the run needs an approval, and whom it reaches; empty where it needs none."""
    if report.flood is None:
        return Section("", ())
    title = "This run would wait for an approval" if report.dry_run else "Needs an approval"
    parts: list[str | Table] = [
        f"More people than its budget of {report.flood.budget:,}: {report.flood.why}.",
        table(("trigger", "people"), report.flood.by_trigger.items()),
        "Some of the accounts:",
        table(
            ("account", "id", "trigger"),
            (
                (mail["name"], Id(mail["account_id"]), mail["trigger"])
                for mail in report.flood.sample
            ),
        ),
    ]
    if not report.dry_run:
        parts.append(f"lifecycle approve {report.run_id} --by NAME --why TEXT")
        parts.append(f"lifecycle reject {report.run_id} --by NAME --why TEXT")
    return Section(title, tuple(parts), "warning")


def _withheld(report: RunReport) -> Section:
    if not report.withheld:
        return Section("", ())
    rows = Counter(report.withheld).most_common()
    reasons = table(("reason", "count", "why"), ((name, n, WHY.get(name, "")) for name, n in rows))
    return Section("Withheld", (reasons,))


def _owners(report: RunReport) -> Section:
    parts: list[str | Table] = []
    counts = report.owner_lists
    if counts.get("lists"):
        will = "would be" if report.dry_run else "are"
        parts.append(
            f"{counted(counts['accounts'], 'account')} with news {will} on "
            f"{counted(counts['lists'], 'list')} for their owners."
        )
    if counts.get("waiting"):
        parts.append(
            f"{counted(counts['waiting'], 'owner')} had today's list before: "
            "the newer news comes with the next one."
        )
    if report.owners_unreached:
        number, examples = report.owners_unreached["accounts"], report.owners_unreached["examples"]
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


def _attention(report: RunReport) -> Section:
    answers = report.answers_waiting
    waits_for_a_person = f"{counted(answers, 'message')} to answer: `lifecycle answers` lists them."
    texts = (
        *([waits_for_a_person] if answers else []),
        *(*report.feed_questions, *report.waiting, *report.unwritten, *report.warnings),
    )
    return Section("To know", texts, "warning")


def _rejected(report: RunReport) -> Section:
    counts = ", ".join(f"{n:,} of {name}" for name, n in report.rejected_by_table.items() if n)
    parts: list[str | Table] = []
    if report.rejected_rows:
        parts.append(f"{counted(report.rejected_rows, 'row')} not usable: {counts}.")
        parts += _examples(report.rejected_examples, report.rejected_rows, "rejected_rows")
    if report.rejected_cells:
        values = counted(report.rejected_cells, "value")
        parts.append(f"{values} not usable, empty in rows that stay:")
        parts += _examples(report.rejected_cell_examples, report.rejected_cells, "rejected_cells")
    if report.rejected_examples or report.rejected_cell_examples:
        parts.append("A row counts records: in a spreadsheet with a header it is one further.")
    return Section("Rejected rows", tuple(parts), "warning")


def _effects(report: RunReport) -> Section:
    return Section("What mails changed, 95 % sure at every look", tuple(report.effects_in_short))


def _health(report: RunReport) -> Section:
    if not report.stage_health:
        return Section("", ())
    return Section("Accounts by stage and usage health", (health_matrix(report),))


def health_matrix(report: RunReport) -> Table:
    """Stages down, usage bands across, accounts in the cells."""
    cells: Counter[tuple[str, str]] = Counter()
    for row in report.stage_health:
        cells[row["stage"] or "unknown", row["usage_band"] or "unknown"] += row["accounts"]
    stages = sorted({stage for stage, _ in cells}, key=_stage_order)
    rows: list[list[Cell]] = [[name, *[cells[name, band] for band in BANDS]] for name in stages]
    return table(("stage", *BANDS), rows)


def _time(report: RunReport) -> Section:
    if not report.seconds:
        return Section("", ())
    stages = ", ".join(
        f"{name.replace('_', ' ')} {spent:.1f}" for name, spent in report.seconds.items()
    )
    total = sum(report.seconds.values())
    where = f"Mails, reports and Data Docs: {report.state_dir}"
    return Section("", (f"{total:.1f} seconds: {stages}.", where))


def _listed(counts: dict[str, int]) -> str:
    """Counts of accounts and contacts, those that are not 0."""
    return " and ".join(counted(n, table.removesuffix("s")) for table, n in counts.items() if n)


def _stage_order(stage: str) -> tuple[int, str]:
    order = ("onboarding", "adoption", "mature", "renewal", "churned", "unknown")
    return (order.index(stage) if stage in order else len(order), stage)


def _examples(examples: Sequence[dict[str, Any]], count: int, mart: str) -> list[str | Table]:
    """A table of a few rows of a mart, and how many more there are."""
    if not examples:
        return []
    columns = ("table", "file", "row", "column", "reason")
    parts: list[str | Table] = [table(columns, ([row[n] for n in columns] for row in examples))]
    if more := count - len(examples):
        parts.append(f"and {more:,} more: marts.{mart} in published.duckdb.")
    return parts
