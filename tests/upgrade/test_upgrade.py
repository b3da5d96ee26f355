"""A state folder of each release, opened by today's code: nothing is lost, nothing sent twice.

make_state.py says how the archives were made; each release adds its own.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from alembic.script import ScriptDirectory
from typer.testing import CliRunner

from commands import environment, run_json
from lifecycle.cli import app
from lifecycle.ledger.store import MIGRATIONS

HERE = Path(__file__).parent
RELEASES = sorted(path.name for path in HERE.glob("*.tar.xz"))
SIGNED = ("--by", "aiko", "--why", "as agreed")
HISTORY = "marts.fct_account_health_daily"
OF_PEOPLE = ("sends", "enrollments", "suppressions", "account_holds", "launches", "owner_news")
Table = list[dict[str, Any]]


@dataclass
class Folder:
    """A state folder, and the files of its source."""

    state: Path
    env: dict[str, str]

    def ask(self, *arguments: str) -> dict[str, Any]:
        """A command that needs no Prefect, in this process."""
        done = CliRunner().invoke(app, [*arguments, "--json"], env=self.env)
        assert done.exit_code == 0, (done.exception, done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def ledger(self, query: str) -> Table:
        with closing(sqlite3.connect(self.state / "ledger.db")) as ledger:
            ledger.row_factory = sqlite3.Row
            return [dict(row) for row in ledger.execute(query)]

    def remembered(self) -> dict[str, Table]:
        """All that the ledger knows of people, as it is stored."""
        query = "select * from {} order by 1, 2, 3"
        return {table: self.ledger(query.format(table)) for table in OF_PEOPLE}

    def history(self, columns: str = "*") -> Table:
        with duckdb.connect(str(self.state / "published.duckdb"), read_only=True) as published:
            rows = published.execute(f"select {columns} from {HISTORY} order by day, account_id")
            names = [column[0] for column in rows.description or ()]
            return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]

    def outbox(self) -> dict[str, bytes]:
        return {path.stem: path.read_bytes() for path in (self.state / "outbox").glob("*.eml")}


@pytest.mark.parametrize("release", RELEASES)
def test_an_upgrade_loses_nothing(release: str, tmp_path: Path, prefect_api: str) -> None:
    folder = unpack(HERE / release, tmp_path, prefect_api)
    known, history, mails = folder.remembered(), folder.history(), folder.outbox()
    last = datetime.fromisoformat(max(row["as_of"] for row in runs(folder))).replace(tzinfo=UTC)
    decided = len(runs(folder))
    [held] = [row for row in known["sends"] if row["state"] == "held"]

    # Opened: the ledger is of today's version, and says what it said.
    assert [mail["send_id"] for mail in folder.ask("held")["held"]] == [held["send_id"]]
    [version] = folder.ledger("select version_num from alembic_version")
    assert version["version_num"] == ScriptDirectory(str(MIGRATIONS)).get_current_head()
    for table, rows in folder.remembered().items():
        assert narrowed(rows, known[table]) == known[table], table

    # The next day goes on from there.
    returned = import_again_without_its_date(folder)
    folder.ask("decide", held["send_id"], "resend", *SIGNED)
    report = run_json("run", "--as-of", iso(last + timedelta(hours=14.5)), env=folder.env)
    assert report["feed_status"] == "fresh"
    assert report["gate"]["raw"]["failed"] == report["gate"]["marts"]["failed"] == 0
    done = run_json("deliver", "--as-of", iso(last + timedelta(hours=38)), env=folder.env)
    assert done["accepted"] > 0
    assert len(runs(folder)) == decided + 1

    check_history(folder, history)
    check_sequences(folder, known)
    check_mails(folder, known, mails, held["send_id"])
    [departure] = folder.ledger(f"select * from departures where address = '{returned}'")
    assert departure["confirmed_at"] is not None
    assert departure["lifted_at"] is None
    check_backup(folder, tmp_path)
    assert folder.ask("status")


def unpack(archive: Path, folder: Path, prefect_api: str) -> Folder:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    state = folder / "state"
    # Version 0.1 took a time without a zone for UTC; now it is the company's, unless this says so.
    source = {"KIND": "files", "PATH": str(folder / "exports"), "TIME_ZONE": "UTC"}
    env = {f"LIFECYCLE__SOURCE__{name}": value for name, value in source.items()}
    return Folder(state, environment(state, PREFECT_API_URL=prefect_api, **env))


def runs(folder: Folder) -> Table:
    return folder.ledger("select * from runs where status = 'done' order by as_of")


def iso(moment: datetime) -> str:
    return moment.isoformat()


def narrowed(rows: Table, known: Table) -> Table:
    """The columns that a table had then."""
    columns = known[0] if known else {}
    return [{name: row[name] for name in columns} for row in rows] if known else rows


def import_again_without_its_date(folder: Folder) -> str:
    """A contact that had left is deleted in the CRM, and comes under a new id without the date;
    returns its address."""
    file = folder.state.parent / "exports" / "contacts.parquet"
    with duckdb.connect() as db:
        db.execute("create table contacts as from read_parquet($1)", [str(file)])
        [(old_id, address)] = db.execute(
            "select contact_id, lower(trim(email)) from contacts"
            " where unsubscribed_at is not null order by 1 limit 1"
        ).fetchall()
        db.execute(
            "update contacts set contact_id = 'new', unsubscribed_at = null where contact_id = $1",
            [old_id],
        )
        db.execute(f"copy contacts to '{file}' (format parquet)")
    return str(address)


def check_history(folder: Folder, history: Table) -> None:
    """Every day is as it was written, and one more is there."""
    there = folder.history(", ".join(history[0]))
    assert there[: len(history)] == history
    assert len({row["day"] for row in there[len(history) :]}) == 1


def check_sequences(folder: Folder, known: dict[str, Table]) -> None:
    """Who was inside is, in the same cycle; nobody's sequence began anew, and some went on."""
    key = ("account_id", "trigger", "cycle")
    before = {tuple(row[name] for name in key): row for row in known["enrollments"]}
    after = {tuple(row[name] for name in key): row for row in folder.remembered()["enrollments"]}
    assert after.keys() >= before.keys()
    for entry, row in before.items():
        for name in ("enrolled_at", "entered_version", "held_out", "run_id"):
            assert after[entry][name] == row[name]
    open_before = {entry[:2] for entry, row in before.items() if row["ended_at"] is None}
    assert not open_before & {entry[:2] for entry in after.keys() - before.keys()}
    sent_before = {row["send_id"] for row in known["sends"]}
    went_on = [
        row
        for row in folder.remembered()["sends"]
        if row["send_id"] not in sent_before
        and tuple(row[name] for name in key) in before
        and row["state"] == "accepted"
    ]
    assert went_on, "the next step of a sequence that was open"


