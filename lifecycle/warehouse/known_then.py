"""What a run of a past moment sees of the CRM: the versions that were known then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lifecycle.errors import InputError
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work

REPLAYS_AFTER = timedelta(hours=1)
"""A load that is so much later than the as-of is a replay of the past."""

_QUERY = """
    with versions as (
        select {key} as key, dbt_valid_from as known_from, dbt_valid_to as known_until
        from snapshots.{table}_snapshot
        where dbt_valid_to is null or dbt_valid_to > dbt_valid_from
    ),
    rows as (
        select
            min(known_from) > $as_of as came_later,
            bool_or(known_from > $as_of or known_until > $as_of) as changed_later
        from versions
        group by key
    )
    select count(*) filter (came_later), count(*) filter (changed_later and not came_later)
    from rows
"""


@dataclass(frozen=True)
class KnownThen:
    """How the CRM at a past moment differs from the newest delivery. Counts are of rows."""

    loaded_at: datetime
    """From when on the newest delivery is known (UTC)."""
    came_later: dict[str, int]
    """Table: rows that no delivery had by then; they are seen as they first came."""
    changed_later: dict[str, int]
    """Table: rows that changed or went since; they are seen as they were."""


def known_then(settings: Settings, *, as_of: datetime, loaded_at: datetime) -> KnownThen | None:
    """What a run of that moment saw, after its models are built; None where it saw the newest
    delivery. Raises WarehouseError."""
    if loaded_at - as_of <= REPLAYS_AFTER:
        return None
    came, changed = {}, {}
    moment = {"as_of": as_of.astimezone(UTC).replace(tzinfo=None)}
    with connect_work(settings) as work:
        for table, key in (("accounts", "account_id"), ("contacts", "contact_id")):
            row = work.execute(_QUERY.format(table=table, key=key), moment).fetchone()
            assert row is not None
            came[table], changed[table] = row
    return KnownThen(loaded_at, came, changed)


def check_order(settings: Settings, loaded_at: datetime) -> None:
    """Refuse a dated delivery that is older than the last one: its versions would never count.

    Raises InputError.
    """
    newest = last_load_if_any(settings)
    if newest is not None and newest > loaded_at:
        raise InputError(
            f"this state folder has a delivery that is known from {newest:%Y-%m-%d %H:%M} UTC on: "
            "dated deliveries are read in their order; begin with the oldest in another state "
            "folder (LIFECYCLE__STATE__DIR)"
        )


def last_load_if_any(settings: Settings) -> datetime | None:
    """The clock of the last load (UTC); None before the first."""
    if not settings.work_db.exists():
        return None
    with connect_work(settings) as work:
        is_there = work.execute(
            "select 1 from duckdb_tables() where schema_name = 'context' and table_name = 'run'"
        ).fetchone()
        row = is_there and work.execute("select loaded_at from context.run").fetchone()
    if not row:
        return None
    loaded_at: datetime = row[0].replace(tzinfo=UTC)
    return loaded_at
