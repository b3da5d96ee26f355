"""Who matched a trigger before its first live run, and so has to be seen outside it first."""

from __future__ import annotations

import shutil
from datetime import datetime

import duckdb

from lifecycle.calendar import midnight
from lifecycle.planning import audience
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.sandbox import marts_as_of


def baseline(
    settings: Settings, warehouse: duckdb.DuckDBPyConnection, trigger: Trigger, as_of: datetime
) -> set[str]:
    """The accounts that may enter only once they have been seen outside the audience.

    `existing`: none. `new_only`: all that match now. `existing_since: DAY`: all that matched
    when that day began in the company's time zone, read from the marts as of that moment;
    where they cannot tell (a late feed, no data yet), the account counts as a match, because
    a mail too few can be made good.
    """
    if trigger.launch.mode == "existing":
        return set()
    if trigger.launch.since is None:
        return set(audience.members(warehouse))
    since = midnight(trigger.launch.since, settings.company.time_zone)
    if since >= as_of:
        return set(audience.members(warehouse))
    folder = settings.state_dir / f"as-of-{since:%Y%m%dT%H%M%S}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with connect_work(marts_as_of(settings, since, folder)) as past:
            audience.evaluate(past, trigger)
            return set(audience.members(past, or_unknown=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
