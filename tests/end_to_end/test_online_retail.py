"""The whole pipeline on a year of real orders, judged against the orders themselves."""

from __future__ import annotations

import email
import email.policy
import math
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import pytest

import warm
from commands import CHECKOUT, RETAIL, environment, run_json
from lifecycle.calendar import WEEKEND, weekend_of
from lifecycle.countries import country_code

pytestmark = pytest.mark.skipif(
    not RETAIL.is_dir(), reason="the online retail data is not beside this checkout"
)

CONFIG = ("--config", str(Path(__file__).with_name("online_retail.toml")))
LONGEST_LIMIT = 90
"""Days, of `dormancy.max_days`."""
FORTNIGHT = timedelta(days=15)
"""After its go-live an account is led for so long; days 0 to 14."""
DELAYS = {"first_report": 3, "quick_win": 7}
"""Working days after the entry."""
HOME = "United Kingdom"
ASCENSION = date(2011, 6, 2)
"""No working day in most of the other countries."""


class Orders:
    """What the file says about each account, by the days of its own time zone."""

    def __init__(self) -> None:
        self._file = duckdb.connect()
        self._file.execute(
            "create view orders as select cast(account_id as varchar) as account_id, occurred_at"
            f" from '{RETAIL / 'usage_events.parquet'}' where event_name = 'order_line'"
        )
        known = self._file.execute(
            "select cast(account_id as varchar), time_zone, country, created_at, went_live_at"
            f" from '{RETAIL / 'accounts.csv'}'"
        ).fetchall()
        self.zone = {row[0]: ZoneInfo(row[1]) for row in known}
        self.country = {row[0]: row[2] for row in known}
        self.created = {row[0]: row[3].replace(tzinfo=UTC) for row in known}
        self.went_live = {row[0]: row[4].replace(tzinfo=UTC) for row in known}

    def known(self, moment: datetime) -> set[str]:
        """The accounts that were there."""
        return {account for account, created in self.created.items() if created <= moment}

    def silence(self, moment: datetime) -> dict[str, int]:
        """Days since its last order; of who never ordered, the days it is live, the first too."""
        last = self._file.execute(
            "select account_id, max(occurred_at) from orders where occurred_at <= ? group by 1",
            [moment.replace(tzinfo=None)],
        ).fetchall()
        ordered = {account: at.replace(tzinfo=UTC) for account, at in last}
        return {
            account: self._days(account, ordered[account], moment)
            if account in ordered
            else self._days(account, self.went_live[account], moment) + 1
            for account in self.known(moment)
        }

    def least_limit(self, moment: datetime) -> dict[str, int]:
        """Days of silence that are certainly usual for an account that ordered.

        Twice the gap that nine in ten of its own stay under, or that of the median account,
        whichever is the shorter.
        """
        gaps = self._file.execute(
            """
            with days as (
              select distinct account_id, cast(occurred_at as date) as day
              from orders where occurred_at <= ?
            ),
            gaps as (
              select account_id, day - lag(day) over (partition by account_id order by day) as gap
              from days
            ),
            own as (select account_id, count(gap) as n, quantile_cont(gap, 0.9) as own
                    from gaps group by 1)
            select account_id, least(if(n < 3, null, own),
                                     (select median(own) from own where n >= 3))
            from own
            """,
            [moment.replace(tzinfo=None)],
        ).fetchall()
        return {account: min(LONGEST_LIMIT, math.floor(2 * gap)) for account, gap in gaps}

    def is_office_hour(self, account: str, moment: datetime) -> bool:
        """A day of its country's working week, nine to five where the account is."""
        there = moment.astimezone(self.zone[account])
        return there.weekday() not in self.weekend(account) and 9 <= there.hour < 17

    def weekend(self, account: str) -> frozenset[int]:
        """Friday and Saturday in Israel, Bahrain and Saudi Arabia."""
        return weekend_of(country_code(self.country[account]))

    def _days(self, account: str, since: datetime, moment: datetime) -> int:
        zone = self.zone[account]
        return (moment.astimezone(zone).date() - since.astimezone(zone).date()).days


@pytest.fixture(scope="module")
def orders() -> Orders:
    return Orders()


