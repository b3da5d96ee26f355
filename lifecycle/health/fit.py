"""Fits the parameters of dormancy and health on the last build's data.

Reads `work.duckdb` after a build and adds a version to its tables of parameters. Where there is
too little data for a part, the version goes without it and says why: the models then fall back
to a life table, to the settings' factor, or to equal weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from lifecycle.errors import FitError, WarehouseError
from lifecycle.health import (
    bands,
    candidates,
    dormancy,
    parameters,
    return_calibration,
    return_fit,
    scorecard,
    snapshots,
)
from lifecycle.health.bands import Bounds
from lifecycle.health.candidates import Choice
from lifecycle.health.parameters import Lifetime, Parameters
from lifecycle.health.return_calibration import ReturnWeights
from lifecycle.health.snapshots import Limits
from lifecycle.ledger import commands
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_days import check_published

EVERYONE = ""
"""The key of all accounts together; a segment that is too small uses their parameters."""

MOST_LOOKED_BACK_ON = 10_000
"""Accounts whose past silences correct the chance of return."""

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Fit:
    """A version of the parameters, and whether this fit added it."""

    version: str
    is_new: bool
    parameters: Parameters


def fit_scores(settings: Settings, *, progress: Callable[[str], None] = lambda text: None) -> Fit:
    """Fit everything on the accounts as of the last build, and store it as a version.

    The caller holds the state folder's lock. The same data gives the same version. Raises
    WarehouseError where nothing was built, NothingPublished after a run whose data did not pass,
    and FitError while the usage feed is late: missing data must not be learned as silence.
    """
    with (
        Ledger.open(settings.ledger_url) as ledger,
        commands.recorded(ledger, commands.FIT_SCORES),
    ):
        return _fit(settings, progress)


def _fit(settings: Settings, progress: Callable[[str], None]) -> Fit:
    if not settings.work_db.exists():
        raise WarehouseError(
            f"{settings.work_db}: nothing was built yet; `lifecycle run` builds it"
        )
    with connect_work(settings) as warehouse:
        check_published(warehouse, settings)
        as_of = _clock(warehouse)
        accounts = _active_accounts(warehouse)
        notes: list[str] = []

        progress(f"the chance of return, {len(accounts['account_id']):,} accounts")
        lifetimes = _lifetimes(accounts, notes)
        returns = _returns(warehouse, accounts, lifetimes, notes)
        progress("the dormancy limit")
        rhythms = _rhythms(warehouse, settings, _sampled(accounts), notes)
        progress("the points of usage health")
        limits = _limits(settings, rhythms) if rhythms else None
        churned, choice = _choice(warehouse, limits, notes)
        fitted_bounds, held_because = _bounds(warehouse, choice, limits, churned)

        fitted = Parameters(
            fitted_at=as_of,
            accounts=len(accounts["account_id"]),
            churned=churned,
            lifetimes=lifetimes,
            returns=returns,
            segment_gaps=rhythms.segment_gaps if rhythms else {},
            calibration=rhythms.calibration if rhythms else None,
            scorecard=choice.scorecard,
            candidates=choice.candidates,
            bounds=fitted_bounds,
            held_because=held_because,
            missing=tuple(notes),
        )
        version, is_new = parameters.store(warehouse, fitted)
    return Fit(version, is_new, fitted)


def _clock(warehouse: duckdb.DuckDBPyConnection) -> datetime:
    """The as-of of the last build, naive UTC."""
    row = warehouse.execute(
        "select as_of, feed_status, reason from context.run cross join marts.feed_health"
    ).fetchone()
    if row is None:
        raise WarehouseError("work.duckdb: the last build has no clock; `lifecycle run` builds it")
    as_of, feed_status, reason = row
    if feed_status != "fresh":
        raise FitError(f"the usage feed is late ({reason}): fit again when it is fresh")
    assert isinstance(as_of, datetime)
    return as_of


def _active_accounts(warehouse: duckdb.DuckDBPyConnection) -> Columns:
    """One element an account that was ever active."""
    return warehouse.execute(
        """
        select
            account_id,
            segment,
            active_days - 1 as repeats,
            days_since_first_active - days_silent as last,
            days_since_first_active as age
        from intermediate.int_account_activity
        """
    ).fetchnumpy()


def _sampled(accounts: Columns) -> Columns:
    """A sample of at most MOST_ACCOUNTS accounts a segment, the same ones each time, sorted."""
    ids, segments = accounts["account_id"], accounts["segment"].astype(str)
    chosen: list[NDArray[np.intp]] = [np.array([], np.intp)]
    for segment in np.unique(segments):
        (places,) = np.nonzero(segments == segment)
        chosen.append(_chosen(ids, places))
    order = np.concatenate(chosen)
    return {name: values[order] for name, values in accounts.items()}


def _chosen(ids: NDArray[Any], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """A sample of these places, as large as a fit uses."""
    order = return_fit.sample([str(ids[place]) for place in places], return_fit.MOST_ACCOUNTS)
    return places[order]


def _lifetimes(accounts: Columns, notes: list[str]) -> dict[str, Lifetime]:
    """The fit of all accounts together; empty where they are too few. One of each segment ranks
    worse: there are too few accounts in it, and its season is the company's."""
    ids = accounts["account_id"]

    def lifetime(places: NDArray[np.intp]) -> Lifetime:
        chosen = _chosen(ids, places)
        repeats, last, age = (accounts[name][chosen] for name in ("repeats", "last", "age"))
        common, ln_likelihood = return_fit.fit(repeats, last, age)
        return Lifetime(common, len(chosen), ln_likelihood)

    try:
        if len(ids) < return_fit.ENOUGH_ACCOUNTS:
            raise FitError(
                f"the chance of return: {len(ids):,} accounts were ever active; "
                f"{return_fit.ENOUGH_ACCOUNTS} are needed"
            )
        lifetimes = {EVERYONE: lifetime(np.arange(len(ids)))}
    except FitError as error:
        notes.append(str(error))
        return {}
    return lifetimes


