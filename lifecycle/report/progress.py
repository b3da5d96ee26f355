"""A run's progress on standard error: a bar on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lifecycle.report.run_report import RunReport

STAGES = {
    "pull": "pulling CRM and usage data",
    "gate_raw": "checking the raw tables",
    "build": "building the models",
    "gate_marts": "checking the marts",
    "publish": "publishing the marts",
    "plan": "planning mails",
    "approve": "asking for an approval",
    "deliver": "delivering mails",
}


class RunProgress:
    """Shows stages and steps while it is entered; keeps the report of the run that ended."""

    def __init__(self) -> None:
        self.report: RunReport | None = None
        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=len(STAGES))
        self._stage = ""

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def stage(self, name: str) -> None:
        """A stage begins."""
        self._stage = STAGES.get(name, name)
        done = list(STAGES).index(name) if name in STAGES else 0
        self._bar.update(self._task, description=self._stage, completed=done)
        if self._bar.disable:
            print(f"{self._stage} …", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """Show a step of the current stage."""
        self._bar.update(self._task, description=f"{self._stage}: {text}"[:60])

    def ended(self, report: RunReport) -> None:
        """The run is over."""
        self.report = report


@contextmanager
def counting(label: str, total: int) -> Iterator[Callable[[object], None]]:
    """A bar on standard error for a known number of parts. Call the function that it yields with
    the name of each finished part. Where standard error is no terminal, it prints a line for each
    tenth."""
    console = Console(stderr=True)
    done = 0
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(label, total=total)

        def advance(part: object) -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, description=f"{label} {part}")
            if bar.disable and done * 10 // total > (done - 1) * 10 // total:
                print(f"{label}: {part}, {done} of {total}", file=sys.stderr, flush=True)

        yield advance
