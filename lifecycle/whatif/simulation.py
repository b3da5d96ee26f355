"""Replays past days with a simulated clock: what a set of files would have sent.

Each day has its marts, its plan and its deliveries, by the same code as a real day. The ledger is
temporary, and the provider accepts every mail and sends none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

import duckdb
from sqlalchemy import Row, func, select

from lifecycle.days import DAY, moments_of
from lifecycle.errors import ClockError
from lifecycle.ledger import delivery, runs
from lifecycle.ledger.backup import back_up
from lifecycle.ledger.record import record
from lifecycle.ledger.states import insert
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import (
    MAILED,
    NOT_LEFT,
    State,
    UtcDateTime,
    departures,
    sends,
    suppressions,
)
from lifecycle.planning.decision import Reason
from lifecycle.planning.plan import decide
from lifecycle.planning.plan_result import PlanResult
from lifecycle.settings import Settings
from lifecycle.template_names import OWNER_LIST
from lifecycle.temporary_folders import temporary_folder
from lifecycle.warehouse.daily_marts import DailyMarts
from lifecycle.whatif.variant import Variant, have_same_marts

Memory = Literal["empty", "copy"]
"""empty: a new ledger with the real one's suppressions; copy: a copy of the real ledger."""

AT_ONCE = 1_000
"""Mails of one claim."""

Left = tuple[str, str, str, str]
"""A withheld mail or entry: trigger, account, contact (or empty), step (or empty)."""


class Days(Protocol):
    """A warehouse whose marts are rebuilt for one day after the other."""

    @property
    def settings(self) -> Settings:
        """Their state folder has the data that the days are built from."""

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Where the schema `marts` is."""

    def build(self, as_of: datetime) -> None:
        """Build the marts as of a moment (aware)."""


@dataclass
class ReplayedDay:
    """One day of a replay."""

    day: date
    """In the company's time zone."""
    at: datetime
    """The run's clock, UTC."""
    feed_status: str
    accounts: int
    entered: int
    planned: int
    withheld: Counter[str]
    """Reason: mails and entries withheld by this run; one withheld for several days counts on each.
    """
    mails: int = 0
    """Mails accepted between this run and the next."""


