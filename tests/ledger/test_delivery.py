"""The states of a send, in a real SQLite file and a real PostgreSQL."""

from __future__ import annotations

import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial

import psutil
import pytest
from sqlalchemy import event, select, update

import planned_sends
from company import utc
from lifecycle.errors import LedgerError, SettingsError
from lifecycle.ledger import delivery, held
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import (
    State,
    enrollments,
    send_identity,
    send_log,
    sends,
    trigger_versions,
)

NOW = utc("2026-06-10 01:00")
LEASE = timedelta(minutes=5)
PAST = datetime.now(UTC) - timedelta(seconds=1)
ELSEWHERE = "elsewhere:1:0.00"
"""A worker of another machine."""


@pytest.fixture
def ledger(ledger_url):
    with Ledger.open(ledger_url) as opened:
        yield opened


planned, plan = partial(planned_sends.planned, at=NOW), planned_sends.plan


def claim(ledger: Ledger, now: datetime = NOW, worker: str = "w", limit: int = 64) -> list[str]:
    with ledger.write() as connection:
        delivery.release(connection, now)
        claims, _ = delivery.claim(connection, now, worker=worker, lease=LEASE, limit=limit)
    return [item.send_id for item in claims]


def states(ledger: Ledger) -> dict[str, str]:
    with ledger.read() as connection:
        query = select(sends.c.account_id, sends.c.state)
        return {row.account_id: row.state for row in connection.execute(query)}


def test_what_is_too_late_is_found_without_a_look_at_what_was_sent(tmp_path):
    asked = []
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        with ledger.write() as connection:
            event.listen(
                connection, "before_cursor_execute", lambda *message: asked.append(message[2:4])
            )
            delivery.release(connection, NOW)
        (late,) = [question for question in asked if "expires_at <=" in question[0]]
        with ledger.read() as connection:
            steps = connection.exec_driver_sql(f"explain query plan {late[0]}", late[1]).all()
    assert "ix_sends_expiry (state=? AND expires_at<?)" in steps[0].detail


def test_a_mail_is_claimed_by_one_worker_only(ledger):
    plan(ledger, *(planned(number) for number in range(5)))
    first, second = claim(ledger, worker="one", limit=3), claim(ledger, worker="two")
    assert (len(first), len(second)) == (3, 2)
    assert not set(first) & set(second)


def test_nothing_is_claimed_before_its_moment_or_after_it_expired(ledger):
    plan(
        ledger,
        planned(1, not_before=NOW + timedelta(hours=1)),
        planned(2, expires_at=NOW),
        planned(3, expires_at=None),
    )
    assert len(claim(ledger)) == 1
    assert states(ledger) == {"a1": "planned", "a2": "expired", "a3": "attempting"}
    assert len(claim(ledger, NOW + timedelta(hours=1))) == 1


def test_nothing_is_claimed_once_its_window_has_shut(ledger):
    plan(ledger, planned(1, closes_at=NOW + timedelta(hours=1)))
    assert claim(ledger, NOW + timedelta(hours=1)) == []
    assert states(ledger) == {"a1": "planned"}


def test_mails_of_a_waiting_trigger_stay_where_they_are(ledger):
    plan(ledger, planned(1))
    with ledger.write() as connection:
        connection.execute(
            trigger_versions.insert().values(
                trigger="win_back",
                version="v1",
                content="",
                templates="{}",
                first_run_id="r1",
                first_at=NOW,
                waiting_since=NOW,
                waiting_for="the feed is late",
            )
        )
    assert claim(ledger) == []
    assert states(ledger) == {"a1": "planned"}
    with ledger.write() as connection:
        connection.execute(update(trigger_versions).values(waiting_since=None))
    assert len(claim(ledger)) == 1


@pytest.mark.parametrize(("reason", "state"), [("exit", "cancelled"), ("completed", "attempting")])
def test_a_mail_of_an_account_that_left_is_not_claimed(ledger, reason, state):
    plan(ledger, planned(1))
    with ledger.write() as connection:
        connection.execute(update(enrollments).values(ended_at=NOW, end_reason=reason))
    claim(ledger)
    assert states(ledger) == {"a1": state}


def test_a_cap_is_checked_in_the_claiming_transaction(ledger):
    shared = {"address": "c@example.com", "contact_cap": "1/7d"}
    plan(ledger, planned(1, **shared), planned(2, **shared))
    (first,) = claim(ledger, limit=1)
    assert claim(ledger) == []
    with ledger.write() as connection:
        delivery.settle(connection, first, State.ACCEPTED, None, NOW, worker="w", attempt=1)
    assert sorted(states(ledger).values()) == ["accepted", "planned"], "the next run tries again"
    with ledger.read() as connection:
        waiting = select(sends.c.waiting_for).where(sends.c.state == "planned")
        assert connection.scalar(waiting) == "capped: this address may get 1/7d"


def test_an_attempt_whose_worker_is_dead_becomes_uncertain_never_queued(ledger):
    plan(ledger, planned(1))
    me = delivery.worker_name()
    host, pid, _ = me.rsplit(":", 2)
    claim(ledger, worker=f"{host}:{pid}:0.00")  # this pid, but another process's start
    with ledger.write() as connection:
        assert delivery.recover(connection, NOW) == 1
    assert states(ledger) == {"a1": "uncertain"}
    assert claim(ledger) == []


def test_an_attempt_of_a_living_worker_is_left_alone_however_slow_it_is(ledger):
    plan(ledger, planned(1))
    claim(ledger, worker=delivery.worker_name())
    with ledger.write() as connection:
        connection.execute(update(sends).values(lease_until=PAST))
        assert delivery.recover(connection, NOW) == 0
    assert states(ledger) == {"a1": "attempting"}


