"""DuckDB as Great Expectations needs it: rows outlive their connection, the file does not stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import sqlalchemy

from lifecycle.warehouse.gate.gx_duckdb import close_cursors, url_of

TOUCH = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('create table touched (i int)')"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a $b c%20.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.numbers as select i from range(5000) as t (i)")
    return path


def test_rows_are_read_after_their_connection_was_closed(database: Path) -> None:
    engine = sqlalchemy.create_engine(url_of(database))
    with engine.connect() as connection:
        first = connection.execute(sqlalchemy.text("select i from raw.numbers order by i"))
        second = connection.execute(sqlalchemy.text("select count(*) from raw.numbers"))
    assert first.fetchone() == (0,)
    assert second.scalar_one() == 5000
    assert len(first.fetchall()) == 4999


def test_columns_are_known_without_postgresqls_catalogue(database: Path) -> None:
    inspector = sqlalchemy.inspect(sqlalchemy.create_engine(url_of(database)))
    assert [column["name"] for column in inspector.get_columns("numbers", schema="raw")] == ["i"]


def test_a_cursor_that_was_not_read_to_its_end_does_not_keep_the_file(database: Path) -> None:
    engine = sqlalchemy.create_engine(url_of(database))
    with engine.connect() as connection:
        unread = connection.execute(sqlalchemy.text("select i from raw.numbers"))
    assert unread.fetchone() is not None
    command = [sys.executable, "-c", TOUCH, database]
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0
    close_cursors()
    subprocess.run(command, check=True)