@pytest.fixture
def run(tmp_path: Path, prefect_api: str) -> Callable[..., dict[str, Any]]:
    """A run as of a moment, with more options."""
    env = environment(tmp_path, LIFECYCLE__SOURCE__PATH=str(RETAIL), PREFECT_API_URL=prefect_api)

    def go(moment: datetime, *options: str) -> dict[str, Any]:
        as_of = ("--as-of", f"{moment:%Y-%m-%d %H:%M}")
        return run_json(*CONFIG, "run", *as_of, *options, env=env)

    return go


def published(state: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(state / "published.duckdb"), read_only=True) as marts:
        return marts.execute(query).fetchall()


def limits(state: Path) -> dict[str, int]:
    """Each account's own, as the last run published it."""
    query = "select account_id, dormancy_limit_days from marts.account_dormancy"
    return dict(published(state, query))


class Mail(NamedTuple):
    """What a mail says of itself."""

    account: str
    trigger: str
    step: str
    date: datetime


def mails(state: Path) -> dict[str, Mail]:
    """The outbox: file → mail."""
    return {path.name: read(path) for path in (state / "outbox").glob("*.eml")}


def read(path: Path) -> Mail:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    address = message["To"].addresses[0].addr_spec
    account = address.removeprefix("buyer-").removesuffix("@example.com")
    step = message["X-Lifecycle-Step"]
    return Mail(account, message["X-Lifecycle-Trigger"], step, message["Date"].datetime)


