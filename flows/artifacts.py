"""What a run leaves on its page in Prefect. Keys are stable, so that each has a history."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext

from lifecycle.document import Table, as_markdown, table
from lifecycle.masking import mask_addresses
from lifecycle.outside_text import for_terminal
from lifecycle.report.reasons import WHY
from lifecycle.report.run_report import RunReport
from lifecycle.report.run_sections import health_matrix


def leave_artifacts(report: RunReport) -> None:
    """Leave the report and its tables on the page of the flow run under way."""
    if FlowRunContext.get() is None:
        return  # called as a plain function: there is no page
    doors = ("passed", "failed", "warnings")
    names = sorted({*report.planned_by_trigger, *report.by_trigger})
    tables = {
        "stage-health-matrix": health_matrix(report),
        "sends-by-trigger": table(
            ("trigger", "planned", "accepted"),
            ((n, report.planned_by_trigger.get(n, 0), report.by_trigger.get(n, 0)) for n in names),
        ),
        "withheld-by-reason": table(
            ("reason", "count", "why"),
            ((reason, n, WHY.get(reason, "")) for reason, n in report.withheld.items()),
        ),
        "gate-result": table(
            ("gate", *doors),
            ((door, *(counts[name] for name in doors)) for door, counts in report.gate.items()),
        ),
    }
    if report.stopped is not None and report.stopped.failures:
        tables["failing-checks"] = table(
            ("gate", "check and sample"),
            ((report.stopped.door, mask_addresses(why)) for why in report.stopped.failures),
        )
    about = _about(report)
    for key, content in tables.items():
        create_table_artifact(key=key, table=_records(content), description=about)
    text = mask_addresses(as_markdown(report.as_document()))
    create_markdown_artifact(key="run-report", markdown=text, description=about)


def _about(report: RunReport) -> str:
    """The day, the run, and where its report and its Data Docs are, as Markdown."""
    day = report.as_of.astimezone(ZoneInfo(report.time_zone))
    pages = {"report": report.report_file, "Data Docs": report.data_docs}
    links = [f"[{name}]({Path(page).as_uri()})" for name, page in pages.items() if page]
    return f"{day:%Y-%m-%d} {report.source}, run {report.run_id}: {', '.join(links)}"


def _records(content: Table) -> list[dict[str, object]]:
    """The rows as Prefect's page shows them: as text."""
    return [
        {
            name: for_terminal(cell) if isinstance(cell, str) else cell
            for name, cell in zip(content.columns, row, strict=True)
        }
        for row in content.rows
    ]
