"""The nightly flow: copies the ledger, beside the copies of the nights before."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.logs import begin_log
from flows.names import timed
from lifecycle import settings as settings_file
from lifecycle.ledger.nightly import copy_ledger
from lifecycle.ledger.store import Ledger


@flow(name="back-up", flow_run_name=timed("back up"), persist_result=False)
def back_up(config: str | None = None) -> dict[str, Any]:
    """Copy the ledger, SQLite or PostgreSQL, into one file, and remove the oldest copies.

    Runs and deliveries go on meanwhile.

    Args:
        config: The lifecycle.toml to use. Empty: the one in the working directory.
    """
    settings = settings_file.load(config)
    begin_log(settings)
    with Ledger.open(settings.ledger_url) as ledger:
        copied = copy_ledger(settings, ledger)
    removed = [path.name for path in copied.removed]
    return {"file": str(copied.file), "rows": copied.rows, "removed": removed}
