"""Each command that has a schedule leaves a row that says how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import func, insert, inspect, select, update

from lifecycle.errors import GateStopped
from lifecycle.ledger import commands
from lifecycle.ledger.backup import back_up, restore
from lifecycle.ledger.commands import DELIVER, FIT_SCORES, RUN, recorded
from lifecycle.ledger.store import MIGRATIONS, Ledger
from lifecycle.ledger.tables import command_runs, recording


def read(ledger: Ledger) -> commands.Commands:
    with ledger.read() as connection:
        return commands.read(connection)


def test_a_command_is_recorded_however_it_ends(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        assert read(ledger).started == {}
        with recorded(ledger, DELIVER) as record:
            assert read(ledger).started[DELIVER].outcome == "running"
            record.due, record.accepted = 3, 2
        with pytest.raises(GateStopped), recorded(ledger, RUN):
            raise GateStopped("raw", ["contacts vanished, aiko@example.com too"])
        with pytest.raises(OSError, match="full"), recorded(ledger, FIT_SCORES):
            raise OSError("the disk is full\nand more")
        with pytest.raises(KeyboardInterrupt), recorded(ledger, FIT_SCORES):
            raise KeyboardInterrupt
        records = read(ledger)
    assert {name: run.outcome for name, run in records.finished.items()} == {
        DELIVER: "done",
        RUN: "stopped",
        FIT_SCORES: "failed",
    }
    assert records.ended_well.keys() == {DELIVER}
    assert (records.last_delivery.due, records.last_delivery.accepted) == (3, 2)
    assert records.finished[RUN].why == (
        "stopped at the raw gate, nothing was sent: contacts vanished, a***@example.com too"
    )
    assert records.finished[FIT_SCORES].why == "it was ended from outside"
    assert records.since <= records.started[DELIVER].began_at


def test_the_error_of_a_command_is_not_hidden_by_a_ledger_that_cannot_be_written(
    tmp_path, caplog
) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        with ledger.write() as connection:
            connection.exec_driver_sql(
                "create trigger broken before update on command_runs"
                " begin select raise(abort, 'database or disk is full'); end"
            )
        with pytest.raises(OSError, match="its own"), recorded(ledger, RUN):
            raise OSError("its own")
    assert "lifecycle-run: its end could not be recorded" in caplog.text


KILLED_INSIDE = """
import os, signal, sys
from lifecycle.ledger.commands import recorded
from lifecycle.ledger.store import MIGRATIONS, Ledger
with Ledger.open(sys.argv[1]) as ledger, recorded(ledger, "lifecycle-run"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_command_that_was_killed_never_ended_well(tmp_path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    environment = {**os.environ, commands.FLOW_RUN: "a flow run"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_INSIDE, url], env=environment, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    with Ledger.open(url) as ledger:
        records = read(ledger)
    assert records.started[RUN].outcome == "killed"
    assert records.started[RUN].finished_at is None
    assert (records.finished, records.ended_well) == ({}, {})
    assert records.by_prefect


def test_old_rows_go_but_the_last_that_ended_well_stays(ledger_url: str) -> None:
    now = datetime.now(UTC)
    with Ledger.open(ledger_url) as ledger:
        with ledger.write() as connection:
            for days, outcome in ((200, "done"), (190, "done"), (180, "failed"), (170, "failed")):
                at = now - timedelta(days=days)
                connection.execute(
                    insert(command_runs).values(
                        command=FIT_SCORES,
                        started_by="prefect",
                        began_at=at,
                        finished_at=at,
                        outcome=outcome,
                        worker="elsewhere:1:0.00",
                    )
                )
        with recorded(ledger, DELIVER):
            pass
        with ledger.read() as connection:
            query = select(command_runs.c.outcome).where(command_runs.c.command == FIT_SCORES)
            assert sorted(connection.scalars(query)) == ["done", "failed"]
        records = read(ledger)
        assert records.ended_well[FIT_SCORES].began_at == now - timedelta(days=190)
        assert records.finished[FIT_SCORES].began_at == now - timedelta(days=170)


def test_a_backup_keeps_the_record_and_since_when_there_is_one(ledger_url, tmp_path) -> None:
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    with Ledger.open(ledger_url) as ledger:
        with ledger.write() as connection:
            connection.execute(update(recording).values(since=long_ago))
        with recorded(ledger, DELIVER):
            pass
        back_up(ledger, tmp_path / "backup.db")
    with Ledger.open(f"sqlite:///{tmp_path / 'new.db'}") as new:
        restore(new, tmp_path / "backup.db", by="aiko", why="test")
        with new.read() as connection:
            assert connection.scalars(select(recording.c.since)).all() == [long_ago]
        assert read(new).ended_well.keys() == {DELIVER}


def test_a_ledger_that_is_upgraded_records_from_then_on(ledger_url: str) -> None:
    """As the version before left it: its tables, and not those of the record."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with Ledger.open(ledger_url) as ledger, ledger.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        tables = inspect(connection).get_table_names()
        assert {"command_runs", "recording", "departures"}.isdisjoint(tables)
    upgraded_after = datetime.now(UTC)
    with Ledger.open(ledger_url) as ledger:
        assert upgraded_after <= read(ledger).since <= datetime.now(UTC)
        with ledger.read() as connection:
            assert connection.scalar(select(func.count()).select_from(recording)) == 1
