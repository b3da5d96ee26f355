"""Ways in which a send could have stayed queued for ever, with nothing that would end it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from company import Company, utc
from lifecycle.erasure import erase
from lifecycle.errors import InputError
from lifecycle.ledger import delivery, held, runs
from lifecycle.ledger.decisions import Decisions
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, enrollments, sends
from lifecycle.settings import Settings
from lifecycle.template_names import OWNER_LIST
from planned_sends import plan, planned

NOW = utc("2026-06-10 01:00")
LEASE = timedelta(minutes=5)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("LIFECYCLE__PRIVACY__ERASURE_KEY", "0123456789abcdef0123456789abcdef")
    return Company(tmp_path / "company").settings


@pytest.fixture
def ledger(ledger_url):
    with Ledger.open(ledger_url) as opened:
        yield opened


def begin(ledger: Ledger) -> str:
    """Plan one mail, and claim it."""
    mail = planned(1, at=NOW, expires_at=None)
    plan(ledger, mail)
    with ledger.write() as connection:
        delivery.release(connection, NOW)
        delivery.claim(connection, NOW, worker="w", lease=LEASE)
    return mail.send_id


def put(ledger: Ledger, state: State) -> None:
    with ledger.write() as connection:
        connection.execute(update(sends).values(state=state))


def now_is(ledger: Ledger) -> tuple[str, str | None]:
    with ledger.read() as connection:
        row = connection.execute(select(sends.c.state, sends.c.detail)).one()
    return row.state, row.detail


def erase_reader(settings: Settings, ledger: Ledger) -> None:
    erase(settings, ledger, "c1@example.com", by="Mari", why="asked for")


@pytest.mark.parametrize("doubt", [State.UNCERTAIN, State.HELD])
def test_erasing_ends_what_may_or_may_not_have_left(settings, ledger, doubt):
    send_id = begin(ledger)
    put(ledger, doubt)
    erase_reader(settings, ledger)
    assert now_is(ledger) == ("cancelled", "erased; it may have left")
    with pytest.raises(InputError, match="was erased: nothing can be sent again"):
        held.decide(ledger, send_id, "resend", by="Mari", why="asked for")


def test_an_attempt_that_was_erased_meanwhile_does_not_go_back_to_the_queue(settings, ledger):
    send_id = begin(ledger)
    erase_reader(settings, ledger)
    assert now_is(ledger) == ("attempting", None)
    with ledger.write() as connection:
        assert delivery.settle(
            *(connection, send_id, State.QUEUED, "429", NOW),
            worker="w",
            attempt=1,
            again_at=NOW + timedelta(minutes=1),
        )
    assert now_is(ledger) == ("cancelled", "erased")


@pytest.mark.parametrize("doubt", [State.UNCERTAIN, State.HELD])
def test_what_was_erased_and_proved_absent_does_not_go_back_either(settings, ledger, doubt):
    send_id = begin(ledger)
    erase_reader(settings, ledger)
    put(ledger, doubt)  # its worker ended
    with pytest.raises(InputError, match="was erased"):
        held.decide(ledger, send_id, "resend", by="Mari", why="asked for")
    with ledger.write() as connection:
        assert delivery.settle(connection, send_id, State.QUEUED, "evidence", NOW)
    assert now_is(ledger) == ("cancelled", "erased")


@pytest.mark.parametrize("reason", ["exit", "trigger_removed"])
def test_a_mail_sent_again_whose_account_left_ends_though_its_window_has_shut(ledger, reason):
    send_id = begin(ledger)
    put(ledger, State.HELD)
    with ledger.write() as connection:
        connection.execute(update(enrollments).values(ended_at=NOW, end_reason=reason))
    held.decide(ledger, send_id, "resend", by="Mari", why="asked for")
    with ledger.write() as connection:
        delivery.release(connection, NOW + timedelta(days=1))
    assert now_is(ledger) == ("cancelled", "left the sequence")


@pytest.mark.parametrize(("hours", "state"), [(1, "queued"), (8, "expired")])
def test_an_owners_list_is_sent_again_only_on_its_day(ledger, hours, state):
    runs.begin(ledger, run_id="r1", as_of=NOW, source="files")
    until = NOW + timedelta(hours=7)
    about = {"account_id": "", "trigger": OWNER_LIST, "step": "morning", "cycle": 20260610}
    mail = planned(1, at=NOW, **about, closes_at=until, expires_at=until)
    with ledger.write() as connection:
        record(connection, Decisions(sends=[mail]), run_id="r1", at=NOW)
    put(ledger, State.HELD)
    held.decide(ledger, mail.send_id, "resend", by="Mari", why="asked for")
    with ledger.write() as connection:
        delivery.release(connection, NOW + timedelta(hours=hours))
    assert now_is(ledger)[0] == state
