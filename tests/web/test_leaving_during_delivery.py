"""Somebody leaves while deliveries are going on: no attempt begins after the answer."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from lifecycle.ledger import delivery, runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, send_log, sends
from lifecycle.mail.unsubscribe import Links
from sent import NOW, put_all, send
from served import KEY, answering

PEOPLE, MAILS_EACH, CLAIMS_BESIDE = 40, 12, 3


def deliver(
    url: str, worker: str, allowed: threading.Semaphore, begun: threading.Semaphore
) -> None:
    """Claim and settle a few mails at a time, each time when allowed, until nothing is queued."""
    with Ledger.open(url) as ledger:
        while allowed.acquire(timeout=60):
            begun.release()
            with ledger.write() as connection:
                claims, any_queued = delivery.claim(
                    connection, NOW, worker=worker, lease=timedelta(minutes=5), limit=3
                )
            if not any_queued:
                return
            time.sleep(0.01)  # the request
            with ledger.write() as connection:
                for claim in claims:
                    delivery.settle(
                        *(connection, claim.send_id, State.ACCEPTED, None, NOW),
                        worker=worker,
                        attempt=claim.attempts,
                    )


@pytest.fixture
def ledger(ledger_url: str):
    with Ledger.open(ledger_url) as opened:
        runs.begin(opened, run_id="r1", as_of=NOW, source="files")
        yield opened


def test_no_attempt_begins_after_somebody_left(ledger, ledger_url, settings):
    for person in range(PEOPLE):
        numbers = [person * 100 + n for n in range(1, MAILS_EACH + 1)]
        put_all(ledger, numbers, State.QUEUED, address=f"p{person}@example.com")
    # However slow the machine: a few claims go on beside each leaving, and most are still to come.
    allowed, begun = threading.Semaphore(0), threading.Semaphore(0)
    workers = [
        threading.Thread(target=deliver, args=(ledger_url, f"host:{n}:0", allowed, begun))
        for n in range(2)
    ]
    links, left_at = Links([KEY]), {}
    with answering(settings, ledger) as client:
        for worker in workers:
            worker.start()
        try:
            for person in random.Random(7).sample(range(PEOPLE), PEOPLE // 2):
                allowed.release(CLAIMS_BESIDE)
                assert begun.acquire(timeout=60)
                assert client.post(f"/u/{links.token(send(person * 100 + 1))}").status_code == 200
                with ledger.read() as connection:
                    newest = select(func.max(send_log.c.id))
                    left_at[f"p{person}@example.com"] = connection.execute(newest).scalar_one()
        finally:
            allowed.release(PEOPLE * MAILS_EACH)
            for worker in workers:
                worker.join(120)
    with ledger.read() as connection:
        query = select(send_log.c.id, sends.c.address, send_log.c.to_state).join(
            sends, sends.c.send_id == send_log.c.send_id
        )
        late = [
            row
            for row in connection.execute(query)
            if row.to_state == State.ATTEMPTING and row.id > left_at.get(row.address, row.id)
        ]
        by_state = dict(
            connection.execute(select(sends.c.state, func.count()).group_by(sends.c.state)).all()
        )
    assert late == []
    assert set(by_state) == {"accepted", "suppressed"}
    assert sum(by_state.values()) == PEOPLE * MAILS_EACH
    assert by_state["suppressed"] > MAILS_EACH, "somebody left in time"
    assert by_state["accepted"] > PEOPLE // 2 * MAILS_EACH, "a delivery was going on"
