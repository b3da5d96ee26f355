"""A person who was erased is nowhere, and is never mailed again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import select

import planned_sends
from company import Company
from lifecycle.erasure import erase, remembered
from lifecycle.errors import InputError, LedgerError, SettingsError
from lifecycle.ledger import suppressions
from lifecycle.ledger.backup import back_up, restore
from lifecycle.ledger.decisions import Decisions, Withheld
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import actions, messages, metadata, recipients, sends, withheld
from lifecycle.mail.deliver import deliver

NOW = datetime(2026, 6, 10, 1, tzinfo=UTC)
AIKO, KEN = "aiko.sato@example.com", "ken@example.com"


@pytest.fixture
def company(tmp_path, monkeypatch) -> Company:
    monkeypatch.setenv("LIFECYCLE__PRIVACY__ERASURE_KEY", "0123456789abcdef0123456789abcdef")
    return Company(tmp_path / "company")


def fill(company: Company) -> None:
    """A warehouse that knows two people, in the places where a run leaves them."""
    settings = company.settings
    settings.state_dir.mkdir()
    for path in (settings.work_db, settings.published_db):
        with duckdb.connect(path) as warehouse:
            for schema in ("raw", "snapshots", "staging", "marts"):
                warehouse.execute(f"create schema {schema}")
            for table in ("raw.contacts", "snapshots.contacts_snapshot", "marts.dim_contacts"):
                warehouse.execute(
                    f"create table {table} as select unnest(['Aiko.Sato@example.com', '{KEN}'])"
                    " as email"
                )
            warehouse.execute(
                "create table raw.rejected_rows as select unnest(["
                f"""'{{"email": "{AIKO}"}}', '{{"email": "x"}}']) as record"""
            )
            warehouse.execute(
                "create table raw.usage_events as select unnest("
                f"['Aiko.Sato@example.com', '{KEN}', '{AIKO} ']) as user_id"
            )
            warehouse.execute("create view staging.stg_contacts as from raw.contacts")


def holds(folder: Path, text: str) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and text.lower() in path.read_bytes().decode("latin-1").lower()
    ]


def test_nothing_of_the_person_is_left_anywhere(company, tmp_path):
    settings = company.settings
    fill(company)
    mails = [
        planned_sends.planned(1, at=NOW, address=AIKO, mime=f"To: {AIKO}".encode()),
        planned_sends.planned(2, at=NOW, address=KEN, mime=f"To: {KEN}".encode()),
    ]
    with Ledger.open(settings.ledger_url) as ledger:
        planned_sends.plan(ledger, *mails)
        deliver(settings, ledger, now=NOW)
        (settings.outbox_dir / "preview-1.eml").write_text(f"what {AIKO} would get")
        (settings.state_dir / "backfill").mkdir()
        (settings.state_dir / "backfill" / "work.duckdb").write_text(f"{AIKO}, before a kill")
        assert holds(settings.state_dir, AIKO)
        suppressions.suppress(ledger, AIKO, reason="unsubscribed", by="support")
        gone = erase(settings, ledger, " Aiko.Sato@Example.com ", by="support", why="asked")
        assert (gone.mails, gone.rows) == (1, 12)
        with ledger.read() as connection:
            kept = list(connection.scalars(select(messages.c.send_id)))
            *_, action = connection.execute(select(actions).order_by(actions.c.id)).all()
        assert kept == [mails[1].send_id]
        assert (action.action, action.by) == ("erase", "support")
        assert AIKO not in action.subject
    assert holds(settings.state_dir, AIKO) == []
    assert len(holds(settings.state_dir, KEN)) >= 3
    with duckdb.connect(settings.work_db) as work:
        assert work.execute("from staging.stg_contacts").fetchall() == [(KEN,)]
        users = work.execute("select user_id, count(*) from raw.usage_events group by 1").fetchall()
    key = settings.privacy.erasure_key.get_secret_value()
    assert dict(users) == {KEN: 1, suppressions.digest(AIKO, key): 2}


def test_the_person_stays_unmailed_and_others_do_not(company):
    settings = company.settings
    with Ledger.open(settings.ledger_url) as ledger:
        erase(settings, ledger, AIKO, by="support", why="asked")
        key = settings.privacy.erasure_key.get_secret_value()
        with ledger.read() as connection:
            assert suppressions.reasons(connection, [AIKO, KEN], key) == {AIKO: "erased"}
            with pytest.raises(LedgerError, match="ERASURE_KEY"):
                suppressions.reasons(connection, [AIKO])


def test_what_was_planned_for_the_person_is_stopped(company):
    settings = company.settings
    with Ledger.open(settings.ledger_url) as ledger:
        planned_sends.plan(ledger, planned_sends.planned(1, at=NOW, address=AIKO))
        erase(settings, ledger, AIKO, by="support", why="asked")
        assert deliver(settings, ledger, now=NOW).accepted == 0
        with ledger.read() as connection:
            row = connection.execute(select(sends)).one()
        assert (row.state, row.address[:5]) == ("suppressed", "hmac:")


def test_a_backup_of_before_does_not_bring_the_person_back(company, ledger_url, tmp_path):
    settings, file = company.settings, tmp_path / "backup.db"
    key = settings.privacy.erasure_key.get_secret_value()
    with Ledger.open(settings.ledger_url) as ledger:
        mails = [
            planned_sends.planned(number, at=NOW, address=address, mime=f"To: {address}".encode())
            for number, address in ((1, AIKO), (2, KEN))
        ]
        planned_sends.plan(ledger, *mails)
        suppressions.suppress(ledger, AIKO, reason="bounced", by="Mari")
        back_up(ledger, file)
        erase(settings, ledger, AIKO, by="support", why="asked")
    again = {"by": "Mari", "why": "disk lost", "hashes": remembered(settings)}
    with Ledger.open(ledger_url) as restored:
        with pytest.raises(LedgerError, match="ERASURE_KEY"):
            restore(restored, file, **again)
        restore(restored, file, **again, erasure_key=key)
        with restored.read() as connection:
            assert suppressions.reasons(connection, [AIKO, KEN], key) == {AIKO: "erased"}
            assert list(connection.scalars(select(messages.c.send_id))) == [mails[1].send_id]
            texts = [
                str(connection.execute(select(table)).all()) for table in metadata.sorted_tables
            ]
    assert not [text for text in texts if AIKO in text.lower()]


def test_who_is_a_contact_by_their_address_is_none_any_more(company, ledger_url):
    by_address = {"address": AIKO, "contact_id": AIKO.title()}
    refused = Withheld("win_back", "a1", AIKO.title(), "", "capped", "")
    with Ledger.open(ledger_url) as ledger:
        planned_sends.plan(ledger, planned_sends.planned(1, at=NOW, **by_address))
        with ledger.write() as connection:
            decisions = Decisions(withheld=[refused])
            record(connection, decisions, run_id="r1", at=NOW)
        erase(company.settings, ledger, AIKO, by="support", why="asked")
        with ledger.read() as connection:
            for table in (sends, recipients, withheld):
                (contact_id,) = connection.scalars(select(table.c.contact_id))
                assert contact_id.startswith(suppressions.ERASED), table


def test_without_a_key_or_an_address_nothing_is_done(company, monkeypatch):
    settings = company.settings
    with Ledger.open(settings.ledger_url) as ledger:
        with pytest.raises(InputError, match="is not an e-mail address"):
            erase(settings, ledger, "everybody", by="support", why="asked")
        monkeypatch.delenv("LIFECYCLE__PRIVACY__ERASURE_KEY")
        with pytest.raises(SettingsError, match="erasure_key is empty"):
            erase(company.settings, ledger, AIKO, by="support", why="asked")


def test_what_was_planned_in_the_persons_name_is_stopped_and_nobody_elses(company):
    settings = company.settings
    header = "To: {to}\r\nReply-To: Aiko <{reply_to}>\r\n\r\nWrite to {body}."
    theirs, of_another = (
        planned_sends.planned(
            number,
            at=NOW,
            address=KEN,
            mime=header.format(to=KEN, reply_to=reply_to, body=AIKO).encode(),
        )
        for number, reply_to in ((1, AIKO.title()), (2, f"x.{AIKO}"))
    )
    with Ledger.open(settings.ledger_url) as ledger:
        planned_sends.plan(ledger, theirs, of_another)
        assert erase(settings, ledger, AIKO, by="support", why="asked").mails == 1
        with ledger.read() as connection:
            states = dict(connection.execute(select(sends.c.send_id, sends.c.state)).all())
            kept = list(connection.scalars(select(messages.c.send_id)))
    assert states == {theirs.send_id: "suppressed", of_another.send_id: "planned"}
    assert kept == [of_another.send_id]
