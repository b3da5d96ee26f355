"""A backup taken while mails are leaving, and the way back from it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from company import Company
from lifecycle.errors import InputError
from lifecycle.ledger import held, runs
from lifecycle.ledger.backup import back_up, restore
from lifecycle.ledger.decisions import Decisions
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import actions, metadata, send_log, sends
from lifecycle.mail.deliver import deliver
from planned_sends import plan, planned

NOW = datetime.now(UTC)


@pytest.fixture
def company(tmp_path):
    return Company(tmp_path / "company")


def counts(ledger: Ledger) -> dict[str, int]:
    with ledger.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in metadata.sorted_tables
        }


def by_state(ledger: Ledger) -> dict[str, int]:
    with ledger.read() as connection:
        query = select(sends.c.state, func.count()).group_by(sends.c.state)
        return dict(connection.execute(query).all())


def test_a_backup_taken_during_a_delivery_is_one_moment_and_can_be_restored(
    company, ledger_url, tmp_path
):
    mails = 400
    file = tmp_path / "backups" / "ledger.db"
    with Ledger.open(ledger_url) as ledger:
        plan(ledger, *(planned(number, at=NOW) for number in range(mails)))
        delivery = threading.Thread(
            target=deliver, args=(company.settings, ledger), kwargs={"now": NOW}
        )
        delivery.start()
        while not list(company.settings.outbox_dir.glob("*.eml")):
            pass
        back_up(ledger, file)
        delivery.join()
        assert by_state(ledger) == {"accepted": mails}

    with Ledger.open(f"sqlite:///{tmp_path / 'new.db'}") as new:
        doubtful = restore(new, file, by="aiko", why="disk lost")
        states = by_state(new)
        assert set(states) <= {"accepted", "uncertain"}
        assert states["uncertain"] == doubtful > 0, "the backup came too late to prove anything"
        with new.read() as connection:
            logged = connection.scalar(
                select(func.count()).where(send_log.c.to_state == "accepted")
            )
            assert logged == states.get("accepted", 0), "not one moment"
            assert connection.execute(select(actions.c.by, actions.c.why)).all() == [
                ("aiko", "disk lost")
            ]
        deliver(company.settings, new, now=NOW)
        assert by_state(new) == {"accepted": mails}
    assert len(list(company.settings.outbox_dir.glob("*.eml"))) == mails


def test_what_the_first_run_after_a_restore_plans_may_have_left_before_it(
    company, ledger_url, tmp_path
):
    file = tmp_path / "ledger.db"
    mail = planned(1, at=NOW)
    with Ledger.open(f"sqlite:///{tmp_path / 'old.db'}") as old:
        back_up(old, file)  # before the run that planned and sent the mail
        plan(old, mail)
        deliver(company.settings, old, now=NOW)
    with Ledger.open(ledger_url) as new:
        restore(new, file, by="aiko", why="disk lost")
        plan(new, mail, planned(2, at=NOW), run_id="r2")
        assert by_state(new) == {"uncertain": 2}
        done = deliver(company.settings, new, now=NOW)
        assert done.accepted == 2
        assert by_state(new) == {"accepted": 2}
        runs.finish(new, run_id="r2", status="done", report={})
        later = NOW + timedelta(days=1)
        runs.begin(new, run_id="r3", as_of=later, source="files")
        with new.write() as connection:
            record(connection, Decisions(sends=[planned(3, at=later)]), run_id="r3", at=later)
        assert by_state(new) == {"accepted": 2, "planned": 1}
    assert len(list(company.settings.outbox_dir.glob("*.eml"))) == 2


def test_a_backup_replaces_nothing_and_a_restore_fills_only_an_empty_ledger(ledger_url, tmp_path):
    file = tmp_path / "backup.db"
    with Ledger.open(ledger_url) as ledger:
        plan(ledger, planned(1, at=NOW))
        before = counts(ledger)
        assert back_up(ledger, file) == sum(before.values())
        with pytest.raises(InputError, match="is there already"):
            back_up(ledger, file)
        with pytest.raises(InputError, match="not empty"):
            restore(ledger, file, by="aiko", why="test")
        with pytest.raises(InputError, match="no such backup"):
            restore(ledger, tmp_path / "other.db", by="aiko", why="test")
        assert counts(ledger) == before
    assert [path.name for path in tmp_path.glob("*.part*")] == []


def test_a_restored_ledger_counts_on_from_where_it_was(ledger_url, tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path / 'old.db'}") as old:
        plan(old, planned(1, at=NOW))
        back_up(old, tmp_path / "backup.db")
    with Ledger.open(ledger_url) as new:
        restore(new, tmp_path / "backup.db", by="aiko", why="test")
        plan(new, planned(2, at=NOW), run_id="r2")  # its log rows need new numbers
        assert sum(by_state(new).values()) == 2


@pytest.mark.parametrize(("verdict", "state"), [("resend", "queued"), ("give_up", "cancelled")])
def test_a_person_decides_about_a_held_mail_and_is_written_down(ledger_url, verdict, state):
    from lifecycle.ledger import delivery

    with Ledger.open(ledger_url) as ledger:
        mail = planned(1, at=NOW)
        plan(ledger, mail)
        with ledger.write() as connection:
            delivery.release(connection, NOW)
            lease = timedelta(minutes=5)
            delivery.claim(connection, NOW, worker="elsewhere:1:0.00", lease=-lease)
            delivery.recover(connection, NOW)
            delivery.hold(connection, NOW + timedelta(hours=71), timedelta(hours=72))
        assert by_state(ledger) == {"uncertain": 1}
        with ledger.write() as connection:
            delivery.hold(connection, NOW + timedelta(hours=72), timedelta(hours=72))
        assert [row.send_id for row in held.held(ledger)] == [mail.send_id]
        held.decide(ledger, mail.send_id, verdict, by="aiko", why="asked the customer")
        assert by_state(ledger) == {state: 1}
        with ledger.read() as connection:
            row = connection.execute(select(actions)).one()
        assert (row.action, row.subject, row.by) == (verdict, mail.send_id, "aiko")