def _returns(
    warehouse: duckdb.DuckDBPyConnection,
    accounts: Columns,
    lifetimes: dict[str, Lifetime],
    notes: list[str],
) -> ReturnWeights | None:
    """What past silences teach of the chance of return; None where they are too few."""
    if EVERYONE not in lifetimes:
        return None
    ids = accounts["account_id"]
    order = return_fit.sample([str(name) for name in ids], MOST_LOOKED_BACK_ON)
    chosen = {"account_id": np.sort(ids[order]), "number": np.arange(len(order))}
    warehouse.register("chosen", _as_table(chosen))
    epoch = "date '1970-01-01'"
    days = warehouse.execute(
        f"""
        select number, activity_date - {epoch} as day
        from intermediate.int_life_days inner join chosen using (account_id)
        order by number, day
        """
    ).fetchnumpy()
    company = warehouse.execute(
        f"""
        select activity_date - {epoch} as day, count(*) as active_accounts
        from intermediate.int_life_days group by all order by day
        """
    ).fetchnumpy()
    row = warehouse.execute(f"select max(day) - {epoch} from intermediate.int_scoring").fetchone()
    assert row is not None
    warehouse.unregister("chosen")
    # An account whose days are all of an earlier life has none here: numbers without gaps.
    number = np.unique(days["number"], return_inverse=True)[1]
    weights = return_calibration.fit(
        number.astype(np.int64),
        days["day"].astype(np.int64),
        (company["day"].astype(np.int64), company["active_accounts"].astype(np.float64)),
        lifetimes[EVERYONE].common,
        int(row[0]),
    )
    if weights is None:
        notes.append(
            "the chance of return: too few silences of the past ended, or lasted, to correct it by"
        )
    return weights


def _rhythms(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, accounts: Columns, notes: list[str]
) -> dormancy.Rhythms | None:
    """The segments' gaps and the factor, on the gaps of the last year that ended."""
    limit = settings.dormancy
    chosen = {"account_id": accounts["account_id"], "number": np.arange(len(accounts["repeats"]))}
    warehouse.register("chosen", _as_table(chosen))
    gaps = warehouse.execute(
        """
        select number, days, active_on + cast(days as integer) as ended
        from intermediate.int_silences
        inner join chosen using (account_id)
        where has_ended and is_of_last_year
        order by number, active_on
        """
    ).fetchnumpy()
    warehouse.unregister("chosen")
    try:
        return dormancy.fit(
            gaps["number"],
            accounts["segment"].astype(str)[gaps["number"]],
            gaps["days"],
            gaps["ended"],
            false_alarms_per_account_year=limit.alarms_a_year,
            least=limit.min_days,
            most=limit.max_days,
        )
    except FitError as error:
        notes.append(str(error))
        return None


def _limits(settings: Settings, rhythms: dormancy.Rhythms) -> Limits:
    """The limits that the version will be served under."""
    limit = settings.dormancy
    return Limits(rhythms.calibration.factor, rhythms.segment_gaps, limit.min_days, limit.max_days)


def _choice(
    warehouse: duckdb.DuckDBPyConnection, limits: Limits | None, notes: list[str]
) -> tuple[int, Choice]:
    """How many accounts churned, and the score that ranks the company's own past best."""
    past, _ = snapshots.read(warehouse)
    churned = len(set(past.account[past.churned]))
    try:
        # An account that churned is in up to three snapshots before: it is one event.
        if churned < scorecard.ENOUGH_CHURNED:
            raise FitError(
                f"health: {churned:,} accounts left within 90 days of a day in the history; "
                f"{scorecard.ENOUGH_CHURNED} are needed"
            )
        choice = candidates.choose(past.under(limits))
    except FitError as error:
        notes.append(str(error))
        return churned, Choice(None, ())
    if choice.note:
        notes.append(f"health: {choice.note}")
    return churned, choice


def _bounds(
    warehouse: duckdb.DuckDBPyConnection, choice: Choice, limits: Limits | None, churned: int
) -> tuple[Bounds | None, str]:
    """The bounds of the version's bands, and why a schedule does not put it in force, or empty."""
    if choice.scorecard is None or choice.usual_chance is None:
        return None, ""
    names = list(choice.scorecard.weights)
    measures = ", ".join(f"coalesce(cast({name} as double), 'nan') as {name}" for name in names)
    today = warehouse.execute(
        f"""
        select health.usage_band, {measures}
        from intermediate.int_account_health as health
        inner join intermediate.int_usage_measures as measures using (account_id)
        inner join intermediate.int_peer_ranks as ranks using (account_id)
        where health.usage_score_raw is not null
        order by account_id
        """
    ).fetchnumpy()
    if not len(today["usage_band"]):
        return None, ""
    score = choice.scorecard.score({name: today[name] for name in names})
    bounds = bands.bounds(choice.scorecard, choice.usual_chance, score)
    bands_before: NDArray[Any] = np.ma.asarray(today["usage_band"], object).filled(None)
    return bounds, bands.why_held(bands_before, bounds.bands(score))


def _as_table(columns: Columns) -> Any:
    import pyarrow as pa

    return pa.table({name: pa.array(values) for name, values in columns.items()})
