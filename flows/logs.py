"""The logs of a flow; a worker's run has no command line that would set them up."""

from __future__ import annotations

import logging
import os
import sys

from flows.privacy import hide_addresses_in_logs
from lifecycle.logs import Private, write_log
from lifecycle.private_files import keep_private
from lifecycle.settings import Settings


def begin_log(settings: Settings) -> None:
    """Write `logs/lifecycle.log` for its owner alone, and let no address into Prefect's logs."""
    keep_private(settings.state_dir)
    hide_addresses_in_logs()
    write_log(settings.state_dir / "logs")


def log_api() -> None:
    """Let a short-lived API of Prefect write its warnings to standard error, a file there.

    The command that it serves keeps its own console silent; call this before Prefect is imported.
    """
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Private("%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s"))
    log = logging.getLogger("lifecycle.api")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    log.info("Prefect's API begins, for process %s", os.getppid())
