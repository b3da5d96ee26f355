"""Departures in the ledger: provisional, permanent, ended by a consent or by a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from lifecycle.errors import InputError, LedgerError, UnknownName
from lifecycle.ledger import approvals, departures, erased, leaving, runs, suppressions
from lifecycle.ledger.departures import Departure
from lifecycle.ledger.erased_person import Person
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import actions
from lifecycle.ledger.tables import departures as table

NOW = datetime(2026, 6, 10, 1, tzinfo=UTC)
ANN = Departure("ann@example.com", None, NOW, "contacts.csv", 3, "unsubscribed_at", "soon")
BOB = replace(ANN, address="bob@example.com", left_at=NOW, value="2026-06-10")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        yield opened


def against(ledger: Ledger, address: str, key: str = "") -> str:
    with ledger.read() as connection:
        return suppressions.reasons(connection, [address], key).get(address, "")


def settle(ledger: Ledger, run_id: str, **changes: object) -> None:
    leaving.settle(ledger, run_id=run_id, **{"ended": {}, "forgotten": [], "now": NOW, **changes})


def test_it_stands_against_mail_at_once_and_for_good(ledger: Ledger) -> None:
    assert leaving.record(ledger, [ANN, BOB], run_id="r1") == 2
    assert "run r1 has not passed the gates" in against(ledger, "ann@example.com")
    settle(ledger, "r1")
    comparison = against(ledger, "ann@example.com")
    assert comparison == (
        'left in the CRM without a readable date ("soon"), seen 2026-06-10 in contacts.csv row 3,'
        " unsubscribed_at"
    )
    assert leaving.record(ledger, [], run_id="r2") == 0
    settle(ledger, "r2")
    assert "left in the CRM on 2026-06-10" in against(ledger, "bob@example.com")


def test_a_repeat_changes_nothing_but_whose_delivery_decides(ledger: Ledger) -> None:
    leaving.record(ledger, [ANN], run_id="stopped")
    leaving.record(ledger, [ANN], run_id="good")
    settle(ledger, "good")
    assert "not passed" not in against(ledger, "ann@example.com")
    leaving.record(ledger, [replace(ANN, value="later")], run_id="third")
    with ledger.read() as connection:
        row = connection.execute(select(table)).one()
    assert (row.run_id, row.value, row.confirmed_at) == ("good", "soon", NOW)


def test_a_domain_counts_in_both_of_its_spellings(ledger: Ledger) -> None:
    leaving.record(ledger, [replace(ANN, address="ann@bücher.example.com")], run_id="r1")
    assert against(ledger, "ann@xn--bcher-kva.example.com")


def test_a_consent_ends_it(ledger: Ledger) -> None:
    leaving.record(ledger, [ANN, BOB], run_id="r1")
    settle(ledger, "r1")
    settle(ledger, "r2", ended={"ann@example.com": NOW})
    assert against(ledger, "ann@example.com") == ""
    assert against(ledger, "bob@example.com")
    with ledger.read() as connection:
        assert [row.subject for row in connection.execute(select(actions))] == ["ann@example.com"]


def test_a_rejected_delivery_takes_its_departures_back(ledger: Ledger) -> None:
    runs.begin(ledger, run_id="good", as_of=NOW, source="files")
    leaving.record(ledger, [BOB], run_id="good")
    settle(ledger, "good")
    runs.begin(ledger, run_id="stopped", as_of=NOW, source="files")
    leaving.record(ledger, [ANN, BOB], run_id="stopped")
    with ledger.read() as connection:
        assert departures.waiting(connection) == {"stopped": 1}
    approvals.reject(ledger, "stopped", now=NOW, by="eve", why="a broken export")
    assert against(ledger, "ann@example.com") == ""
    assert against(ledger, "bob@example.com")
    with pytest.raises(UnknownName, match="waits for a decision"):
        approvals.approve(ledger, "good", by="eve", why="late")


def test_an_approved_one_makes_them_permanent(ledger: Ledger) -> None:
    runs.begin(ledger, run_id="stopped", as_of=NOW, source="files")
    leaving.record(ledger, [ANN], run_id="stopped")
    approvals.approve(ledger, "stopped", by="eve", why="they did leave")
    assert "not passed" not in against(ledger, "ann@example.com")
    with ledger.read() as connection:
        assert departures.waiting(connection) == {}


def test_a_person_takes_one_back_and_the_same_words_do_not_renew_it(ledger: Ledger) -> None:
    leaving.record(ledger, [ANN, BOB], run_id="r1")
    settle(ledger, "r1")
    was = leaving.unsuppress(ledger, " Ann@Example.com", by="eve", why="a slip of the pen")
    assert was == ["left in the CRM"]
    assert leaving.record(ledger, [ANN, BOB], run_id="r2") == 0
    assert against(ledger, "ann@example.com") == ""
    assert against(ledger, "bob@example.com")
    assert leaving.record(ledger, [replace(ANN, value="2026-06-12")], run_id="r3") == 1
    assert against(ledger, "ann@example.com")


def test_what_was_taken_back_and_is_said_no_longer_is_forgotten(ledger: Ledger) -> None:
    leaving.record(ledger, [ANN], run_id="r1")
    settle(ledger, "r1")
    leaving.unsuppress(ledger, "ann@example.com", by="eve", why="a slip")
    assert [row[2] for row in leaving.known(ledger)] == [True]
    settle(ledger, "r2", forgotten=["ann@example.com"])
    assert leaving.record(ledger, [ANN], run_id="r3") == 1


def test_other_suppressions_are_lifted_too_and_nothing_is_said(ledger: Ledger) -> None:
    suppressions.suppress(ledger, "cat@example.com", reason="bounced", by="eve")
    assert leaving.unsuppress(ledger, "cat@example.com", by="eve", why="new box") == ["bounced"]
    with pytest.raises(InputError, match="nothing in the ledger stands against mail"):
        leaving.unsuppress(ledger, "cat@example.com", by="eve", why="again")


def test_one_delivery_is_taken_back(ledger: Ledger) -> None:
    leaving.record(ledger, [BOB], run_id="r1")
    settle(ledger, "r1")
    leaving.record(ledger, [ANN, BOB], run_id="r2")
    settle(ledger, "r2")
    assert leaving.unsuppress_delivery(ledger, "r2", by="eve", why="a shifted column") == 1
    assert against(ledger, "ann@example.com") == ""
    assert against(ledger, "bob@example.com")
    with pytest.raises(UnknownName):
        leaving.unsuppress_delivery(ledger, "r9", by="eve", why="?")


def test_who_was_erased_is_not_written_down_again(ledger: Ledger) -> None:
    leaving.record(ledger, [ANN], run_id="r1")
    settle(ledger, "r1")
    with ledger.write() as connection:
        ann = Person.of("ann@example.com", "secret")
        erased.erase(connection, ann, by="eve", why="asked for")
    assert leaving.record(ledger, [ANN, BOB], run_id="r2", key="secret") == 1
    with ledger.read() as connection:
        assert list(connection.scalars(select(table.c.address))) == ["bob@example.com"]
    assert against(ledger, "ann@example.com", "secret") == "erased"
    with pytest.raises(InputError, match="was erased"):
        leaving.unsuppress(ledger, "ann@example.com", by="eve", why="?", key="secret")
    with pytest.raises(LedgerError, match="ERASURE_KEY"):
        leaving.record(ledger, [ANN], run_id="r3")
