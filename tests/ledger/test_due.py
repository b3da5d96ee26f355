"""Which mails could leave now, and for how long they have been waiting."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert

from lifecycle.ledger import delivery, due, runs
from lifecycle.ledger.day import day
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, feedback, trigger_stops
from sent import NOW, put, put_all, send

MINUTE = timedelta(minutes=1)


def waiting(ledger: Ledger, now=NOW, **options) -> due.Due:
    with ledger.read() as connection:
        return due.due(connection, now, **options)


def test_a_refused_mail_counts_from_when_it_could_first_leave(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=NOW, source="files")
        assert waiting(ledger) == due.Due(0, None)
        put(ledger, 1, State.PLANNED)
        put(ledger, 2, State.PLANNED, not_before=NOW + timedelta(hours=2))
        assert waiting(ledger) == due.Due(1, NOW)
        with ledger.write() as connection:
            delivery.release(connection, NOW + MINUTE)
            lease = timedelta(minutes=5)
            ((claim,), _) = delivery.claim(connection, NOW + MINUTE, worker="w", lease=lease)
            later = NOW + timedelta(minutes=50)
            delivery.settle(
                connection,
                claim.send_id,
                State.QUEUED,
                "421 try later",
                NOW + MINUTE,
                worker="w",
                attempt=claim.attempts,
                again_at=later,
            )
        assert waiting(ledger, NOW + 5 * MINUTE) == due.Due(1, NOW + MINUTE), "between attempts"
        assert waiting(ledger, later) == due.Due(1, NOW + MINUTE), "its next attempt is due"
        assert waiting(ledger, later, without=["example.com"]) == due.Due(0, None)
        assert waiting(ledger, NOW + timedelta(hours=9)).mails == 0, "the window is shut"


def test_a_mail_that_waits_for_a_person_is_not_due(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=NOW, source="files")
        put(ledger, 1, State.QUEUED)
        with ledger.write() as connection:
            connection.execute(
                insert(trigger_stops).values(
                    trigger="win_back", mode="paused", since=NOW, by="aiko", why="test"
                )
            )
        assert waiting(ledger) == due.Due(0, None)


def test_the_faults_of_a_day_count_each_address_once(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=NOW, source="files")
        put_all(ledger, [1, 2, 3], State.ACCEPTED)
        put(ledger, 4, State.ACCEPTED, accepted_at=NOW - timedelta(hours=25))
        put(ledger, 5, State.HELD)

        def fact(key: str, kind: str, number: int, hours_ago: int = 1, **of: str) -> dict:
            about = {"send_id": send(number), "address": f"c{number}@example.com"} | of
            at = NOW - timedelta(hours=hours_ago)
            return {"key": key, "kind": kind, "at": at, "received_at": at, "source": "x", **about}

        with ledger.write() as connection:
            connection.execute(
                insert(feedback),
                [
                    fact("1", "bounced", 1),
                    fact("2", "bounced", 1, send_id=None),
                    fact("3", "bounced", 2, hours_ago=25),
                    fact("4", "complained", 3),
                    fact("5", "delivered", 2),
                ],
            )
        with ledger.read() as connection:
            seen = day(connection, NOW + MINUTE)
        assert (seen.accepted, seen.bounced, seen.complained) == (3, 1, 1)
        assert seen.by_state == {"accepted": 4, "held": 1}
        assert seen.newest_report is None
