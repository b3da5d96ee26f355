"""The runs that decided about an account: their as-of and their gate results."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from lifecycle.document import Id, Section, Table, moment, table
from lifecycle.ledger import account_history
from lifecycle.ledger.store import Ledger

SHOWN = 10


@dataclass(frozen=True)
class DecidingRun:
    """One run of the ledger."""

    run_id: str
    as_of: datetime
    status: str
    gate: dict[str, dict[str, int]]
    """Door: checks passed, failed, warnings."""
    stopped: str
    """Why it was stopped or failed; empty otherwise."""

    def found_at(self, door: str) -> str:
        """The result of a gate: `36 passed, 0 failed`."""
        counts = self.gate.get(door)
        if counts is None:
            return "not reached"
        return f"{counts['passed']} passed, {counts['failed']} failed"

    def as_json(self) -> dict[str, Any]:
        """The run as data."""
        return {**asdict(self), "as_of": self.as_of.isoformat()}


@dataclass(frozen=True)
class DecidingRuns:
    """The runs that decided about an account, and the newest run, newest first."""

    runs: tuple[DecidingRun, ...]
    published: str
    """The id of the run whose marts are published."""

    def as_section(self, time_zone: str) -> Section:
        """The runs for a person."""
        rows = (
            (
                Id(run.run_id),
                moment(run.as_of, time_zone).rpartition(" ")[0],
                run.status,
                run.found_at("raw"),
                run.found_at("marts"),
            )
            for run in self.runs[:SHOWN]
        )
        columns = ("run", "as of", "status", "gate raw", "gate marts")
        parts: list[str | Table] = [table(columns, rows)] if self.runs else []
        if self.runs and self.runs[0].run_id != self.published and self.runs[0].stopped:
            parts.append(
                f"The newest run decided nothing; the figures above are from {self.published}: "
                f"{self.runs[0].stopped}"
            )
        return Section("The runs that decided", tuple(parts))


def deciding_runs(ledger: Ledger, run_ids: Collection[str], published: str) -> DecidingRuns:
    """Read the runs with these ids, the run that published, and the newest run."""
    newest = [row.run_id for row in account_history.last_runs(ledger, 1)]
    rows = account_history.runs_by_id(ledger, {*run_ids, published, *newest})
    return DecidingRuns(tuple(_read(row) for row in rows), published)


def _read(row: Any) -> DecidingRun:
    report = json.loads(row.report) if row.report else {}
    stopped = report.get("stopped") or {}
    return DecidingRun(
        row.run_id, row.as_of, row.status, report.get("gate", {}), stopped.get("message", "")
    )
