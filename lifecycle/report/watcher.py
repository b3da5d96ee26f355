"""Who looks on while a run goes: the command line shows it, elsewhere the log says enough."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Protocol

from lifecycle.report.run_report import RunReport

log = logging.getLogger("lifecycle.run")


class Watcher(Protocol):
    """Who looks on while a run goes: the command line shows it, a worker logs it."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def step(self, text: str) -> None:
        """The stage got somewhere."""

    def ended(self, report: RunReport) -> None:
        """The run is over, well or not."""


class _Nobody:
    """Looks on where nobody does: the log says what happened."""

    def stage(self, name: str) -> None:
        pass

    def step(self, text: str) -> None:
        log.debug("%s", text)

    def ended(self, report: RunReport) -> None:
        pass


_NOBODY = _Nobody()
watcher: ContextVar[Watcher] = ContextVar("watcher")
"""Who looks on; where nobody was set, use `watched()`."""


def watched() -> Watcher:
    """Who looks on at this moment."""
    return watcher.get(_NOBODY)
