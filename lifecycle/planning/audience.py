"""Who enters, leaves and is due: SQL over the published marts and the ledger as Arrow.

A million accounts stay in the warehouse; Python sees only those something happens to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Connection, Select, String, and_, case, cast, func, literal, select

from lifecycle.caps import local_day
from lifecycle.ledger.tables import (
    OF_ITS_ENROLLMENT,
    OPEN,
    UtcDateTime,
    enrollments,
    launch_baseline,
    sends,
)
from lifecycle.triggers.condition import Condition
from lifecycle.triggers.model import Trigger
from lifecycle.triggers.values import Enter

Row = dict[str, Any]


def naive(moment: datetime) -> datetime:
    """A UTC moment as the warehouse holds it, without its zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


CHURN = frozenset({"stage", "churned_at", "is_churned"})
"""Columns that say whether an account churned."""


SCORED = frozenset(
    {
        *("usage_health", "usage_band", "usage_reasons", "usage_change", "p_churn", "course"),
        *("is_dormant", "dormancy_limit_days", "dormancy_reason", "p_return_28d"),
    }
)
"""Columns that a new score version moves by itself."""


def moved_by_version(warehouse: duckdb.DuckDBPyConnection, since: datetime | None) -> set[str]:
    """The accounts that a score version or other rules moved in the runs after `since`, and not
    their own use; none before the first run."""
    if since is None:
        return set()
    query = """
        with followed as (
            select account_id, as_of, change_cause, is_dormant,
                coalesce(parameters_version, '') as version,
                lag(is_dormant) over its as was_dormant,
                lag(coalesce(parameters_version, '')) over its as version_before
            from marts.fct_account_health_daily
            where as_of > cast($since as timestamp) - interval 28 day
            window its as (partition by account_id order by as_of)
        )
        select distinct account_id from followed
        where as_of > $since
            and (
                change_cause in ('weights', 'definition')
                or (is_dormant <> was_dormant and version <> version_before)
            )
    """
    return {row["account_id"] for row in rows(warehouse, query, {"since": naive(since)})}


def evaluate(
    warehouse: duckdb.DuckDBPyConnection, trigger: Trigger, *, only_entered: bool = False
) -> None:
    """Create the view `verdicts` in the warehouse: one row an account, each condition's outcome.

    With `only_entered`, only the accounts that `register` found to have entered.

    Columns: account_id, is_member, is_false, is_churned, is_high_touch, leaves, reached (the
    goal), and step_0, step_1, …
    A condition whose columns are null is null: neither member nor false. Who churned is outside,
    and meets no goal but one that asks about it; who is high touch is outside as well.
    """
    audience = trigger.audience.sql("a")
    churned = "false" if trigger.include_churned else "coalesce(a.stage = 'churned', false)"
    high_touch = (
        "false" if trigger.include_high_touch else "coalesce(a.touch_model = 'high', false)"
    )
    outside = f"({churned} or {high_touch})"
    leaves = trigger.exit_when.sql("a") if trigger.exit_when else "false"
    reached = trigger.goal.when.sql("a") if trigger.goal else "false"
    if trigger.goal and not trigger.goal.when.columns & CHURN:
        reached = f"({reached}) and not {churned}"
    steps = [
        f"({step.when.sql('a') if step.when else 'true'}) as step_{number}"
        for number, step in enumerate(trigger.steps)
    ]
    columns = ", ".join(
        [
            "a.account_id",
            f"({audience}) and not {outside} as is_member",
            f"(not ({audience}) or {outside}) as is_false",
            f"{churned} as is_churned",
            f"{high_touch} as is_high_touch",
            "a.time_zone",
            f"({leaves}) as leaves",
            f"({reached}) as reached",
            *steps,
        ]
    )
    entered = "where account_id in (select account_id from latest)" if only_entered else ""
    warehouse.execute(
        "create or replace temp view verdicts as"
        f" select {columns} from marts.account_360 a {entered}"
    )


def register(
    warehouse: duckdb.DuckDBPyConnection, ledger: Connection, trigger: str, now: datetime
) -> None:
    """Register the ledger's rows about a trigger in the warehouse, as Arrow.

    `latest`: one row an account that ever entered, its newest cycle.
    `open_goals`: one row an enrolment that may still meet its goal.
    `baseline`: one row an account that matched before launch and was not seen false since.
    """
    newest = (
        select(enrollments.c.account_id, func.max(enrollments.c.cycle).label("cycle"))
        .where(enrollments.c.trigger == trigger)
        .group_by(enrollments.c.account_id)
        .subquery()
    )
    under_way = select(sends.c.send_id).where(OF_ITS_ENROLLMENT, sends.c.state.in_(OPEN)).exists()
    is_through = enrollments.c.next_at.is_(None) & ~under_way
    latest = select(
        enrollments.c.account_id,
        enrollments.c.cycle,
        enrollments.c.trigger_version,
        enrollments.c.enrolled_at,
        # Who is through, and was not looked at since, may enter again in this run.
        case(
            (enrollments.c.ended_at.is_not(None), enrollments.c.ended_at),
            (is_through, literal(now, UtcDateTime)),
        ).label("ended_at"),
        enrollments.c.seen_false_at,
    ).join(
        newest,
        and_(
            enrollments.c.account_id == newest.c.account_id,
            enrollments.c.cycle == newest.c.cycle,
            enrollments.c.trigger == trigger,
        ),
    )
    warehouse.register("latest", _arrow(ledger, latest, LATEST))
    open_goals = select(
        enrollments.c.account_id, enrollments.c.cycle, enrollments.c.trigger_version
    ).where(
        enrollments.c.trigger == trigger,
        enrollments.c.goal_met_at.is_(None),
        enrollments.c.goal_until >= now,
    )
    warehouse.register("open_goals", _arrow(ledger, open_goals, OPEN_GOALS))
    baseline = select(launch_baseline.c.account_id).where(
        launch_baseline.c.trigger == trigger, launch_baseline.c.seen_false_at.is_(None)
    )
    warehouse.register("baseline", _arrow(ledger, baseline, BASELINE))