@dataclass
class Replay:
    """What one set of files did over all days."""

    variant: Variant
    days: list[ReplayedDay] = field(default_factory=list)
    withheld: dict[str, dict[Left, str]] = field(default_factory=dict)
    """Reason: each withheld mail or entry once, however many runs withheld it, with its last
    detail."""
    mails: Sequence[Row[Any]] = ()
    """Sent mails in the order of sending: address, account_id, trigger, step, at."""
    before: Sequence[Row[Any]] = ()
    """Mails of a copied ledger that were sent before the first day."""
    unsent: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(state, reason): planned mails that were not sent."""


def replay(
    settings: Settings,
    ledger: Ledger,
    variants: Sequence[Variant],
    *,
    days: Sequence[date],
    at: time,
    memory: Memory = "empty",
    progress: Callable[[date], None] | None = None,
) -> list[Replay]:
    """Run each variant over the days: one run a day, `at` this time in the company's zone.

    Reads the state folder's warehouse and ledger and changes neither. `progress` is called after
    each day. Raises WarehouseError when no run has loaded data yet, ClockError for a copied ledger
    that has decided later than the first day, and what reading files raises.
    """
    # One moment for each day's run, and one for the run after the last day.
    moments = moments_of([*days, days[-1] + DAY], at, settings.company.time_zone)
    if memory == "copy":
        _check_clock(ledger, moments[0])
    with temporary_folder(settings.state_dir, "simulate") as folder, ExitStack() as stack:
        worlds: list[World] = []
        for number, variant in enumerate(variants):
            same = (world for world in worlds if have_same_marts(world.variant, variant))
            marts = next((world.marts for world in same), None) or stack.enter_context(
                DailyMarts.open(
                    variant.settings, folder / f"marts-{number}", project=variant.project
                )
            )
            own = stack.enter_context(ledger_of(ledger, folder / f"ledger-{number}.db", memory))
            worlds.append(World(variant, marts, own, moments[0]))
        warehouses = list({id(world.marts): world.marts for world in worlds}.values())
        for day, now, following in zip(days, moments, moments[1:], strict=False):
            for marts in warehouses:
                marts.build(now)
            for world in worlds:
                world.live(day, now, following)
            if progress is not None:
                progress(day)
        return [world.result() for world in worlds]


def _check_clock(ledger: Ledger, first: datetime) -> None:
    newest = runs.newest_decision(ledger)
    if newest is not None and first < newest:
        raise ClockError(
            f"the ledger has decided until {newest:%Y-%m-%d %H:%M} UTC, and a copy of it knows "
            f"what came after {first:%Y-%m-%d %H:%M} UTC: begin later, or with --ledger empty"
        )


@contextmanager
def ledger_of(real: Ledger, file: Path, memory: Memory) -> Iterator[Ledger]:
    """Yield a temporary ledger in a new file: empty except for suppressions, or a copy."""
    if memory == "copy":
        back_up(real, file)
    with Ledger.open(f"sqlite:///{file}", durable=False) as ledger:
        if memory == "empty":
            # An address that is suppressed today is suppressed in the past too.
            with real.read() as old, ledger.write() as new:
                for table in (suppressions, departures):
                    rows = old.execute(select(table))
                    insert(new, table, (dict(row._mapping) for row in rows))
        yield ledger


class World:
    """The state of one variant in a replay: its marts and a ledger of its own."""

    def __init__(self, variant: Variant, marts: Days, ledger: Ledger, first: datetime) -> None:
        self.variant = variant
        self.marts = marts
        self.first = first
        self._ledger = ledger
        self._replay = Replay(variant)
        # A launch may look at an earlier day: it finds the data in the copy.
        self._settings = variant.settings.model_copy(update={"state": marts.settings.state})

    def live(self, day: date, now: datetime, until: datetime) -> None:
        """Simulate a run, and the deliveries until the next run."""
        run_id = f"simulated-{now:%Y%m%d-%H%M%S}"
        source = self._settings.source.kind
        runs.begin(self._ledger, run_id=run_id, as_of=now, source=source)
        warehouse = self.marts.connection
        with self._ledger.read() as reading:
            result = decide(
                self._settings,
                warehouse,
                reading,
                self.variant.triggers,
                as_of=now,
                is_preview=True,
            )
        with self._ledger.write() as connection:
            record(connection, result.decisions, run_id=run_id, at=now)
        runs.finish(self._ledger, run_id=run_id, status="done", report={})
        replayed_day = self._record_day(day, now, result, warehouse)
        replayed_day.mails = self._deliver(now, until)

    def _record_day(
        self, day: date, now: datetime, result: PlanResult, warehouse: duckdb.DuckDBPyConnection
    ) -> ReplayedDay:
        query = (
            "select feed_status, (select count(*) from marts.account_360) from marts.feed_health"
        )
        feed_status, accounts = warehouse.execute(query).fetchone() or ("late", 0)
        decisions = result.decisions
        replayed_day = ReplayedDay(
            day=day,
            at=now,
            feed_status=feed_status,
            accounts=accounts,
            entered=len(decisions.entries),
            planned=len(decisions.sends),
            withheld=Counter({str(reason): n for reason, n in result.withheld.items()}),
        )
        self._replay.days.append(replayed_day)
        for withheld in decisions.withheld:
            identity = (withheld.trigger, withheld.account_id, withheld.contact_id, withheld.step)
            self._replay.withheld.setdefault(str(withheld.reason), {})[identity] = withheld.detail
        return replayed_day

    def _deliver(self, now: datetime, until: datetime) -> int:
        """Deliver the mails that become due before the next run, each in its minute."""
        mails = 0
        moment: datetime | None = now
        while moment is not None and moment < until:
            mails += self._deliver_at(moment)
            following = select(func.min(sends.c.not_before, type_=UtcDateTime)).where(
                sends.c.state.in_(NOT_LEFT), sends.c.not_before > moment
            )
            with self._ledger.read() as connection:
                moment = connection.scalar(following)
        return mails

    def _deliver_at(self, moment: datetime) -> int:
        worker, lease = delivery.worker_name(), timedelta(minutes=5)
        key = self._settings.privacy.erasure_key.get_secret_value()
        mails, any_queued = 0, True
        with self._ledger.write() as connection:
            while any_queued:
                delivery.release(connection, moment)  # what waited for the mail before it
                claims, any_queued = delivery.claim(
                    connection,
                    moment,
                    worker=worker,
                    lease=lease,
                    limit=AT_ONCE,
                    erasure_key=key,
                )
                settlements = [
                    delivery.Settlement(
                        claimed.send_id, State.ACCEPTED, None, attempt=claimed.attempts
                    )
                    for claimed in claims
                ]
                mails += len(delivery.settle_all(connection, settlements, moment, worker=worker))
        return mails

    def result(self) -> Replay:
        """The replay with its sent and unsent mails."""
        at = func.coalesce(sends.c.accepted_at, sends.c.not_before, type_=UtcDateTime)
        query = (
            select(
                *(sends.c[name] for name in ("address", "account_id", "trigger", "step")),
                at.label("at"),
            )
            .where(sends.c.state.in_(MAILED), sends.c.trigger != OWNER_LIST)
            .order_by(at, sends.c.send_id)
        )
        unsent_query = (
            select(sends.c.state, sends.c.detail, func.count().label("n"))
            .where(
                sends.c.state.not_in(MAILED),
                sends.c.trigger != OWNER_LIST,
                sends.c.run_id.startswith("simulated-"),
            )
            .group_by(sends.c.state, sends.c.detail)
        )
        with self._ledger.read() as connection:
            mails = connection.execute(query).all()
            self._replay.mails = [row for row in mails if row.at >= self.first]
            self._replay.before = [row for row in mails if row.at < self.first]
            for row in connection.execute(unsent_query):
                self._replay.unsent[row.state, row.detail or ""] += row.n
        return self._replay


def capped(result: Replay) -> set[Left]:
    """The mails that a cap withheld when they were planned."""
    return set(result.withheld.get(str(Reason.CAPPED), {}))


def unwritten(result: Replay) -> list[str]:
    """Why mails could not be rendered, each cause once."""
    return sorted(set(result.withheld.get(str(Reason.TEMPLATE_ERROR), {}).values()))
