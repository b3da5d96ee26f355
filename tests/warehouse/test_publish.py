"""What readers see: the last good marts, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.errors import WarehouseError
from lifecycle.warehouse.connection import connect_published, connect_work
from lifecycle.warehouse.publish import publish
from warehouse.raw_company import Company

AS_OF = "2026-06-10 01:00"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path / "company")
    company.see(AS_OF)
    company.sql("create schema marts")
    company.sql("create table marts.account_360 as select 'a' as account_id")
    return company


def test_nothing_published_yet_says_what_to_do(company: Company) -> None:
    with (
        pytest.raises(WarehouseError, match=r"nothing was published yet.*lifecycle run"),
        connect_published(company.settings),
    ):
        pass


def test_readers_see_the_marts_and_whose_run_they_are_of(company: Company) -> None:
    publish(company.settings, run_id="r1")
    with connect_published(company.settings) as published:
        assert published.execute("select account_id from marts.account_360").fetchall() == [("a",)]
        rows = published.execute("select run_id, cast(as_of as varchar) from marts.published")
        assert rows.fetchall() == [("r1", "2026-06-10 01:00:00")]
        schemas = "select distinct table_schema from information_schema.tables"
        assert published.execute(schemas).fetchall() == [("marts",)]


def test_a_reader_keeps_what_it_opened_while_the_next_run_publishes(company: Company) -> None:
    publish(company.settings, run_id="r1")
    with connect_published(company.settings) as early:
        company.sql("insert into marts.account_360 values ('b')")
        publish(company.settings, run_id="r2")
        assert early.execute("select count(*) from marts.account_360").fetchone() == (1,)
    with connect_published(company.settings) as late:
        assert late.execute("select count(*) from marts.account_360").fetchone() == (2,)


def test_what_a_killed_run_left_is_removed_and_a_failed_one_changes_nothing(
    company: Company,
) -> None:
    publish(company.settings, run_id="r1")
    leftover = company.settings.state_dir / "published.duckdb.killed.tmp"
    leftover.write_bytes(b"half a file")
    leftover.with_name(leftover.name + ".wal").write_bytes(b"")
    publish(company.settings, run_id="r2")
    company.sql("drop schema marts cascade")
    with pytest.raises(WarehouseError, match="no marts to publish"):
        publish(company.settings, run_id="r3")
    with connect_published(company.settings) as published:
        assert published.execute("select run_id from marts.published").fetchall() == [("r2",)]
    assert [path.name for path in company.settings.state_dir.glob("published*")] == [
        "published.duckdb"
    ]


def test_an_sql_error_is_a_warehouse_error(company: Company) -> None:
    with (
        pytest.raises(WarehouseError, match=r"work\.duckdb: .*no_such_table"),
        connect_work(company.settings) as connection,
    ):
        connection.execute("select * from no_such_table")
