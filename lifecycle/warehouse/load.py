"""Loads the sources into a warehouse without a published run, for a backfill before the first run.
The result is as a run leaves it after the raw gate: the data is checked, and no mart is built."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from lifecycle.settings import Settings
from lifecycle.sources import ledger as ledger_source
from lifecycle.sources.pull import pull
from lifecycle.warehouse import context
from lifecycle.warehouse.build import record_versions
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.gate.checkpoint import check
from lifecycle.warehouse.published_days import begin_day, keep_day


def load(
    settings: Settings,
    *,
    now: datetime,
    stage: Callable[[str], None],
    progress: Callable[[str], None],
) -> None:
    """Pull the sources, check them at the raw gate, and run the snapshots of the CRM's rows.

    `now` (aware) is the clock of the load. `stage` is called with the name of each stage as it
    begins, and `progress` with each step. If it is interrupted, it leaves the mark of an
    unpublished run, and no history. The caller holds the state folder's lock. Raises what `pull`
    and `check` raise, DataRefused among them, and WarehouseError.
    """
    run_id = f"backfill-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    stage("pull")
    begin_day(settings, run_id=run_id, as_of=now)
    pull(settings, loaded_at=now, progress=progress)
    ledger_source.snapshot(settings)
    context.write(settings, run_id=run_id, as_of=now, loaded_at=now)
    stage("gate_raw")
    check(settings, "raw")
    record_versions(settings)
    with connect_work(settings) as work:
        keep_day(work)
