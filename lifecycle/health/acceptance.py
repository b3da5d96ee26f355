"""A person puts a score version in force that was held, or goes back to an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from lifecycle.errors import UnknownName, WarehouseError
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.score_tables import ensure


@dataclass(frozen=True)
class Acceptance:
    """A version that a person put in force."""

    version: str
    accepted_at: datetime
    """The clock of the last run's data, naive UTC: it is in force from the next day on."""
    by: str
    why: str


def accept_version(settings: Settings, version: str, *, by: str, why: str) -> Acceptance:
    """Put a version in force from the next day on, whether it was held or not.

    The caller holds the state folder's lock. Raises WarehouseError where nothing was built, and
    UnknownName for a version that is not there.
    """
    if not settings.work_db.exists():
        raise WarehouseError(
            f"{settings.work_db}: nothing was built yet; `lifecycle run` builds it"
        )
    with connect_work(settings) as warehouse:
        ensure(warehouse)
        versions = [
            row[0]
            for row in warehouse.execute(
                "select version from parameters.score_versions order by fitted_at desc, version"
            ).fetchall()
        ]
        if version not in versions:
            known = ", ".join(versions[:5]) or "none; `lifecycle fit-scores` fits one"
            raise UnknownName(f"there is no score version {version}; the newest are: {known}")
        accepted_at = _clock(warehouse)
        warehouse.execute(
            "insert into parameters.accepted_versions values (?, ?, ?, ?)",
            [version, accepted_at, by, why],
        )
    return Acceptance(version, accepted_at, by, why)


def _clock(warehouse: duckdb.DuckDBPyConnection) -> datetime:
    row = warehouse.execute("select as_of from context.run").fetchone()
    if row is None:
        raise WarehouseError("work.duckdb: the last build has no clock; `lifecycle run` builds it")
    assert isinstance(row[0], datetime)
    return row[0]
