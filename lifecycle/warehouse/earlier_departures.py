"""Who left before departures were kept in the ledger: read once from the warehouse's snapshots.

Version 0.1 knew a departure only from the newest export, so an address that left on an earlier day
and came back without its date would be mailed after an upgrade.
"""

from __future__ import annotations

from datetime import UTC, datetime

from lifecycle.ledger import leaving
from lifecycle.ledger.departures import Departure
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.sources.departures import company_day, consents, departure
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_delivery import exists

SNAPSHOT = "contacts_snapshot"


def keep_earlier(settings: Settings, ledger: Ledger, *, key: str = "") -> int:
    """Keep, for good, whoever any published version of a contact shows as having left and who did
    not consent after it; returns how many were new. Does so once a ledger.

    `key` is `[privacy] erasure_key`. Raises WarehouseError, and LedgerError where people were
    erased and the key is missing.
    """
    if leaving.earlier_are_kept(ledger) or not settings.work_db.exists():
        return 0
    with connect_work(settings) as work:
        if not exists(work, "snapshots", SNAPSHOT) or not exists(work, "context", "run"):
            return 0
        [(run_id, clock)] = work.execute("select run_id, loaded_at from context.run").fetchall()
        rows = work.execute(
            f"""with left_at as (
                    select lower(trim(email)) as address, unsubscribed_at as left_at,
                        'snapshots.{SNAPSHOT}' as file, 0 as row_number,
                        'unsubscribed_at' as column_name, unsubscribed_at::varchar as value,
                        dbt_valid_from as seen_at
                    from snapshots.{SNAPSHOT}
                    where unsubscribed_at is not null and email is not null
                    qualify row_number() over (
                        partition by address order by unsubscribed_at desc, dbt_valid_from
                    ) = 1
                ),
                consents as ({consents(work, f"snapshots.{SNAPSHOT}", settings, clock)})
                select address, left_at, file, row_number, column_name, value, seen_at
                from left_at
                left join consents using (address)
                where not coalesce(
                    {company_day("consented_at", settings)} > {company_day("left_at", settings)},
                    false
                )
                order by address"""
        ).fetchall()
    earlier: list[Departure] = [departure(row) for row in rows]
    return leaving.keep_earlier(ledger, earlier, run_id=run_id, key=key, now=datetime.now(UTC))
