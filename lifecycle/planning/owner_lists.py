"""The morning lists of account owners: what is new, planned once a business day and owner.

Reads what is published, writes only the ledger. A list is a send like any other: claimed,
handed over and settled by the same delivery, so that a crash never sends it twice.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
from sqlalchemy import Connection, bindparam, delete, func, select

from lifecycle.addresses import is_address
from lifecycle.calendar import is_business_day
from lifecycle.errors import TemplateError
from lifecycle.ledger import suppressions
from lifecycle.ledger.decisions import Decisions, PlannedSend
from lifecycle.ledger.record import record
from lifecycle.ledger.states import batches, insert
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_TOLD, enrollments, owner_news, send_identity, sends
from lifecycle.mail.render import Renderer
from lifecycle.planning import audience
from lifecycle.planning.owner_news import OwnerNews, by_owner
from lifecycle.settings import Settings
from lifecycle.template_names import MORNING, OWNER_LIST
from lifecycle.warehouse.connection import connect_published

NEEDS_NO_FEED = ("renewal", "satisfaction_red", "satisfaction_yellow")
"""Kinds of news that are known while the usage feed is late."""

NEW_AT_FIRST = 7
"""Days: what had been so for longer when the first list of the company went out is no news."""


@dataclass(frozen=True)
class OwnerList:
    """What one owner is told today, and the mail that tells it."""

    news: OwnerNews
    send: PlannedSend


@dataclass
class OwnerLists:
    """What the owners are told on one day."""

    day: date
    """In the company's calendar."""
    lists: list[OwnerList] = field(default_factory=list)
    unreached: list[tuple[OwnerNews, str]] = field(default_factory=list)
    """News that nobody can be mailed, and why."""
    waiting: int = 0
    """Owners who had today's list before there was more: that comes with the next one."""
    over: list[tuple[str, str]] = field(default_factory=list)
    """(account, kind) that was told and is no longer so: it may become news again."""
    resting: str = ""
    """Why no list is sent today, or empty."""

    @property
    def accounts(self) -> int:
        """Accounts on the lists."""
        return sum(len(owner_list.news.shown) for owner_list in self.lists)


def plan_lists(
    settings: Settings, ledger: Ledger, *, run_id: str, as_of: datetime, dry_run: bool = False
) -> OwnerLists:
    """Decide what each owner is told today, and write it to the ledger unless it is a dry run.

    An owner gets at most one list a business day, and none when nothing is new. Raises
    LedgerError and WarehouseError.
    """
    with connect_published(settings) as warehouse, ledger.read() as memory:
        owner_lists = decide_lists(settings, warehouse, memory, as_of=as_of)
    if owner_lists.resting:
        owner_lists.lists, owner_lists.unreached = [], []
    if not dry_run:
        with ledger.write() as connection:
            _record(connection, owner_lists, run_id, as_of)
    return owner_lists


def decide_lists(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    memory: Connection,
    *,
    as_of: datetime,
) -> OwnerLists:
    """What the lists of the day would be, on any day; writes nothing."""
    company = settings.company
    zone = ZoneInfo(company.time_zone)
    owner_lists = OwnerLists(as_of.astimezone(zone).date())
    if not settings.owners.morning_list:
        owner_lists.resting = "owners.morning_list is off"
        return owner_lists
    if not is_business_day(owner_lists.day, company.country):
        owner_lists.resting = "it is no business day"
    _remember(warehouse, memory)
    owner_lists.over = [(row["account_id"], row["kind"]) for row in audience.rows(warehouse, OVER)]
    rows = audience.rows(
        warehouse, NEW, {"oldest": NEW_AT_FIRST + _days_told(memory, owner_lists.day)}
    )
    news = by_owner(rows, _under_way(memory, {row["account_id"] for row in rows}))
    key = settings.privacy.erasure_key.get_secret_value()
    stopped = suppressions.reasons(memory, [owner.address for owner in news if owner.address], key)
    told_today: set[str] = set(
        memory.scalars(
            select(sends.c.send_id).where(
                sends.c.trigger == OWNER_LIST, sends.c.cycle == cycle_of(owner_lists.day)
            )
        )
    )
    spoken = {row["address"]: row["locale"] for row in audience.rows(warehouse, SPOKEN)}
    renderer = Renderer(settings)
    for owner in news:
        if not owner.address or not is_address(owner.address):
            why = "it has no owner's address"
            if owner.address:
                why = "the owner has no usable address"
            owner_lists.unreached.append((owner, why))
        elif owner.address in stopped:
            owner_lists.unreached.append(
                (owner, f"the owner's address is suppressed: {stopped[owner.address]}")
            )
        elif list_identity(owner.address, owner_lists.day) in told_today:
            owner_lists.waiting += 1
        else:
            locale = settings.owners.locales.get(owner.address) or spoken.get(owner.address)
            try:
                mail = _mail(settings, renderer, owner, owner_lists.day, locale, as_of)
            except TemplateError as error:  # the customers' mails must go all the same
                owner_lists.unreached.append((owner, f"the list could not be written: {error}"))
            else:
                owner_lists.lists.append(OwnerList(owner, mail))
    return owner_lists


def list_identity(address: str, day: date) -> str:
    """The one key of an owner's list: the same owner and day always give the same."""
    return send_identity("", address, OWNER_LIST, MORNING, cycle_of(day))


def cycle_of(day: date) -> int:
    """The day as the ledger has it: 20260610."""
    return int(f"{day:%Y%m%d}")