def check_mails(
    folder: Folder, known: dict[str, Table], mails: dict[str, bytes], held: str
) -> None:
    """What had left did not leave again, and who may not be mailed was not."""
    outbox = folder.outbox()
    assert {name: outbox[name] for name in mails} == mails
    new = outbox.keys() - mails.keys()
    had_left = {row["send_id"] for row in known["sends"] if row["state"] == "accepted"}
    assert held in new, "a person had it sent again"
    assert not new & had_left
    accepted = folder.ledger("select send_id from send_log where to_state = 'accepted'")
    assert set(Counter(row["send_id"] for row in accepted).values()) == {1}
    sends = folder.remembered()["sends"]
    parts = ("account_id", "trigger", "step", "cycle", "address")
    to_customers = [row for row in sends if row["account_id"] and row["state"] == "accepted"]
    assert set(Counter(tuple(row[name] for name in parts) for row in to_customers).values()) == {1}
    suppressed = {row["address"] for row in known["suppressions"]}
    on_hold = {row["account_id"] for row in known["account_holds"]}
    assert suppressed
    assert on_hold
    gone = [row for row in sends if row["send_id"] in new]
    assert not [row for row in gone if row["address"] in suppressed]
    assert not [row for row in gone if row["account_id"] in on_hold]


def check_backup(folder: Folder, tmp_path: Path) -> None:
    """The ledger can be copied, and put back elsewhere."""
    file = tmp_path / "backup.db"
    folder.ask("backup", str(file))
    anew = Folder(
        tmp_path / "anew", {**folder.env, "LIFECYCLE__STATE__DIR": str(tmp_path / "anew")}
    )
    anew.ask("restore", str(file), *SIGNED)
    before, after = folder.remembered(), anew.remembered()
    assert {table: len(rows) for table, rows in after.items()} == {
        table: len(rows) for table, rows in before.items()
    }
    assert after["enrollments"] == before["enrollments"]
    assert after["suppressions"] == before["suppressions"]
