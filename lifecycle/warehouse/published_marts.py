"""Queries on the published marts, for the report, status, explain and preview."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import duckdb

from lifecycle.duckdb_connection import without_pandas
from lifecycle.masking import mask_addresses

Row = dict[str, Any]
EXAMPLES = 5
"""Rejected rows that a report shows."""
CANDIDATES = 10
"""How many candidates are listed where a name is ambiguous."""
LIKE = 0.8
"""Least Jaro-Winkler similarity of a name that counts as a misspelling."""
ALIKE = 0.95
"""The same for addresses, of which most end alike."""


def rows(
    warehouse: duckdb.DuckDBPyConnection, query: str, values: Sequence[object] = ()
) -> list[Row]:
    """The rows of a query as dictionaries."""
    has_list = any(isinstance(value, list) for value in values)
    with nullcontext() if has_list else without_pandas():
        cursor = warehouse.execute(query, list(values))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def feed(warehouse: duckdb.DuckDBPyConnection) -> Row:
    """The usage feed's one row: feed_status, reason, newest_event_at, …"""
    return rows(warehouse, "select * from marts.feed_health")[0]


def late_parts(warehouse: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Why parts of the usage feed are late, and how many accounts live on each; the most first."""
    if not _has_mart(warehouse, "account_feed"):
        return {}
    query = """
        select reason, count(*) as accounts from marts.account_feed
        where feed_status = 'late' group by reason order by accounts desc, reason
    """
    return {row["reason"]: row["accounts"] for row in rows(warehouse, query)}


def milestones_unknown(warehouse: duckdb.DuckDBPyConnection) -> str | None:
    """Why nobody's first core events and outcomes are known, though the feed is fresh; None where
    they are."""
    if not _has_column(warehouse, "account_feed", "milestones_unknown_because"):
        return None
    query = "select max(milestones_unknown_because) as reason from marts.account_feed"
    reason: str | None = rows(warehouse, query)[0]["reason"]
    return reason


def watched_parts(warehouse: duckdb.DuckDBPyConnection) -> list[Row]:
    """One row per part of the usage feed that has a usual volume, `all` among them: part,
    last_full_day, last_full_day_events, usual_events, thin_days (of the last three business days)
    and thin_since."""
    columns = "last_full_day, last_full_day_events, usual_events, thin_days, thin_since"
    query = f"""
        select 'all' as part, {columns} from marts.feed_health where usual_events is not null
        union all
        select kind || ' ' || part as part, {columns} from marts.feed_parts
        order by part
    """
    return rows(warehouse, query) if _has_mart(warehouse, "feed_parts") else []


def account_count(warehouse: duckdb.DuckDBPyConnection) -> int:
    """How many accounts are published."""
    return int(rows(warehouse, "select count(*) as n from marts.account_360")[0]["n"])


def consenting_addresses(warehouse: duckdb.DuckDBPyConnection) -> set[str]:
    """The normalised addresses of the contacts that gave consent and did not leave, of accounts
    that have not churned."""
    query = """
        select distinct email_normalized from marts.dim_contacts
        inner join marts.account_360 using (account_id)
        where consent_basis <> '' and unsubscribed_at is null and address_unsubscribed_at is null
            and coalesce(not is_churned, true)
    """
    return {row["email_normalized"] for row in rows(warehouse, query)}


def stage_health(warehouse: duckdb.DuckDBPyConnection) -> list[Row]:
    """One row per stage and usage band: stage, usage_band, accounts."""
    query = """
        select stage, usage_band, cast(sum(accounts) as bigint) as accounts
        from marts.stage_health_matrix group by all order by all
    """
    return rows(warehouse, query)


def effects(warehouse: duckdb.DuckDBPyConnection) -> list[Row]:
    """The rows of trigger_effect, by trigger, the version that was entered last first."""
    query = "select * from marts.trigger_effect order by trigger_name, first_enrolled_at desc"
    return rows(warehouse, query)


def rejected_examples(
    warehouse: duckdb.DuckDBPyConnection, table: str = "rejected_rows"
) -> list[Row]:
    """A few rejected rows, or values (`rejected_cells`): table, file, row, column, reason (masked).

    One of each table and column first, whose rows are often wrong for one reason; newest first.
    """
    query = f"""
        select table_name as "table", file, row_number as "row", column_name as "column", reason
        from marts.{table}
        order by
            row_number() over (
                partition by table_name, column_name order by loaded_at desc, file, row_number
            ),
            loaded_at desc, table_name, file, row_number
        limit {EXAMPLES}
    """
    examples = rows(warehouse, query)
    return [{**row, "reason": mask_addresses(row["reason"])} for row in examples]


def as_of(warehouse: duckdb.DuckDBPyConnection) -> datetime:
    """The as-of of the published marts (UTC)."""
    moment: datetime = rows(warehouse, "select as_of from marts.published")[0]["as_of"]
    return moment.replace(tzinfo=UTC)


def run_id(warehouse: duckdb.DuckDBPyConnection) -> str:
    """The id of the run that published."""
    return str(rows(warehouse, "select run_id from marts.published")[0]["run_id"])


def account(warehouse: duckdb.DuckDBPyConnection, account_id: str) -> Row | None:
    """The account's row of account_360, or None."""
    accounts = rows(warehouse, "select * from marts.account_360 where account_id = ?", [account_id])
    return accounts[0] if accounts else None


def contacts(warehouse: duckdb.DuckDBPyConnection, account_id: str) -> list[Row]:
    """The account's rows of dim_contacts."""
    query = "select * from marts.dim_contacts where account_id = ? order by contact_id"
    return rows(warehouse, query, [account_id])


def rejected(warehouse: duckdb.DuckDBPyConnection, account_id: str) -> list[Row]:
    """The rejected rows and values of the account and of its contacts."""
    query = """
        select table_name, file, row_number, column_name, reason from marts.rejected_rows
        where (table_name = 'accounts' and key = $1)
           or (table_name = 'contacts' and json_extract_string(record, '$.account_id') = $1)
    """
    if _has_mart(warehouse, "rejected_cells"):
        query += """
            union all
            select table_name, file, row_number, column_name, reason from marts.rejected_cells
            where (table_name = 'accounts' and key = $1)
               or (
                table_name = 'contacts'
                and key in (select contact_id from marts.dim_contacts where account_id = $1)
            )
        """
    return rows(warehouse, f"{query} order by all", [account_id])


def unclear_departures(warehouse: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Accounts of which nobody can read whether they left, and what stands there."""
    if not _has_mart(warehouse, "rejected_cells"):
        return {}
    query = """
        select key, reason from marts.rejected_cells
        where table_name = 'accounts' and column_name in ('churned_at', 'is_churned')
    """
    return {row["key"]: row["reason"] for row in rows(warehouse, query)}


def _has_mart(warehouse: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a version published the marts that had this one."""
    query = """
        select 1 as found from duckdb_tables() where schema_name = 'marts' and table_name = $1
        union all
        select 1 from duckdb_views() where schema_name = 'marts' and view_name = $1
    """
    return bool(rows(warehouse, query, [name]))


def _has_column(warehouse: duckdb.DuckDBPyConnection, mart: str, column: str) -> bool:
    """Whether a version published the marts in which this one had the column."""
    query = """
        select 1 as found from duckdb_columns()
        where schema_name = 'marts' and table_name = $1 and column_name = $2
    """
    return bool(rows(warehouse, query, [mart, column]))


def accounts(warehouse: duckdb.DuckDBPyConnection, account_ids: Sequence[str]) -> list[Row]:
    """Of accounts: account_id, name and time_zone."""
    query = """
        select account_id, name, time_zone from marts.account_360
        where list_contains(?, account_id)
    """
    return rows(warehouse, query, [list(account_ids)])


def languages(warehouse: duckdb.DuckDBPyConnection, contact_ids: Sequence[str]) -> dict[str, str]:
    """The locale of contacts, else of their accounts; by contact, where either has one."""
    query = """
        select c.contact_id, coalesce(c.locale, a.locale) as locale
        from marts.dim_contacts c join marts.account_360 a using (account_id)
        where list_contains(?, c.contact_id) and coalesce(c.locale, a.locale) is not null
    """
    return {row["contact_id"]: row["locale"] for row in rows(warehouse, query, [list(contact_ids)])}


def known_addresses(warehouse: duckdb.DuckDBPyConnection, addresses: Collection[str]) -> set[str]:
    """Those of some addresses (normalised) that a contact or an account's owner has."""
    query = """
        with asked as (select unnest(?) as address)
        select email_normalized as address from marts.dim_contacts semi join asked
            on email_normalized = address
        union
        select lower(trim(owner_email)) from marts.account_360 semi join asked
            on lower(trim(owner_email)) = address
    """
    return {row["address"] for row in rows(warehouse, query, [list(addresses)])}


def nearest_address(warehouse: duckdb.DuckDBPyConnection, forms: Sequence[str]) -> str | None:
    """The address itself, in one of its forms, among all contacts and account owners; else the most
    similar one; None where none is similar."""
    query = f"""
        with known as (
            select email_normalized as address from marts.dim_contacts
            union select lower(trim(owner_email)) from marts.account_360
        )
        select address, list_contains($1, address) as is_it,
            jaro_winkler_similarity(address, $1[1]) as likeness
        from known where is_it or likeness > {ALIKE}
        order by is_it desc, likeness desc, address limit 1
    """
    addresses = rows(warehouse, query, [list(forms)])
    return str(addresses[0]["address"]) if addresses else None


def search(warehouse: duckdb.DuckDBPyConnection, text: str) -> list[Row]:
    """Accounts that `wanted` may mean, best first: account_id, name, rank.

    rank 0 is the id itself, 1 the whole name, 2 a part of the name, 3 something like it.
    """
    query = f"""
        with compared as (
            select account_id, name, lower(name) as small, lower(trim($1)) as wanted,
                greatest(
                    jaro_winkler_similarity(small, wanted),
                    jaro_winkler_similarity(lower(account_id), wanted)
                ) as likeness
            from marts.account_360
        )
        select account_id, name,
            case when account_id = trim($1) then 0
                 when small = wanted or lower(account_id) = wanted then 1
                 when contains(small, wanted) then 2 else 3 end as rank
        from compared
        where rank < 3 or likeness > {LIKE}
        order by rank, likeness desc, account_id
        limit {CANDIDATES}
    """
    return rows(warehouse, query, [text])