MOMENT = pa.timestamp("us")
LATEST = pa.schema(
    {
        "account_id": pa.string(),
        "cycle": pa.int64(),
        "trigger_version": pa.string(),
        "enrolled_at": MOMENT,
        "ended_at": MOMENT,
        "seen_false_at": MOMENT,
    }
)
PLACES = pa.schema(dict.fromkeys(("trigger", "time_zone", "country", "account_ids"), pa.string()))
SEPARATOR = "\x1f"
"""Between the account ids of one place: thousands of them are one value for the driver."""
BASELINE = pa.schema({"account_id": pa.string()})
OPEN_GOALS = pa.schema(
    {"account_id": pa.string(), "cycle": pa.int64(), "trigger_version": pa.string()}
)


def _arrow(ledger: Connection, query: Select[Any], schema: pa.Schema) -> pa.Table:
    """The rows of a query, as plain as the driver gives them: there are many.

    Moments come as text, so that Python makes no datetime of each.
    """
    fields = dict(query.selected_columns.items())
    asked = [
        cast(fields[field.name], String) if field.type == MOMENT else fields[field.name]
        for field in schema
    ]
    cursor = ledger.execute(query.with_only_columns(*asked)).cursor
    assert cursor is not None
    columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(schema.names)
    arrays = [
        pa.array(values, pa.string() if kind == MOMENT else kind).cast(kind)
        for values, kind in zip(columns, schema.types, strict=True)
    ]
    return pa.table(arrays, schema=schema)


@dataclass(frozen=True)
class Entrant:
    """An account that may enter now."""

    cycle: int
    """That its entry opens."""
    would_leave: bool
    """It meets `exit_when` already."""
    goal_is_met: bool


def entrants(
    warehouse: duckdb.DuckDBPyConnection, enter: Enter, now: datetime
) -> dict[str, Entrant]:
    """The accounts that may enter now.

    `every` counts calendar days of the account's own time zone.
    """
    match enter.mode:
        case "once":
            may_return = "false"
        case "once_per_episode":
            may_return = "l.ended_at is not null and l.seen_false_at is not null"
        case _:
            may_return = "l.ended_at is not null and l.enrolled_at <= $before"
    query = f"""
        select v.account_id, coalesce(l.cycle, 0) + 1 as cycle, l.enrolled_at, v.time_zone,
            coalesce(v.leaves, false) as would_leave, coalesce(v.reached, false) as goal_is_met
        from verdicts v left join latest l using (account_id)
        where v.is_member
          and (l.account_id is null or ({may_return}))
          and not exists (from baseline b where b.account_id = v.account_id)
        order by 1
    """
    # A calendar day begins at most a day before the moment on it.
    before = {"before": naive(now - enter.every + timedelta(days=1))} if enter.every else {}
    entrants: dict[str, Entrant] = {}
    for row in rows(warehouse, query, before):
        entered_at = row["enrolled_at"]
        if enter.every and entered_at is not None:
            zone = row["time_zone"]
            days = local_day(now, zone) - local_day(entered_at.replace(tzinfo=UTC), zone)
            if days < enter.every.days:
                continue
        entrants[row["account_id"]] = Entrant(row["cycle"], row["would_leave"], row["goal_is_met"])
    return entrants


def seen_false(warehouse: duckdb.DuckDBPyConnection) -> list[str]:
    """Accounts seen outside the audience that so far could not enter (again)."""
    query = """
        select account_id from verdicts
        where is_false and account_id in (
            select account_id from latest where seen_false_at is null
            union all
            select account_id from baseline
        )
        order by 1
    """
    return [row["account_id"] for row in rows(warehouse, query)]


def arrived(warehouse: duckdb.DuckDBPyConnection, version: str) -> list[Row]:
    """Enrolments by a version that meet their goal now: account_id and cycle."""
    query = """
        select g.account_id, g.cycle from open_goals g join verdicts v using (account_id)
        where v.reached and g.trigger_version = $version order by all
    """
    return rows(warehouse, query, {"version": version})


