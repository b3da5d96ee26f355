"""The same data built by DuckDB and by PostgreSQL: every mart is equal, row by row."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner

from lifecycle.warehouse.build import PROJECT
from lifecycle.warehouse.published_days import DAYS, SCORED
from warehouse.dbt_in_process import build_untested
from warehouse.raw_company import Company
from warehouse.test_daily_marts import company_of

FIRST, SECOND = "2026-12-30 03:00", "2027-01-05 03:00"
LOADED = ("raw", "context", "parameters", "history")
TYPES = {"VARCHAR": "text", "DOUBLE": "double precision"}
PROFILE = """
lifecycle:
  target: postgres
  outputs:
    postgres:
      type: postgres
      host: "{host}"
      user: postgres
      password: ""
      port: 5432
      dbname: {database}
      schema: main
      threads: 1
"""


class Engines:
    """A company in DuckDB, and a PostgreSQL database that is loaded with the same tables."""

    def __init__(self, company: Company, server: str, folder: Path) -> None:
        self.company, self.folder = company, folder
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("create database warehouse")
            host = connection.info.host
        self.url = psycopg.conninfo.make_conninfo(server, dbname="warehouse")
        (folder / "profiles.yml").write_text(PROFILE.format(host=host, database="warehouse"))

    def build(self, as_of: str) -> None:
        """Build a day on both engines; the days before count as published."""
        if self.has_built():
            with psycopg.connect(self.url) as postgres:
                postgres.execute(f"delete from {DAYS} where day in (select day from {SCORED})")
                described = postgres.execute(f"select * from {SCORED} limit 0").description or ()
                names = ", ".join(column.name for column in described)
                postgres.execute(f"insert into {DAYS} ({names}) select {names} from {SCORED}")
        self.company.see(as_of)
        build_untested(self.company.settings)
        self.load()
        self.dbt("build", "--exclude-resource-type", "unit_test")

    def has_built(self) -> bool:
        with psycopg.connect(self.url) as postgres:
            (there,) = postgres.execute("select to_regclass(%s)", [SCORED]).fetchone() or (None,)
        return there is not None

    def load(self) -> None:
        """Copy what models read into PostgreSQL; the history is each engine's own."""
        with self.duckdb() as source, psycopg.connect(self.url) as postgres:
            tables = source.execute(
                "select schema_name, table_name from duckdb_tables() where schema_name in ?"
                " and table_name not like '\\_dlt%' escape '\\' order by all",
                [LOADED],
            ).fetchall()
            for schema, table in tables:
                name = f"{schema}.{table}"
                columns = source.execute(f"describe {name}").fetchall()
                typed = ", ".join(
                    f'"{column}" {TYPES.get(kind, kind)}' for column, kind, *_ in columns
                )
                postgres.execute(f"create schema if not exists {schema}")
                postgres.execute(f"create table if not exists {name} ({typed})")
                if schema == "history":
                    continue
                postgres.execute(f"truncate {name}")
                with postgres.cursor().copy(f"copy {name} from stdin") as copy:
                    for row in source.execute(f"from {name}").fetchall():
                        copy.write_row(row)

    def dbt(self, *arguments: str) -> Any:
        """Run a dbt command on PostgreSQL."""
        places = ("--project-dir", str(PROJECT), "--profiles-dir", str(self.folder))
        places += ("--target-path", str(self.folder / "target"))
        places += ("--log-path", str(self.folder / "logs"), "--log-level", "none", "--no-print")
        try:
            done = dbtRunner().invoke([*arguments, *places])
        finally:
            reset_adapters()
        failed = [
            (item.node.name, item.message)
            for item in getattr(done.result, "results", None) or []
            if item.status in ("error", "fail", "skipped")
        ]
        assert done.success, done.exception or failed
        assert failed == []
        return done

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self.company.settings.work_db))

    def marts(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """The rows of every mart on either engine, sorted, with the columns by name."""
        with self.duckdb() as ours, psycopg.connect(self.url) as theirs:
            names = ours.execute(
                "select table_name from information_schema.tables where table_schema = 'marts'"
            ).fetchall()
            listed = (f"marts.{name}" for (name,) in names)
            both = {name: (_rows(ours, name), _rows(theirs, name)) for name in listed}
        return tuple({name: rows[side] for name, rows in both.items()} for side in (0, 1))  # type: ignore[return-value]


def _rows(connection: Any, mart: str) -> list[Any]:
    result = connection.execute(f"select * from {mart}")
    names = [column[0] for column in result.description]
    rows = [
        tuple(sorted((name, _comparable(value)) for name, value in zip(names, row, strict=True)))
        for row in result.fetchall()
    ]
    return sorted(rows, key=repr)


def _comparable(value: object) -> object:
    """Numbers to nine significant digits: engines add up in another order."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = float(value)
        return number if not number else round(number, 8 - math.floor(math.log10(abs(number))))
    return value


@pytest.fixture(scope="module")
def engines(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    folder = tmp_path_factory.mktemp("engines")
    company = company_of(folder / "company")
    before = os.environ.get("DBT_SEND_ANONYMOUS_USAGE_STATS")
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    yield Engines(company, postgres, folder)
    if before is None:
        del os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"]


def test_both_engines_build_the_same_marts_on_two_days(engines: Engines) -> None:
    company = engines.company
    fill_ledger(company)
    engines.build(FIRST)
    ours, theirs = engines.marts()
    assert len(ours) > 15
    assert ours == theirs

    company.sql("update raw.accounts set plan = 'pro' where account_id = 'steady'")
    company.sql(LATE_EVENTS)
    company.sql(FITTED)
    engines.build(SECOND)
    ours, theirs = engines.marts()
    assert set(ours) == set(theirs)
    for mart, rows in ours.items():
        assert rows == theirs[mart], mart
    versions = {dict(row)["score_version"] for row in ours["marts.fct_account_health_daily"]}
    assert versions == {None, "v1"}
    assert len(ours["marts.trigger_effect"]) == 1


def fill_ledger(company: Company) -> None:
    """Entries of two accounts, one of which met its goal, and a mail."""
    company.add(
        "ledger_sends",
        {"send_id": "1", "account_id": "steady", "contact_id": "c1", "trigger": "win_back"}
        | {"trigger_version": "v", "step": "s", "cycle": 1, "state": "accepted", "attempts": 1}
        | {"accepted_at": "2026-12-01 01:00", "state_at": "2026-12-01 01:00"},
    )
    entry = {"trigger": "win_back", "cycle": 1, "entered_version": "v"}
    entry |= {"enrolled_at": "2026-11-01", "goal_until": "2026-11-29"}
    company.add(
        "ledger_enrollments",
        {**entry, "account_id": "steady", "held_out": False, "goal_met_at": "2026-11-05"},
        {**entry, "account_id": "fading", "held_out": True},
    )
    company.add(
        "ledger_replies",
        {"key": "r1", "kind": "answer", "came_at": "2026-12-01 01:42", "send_id": "1", "step": "s"}
        | {"account_id": "steady", "trigger": "win_back", "cycle": 1, "label": "later"},
    )


LATE_EVENTS = """
    insert into raw.usage_events (event_id, account_id, occurred_at, event_name, user_id, feature,
        _loaded_at)
    select 'late' || n, 'abroad', timestamp '2026-12-20 05:00' + to_minutes(n), 'login', 'u9', 'f9',
        timestamp '2027-01-05'
    from range(3) as late (n)
"""
FITTED = """
    insert into parameters.score_versions values
        ('v1', '2027-01-01 12:00', true, true, 1000, 100, '');
    insert into parameters.return_parameters values ('v1', '', 0.6, 9, 0.3, 1.1, 900, 0);
    insert into parameters.segment_gaps values ('v1', 'smb', 9.5), ('v1', '', 4.25);
    insert into parameters.dormancy_calibration values ('v1', 1.7, 0.5, 100);
    insert into parameters.evidence_base values ('v1', 'active_days_28', 1.0, 50, -2.0);
    insert into parameters.evidence_bins values
        ('v1', 'active_days_28', '-inf', 24, 50, 50, 1.0, -30),
        ('v1', 'active_days_28', 24, 'inf', 0, 50, -1.0, 10),
        ('v1', 'active_days_28', null, null, 0, 0, 0.0, -1)
"""
