"""The result of a stage in one log line: `gate raw: 36 passed, 1 warning`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lifecycle.document import counted
from lifecycle.ledger.tables import State
from lifecycle.report.run_report import RunReport


def stage_outcome(report: RunReport, stage: str) -> str:
    """Return the log line of a stage that succeeded, from `report`."""
    describe = _DESCRIPTIONS.get(stage)
    return f"{stage.replace('_', ' ')}: {describe(report) if describe else 'done'}"


def _pull(report: RunReport) -> str:
    rows = [f"{count:,} {table}" for table, count in report.rows.items() if count]
    new = sum(report.new_rows.values())
    return _list([*rows, f"{new:,} new rows" if new else "", _rejected(report)])


def _rejected(report: RunReport) -> str:
    rows = f"{report.rejected_rows:,} rows rejected" if report.rejected_rows else ""
    cells = f"{report.rejected_cells:,} values not usable" if report.rejected_cells else ""
    return ", ".join(part for part in (rows, cells) if part)


def _gate(door: str) -> Callable[[RunReport], str]:
    def describe(report: RunReport) -> str:
        counts = report.gate[door]
        failed = f"{counts['failed']:,} failed" if counts["failed"] else ""
        warnings = counted(counts["warnings"], "warning") if counts["warnings"] else ""
        return _list([f"{counts['passed']:,} passed", failed, warnings])

    return describe


def _publish(report: RunReport) -> str:
    return f"{counted(report.accounts or 0, 'account')}, usage feed {report.feed_status}"


def _plan(report: RunReport) -> str:
    entered = sum(report.enrolled.values())
    exits = sum(report.exited.values())
    return _list(
        [
            counted(report.planned, "mail"),
            f"{sum(report.withheld.values()):,} withheld",
            f"{entered:,} entered" if entered else "",
            f"{exits:,} left" if exits else "",
            f"{counted(len(report.waiting), 'trigger')} waiting" if report.waiting else "",
        ]
    )


def _approve(report: RunReport) -> str:
    return "approved" if report.flood is not None else "not needed"


def _deliver(report: RunReport) -> str:
    fates = [f"{count:,} {state}" for state, count in _sorted(report.not_accepted).items()]
    waiting = report.remaining_planned
    return _list([f"{report.accepted:,} accepted", *fates, f"{waiting:,} waiting"])


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts in the order in which a mail passes through its states."""
    order = [str(state) for state in State]
    return dict(sorted(counts.items(), key=lambda item: order.index(item[0])))


def _list(parts: list[str]) -> str:
    return ", ".join(part for part in parts if part)


_DESCRIPTIONS: Mapping[str, Callable[[RunReport], str]] = {
    "pull": _pull,
    "gate_raw": _gate("raw"),
    "gate_marts": _gate("marts"),
    "publish": _publish,
    "plan": _plan,
    "approve": _approve,
    "deliver": _deliver,
}
