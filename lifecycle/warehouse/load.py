"""Loads the sources into a warehouse without a published run, for a backfill before the first run.
The result is as a run leaves it after the raw gate: the data is checked, and no mart is built."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time
from pathlib import Path

from lifecycle.days import moments_of
from lifecycle.errors import InputError
from lifecycle.settings import Settings
from lifecycle.sources import ledger as ledger_source
from lifecycle.sources.pull import pull
from lifecycle.warehouse import context
from lifecycle.warehouse.build import record_versions
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.gate.checkpoint import check
from lifecycle.warehouse.known_then import check_order, last_load_if_any
from lifecycle.warehouse.published_days import begin_day, end_run


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
    begin_day(settings, run_id=run_id)
    pull(settings, loaded_at=now, progress=progress)
    ledger_source.snapshot(settings)
    context.write(settings, run_id=run_id, as_of=now, loaded_at=now)
    stage("gate_raw")
    check(settings, "raw")
    record_versions(settings)
    with connect_work(settings) as work:
        end_run(work)


def load_dated(
    settings: Settings,
    folder: Path,
    *,
    until: date,
    at: time,
    stage: Callable[[str], None],
    progress: Callable[[str], None],
) -> None:
    """Load the deliveries of a folder's days (sub-folders such as 2026-06-10) up to a day, in
    order, each as known from `at` of its day, in the company's time zone, on.

    It goes on where an earlier one ended. Raises InputError for the demo company, for a folder
    without such days, and for days that are older than what a run has read, and what `load` raises.
    """
    if settings.source.kind != "files":
        raise InputError('--deliveries takes files: set [source] kind = "files"')
    days = _days_of(folder, until)
    moments = dict(zip(days, moments_of(days, at, settings.company.time_zone), strict=True))
    newest = last_load_if_any(settings)
    if settings.published_db.exists():
        check_order(settings, min(moments.values()))
    for day, moment in moments.items():
        if newest is not None and moment < newest:
            continue  # an earlier backfill loaded it
        progress(f"the delivery of {day}")
        source = settings.source.model_copy(update={"path": str(days[day].absolute())})
        dated = settings.model_copy(update={"source": source})
        load(dated, now=moment, stage=stage, progress=progress)


def _days_of(folder: Path, until: date) -> dict[date, Path]:
    """The folder of each day, in order."""
    if not folder.is_dir():
        raise InputError(f"--deliveries {folder}: there is no such folder")
    days = {}
    for path in sorted(folder.iterdir()):
        with suppress(ValueError):
            if path.is_dir() and (day := date.fromisoformat(path.name)) <= until:
                days[day] = path
    if not days:
        raise InputError(
            f"--deliveries {folder}: it has no folder of a day up to {until}; they are called "
            "2026-06-10, and hold the files of that day"
        )
    return dict(sorted(days.items()))
