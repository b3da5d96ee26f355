"""The ledger's transactions."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from lifecycle.errors import NewerVersion, SettingsError
from lifecycle.ledger.backup import back_up, restore
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import metadata


def test_one_writes_at_a_time_and_others_read_meanwhile(ledger_url: str) -> None:
    wrote = threading.Event()

    def write() -> None:
        with other.write() as connection:
            connection.execute(text("select 1"))
            wrote.set()

    with Ledger.open(ledger_url) as ledger, Ledger.open(ledger_url) as other:
        second = threading.Thread(target=write)
        with ledger.write():
            second.start()
            assert not wrote.wait(0.5), "two wrote at once: they could wait for each other"
            with other.read() as connection:
                assert connection.scalar(text("select count(*) from sends")) == 0
        assert wrote.wait(30)
        second.join()


def test_the_migrations_make_the_tables_that_the_code_knows(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger, ledger.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        changes = compare_metadata(context, metadata)
    with_expression = "ix_sends_due"  # Alembic cannot compare it
    assert [change for change in changes if getattr(change[1], "name", "") != with_expression] == []


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(
    ledger_url: str, tmp_path: Path
) -> None:
    with Ledger.open(ledger_url) as ledger, ledger.write() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(NewerVersion, match=r"was written by a newer version: .* revision 9999"):
        Ledger.open(ledger_url)
    assert NewerVersion.exit_status == 2

    with Ledger.open(f"sqlite:///{tmp_path / 'newer.db'}") as newer:
        back_up(newer, tmp_path / "backup.db")
    with Ledger.open(f"sqlite:///{tmp_path / 'backup.db'}") as copy, copy.write() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    newer = pytest.raises(NewerVersion, match=r"backup\.db: this backup was written by a newer")
    with Ledger.open(f"sqlite:///{tmp_path / 'empty.db'}") as empty, newer:
        restore(empty, tmp_path / "backup.db", by="aiko", why="test")


def test_a_postgres_ledger_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError) as refused:
        Ledger.open("postgresql://localhost/ledger")
    assert str(refused.value) == (
        "ledger.url: psycopg is not installed; install lifecycle[postgres]"
    )