def test_a_killed_worker_is_gone_though_nobody_buried_it(ledger):
    plan(ledger, planned(1))
    with subprocess.Popen(["sleep", "60"]) as child:
        started = psutil.Process(child.pid).create_time()
        claim(ledger, worker=f"{socket.gethostname()}:{child.pid}:{started:.2f}")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet waited for
        with ledger.write() as connection:
            assert delivery.recover(connection, NOW) == 1


def test_another_machines_attempt_is_uncertain_once_its_lease_is_over(ledger):
    plan(ledger, planned(1))
    claim(ledger, worker=ELSEWHERE)
    with ledger.write() as connection:
        assert delivery.recover(connection, NOW) == 0
        connection.execute(update(sends).values(lease_until=PAST))
        assert delivery.recover(connection, NOW) == 1


def test_a_worker_cannot_settle_what_another_one_holds(ledger):
    plan(ledger, planned(1))
    (send_id,) = claim(ledger, worker="one")
    with ledger.write() as connection:
        assert not delivery.settle(
            connection, send_id, State.ACCEPTED, None, NOW, worker="two", attempt=1
        )
    assert states(ledger) == {"a1": "attempting"}


def lose(ledger: Ledger, to: State) -> None:
    """Take the attempt for lost, and go on to a state."""
    with ledger.write() as connection:
        connection.execute(update(sends).values(lease_until=PAST))
        assert delivery.recover(connection, NOW) == 1
        if to is not State.UNCERTAIN:
            delivery.hold(connection, NOW, timedelta(0))
    if to in (State.QUEUED, State.CANCELLED):
        (row,) = held.held(ledger)
        verdict = "resend" if to is State.QUEUED else "give_up"
        held.decide(ledger, row.send_id, verdict, by="Mari", why="asked for")


@pytest.mark.parametrize(
    ("meanwhile", "answer", "becomes"),
    [
        ("uncertain", "accepted", "accepted"),
        ("uncertain", "rejected", "rejected"),
        ("uncertain", "queued", "queued"),
        ("uncertain", "uncertain", "uncertain"),
        ("held", "accepted", "accepted"),
        ("held", "rejected", "rejected"),
        ("held", "queued", "queued"),
        ("held", "uncertain", "held"),
        ("queued", "accepted", "accepted"),  # to send it again would be to send it twice
        ("queued", "rejected", "queued"),  # a person wants another attempt
        ("cancelled", "accepted", "cancelled"),
        ("cancelled", "queued", "cancelled"),
    ],
)
def test_a_late_answer_decides_only_what_is_in_doubt(ledger, meanwhile, answer, becomes):
    plan(ledger, planned(1))
    (send_id,) = claim(ledger, worker=ELSEWHERE)
    lose(ledger, State(meanwhile))
    with ledger.write() as connection:
        delivery.settle(connection, send_id, State(answer), None, NOW, worker=ELSEWHERE, attempt=1)
    assert states(ledger) == {"a1": becomes}


def test_a_late_answer_does_not_decide_the_next_attempt(ledger):
    plan(ledger, planned(1))
    (send_id,) = claim(ledger, worker=ELSEWHERE)
    lose(ledger, State.QUEUED)
    assert claim(ledger, worker=ELSEWHERE) == [send_id]
    for state in (State.ATTEMPTING, State.UNCERTAIN):
        with ledger.write() as connection:
            connection.execute(update(sends).values(state=state))
            for answer in (State.ACCEPTED, State.REJECTED, State.QUEUED):
                assert not delivery.settle(
                    connection, send_id, answer, None, NOW, worker=ELSEWHERE, attempt=1
                )


def test_a_refused_attempt_waits_before_it_is_tried_again(ledger):
    plan(ledger, planned(1))
    (send_id,) = claim(ledger)
    again = NOW + timedelta(minutes=10)
    with ledger.write() as connection:
        delivery.settle(
            connection, send_id, State.QUEUED, "busy", NOW, worker="w", attempt=1, again_at=again
        )
    assert claim(ledger) == []
    assert claim(ledger, again) == [send_id]


def test_every_move_is_logged(ledger):
    plan(ledger, planned(1))
    (send_id,) = claim(ledger)
    with ledger.write() as connection:
        delivery.settle(connection, send_id, State.ACCEPTED, None, NOW, worker="w", attempt=1)
        query = select(send_log.c.from_state, send_log.c.to_state).order_by(send_log.c.id)
        assert connection.execute(query).all() == [
            (None, "planned"),
            ("planned", "queued"),
            ("queued", "attempting"),
            ("attempting", "accepted"),
        ]


def test_the_identity_of_a_send_is_its_five_facts():
    first = send_identity("a", "b", "t", "s", 1)
    assert first == send_identity("a", "b", "t", "s", 1)
    others = [("ab", "", "t", "s", 1), ("a", "b", "ts", "", 1), ("a", "b", "t", "s", 2)]
    assert len({first, *(send_identity(*facts) for facts in others)}) == 4


def test_an_unusable_ledger_is_named(tmp_path):
    (tmp_path / "ledger.db").write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(LedgerError, match="cannot be used"):
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    with pytest.raises(SettingsError, match=r"ledger\.url"):
        Ledger.open("nonsense")


def test_a_ledger_of_two_openers_is_made_once(ledger_url):
    with Ledger.open(ledger_url) as first, Ledger.open(ledger_url) as two, first.read(), two.read():
        pass