def _mail(
    settings: Settings,
    renderer: Renderer,
    news: OwnerNews,
    day: date,
    wanted: str | None,
    as_of: datetime,
) -> PlannedSend:
    company, send_id = settings.company, list_identity(news.address, day)
    zone = ZoneInfo(company.time_zone)
    opens = datetime.combine(day, time(settings.owners.hour), zone)
    closes = datetime.combine(day + timedelta(days=1), time(), zone)
    locale, source = renderer.choose_list_locale(wanted)
    message = renderer.render_list(
        send_id=send_id,
        locale=locale,
        owner={"name": news.name, "email": news.address},
        news=news.as_values(day),
        date=max(opens, as_of),
    )
    return PlannedSend(
        send_id=send_id,
        account_id="",
        contact_id="",
        trigger=OWNER_LIST,
        step=MORNING,
        cycle=cycle_of(day),
        trigger_version="",
        address=news.address,
        locale=locale,
        locale_source=source,
        priority=0,
        account_cap=None,
        contact_cap=None,
        not_again_days=None,
        due_at=opens,
        not_before=max(opens, as_of),
        closes_at=closes,
        expires_at=closes,
        time_zone=company.time_zone,
        mime=message.as_bytes(),
    )


# What is known. -----------------------------------------------------------------------------

NEW = """
    select
        accounts.*,
        news.kind,
        news.urgency,
        news.usage_band_before,
        news.satisfaction_band_before,
        lower(trim(accounts.owner_email)) as owner_address
    from marts.account_news as news
    inner join marts.account_360 as accounts using (account_id)
    left join owners_know using (account_id, kind)
    where
        (owners_know.kind is not null or coalesce(news.days_old, 0) <= $oldest)
        and not coalesce(owners_know.is_told and owners_know.address = owner_address, false)
"""
OVER = f"""
    select owners_know.account_id, owners_know.kind
    from owners_know
    inner join marts.account_360 as accounts using (account_id)
    where (accounts.feed_status = 'fresh' or owners_know.kind in {NEEDS_NO_FEED})
        and not exists (
            from marts.account_news as news
            where news.account_id = owners_know.account_id and news.kind = owners_know.kind
        )
    order by all
"""
SPOKEN = """
    select lower(trim(owner_email)) as address, mode(locale) as locale
    from marts.account_360
    where owner_email is not null
    group by 1
"""
KNOWN = pa.schema(
    [
        *((name, pa.string()) for name in ("account_id", "kind", "address")),
        ("is_told", pa.bool_()),
    ]
)


def _remember(warehouse: duckdb.DuckDBPyConnection, memory: Connection) -> None:
    """Show the warehouse what owners were told of: `owners_know`, one row an account and kind.

    A list that was never delivered told nobody anything, and one to a former owner not this one.
    """
    columns = owner_news.c.account_id, owner_news.c.kind, sends.c.address, sends.c.state
    query = select(*columns).join(sends, sends.c.send_id == owner_news.c.send_id)
    rows = [
        {
            "account_id": row.account_id,
            "kind": row.kind,
            "address": row.address,
            "is_told": row.state not in NOT_TOLD,
        }
        for row in memory.execute(query)
    ]
    warehouse.register("owners_know", pa.Table.from_pylist(rows, schema=KNOWN))


def _days_told(memory: Connection, day: date) -> int:
    """Days since the company's first list, 0 before it."""
    first = memory.scalar(
        select(func.min(sends.c.cycle)).where(
            sends.c.account_id == "",
            sends.c.trigger == OWNER_LIST,
            sends.c.step == MORNING,
        )
    )
    return (day - date.fromisoformat(str(first))).days if first else 0


def _under_way(memory: Connection, account_ids: set[str]) -> dict[str, list[str]]:
    """The triggers whose sequence each of the accounts is in."""
    reasons: dict[str, list[str]] = defaultdict(list)
    columns = enrollments.c.account_id, enrollments.c.trigger
    for batch in batches(sorted(account_ids)):
        query = select(*columns).where(
            enrollments.c.ended_at.is_(None), enrollments.c.account_id.in_(batch)
        )
        for row in memory.execute(query.order_by(*columns)):
            reasons[row.account_id].append(row.trigger)
    return reasons


# What is written. ---------------------------------------------------------------------------


def _record(ledger: Connection, owner_lists: OwnerLists, run_id: str, at: datetime) -> None:
    """The lists, what they tell, and what may become news again: all of it or nothing."""
    record(
        ledger,
        Decisions(sends=[owner_list.send for owner_list in owner_lists.lists]),
        run_id=run_id,
        at=at,
    )
    listed = [
        {"account_id": entry.account_id, "kind": kind, "send_id": owner_list.send.send_id}
        for owner_list in owner_lists.lists
        for entry in owner_list.news.shown
        for kind in entry.news
    ]
    _forget(ledger, [*owner_lists.over, *((row["account_id"], row["kind"]) for row in listed)])
    insert(ledger, owner_news, listed)


def _forget(ledger: Connection, which: list[tuple[str, str]]) -> None:
    statement: Any = delete(owner_news).where(
        owner_news.c.account_id == bindparam("of_account"),
        owner_news.c.kind == bindparam("of_kind"),
    )
    for batch in batches(which):
        ledger.execute(
            statement, [{"of_account": account_id, "of_kind": kind} for account_id, kind in batch]
        )
