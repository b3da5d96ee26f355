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
from lifecycle.health import dormancy, parameters, return_fit, scorecard
from lifecycle.health.measures import MEASURES
from lifecycle.health.parameters import Lifetime, Parameters
from lifecycle.ledger import commands
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_days import check_published

EVERYONE = ""
"""The key of all accounts together; a segment that is too small uses their parameters."""

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
        progress("the dormancy limit")
        rhythms = _rhythms(warehouse, settings, _sampled(accounts), notes)
        progress("the points of usage health")
        churned, fitted_scorecard = _scorecard(warehouse, notes)

        fitted = Parameters(
            fitted_at=as_of,
            accounts=len(accounts["account_id"]),
            churned=churned,
            lifetimes=lifetimes,
            segment_gaps=rhythms.segment_gaps if rhythms else {},
            calibration=rhythms.calibration if rhythms else None,
            scorecard=fitted_scorecard,
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
    """The fit of each segment with enough accounts; empty where all together are too few."""

    ids, segments = accounts["account_id"], accounts["segment"].astype(str)

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
    for segment in sorted(set(segments) - {EVERYONE}):
        (places,) = np.nonzero(segments == segment)
        if len(places) >= return_fit.ENOUGH_ACCOUNTS:
            try:
                lifetimes[str(segment)] = lifetime(places)
            except FitError as error:
                notes.append(f"segment {segment}: {error}")
    return lifetimes


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


def _scorecard(
    warehouse: duckdb.DuckDBPyConnection, notes: list[str]
) -> tuple[int, scorecard.Scorecard | None]:
    """How many accounts churned, and the scorecard fitted on their measures before."""
    history = _snapshots(warehouse)
    churned_rows = history["has_churned"].astype(bool)
    churned = len(set(history["account_id"][churned_rows]))
    try:
        # An account that churned is in up to three snapshots before: it is one event.
        if churned < scorecard.ENOUGH_CHURNED:
            raise FitError(
                f"health: {churned:,} accounts left within 90 days of a day in the history; "
                f"{scorecard.ENOUGH_CHURNED} are needed"
            )
        return churned, scorecard.fit({name: history[name] for name in MEASURES}, churned_rows)
    except FitError as error:
        notes.append(str(error))
        return churned, None


def _snapshots(warehouse: duckdb.DuckDBPyConnection) -> Columns:
    """One element an account and month: its measures, and whether it left in the 90 days after.

    The snapshots that a score report judges by, of the accounts that are drawn.
    """
    measures = ", ".join(f"coalesce(cast({name} as double), 'nan') as {name}" for name in MEASURES)
    return _sampled_rows(
        warehouse.execute(
            f"""
            select account_id, coalesce(segment, '') as segment, {measures}, has_churned
            from intermediate.int_score_snapshots
            order by account_id, day
            """
        ).fetchnumpy()
    )


def _sampled_rows(history: Columns) -> Columns:
    """The rows of the sampled accounts of each segment."""
    ids, first = np.unique(history["account_id"].astype(str), return_index=True)
    chosen = _sampled({"account_id": ids, "segment": history["segment"][first]})["account_id"]
    is_chosen = np.isin(history["account_id"].astype(str), chosen)
    return {name: values[is_chosen] for name, values in history.items()}


def _as_table(columns: Columns) -> Any:
    import pyarrow as pa

    return pa.table({name: pa.array(values) for name, values in columns.items()})
