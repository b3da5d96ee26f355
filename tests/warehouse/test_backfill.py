"""Past days written into the history: equal to days that were lived, whatever ends a backfill."""

from __future__ import annotations

import json
import random
import shutil
import time as clock
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

import warm
from lifecycle.cli import app
from lifecycle.errors import InputError, NothingPublished, WarehouseError
from lifecycle.health.fit import fit_scores
from lifecycle.settings import Settings, load
from lifecycle.sources import ledger as ledger_source
from lifecycle.sources.pull import pull
from lifecycle.warehouse import context
from lifecycle.warehouse.backfill import Backfilled, backfill
from lifecycle.warehouse.connection import connect_published, connect_work
from lifecycle.warehouse.publish import publish
from lifecycle.warehouse.published_days import begin_day
from warehouse.backfilling import AT, backfill_telling
from warehouse.dbt_in_process import build_untested
from warehouse.raw_company import TOML, utc
from warehouse.test_daily_marts import company_of

LOADED = utc("2026-02-02 03:00")
DAYS = [date(2026, 1, 5) + timedelta(days=number) for number in range(6)]
"""On the one before the last the feed is late."""
MIDDLE, LAST = DAYS[3], DAYS[-1]
LONG_AGO = [date(2025, 10, 1), date(2025, 10, 2)]
FILES = TOML + '\n[source]\nkind = "files"\npath = "exports"\n'
HISTORY = "fct_account_health_daily"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The company of the quick way through past days as files, a year earlier: the clock of a
    load is the wall's. One account more has left, one falls silent, and on one day nothing came."""
    folder = tmp_path_factory.mktemp("exported")
    raw = company_of(folder / "company")
    for name, like, churned_at in (
        ("leaver", "fading", "timestamp '2026-12-20'"),
        ("drifting", "steady", "null::timestamp"),
    ):
        raw.sql(
            f"insert into raw.accounts select * replace ('{name}' as account_id,"
            f" {churned_at} as churned_at) from raw.accounts where account_id = '{like}'"
        )
        raw.sql(
            f"insert into raw.usage_events select * replace ('{name}' || event_id as event_id,"
            f" '{name}' as account_id) from raw.usage_events where account_id = '{like}'"
        )
    raw.sql(
        "delete from raw.usage_events"
        " where occurred_at between '2027-01-07 15:00' and '2027-01-08 15:00'"
        " or account_id = 'drifting' and occurred_at > '2026-12-30'"
    )
    (folder / "exports").mkdir()
    with duckdb.connect(str(raw.settings.work_db)) as connection:
        for table in ("accounts", "contacts", "usage_events", "survey_responses"):
            columns = connection.execute(f"describe raw.{table}").fetchall()
            earlier = ", ".join(
                f"{name} - interval 1 year as {name}"
                for name, kind, *_ in columns
                if kind == "TIMESTAMP"
            )
            query = f"select * replace ({earlier}) from raw.{table}"
            query = f"select * exclude (_loaded_at) from ({query})"
            connection.execute(f"copy ({query}) to '{folder / 'exports' / table}.parquet'")
    return folder / "exports"


