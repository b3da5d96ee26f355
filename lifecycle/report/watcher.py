"""Observers of a run: the command line shows its progress, a worker writes the log only."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Protocol

from lifecycle.report.run_report import RunReport

log = logging.getLogger("lifecycle.run")


class Watcher(Protocol):
    """An observer of a run: the command line shows its progress, a worker logs it."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def step(self, text: str) -> None:
        """The stage finished a step."""

    def ended(self, report: RunReport) -> None:
        """The run is over, well or not."""


class _Nobody:
    """The observer of a run without a command line: it does nothing, for the log says all."""

    def stage(self, name: str) -> None:
        pass

    def step(self, text: str) -> None:
        log.debug("%s", text)

    def ended(self, report: RunReport) -> None:
        pass


_NOBODY = _Nobody()
watcher: ContextVar[Watcher] = ContextVar("watcher")
"""The observer of the current context; read it by `watched()`."""


def watched() -> Watcher:
    """The current observer; a silent one where none was set."""
    return watcher.get(_NOBODY)
