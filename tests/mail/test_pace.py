"""How fast mail goes, when it stops, and how a new sender grows."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

import planned_sends
from lifecycle.errors import DeliveryError
from lifecycle.ledger import delivery, warmup
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, feedback
from lifecycle.mail.pace import CircuitBreaker, TokenBucket, retry_in
from lifecycle.mail.providers import Outcome
from lifecycle.settings import Warmup

NOW = datetime(2026, 6, 10, 1, tzinfo=UTC)


def test_a_bucket_lets_through_its_rate_over_time(tmp_path):
    clock = [time.time()]
    began = clock[0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def bucket_of_a_worker() -> TokenBucket:
        return TokenBucket(10, tmp_path / "pace", clock=lambda: clock[0], sleep=sleep)

    bucket, other = bucket_of_a_worker(), bucket_of_a_worker()
    assert bucket.take(64) == 10  # a second's worth at once
    assert bucket.wait(1) == pytest.approx(0.1)
    went = 10
    while went < 110:
        went += bucket.take(64) + other.take(64)  # the two share the rate
    assert clock[0] - began == pytest.approx(10, abs=0.2)
    assert bucket.take(1_000, at_least=1_000) == 10  # never more at once
    assert clock[0] - began == pytest.approx(11, abs=0.2)
    bucket.give_back(4)
    assert other.take(64, at_least=4) == 4
    assert clock[0] - began == pytest.approx(11, abs=0.2)
    clock[0] -= 3_600  # a clock that was set back
    assert bucket.wait(1_000) == pytest.approx(1)


def test_a_bucket_of_zero_never_waits(tmp_path):
    bucket = TokenBucket(0, tmp_path / "pace", sleep=lambda seconds: pytest.fail("it waited"))
    assert [bucket.take(1_000) for _ in range(1_000)] == [1_000] * 1_000
    assert not bucket.file.exists()


def test_the_breaker_stops_only_many_refusals_in_a_row():
    breaker = CircuitBreaker("sendgrid", 3)
    refused, taken = Outcome(State.UNCERTAIN, "HTTP 500"), Outcome(State.ACCEPTED)
    for outcome in (refused, refused, taken, refused, refused):
        breaker.see(outcome)
    breaker.check()
    breaker.see(Outcome(State.QUEUED, "429", timedelta(seconds=30)))  # asked for, not refused
    breaker.see(Outcome(State.REJECTED, "not sent: no address", was_asked=False))
    breaker.check()
    breaker.see(refused)
    with pytest.raises(DeliveryError, match=r"none of the last 3 mails.*HTTP 500"):
        breaker.check()


def test_a_retry_comes_as_asked_or_later_each_time():
    first = timedelta(minutes=1)
    day = timedelta(days=1)
    assert retry_in(1, timedelta(seconds=7), first, day) == timedelta(seconds=7)
    for attempts in range(1, 40):
        waits = {retry_in(attempts, None, first, day) for _ in range(50)}
        assert min(waits) >= timedelta(minutes=1)
        assert max(waits) <= timedelta(hours=1)
        assert len(waits) > 1 or attempts == 0


def test_a_retry_comes_while_the_mail_may_still_go():
    first = timedelta(minutes=1)
    for left in (timedelta(minutes=20), timedelta(minutes=5)):
        waits = [retry_in(9, None, first, left) for _ in range(200)]
        assert first <= min(waits) < max(waits) <= left / 2
    # There is no time left: once more, soon.
    assert retry_in(9, None, first, timedelta(seconds=90)) == first


def days(**counts: int) -> Counter[str]:
    return Counter({f"2026-06-{day[1:]}": count for day, count in counts.items()})


@pytest.mark.parametrize(
    ("earlier", "faults", "allowed"),
    [
        (days(), {}, 50),
        (days(d09=50), {}, 100),
        (days(d09=50, d08=80), {}, 160),
        (days(d09=10), {}, 50),
        (days(d09=1000), {"bounced": 19}, 2000),
        (days(d09=1000), {"bounced": 20}, 1000),  # 2 %
        (days(d09=1001), {"complained": 1}, 2002),
        (days(d09=1000), {"complained": 1}, 1000),  # 0.1 %
        (days(d10=500), {}, 50),  # today is no earlier day
    ],
)
def test_a_domain_gets_more_only_while_few_bounce_and_complain(earlier, faults, allowed):
    today = NOW.replace(hour=0)
    assert warmup.allowance(earlier, today, 50, 2, Counter(faults)) == allowed


def test_a_delivery_stops_at_the_domains_room_and_goes_on_with_others(ledger_url):
    with Ledger.open(ledger_url) as ledger:
        mails = [planned_sends.planned(number, at=NOW) for number in range(8)]
        other = planned_sends.planned(9, at=NOW, address="c9@example.org")
        planned_sends.plan(ledger, *mails, other)
        with ledger.write() as connection:
            delivery.release(connection, NOW)
            room = delivery.Room(for_new=3)
            seen = []
            for _ in range(5):
                lease = timedelta(minutes=5)
                claims, more = delivery.claim(
                    connection, NOW, worker="w", lease=lease, limit=4, room=room
                )
                for claim in claims:
                    seen.append(claim.send_id)
                    delivery.settle(
                        *(connection, claim.send_id, State.ACCEPTED, None, NOW),
                        worker="w",
                        attempt=1,
                    )
                if not more:
                    break
        assert other.send_id in seen
        assert len(seen) == 4
        with ledger.read() as connection:
            left = warmup.remaining(connection, NOW, Warmup(start=3, growth=2))
            assert left == {"example.com": 0, "example.org": 2}
            next_day = NOW + timedelta(days=1)
            tomorrow = warmup.remaining(connection, next_day, Warmup(start=3, growth=2))
            assert tomorrow == {"example.com": 6, "example.org": 3}


def claimed(connection: Connection, worker: str, room: delivery.Room, limit: int) -> list[str]:
    lease = timedelta(minutes=5)
    claims, _ = delivery.claim(connection, NOW, worker=worker, lease=lease, limit=limit, room=room)
    return [claim.send_id for claim in claims]


def test_two_workers_share_a_domains_room_and_a_refused_mail_gives_its_place_back(ledger_url):
    with Ledger.open(ledger_url) as ledger:
        planned_sends.plan(ledger, *(planned_sends.planned(n, at=NOW) for n in range(8)))
        entry, other = delivery.Room(for_new=3), delivery.Room(for_new=3)
        with ledger.write() as connection:
            delivery.release(connection, NOW)
            first = claimed(connection, "one", entry, 2)
        with ledger.write() as connection:
            assert len(claimed(connection, "other", other, 64)) == 1
        with ledger.write() as connection:
            assert claimed(connection, "one", entry, 64) == []
            delivery.settle(connection, first[0], State.QUEUED, "429", NOW, worker="one", attempt=1)
            delivery.settle(
                connection, first[1], State.ACCEPTED, None, NOW, worker="one", attempt=1
            )
            assert len(claimed(connection, "other", other, 64)) == 1
            assert claimed(connection, "one", entry, 64) == []


def test_bounces_of_the_last_week_hold_a_domain_where_it_is(ledger_url):
    with Ledger.open(ledger_url) as ledger:
        mail = planned_sends.planned(1, at=NOW)
        planned_sends.plan(ledger, mail)
        with ledger.write() as connection:
            delivery.release(connection, NOW)
            delivery.claim(connection, NOW, worker="w", lease=timedelta(minutes=5))
            delivery.settle(
                connection, mail.send_id, State.ACCEPTED, None, NOW, worker="w", attempt=1
            )
            connection.execute(
                feedback.insert().values(
                    key="k",
                    send_id=mail.send_id,
                    kind="bounced",
                    at=NOW,
                    received_at=NOW,
                    source="webhook",
                )
            )
            tomorrow = NOW + timedelta(days=1)
            left = warmup.remaining(connection, tomorrow, Warmup(start=1, growth=9))
            assert left == {"example.com": 1}