class Company:
    """A state folder of its own, and the files beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, folder: Path, exports: Path) -> Company:
        folder.mkdir(parents=True)
        (folder / "lifecycle.toml").write_text(FILES, encoding="utf-8")
        shutil.copytree(exports, folder / "exports")
        return cls(folder)

    @property
    def settings(self) -> Settings:
        return load(self.folder / "lifecycle.toml")

    def run(self, *days: date, models: tuple[str, ...] = (), publishes: bool = True) -> None:
        """The warehouse's part of a run at six in the morning of each day; only `models` and what
        they read, if any."""
        pull(self.settings, loaded_at=LOADED)
        ledger_source.snapshot(self.settings)
        for day in days:
            run_id, as_of = f"run-{day}", utc(f"{day - timedelta(days=1)} 21:00")
            begin_day(self.settings, run_id=run_id)
            context.write(self.settings, run_id=run_id, as_of=as_of, loaded_at=LOADED)
            build_untested(self.settings, *models)
            if publishes:
                publish(self.settings, run_id=run_id)

    def backfill(self, days: list[date], **more: Any) -> Backfilled:
        return backfill(self.settings, days, at=AT, **more)

    def command(self, days: list[date], *more: str) -> Any:
        config = ("--config", str(self.folder / "lifecycle.toml"))
        span = ("--from", str(days[0]), "--to", str(days[-1]))
        return CliRunner().invoke(app, [*config, "backfill", *span, *more])

    def history(self) -> Rows:
        return self.rows("from history.account_health_daily order by day, account_id")

    def days(self) -> list[date]:
        return sorted({row["day"] for row in self.history()})

    def rows(self, query: str, *, published: bool = False) -> Rows:
        connect = connect_published if published else connect_work
        with connect(self.settings) as connection:
            rows = connection.execute(query)
            names = [column[0] for column in rows.description or ()]
            return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def of(rows: Rows, *days: date) -> Rows:
    return [row for row in rows if row["day"] in days]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, exports: Path) -> Rows:
    """The history that runs wrote day by day."""
    company = Company.new(tmp_path_factory.mktemp("lived") / "company", exports)
    company.run(*DAYS, models=(HISTORY,))
    rows = company.history()
    assert {row["feed_status"] for row in rows} == {"fresh", "late"}
    assert {row["usage_band"] for row in rows} >= {"green", "yellow"}
    falls = [row["usage_health"] for row in rows if row["account_id"] == "drifting"]
    assert len(set(falls[:3])) == 3, "while the score of the day is smoothed in"
    return rows


@pytest.fixture(scope="module")
def begun_once(tmp_path_factory: pytest.TempPathFactory, exports: Path) -> Path:
    company = Company.new(tmp_path_factory.mktemp("begun") / "company", exports)
    company.run(MIDDLE)
    return company.folder


@pytest.fixture
def begun(tmp_path: Path, begun_once: Path) -> Company:
    """A company whose one run was in the middle of the days."""
    return Company(Path(shutil.copytree(begun_once, tmp_path / "company")))


@pytest.fixture
def company(tmp_path: Path, exports: Path) -> Company:
    """One that never had a run."""
    return Company.new(tmp_path / "company", exports)


@pytest.mark.long
def test_days_before_the_first_run_equal_days_lived_and_so_does_that_run(
    company: Company, lived: Rows
) -> None:
    done = company.command(DAYS[:-1], "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["days"], answer["built"], answer["published"]) == (5, 5, False)
    assert answer["rows"] == len(of(lived, *DAYS[:-1]))
    late = {str(row["day"]) for row in lived if row["feed_status"] == "late"}
    assert set(answer["late_days"]) == late
    assert f"{DAYS[-2]}, 5 of 5" in done.stderr
    assert company.history() == of(lived, *DAYS[:-1])
    assert not company.settings.published_db.exists()
    assert not (company.settings.state_dir / "ledger.db").exists()
    assert not (company.settings.state_dir / "backfill").exists()

    company.run(LAST, models=(HISTORY,))
    assert company.history() == lived
    assert company.rows(f"from marts.{HISTORY} order by day, account_id", published=True) == lived


def test_what_a_run_wrote_stays_and_is_refused(begun: Company, lived: Rows) -> None:
    written = begun.history()
    refused = begun.command(DAYS)
    assert isinstance(refused.exception, InputError)
    text = str(refused.exception)
    assert f"runs wrote {MIDDLE}, " in text
    assert f"--from {DAYS[0]} --to {DAYS[2]}; --from {DAYS[4]} --to {LAST}" in text
    assert begun.history() == written

    everything = "select * exclude (published_at) from marts.published, marts.account_360"
    before = begun.rows(f"{everything} order by account_id", published=True)
    assert begun.backfill(DAYS[:3]).is_published
    assert begun.backfill(DAYS[4:]).is_published
    assert of(begun.history(), MIDDLE) == written, "although days before it are known now"
    assert of(begun.history(), *DAYS[:3]) == of(lived, *DAYS[:3])
    assert begun.days() == DAYS
    shown = begun.rows(f"from marts.{HISTORY} order by day, account_id", published=True)
    assert shown == begun.history()
    assert begun.rows(f"{everything} order by account_id", published=True) == before
    assert [path.name for path in begun.settings.state_dir.glob("published*")] == [
        "published.duckdb"
    ]


def test_a_run_makes_a_backfilled_day_its_own(begun: Company) -> None:
    begun.backfill(DAYS[4:])
    as_of = utc(f"{DAYS[4]} 03:00")
    begin_day(begun.settings, run_id="later")
    context.write(begun.settings, run_id="later", as_of=as_of, loaded_at=LOADED)
    build_untested(begun.settings, HISTORY)
    publish(begun.settings, run_id="later")
    with pytest.raises(InputError, match=f"runs wrote {MIDDLE} to {DAYS[4]}, "):
        begun.backfill(DAYS)


def test_earlier_days_are_backfilled_with_those_that_follow_from_them(
    begun: Company, lived: Rows
) -> None:
    early, days = DAYS[:1], DAYS[:3]
    begun.backfill(days[1:])
    assert of(begun.history(), *days[1:]) != of(lived, *days[1:]), "nothing went before"
    with pytest.raises(InputError, match=f"{days[1]} to {days[2]}: .* --to {days[2]}"):
        begun.backfill(early)
    assert list(begun.backfill(days).built) == days
    assert of(begun.history(), *days) == of(lived, *days)

    text = " ".join(begun.command(days).stdout.split())
    assert "0 days built" in text
    assert "3 days were there, of an earlier backfill" in text
    assert list(begun.backfill(days[1:], again=True).built) == days[1:]
    assert of(begun.history(), *days) == of(lived, *days)


def test_killed_and_continued_it_equals_one_that_nothing_disturbed(
    begun: Company, lived: Rows, tmp_path: Path
) -> None:
    days, chance = DAYS[:3], random.Random(20260610)
    for number in (1, 2):
        done = tmp_path / f"done-{number}"
        done.mkdir()
        arguments = (str(begun.folder), days, str(done))
        process = warm.start(backfill_telling, *arguments, imported=warm.RUN)
        while process.is_alive() and len(list(done.iterdir())) < number:
            clock.sleep(0.002)
        clock.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.join()
        there = begun.days()
        assert there == [*days[: len(there) - 1], MIDDLE], "what is there is whole, and has no gap"
        assert of(begun.history(), *there[:-1]) == of(lived, *there[:-1])
        assert len(there) > number
    begun.backfill(days)
    assert of(begun.history(), *days) == of(lived, *days)
    shown = begun.rows(f"from marts.{HISTORY} order by day, account_id", published=True)
    assert shown == begun.history()
    assert not (begun.settings.state_dir / "backfill").exists()


def test_scores_learn_from_what_was_backfilled(begun: Company) -> None:
    assert fit_scores(begun.settings).parameters.churned == 0
    begun.backfill(LONG_AGO)
    snapshots = "select account_id, day, has_churned from intermediate.int_score_snapshots"
    rows = begun.rows(f"{snapshots} where has_churned")
    assert rows == [{"account_id": "leaver", "day": LONG_AGO[0], "has_churned": True}]
    assert fit_scores(begun.settings).parameters.churned == 1


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2025-07-30", "2025-08-03", r"2025-07-30 to 2025-07-31: before .* --from 2025-08-01"),
        ("2026-01-31", "2026-02-04", r"2026-02-03 to 2026-02-04: nothing .* --to 2026-02-02"),
        ("2199-01-01", "2199-01-01", r"2199-01-01: in the future; end with --to 2198-12-31"),
    ],
)
def test_days_of_which_nothing_is_known_are_refused(
    begun: Company, first: str, last: str, expected: str
) -> None:
    days = [date.fromisoformat(day) for day in (first, last)]
    between = [days[0] + timedelta(days=n) for n in range((days[1] - days[0]).days + 1)]
    with pytest.raises(InputError, match=expected):
        begun.backfill(between)
    assert begun.days() == [MIDDLE]


def test_what_did_not_pass_the_gates_is_not_built_on(begun: Company) -> None:
    begun.run(LAST, publishes=False)
    with pytest.raises(NothingPublished, match=f"run run-{LAST} ended before it published"):
        begun.backfill(DAYS[:3])


def test_without_data_it_is_said_what_to_do(company: Company) -> None:
    with pytest.raises(WarehouseError, match="no data was loaded yet"):
        company.backfill(DAYS)


def test_a_load_that_the_gate_refuses_leaves_no_history(company: Company) -> None:
    file = company.folder / "exports" / "usage_events.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table events as from '{file}'")
        connection.execute("update events set occurred_at = occurred_at + interval 100 year")
        connection.execute(f"copy events to '{file}'")
    done = company.command(DAYS)
    assert getattr(done.exception, "exit_status", 0) == 3, done.exception
    assert company.rows("from duckdb_tables() where schema_name = 'marts'") == []


def test_a_history_of_an_older_version_takes_the_new_columns(begun: Company, lived: Rows) -> None:
    with connect_work(begun.settings) as connection:
        connection.execute("alter table history.account_health_daily drop column course")
    begun.backfill(DAYS[:2])
    assert of(begun.history(), *DAYS[:2]) == of(lived, *DAYS[:2])