def members(warehouse: duckdb.DuckDBPyConnection, *, or_unknown: bool = False) -> list[str]:
    """The accounts that match now; with `or_unknown` also those nobody can tell of."""
    matches = (
        "coalesce(is_member, not is_churned and not is_high_touch)" if or_unknown else "is_member"
    )
    query = f"select account_id from verdicts where {matches} order by 1"
    return [row["account_id"] for row in rows(warehouse, query)]


def leavers(warehouse: duckdb.DuckDBPyConnection, versions: Sequence[str]) -> list[Row]:
    """Open enrolments by these versions that end now, or whose account is missing: account_id,
    cycle, reason (churned, high_touch, exit or missing)."""
    query = """
        select l.account_id, l.cycle,
            case when v.account_id is null then 'missing'
                when v.is_churned then 'churned'
                when v.is_high_touch then 'high_touch' else 'exit' end as reason
        from latest l left join verdicts v using (account_id)
        where l.ended_at is null and list_contains($versions, l.trigger_version)
            and (v.account_id is null or v.is_churned or v.is_high_touch or v.leaves)
        order by 1
    """
    return rows(warehouse, query, {"versions": list(versions)})


def moved(
    warehouse: duckdb.DuckDBPyConnection, ledger: Connection, until: datetime
) -> dict[str, list[str]]:
    """By trigger, the accounts inside whose time zone or country is another one now, of those
    whose next step was to go after `until`."""
    place = enrollments.c.trigger, enrollments.c.time_zone, enrollments.c.country
    ids = func.aggregate_strings(enrollments.c.account_id, SEPARATOR).label("account_ids")
    query = (
        select(*place, ids)
        .where(
            enrollments.c.ended_at.is_(None),
            enrollments.c.held_out.is_(False),
            enrollments.c.next_at > until,
        )
        .group_by(*place)
    )
    warehouse.register("places", _arrow(ledger, query, PLACES))
    names: dict[str, list[str]] = {}
    for row in rows(
        warehouse,
        """
        with inside as (
            select trigger, time_zone, country,
                unnest(string_split(account_ids, $separator)) as account_id
            from places
        )
        select i.trigger, i.account_id
        from inside i join marts.account_360 a using (account_id)
        where a.time_zone <> i.time_zone or a.country_code <> i.country
        order by all
        """,
        {"separator": SEPARATOR},
    ):
        names.setdefault(row["trigger"], []).append(row["account_id"])
    return names


def late_accounts(warehouse: duckdb.DuckDBPyConnection) -> set[str]:
    """The accounts of which nothing that needs the usage feed is known."""
    query = "select account_id from marts.account_360 where feed_status = 'late'"
    return {row["account_id"] for row in rows(warehouse, query)}


def insiders(warehouse: duckdb.DuckDBPyConnection, versions: Sequence[str]) -> list[Row]:
    """Open enrolments by these versions: account_id."""
    query = """
        select account_id from latest
        where ended_at is null and list_contains($versions, trigger_version)
    """
    return rows(warehouse, query, {"versions": list(versions)})


def accounts(warehouse: duckdb.DuckDBPyConnection, account_ids: Sequence[str]) -> dict[str, Row]:
    """Rows of account_360 with the trigger's `step_0`, … outcomes, by account."""
    warehouse.register("wanted", pa.table({"account_id": pa.array(account_ids, pa.string())}))
    query = """
        select a.*, v.* exclude
            (account_id, time_zone, is_member, is_false, is_churned, is_high_touch, leaves, reached)
        from wanted join marts.account_360 a using (account_id) join verdicts v using (account_id)
    """
    return {row["account_id"]: row for row in rows(warehouse, query)}


def contacts(
    warehouse: duckdb.DuckDBPyConnection, account_ids: Sequence[str], recipients: Condition | None
) -> dict[str, list[Row]]:
    """The contacts of these accounts, by account, each with `is_recipient`."""
    warehouse.register("wanted", pa.table({"account_id": pa.array(account_ids, pa.string())}))
    is_recipient = f"coalesce(({recipients.sql('c')}), false)" if recipients else "null"
    query = f"""
        select c.*, {is_recipient} as is_recipient
        from wanted join marts.dim_contacts c using (account_id)
        order by c.account_id, c.contact_id
    """
    by_account: dict[str, list[Row]] = {}
    for row in rows(warehouse, query):
        by_account.setdefault(row["account_id"], []).append(row)
    return by_account


def elsewhere(warehouse: duckdb.DuckDBPyConnection, contact_ids: Sequence[str]) -> dict[str, str]:
    """The accounts of contacts, by contact."""
    warehouse.register("wanted", pa.table({"contact_id": pa.array(contact_ids, pa.string())}))
    query = "select contact_id, account_id from wanted join marts.dim_contacts using (contact_id)"
    return {row["contact_id"]: row["account_id"] for row in rows(warehouse, query)}


def rows(
    warehouse: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any] | None = None
) -> list[Row]:
    """The rows of a query as dictionaries."""
    cursor = warehouse.execute(query, dict(values) if values else None)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
