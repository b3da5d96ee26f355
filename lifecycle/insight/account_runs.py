"""The runs behind what is told of an account: when each was, and what its gates found."""

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
    """One run, as the ledger has it."""

    run_id: str
    as_of: datetime
    status: str
    gate: dict[str, dict[str, int]]
    """Door: checks passed, failed, warnings."""
    stopped: str
    """Why it ended before its end; empty otherwise."""

    def found_at(self, door: str) -> str:
        """What a gate found, in a few words."""
        counts = self.gate.get(door)
        if counts is None:
            return "not reached"
        return f"{counts['passed']} passed, {counts['failed']} failed"

    def as_json(self) -> dict[str, Any]:
        """The run as data."""
        return {**asdict(self), "as_of": self.as_of.isoformat()}


@dataclass(frozen=True)
class DecidingRuns:
    """The runs that decided something about an account, and the newest, newest first."""

    runs: tuple[DecidingRun, ...]
    published: str
    """The run whose marts everybody reads."""

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
                f"The newest run decided nothing, and what is told is of {self.published}: "
                f"{self.runs[0].stopped}"
            )
        return Section("The runs that decided", tuple(parts))


def deciding_runs(ledger: Ledger, run_ids: Collection[str], published: str) -> DecidingRuns:
    """The runs of these ids, the one that published, and the newest one."""
    newest = [row.run_id for row in account_history.last_runs(ledger, 1)]
    rows = account_history.runs_by_id(ledger, {*run_ids, published, *newest})
    return DecidingRuns(tuple(_read(row) for row in rows), published)


def _read(row: Any) -> DecidingRun:
    report = json.loads(row.report) if row.report else {}
    stopped = report.get("stopped") or {}
    return DecidingRun(
        row.run_id, row.as_of, row.status, report.get("gate", {}), stopped.get("message", "")
    )
