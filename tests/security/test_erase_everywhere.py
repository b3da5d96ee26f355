"""A person who was erased is in no file and no database of the state folder."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import Date, LargeBinary, String, select

import planned_sends
from company import Company
from lifecycle.erasure import erase, remembered, remembered_keys
from lifecycle.errors import InputError
from lifecycle.ledger import account_history, controls, suppressions
from lifecycle.ledger.backup import back_up, restore
from lifecycle.ledger.erased import KEYS
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import OutsideText, UtcDateTime, messages, metadata, sends
from lifecycle.temporary_folders import temporary_folder

NOW = datetime(2026, 6, 10, 1, tzinfo=UTC)
AIKO, KEN = "aiko.sato@example.com", "ken@example.com"
NAME, CONTACT = "佐藤 愛子", "contact-7731"
KEY = "0123456789abcdef0123456789abcdef"
TELLS = [
    spelled.encode()
    for text in (AIKO, NAME, CONTACT, AIKO.replace("@", "%40"))
    for spelled in (text, json.dumps(text)[1:-1])
]


@pytest.fixture
def company(tmp_path, monkeypatch) -> Company:
    monkeypatch.setenv("LIFECYCLE__PRIVACY__ERASURE_KEY", KEY)
    company = Company(tmp_path / "company")
    company.settings.state_dir.mkdir()
    return company


def leaks(folder: Path) -> list[str]:
    """The files that tell who the person is, byte by byte."""
    return [
        f"{path.relative_to(folder)}: {tell.decode()}"
        for path in folder.rglob("*")
        if path.is_file()
        for tell in TELLS
        if tell.lower() in path.read_bytes().lower()
    ]


def in_duckdb(file: Path) -> list[str]:
    """The columns of a DuckDB file that tell who the person is, by query."""
    with duckdb.connect(file, read_only=True) as warehouse:
        columns = warehouse.execute(
            "select table_schema, table_name, column_name from information_schema.columns"
        ).fetchall()
        return [
            f"{schema}.{table}.{column}"
            for schema, table, column in columns
            for tell in (AIKO, NAME, CONTACT)
            if warehouse.execute(
                f'select count(*) from "{schema}"."{table}"'
                f' where contains(lower(cast("{column}" as varchar)), ?)',
                [tell],
            ).fetchone()
            != (0,)
        ]


def put_into_every_column(file: Path, text: str) -> list[str]:
    """A row in each table of a ledger, with the text wherever one can stand; names the columns."""
    filled = []
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for table in metadata.sorted_tables:
            row: dict[str, object] = {}
            for column in table.columns:
                if isinstance(column.type, LargeBinary):
                    row[column.name] = b"To: x@example.com\r\n\r\nWords."
                elif isinstance(column.type, String | OutsideText):
                    row[column.name] = "0" if column.name in KEYS else text
                    if column.name not in KEYS:
                        filled.append(f"{table.name}.{column.name}")
                else:
                    moments = {UtcDateTime: "2026-06-10 00:00:00", Date: "2026-06-10"}
                    row[column.name] = moments.get(type(column.type), 1)
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" * len(row))
            statement = f'insert or replace into "{table.name}" ({names}) values ({marks})'
            database.execute(statement, list(row.values()))
    return filled


@pytest.mark.parametrize("text", [AIKO, f"asked by mailto:{AIKO.upper()}, twice"])
def test_erasure_knows_every_column_of_the_ledger(company, text):
    file = company.settings.state_dir / "ledger.db"
    with Ledger.open(company.settings.ledger_url) as ledger:
        filled = put_into_every_column(file, text)
        assert len(filled) > 80
        assert leaks(company.settings.state_dir)
        erase(company.settings, ledger, AIKO, by="support", why=f"asked by {AIKO}")
        assert leaks(company.settings.state_dir) == []


def live(company: Company, ledger: Ledger) -> None:
    """Leave the person wherever runs, people and kills leave one."""
    settings = company.settings
    state = settings.state_dir
    words = f"{NAME} <{AIKO}> ({CONTACT})"
    for path in (settings.work_db, settings.published_db):
        with duckdb.connect(path) as warehouse:
            warehouse.execute("create schema raw")
            for statement in (
                "raw.contacts as select 'a1' as account_id, $contact as contact_id,"
                " 'Aiko.Sato@example.com' as email, $name as name"
                f" union all select 'a2', 'other-9', '{KEN}', $name",
                "raw.accounts as select 'a1' as account_id, 'Acme' as name, 'Ask ' || $words"
                " as background, [$address] as custom_list",
                "raw.survey_responses as select 'a1' as account_id, 'other-9' as contact_id,"
                " 'Thanks to ' || $words as comment, 9 as score",
                "raw.usage_events as select 'a1' as account_id, 'mailto:' || $address as user_id"
                " union all select 'a1', $contact union all select 'a1', $address",
                "raw.rejected_rows as select json_object('email', $address) as record",
                "raw.next_years_table as select $address as words_of_a_new_column",
            ):
                values = {"contact": CONTACT, "name": NAME, "address": AIKO, "words": words}
                used = {name: value for name, value in values.items() if f"${name}" in statement}
                warehouse.execute(f"create table {statement}", used)
    body = f"\r\n\r\nYour colleague {words} asked."
    mails = [
        planned_sends.planned(1, at=NOW, address=AIKO, contact_id=CONTACT, account_id="a1"),
        planned_sends.planned(
            2, at=NOW, address=KEN, trigger="renewal", account_id="a1", mime=body.encode()
        ),
    ]
    planned_sends.plan(ledger, *mails)
    controls.hold(ledger, "a1", until=NOW, by="Mari", why=f"{words} asked")
    controls.pause(ledger, "win_back", by="Mari", why=AIKO)
    suppressions.suppress(ledger, AIKO, reason="unsubscribed", by="support")
    for name, text in {
        "logs/lifecycle.log": f"ERROR lifecycle answer {AIKO.replace('@', '%40')} failed\nstays\n",
        "logs/server.log": f"flow run says {words}\n",
        "reports/latest.txt": words,
        "reports/latest.json": json.dumps({"sample": [words]}),
        "reports/data_docs/raw.html": f"<td>{words.replace('<', '&lt;')}</td>",
        "checks/seen.json": json.dumps(words),
        "pull/contacts.parquet": f"PAR1\0{AIKO}",
        "backfill/work.duckdb": AIKO,
        "temporary/simulate-x/work.duckdb": AIKO,
        "outbox/preview-1.eml": f"To: {AIKO}\n\n",
        f"outbox/{'0' * 32}.eml": f"To: {KEN}\nReply-To: <{AIKO}>\n\n",
        ".latest.json.77.part": words,
    }.items():
        (state / name).parent.mkdir(exist_ok=True, parents=True)
        (state / name).write_text(text, encoding="utf-8")
    an_hour_ago = time.time() - 3600
    os.utime(state / "temporary" / "simulate-x", (an_hour_ago, an_hour_ago))
    (state / "prefect").mkdir()
    with sqlite3.connect(state / "prefect" / "prefect.db") as prefect:
        prefect.execute("create table artifact (id text primary key, data json)")
        prefect.execute("insert into artifact values ('1', ?)", [json.dumps({"table": words})])
    prefect.close()


def test_a_person_that_went_through_everything_is_nowhere(company, tmp_path):
    settings, file = company.settings, tmp_path / "backup.db"
    with Ledger.open(settings.ledger_url) as ledger, Ledger.open(settings.ledger_url) as other:
        live(company, ledger)
        with other.read() as connection:  # another process has the ledger open
            connection.execute(select(sends)).all()
        back_up(ledger, file)
        assert len(leaks(settings.state_dir)) > 20
        erased = erase(settings, ledger, AIKO, by="support", why="asked")
        assert not erased.leaves_traces
        # Another contact has the same name, and keeps it.
        assert {leak.partition(":")[0] for leak in leaks(settings.state_dir)} <= {
            "work.duckdb",
            "published.duckdb",
        }
        with ledger.read() as connection:
            rest = connection.execute(select(sends.c.address, sends.c.waiting_for)).all()
        assert {(row.address == KEN, row.waiting_for is not None) for row in rest} == {
            (True, True),  # the next run writes it without the person
            (False, False),
        }
    for database in (settings.work_db, settings.published_db):
        assert in_duckdb(database) == ["raw.contacts.name"]
        with duckdb.connect(database) as warehouse:
            assert warehouse.execute("select distinct user_id from raw.usage_events").fetchall()
            (background,) = warehouse.execute("select background from raw.accounts").fetchone()
    assert background.startswith("Ask ")
    assert "stays" in (settings.state_dir / "logs" / "lifecycle.log").read_text()
    assert json.loads((settings.state_dir / "reports" / "latest.json").read_text())
    assert AIKO.encode() in file.read_bytes(), "a backup keeps what it has"
    with Ledger.open(f"sqlite:///{tmp_path}/new/ledger.db") as restored:
        again = {"hashes": remembered(settings), "verifiers": remembered_keys(settings)}
        restore(restored, file, by="eve", why="disk lost", erasure_key=KEY, **again)
        with restored.read() as connection:
            texts = str([connection.execute(select(t)).all() for t in metadata.sorted_tables])
    assert AIKO not in texts.lower()


def test_a_restore_erases_account_owners_too(company, tmp_path):
    mime = f"To: {KEN}\r\nReply-To: Aiko <{AIKO}>\r\n\r\nHello."
    with Ledger.open(company.settings.ledger_url) as ledger:
        planned_sends.plan(
            ledger, planned_sends.planned(1, at=NOW, address=KEN, mime=mime.encode())
        )
        back_up(ledger, tmp_path / "backup.db")
        erase(company.settings, ledger, AIKO, by="support", why="asked")
    with Ledger.open(f"sqlite:///{tmp_path}/new.db") as restored:
        again = {"hashes": remembered(company.settings)}
        restore(restored, tmp_path / "backup.db", by="eve", why="?", erasure_key=KEY, **again)
        with restored.read() as connection:
            assert connection.execute(select(messages)).all() == []


def test_explain_sees_an_erased_person_as_the_planner_does(company):
    with Ledger.open(company.settings.ledger_url) as ledger:
        erase(company.settings, ledger, AIKO, by="support", why="asked")
        seen = account_history.suppressed(ledger, [AIKO, KEN], KEY)
        with ledger.read() as connection:
            assert seen == suppressions.reasons(connection, [AIKO, KEN], KEY) == {AIKO: "erased"}


@pytest.mark.parametrize("address", ["愛子@例え.jp", "jörg@example.com", "a@müller.example"])
def test_an_address_in_any_script_can_be_erased(company, address):
    with Ledger.open(company.settings.ledger_url) as ledger:
        controls.hold(ledger, "a1", until=NOW, by="Mari", why=f"{address} asked")
        assert erase(company.settings, ledger, address.upper(), by="x", why="asked").was_known
        with ledger.read() as connection:
            assert set(suppressions.reasons(connection, [address.lower()], KEY).values())
    file = (company.settings.state_dir / "ledger.db").read_bytes()
    assert address.encode() not in file


@pytest.mark.parametrize("text", ["everybody", "a b@example.com", "@example.com", "a@", "a@b\nc"])
def test_what_is_no_address_is_refused(company, text):
    with Ledger.open(company.settings.ledger_url) as ledger, pytest.raises(InputError):
        erase(company.settings, ledger, text, by="support", why="asked")


def test_an_address_that_nobody_has_is_said_to_be_so(company):
    with Ledger.open(company.settings.ledger_url) as ledger:
        planned_sends.plan(ledger, planned_sends.planned(1, at=NOW, address=AIKO))
        erased = erase(company.settings, ledger, "aiko.saito@example.com", by="x", why="asked")
        assert (erased.was_known, erased.nearest) == (False, (AIKO,))
        assert erase(company.settings, ledger, AIKO, by="x", why="asked").was_known


def test_tagged_addresses_are_listed_and_erased_on_demand(company):
    tagged, other = "aiko.sato+news@example.com", "aiko.saton@example.com"
    with Ledger.open(company.settings.ledger_url) as ledger:
        mails = [
            planned_sends.planned(number, at=NOW, address=address)
            for number, address in enumerate((AIKO, tagged, other), 1)
        ]
        planned_sends.plan(ledger, *mails)
        assert erase(company.settings, ledger, AIKO, by="x", why="asked").also == (tagged,)
        assert erase(company.settings, ledger, AIKO, by="x", why="asked", also=True).also == ()
        with ledger.read() as connection:
            assert suppressions.reasons(connection, [tagged, other], KEY) == {tagged: "erased"}


def test_a_temporary_folder_is_private_and_gone_after_sigterm(tmp_path):
    code = (
        "import sys, time, pathlib\n"
        "from lifecycle.temporary_folders import temporary_folder\n"
        "with temporary_folder(pathlib.Path(sys.argv[1]), 'simulate') as folder:\n"
        "    (folder / 'copy').write_text('x')\n"
        "    print(folder, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        folder = Path(process.stdout.readline().decode().strip())
        assert folder.stat().st_mode & 0o077 == 0
        with temporary_folder(tmp_path, "diff"):
            assert folder.exists(), "one that is in use stays"
        process.terminate()
        process.wait(timeout=30)
    assert not folder.exists()