@pytest.mark.long
def test_on_the_last_day_who_fell_silent_is_won_back_and_nobody_else(
    tmp_path, prefect_api, run, orders
):
    friday = datetime(2011, 12, 9, 13, tzinfo=UTC)
    report = run(friday)
    assert report["accounts"] == 4372
    assert report["feed_status"] == "fresh"
    assert report["gate"]["raw"]["failed"] == report["gate"]["marts"]["failed"] == 0
    assert report["state_dir"] == str(tmp_path)
    sent = mails(tmp_path)
    assert len(sent) == report["accepted"] == report["by_trigger"]["win_back_dormant"] > 1000
    won_back = Counter(mail.account for mail in sent.values())
    assert max(won_back.values()) == 1

    silence, limit, floor = orders.silence(friday), limits(tmp_path), orders.least_limit(friday)
    for account in won_back:
        days = silence[account]
        assert days > limit[account] >= floor.get(account, 0), f"{account} ordered {days} days ago"
    usual = sorted(floor.values())
    assert usual[len(usual) // 2] == LONGEST_LIMIT, "a floor that says something"
    silent = {account for account, days in silence.items() if days > limit[account]}
    asleep = {account for account in silent if not orders.is_office_hour(account, friday)}
    assert report["enrolled"] == {"win_back_dormant": len(silent)}
    assert silent - asleep >= set(won_back)
    assert len(won_back) + report["withheld"]["held_out"] >= len(silent - asleep)
    assert report["withheld"].keys() == {"held_out"}

    env = environment(tmp_path, PREFECT_API_URL=prefect_api)
    for account, fate in (
        (min(won_back), "check_in Buyer"),
        (min(limit.keys() - silent), "win_back_dormant: does not match"),
    ):
        result = warm.lifecycle(*CONFIG, "explain", account, env=env, cwd=CHECKOUT)
        assert result.returncode == 0, result.stderr
        text = " ".join(result.stdout.split())
        assert f"silent for {silence[account]} days; its limit is {limit[account]}" in text
        assert fate in text, result.stdout

    # The data ends here; by Wednesday two and a half business days are missing.
    late = run(datetime(2011, 12, 14, 10, tzinfo=UTC), "--dry-run")
    assert late["feed_status"] == "late"
    assert late["accepted"] == late["planned"] == 0
    assert late["exited"] == {}, "missing data ends no episode"
    assert any("win_back_dormant waits" in line for line in late["waiting"])
    known = "count(is_dormant), count(usage_health), count(course)"
    assert published(tmp_path, f"select {known} from marts.account_360") == [(0, 0, 0)]
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        assert ledger.execute("select run_id from runs").fetchall() == [(report["run_id"],)]


@dataclass(frozen=True)
class Seen:
    """A run: its moment, whom its triggers had to match, and what it sent (file → mail)."""

    moment: datetime
    silence: dict[str, int]
    matched: dict[str, set[str]]
    sent: dict[str, Mail]

    @cached_property
    def reached(self) -> set[tuple[str, str]]:
        """Accounts that got a mail, each with the mail's trigger."""
        return {(mail.account, mail.trigger) for mail in self.sent.values()}


@pytest.mark.long
def test_each_day_of_a_week_sends_only_what_came_due_since_the_last(tmp_path, run, orders):
    """Wednesday to Tuesday, and the Friday after: what came due between is caught up."""
    days = [datetime(2011, 6, day, 10, tzinfo=UTC) for day in (1, 2, 3, 4, 5, 6, 7, 10)]
    runs: list[Seen] = []
    for day in days:
        report, silence, limit = run(day), orders.silence(day), limits(tmp_path)
        assert report["feed_status"] == "fresh"
        assert report["accounts"] == len(silence), "nobody is known before their time"
        newest = published(tmp_path, "select max(last_active_at) from marts.account_360")[0][0]
        assert newest.replace(tzinfo=UTC) <= day
        matched = {
            "win_back_dormant": {item for item, quiet in silence.items() if quiet > limit[item]},
            "onboarding": {item for item in silence if day - orders.went_live[item] < FORTNIGHT},
        }
        known = {name for item in runs for name in item.sent}
        sent = {name: mail for name, mail in mails(tmp_path).items() if name not in known}
        assert len(sent) == report["accepted"]
        runs.append(Seen(day, silence, matched, sent))
        for mail in sent.values():
            assert mail.account in matched[mail.trigger]
            assert orders.is_office_hour(mail.account, mail.date)

    why = [
        Counter(
            reason(mail, runs[: number + 1], orders)
            for mail in item.sent.values()
            if orders.weekend(mail.account) == WEEKEND
        )
        for number, item in enumerate(runs)
    ]
    wednesday, thursday, _, saturday, sunday, monday, tuesday, friday = why
    assert set(wednesday) == {"came to match"}
    assert set(saturday) == set(sunday) == set()
    assert {"window opened", "delay ended"} <= set(monday)
    assert "delay ended" in friday
    assert set().union(*why) == {"came to match", "window opened", "delay ended"}
    assert wednesday["came to match"] > 500
    assert max(day.total() for day in (thursday, monday, tuesday)) < wednesday.total() / 2

    steps = Counter((mail.account, mail.step) for item in runs for mail in item.sent.values())
    assert max(steps.values()) == 1
    # Seven working days after Wednesday; elsewhere some of them are holidays.
    britons = {account for account, country in orders.country.items() if country == HOME}
    first, last = runs[0], runs[-1]
    due = {
        account
        for account, trigger in first.reached
        if trigger == "win_back_dormant"
        and account in britons
        and last.silence[account] == first.silence[account] + 9
    }
    assert {account for account, step in steps if step == "quick_win"} & britons == due
    assert len(due) > 400


def reason(mail: Mail, runs: list[Seen], orders: Orders) -> str:
    """What came about between the last run, which sent the mail, and the one before it."""
    *earlier, this = runs
    if delay := DELAYS.get(mail.step):
        first = next(
            item.moment for item in earlier if (mail.account, mail.trigger) in item.reached
        )
        ended = [working_days(first, item.moment) >= delay for item in (earlier[-1], this)]
        return "delay ended" if ended == [False, True] else "its delay had ended, or has not"
    if not earlier or mail.account not in earlier[-1].matched[mail.trigger]:
        return "came to match"
    before = earlier[-1].moment
    is_holiday = before.date() == ASCENSION and orders.country[mail.account] != HOME
    if orders.is_office_hour(mail.account, before) and not is_holiday:
        return "could have gone before"
    return "window opened"


def working_days(first: datetime, last: datetime) -> int:
    """Mondays to Fridays after the first day, up to the last."""
    after = (first + timedelta(days=number + 1) for number in range((last - first).days))
    return sum(day.weekday() < 5 for day in after)
