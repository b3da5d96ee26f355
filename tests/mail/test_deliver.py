"""One delivery as a whole, against real servers: what it does with a provider's answers, how it
keeps to its pace, and what becomes of an attempt that others take for lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

import planned_sends
from company import Company
from faults.fake_sendgrid import FakeSendGrid
from faults.fake_smtp import CLOSE, HANG, TAKE, FakeSmtp
from lifecycle.document import as_text
from lifecycle.errors import ClockError, DeliveryError, UnknownName
from lifecycle.ledger import delivery, feedback, held, suppressions
from lifecycle.ledger.held import decide
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, actions, messages, send_log, sends
from lifecycle.mail.deliver import DeliveryResult, deliver
from lifecycle.mail.message import Message
from lifecycle.mail.providers import TOO_LATE_TO_BEGIN, Mail, Outcome, open_provider
from lifecycle.report.delivery_report import DeliveryReport
from lifecycle.settings import Settings
from lifecycle.status.overview import status

ELSEWHERE = "elsewhere:1:0.00"

SETTINGS = """
[source]
kind = "files"
[delivery]
provider = "{provider}"
{delivery}
[warmup]
start = {warmup}
[sendgrid]
base_url = "{sendgrid}"
read_timeout_seconds = 1
[smtp]
host = "127.0.0.1"
port = {smtp}
tls = "none"
timeout_seconds = 0.8
connections = 1
"""

Open = Callable[..., Settings]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSendGrid]:
    with FakeSendGrid(tmp_path / "sendgrid") as fake:
        yield fake


@pytest.fixture
def relay() -> Iterator[FakeSmtp]:
    with FakeSmtp() as relay:
        yield relay


@pytest.fixture
def settings(
    tmp_path: Path,
    ledger_url: str,
    fake: FakeSendGrid,
    relay: FakeSmtp,
    monkeypatch: pytest.MonkeyPatch,
) -> Open:
    """A company that may mail, and the lines of its `[delivery]`."""
    monkeypatch.setenv("LIFECYCLE__LEDGER__URL", ledger_url)
    monkeypatch.setenv("LIFECYCLE__SENDGRID__API_KEY", "SG.test")

    def make(*lines: str, provider: str = "sendgrid", warmup: int = 0) -> Settings:
        company = Company(tmp_path / "company")
        with (company.folder / "lifecycle.toml").open("a") as file:
            file.write(
                SETTINGS.format(
                    provider=provider,
                    delivery="\n".join(lines),
                    warmup=warmup,
                    sendgrid=fake.base_url,
                    smtp=relay.port,
                )
            )
        return company.settings

    return make


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        now = datetime.now(UTC)
        with opened.write() as connection:
            for source in feedback.LISTS["sendgrid"]:
                feedback.record_sync(connection, source, read_until=now, now=now)
        yield opened


def plan(ledger: Ledger, mails: int, **changes: Any) -> list[str]:
    """Mails that are due now."""
    now = datetime.now(UTC)
    result = [planned_sends.rendered(number, at=now, **changes) for number in range(mails)]
    planned_sends.plan(ledger, *result)
    return [mail.send_id for mail in result]


def run(settings: Settings, ledger: Ledger, **more: Any) -> DeliveryResult:
    return deliver(settings, ledger, now=datetime.now(UTC), **more)


def states(ledger: Ledger) -> Counter[str]:
    with ledger.read() as connection:
        return Counter(connection.execute(select(sends.c.state)).scalars())


def ever(ledger: Ledger, state: State) -> int:
    """How many mails were in a state at some time."""
    with ledger.read() as connection:
        query = select(send_log.c.send_id).where(send_log.c.to_state == state).distinct()
        return len(connection.execute(query).all())


def attempts(ledger: Ledger) -> list[int]:
    with ledger.read() as connection:
        return sorted(connection.execute(select(sends.c.attempts)).scalars())


def taken(fake: FakeSendGrid) -> Counter[str]:
    return Counter(mail.send_id for mail in fake.taken())


def lost(ledger: Ledger) -> None:
    """Another machine takes every attempt for lost, and the horizon passes."""
    now = datetime.now(UTC)
    with ledger.write() as connection:
        connection.execute(update(sends).values(lease_until=now - timedelta(seconds=1)))
        assert delivery.recover(connection, now) > 0
        delivery.hold(connection, now, timedelta(0))


# Attempts that others take for lost. ------------------------------------------------------


def test_a_mail_that_waits_for_its_turn_is_nobodys(settings, ledger, fake, monkeypatch):
    # At this pace the last mail leaves long after a lease that began with the first one's.
    slow = settings("per_second = 5", "lease_seconds = 3")
    ids = plan(ledger, 24)
    monkeypatch.setattr(delivery, "worker_name", lambda: ELSEWHERE)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            with ledger.write() as connection:
                delivery.recover(connection, datetime.now(UTC))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert run(slow, ledger).accepted == 24
    finally:
        over.set()
        watcher.join()
    assert taken(fake) == dict.fromkeys(ids, 1)
    assert ever(ledger, State.UNCERTAIN) == 0
    times = sorted(mail.at for mail in fake.taken())
    assert times[-1] - times[0] > 3.4  # five at once, then five a second


def test_a_mail_whose_turn_comes_late_in_its_lease_is_not_begun(settings, ledger, relay):
    busy = settings("lease_seconds = 1", "retry_seconds = 0.1", provider="smtp")
    plan(ledger, 3)
    relay.answer("END", HANG)  # the one connection is taken for longer than half the lease
    done = run(busy, ledger)
    assert states(ledger) == {"accepted": 2, "held": 1}
    assert done.held == 1
    # Two were put back at least once; on a busy machine a turn may come late more often.
    put_back = done.states[State.QUEUED]
    assert put_back >= 2
    assert sum(attempts(ledger)) == 3 + put_back
    assert relay.commands.count("MAIL") == 3, "each was begun once"


@pytest.mark.parametrize("provider", ["sendgrid", "smtp", "outbox"])
def test_no_provider_begins_what_is_too_late(provider, settings, ledger, fake, relay):
    opened = open_provider(settings(provider=provider))
    mail = planned_sends.rendered(1, at=datetime.now(UTC))
    try:
        late = opened.send([Mail(mail.send_id, mail.mime)], begin_by=time.time() - 1)
        assert late == [TOO_LATE_TO_BEGIN]
        assert (fake.attempts(), "MAIL" in relay.commands) == ([], False)
        (in_time,) = opened.send([Mail(mail.send_id, mail.mime)], begin_by=time.time() + 60)
        assert in_time.state is State.ACCEPTED
    finally:
        opened.close()


def test_a_202_is_kept_though_the_attempt_was_taken_for_lost(settings, ledger, fake, monkeypatch):
    ids = plan(ledger, 5)
    monkeypatch.setattr(delivery, "worker_name", lambda: ELSEWHERE)
    went = []

    def meanwhile(_: str) -> None:  # the answers are there, and not yet written down
        if not went:
            went.append(True)
            lost(ledger)
            assert states(ledger) == {"held": 5}
            decide(ledger, ids[0], "resend", by="Mari", why="the customer asked")
            decide(ledger, ids[1], "give_up", by="Mari", why="too late")

    run(settings(), ledger, progress=meanwhile)
    # Nobody waits in vain, nobody gets it twice, and what a person gave up stays given up.
    assert states(ledger) == {"accepted": 4, "cancelled": 1}
    assert taken(fake) == dict.fromkeys(ids, 1)


def test_a_refusal_is_kept_though_the_attempt_was_taken_for_lost(
    settings, ledger, fake, monkeypatch
):
    plan(ledger, 2)
    fake.plan(["bad_request", "unauthorized"])
    monkeypatch.setattr(delivery, "worker_name", lambda: ELSEWHERE)
    went = []

    def meanwhile(_: str) -> None:
        if not went:
            went.append(True)
            lost(ledger)

    run(settings(), ledger, progress=meanwhile)
    assert states(ledger) == {"rejected": 1, "queued": 1}


def test_an_interrupted_delivery_writes_down_what_it_knows(settings, ledger, fake):
    ids = plan(ledger, 3)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settings(), ledger, progress=interrupt)
    assert states(ledger) == {"accepted": 3}
    assert taken(fake) == dict.fromkeys(ids, 1)


class Breaking:
    """A provider with a mistake in it: it fails for one mail, at once."""

    name, live, batch_size = "breaking", False, 1

    def __init__(self, bad: str) -> None:
        self.bad = bad

    def send(self, mails: Sequence[Mail], begin_by: float = 0) -> list[Outcome]:
        if mails[0].send_id == self.bad:
            raise RuntimeError("a mistake")
        time.sleep(0.1)
        return [Outcome(State.ACCEPTED)]

    def rest(self) -> float:
        return 0.0

    def resolve(self, send_id: str) -> None:
        return None

    def close(self) -> None:
        pass


def test_a_provider_that_breaks_off_leaves_no_attempt_open(settings, ledger, monkeypatch):
    ids = plan(ledger, 4)
    monkeypatch.setattr("lifecycle.mail.deliver.open_provider", lambda _: Breaking(ids[2]))
    with pytest.raises(RuntimeError, match="a mistake"):
        run(settings(), ledger)
    assert states(ledger) == {"accepted": 3, "uncertain": 1}


def test_answers_are_written_down_though_the_claim_beside_them_fails(
    settings, ledger, fake, monkeypatch
):
    ids = plan(ledger, 3)
    claim = delivery.claim
    claims: list[object] = []

    def fails_the_second_time(*args: Any, **more: Any) -> Any:
        claims.append(None)
        if len(claims) == 2:
            raise OSError("disk full")
        return claim(*args, **more)

    monkeypatch.setattr(delivery, "claim", fails_the_second_time)
    with pytest.raises(OSError, match="disk full"):
        run(settings(), ledger)
    assert taken(fake) == dict.fromkeys(ids, 1)
    assert states(ledger) == {"accepted": 3}


# Pace. ------------------------------------------------------------------------------------


def test_two_deliveries_at_once_keep_to_one_pace(settings, ledger, fake):
    slow = settings("per_second = 10")
    ids = plan(ledger, 24)
    other = threading.Thread(target=run, args=(slow, ledger))
    other.start()
    run(slow, ledger)
    other.join()
    assert taken(fake) == dict.fromkeys(ids, 1)
    times = sorted(mail.at for mail in fake.taken())
    assert times[-1] - times[0] > 1.2  # ten at once, then ten a second


def test_a_domain_that_warms_up_gets_its_mails_of_a_day_and_the_others_wait(settings, ledger, fake):
    careful = settings(warmup=3)
    plan(ledger, 5)
    planned_sends.plan(
        ledger,
        planned_sends.rendered(9, at=datetime.now(UTC), address="c9@example.org"),
        run_id="r2",
    )
    done = run(careful, ledger)
    assert (done.accepted, done.no_room) == (4, {"example.com": 2})
    assert states(ledger) == {"accepted": 4, "queued": 2}
    again = run(careful, ledger)
    assert (again.accepted, again.no_room) == (0, {"example.com": 2})
    answer = "2 mails to example.com must wait until tomorrow (UTC)"
    report = DeliveryReport.of(again, now=datetime.now(UTC), waiting=2)
    assert answer in as_text(report.as_document("UTC"), width=400)
    assert DeliveryReport.from_json(report.as_json()) == report
    status_report = status(careful, ledger)
    assert status_report.no_room == {"example.com": 2}
    assert answer in as_text(status_report.as_document(), width=400)


def test_a_delivery_stops_when_the_provider_takes_nothing(settings, ledger, fake):
    plan(ledger, delivery.IN_FLIGHT + 6)
    fake.plan(shares={"unauthorized": 1.0})
    with pytest.raises(DeliveryError, match=r"took none of the last 64 mails.*queued.*401"):
        run(settings("give_up_after = 5"), ledger)
    assert len(fake.attempts()) == delivery.IN_FLIGHT  # what was under way when it was seen
    assert states(ledger) == {"queued": delivery.IN_FLIGHT + 6}
    assert attempts(ledger)[:7] == [0] * 6 + [1]


def test_a_refused_mail_comes_again_when_it_was_told_to_and_not_before(settings, ledger, fake):
    impatient = settings("retry_seconds = 60")
    plan(ledger, 2)
    fake.plan(["too_many_retry_after:2"])
    began = datetime.now(UTC)
    assert run(impatient, ledger).states[State.QUEUED] > 0
    with ledger.read() as connection:
        again = connection.execute(select(sends.c.not_before)).scalars().all()
    assert began + timedelta(seconds=1) < max(again) < began + timedelta(seconds=10)
    time.sleep(max(0.0, (max(again) - datetime.now(UTC)).total_seconds()) + 0.2)
    run(impatient, ledger)
    assert states(ledger) == {"accepted": 2}
    assert fake.early() == []


def test_a_delivery_waits_out_a_short_pause(settings, ledger, fake):
    ids = plan(ledger, delivery.IN_FLIGHT + 6)
    fake.plan(["too_many_retry_after:1"])
    done = run(settings(), ledger)
    assert done.rests_until is None
    assert taken(fake) == dict.fromkeys(ids, 1)
    assert states(ledger) == {"accepted": len(ids)}
    assert fake.early() == []


def test_a_delivery_leaves_the_queue_alone_where_the_provider_asks_for_long(settings, ledger, fake):
    now = datetime.now(UTC)
    plan(ledger, 3 * delivery.IN_FLIGHT, expires_at=now + timedelta(minutes=10))
    fake.plan(shares={"too_many_retry_after:3600": 1.0})
    done = run(settings(), ledger)
    assert sum(attempts(ledger)) == delivery.IN_FLIGHT
    assert done.rests_until > now + timedelta(minutes=59)
    report = DeliveryReport.of(done, now=now, waiting=3 * delivery.IN_FLIGHT)
    assert "The provider asked for a pause until" in as_text(report.as_document("UTC"))
    assert DeliveryReport.from_json(report.as_json()) == report
    assert run(settings(), ledger).rests_until == pytest.approx(
        done.rests_until, abs=timedelta(seconds=5)
    )
    assert sum(attempts(ledger)) == delivery.IN_FLIGHT


def test_a_mail_is_tried_again_while_it_is_of_use(settings, ledger, fake):
    began = datetime.now(UTC)
    plan(ledger, 5, expires_at=began + timedelta(minutes=4))
    fake.plan(shares={"unauthorized": 1.0})
    run(settings("retry_seconds = 60"), ledger)
    with ledger.read() as connection:
        again = connection.execute(select(sends.c.not_before)).scalars().all()
    assert began + timedelta(seconds=59) < min(again) <= max(again) < began + timedelta(seconds=150)


def test_an_address_that_its_server_does_not_know_is_not_mailed_again(settings, ledger, relay):
    smtp = settings(provider="smtp")
    plan(ledger, 2)
    relay.answer("RCPT", "550 5.1.1 no such user")
    relay.answer("RCPT", "550 not from you")
    run(smtp, ledger)
    assert states(ledger) == {"rejected": 2}
    with ledger.read() as connection:
        known = suppressions.reasons(connection, ["c0@example.com", "c1@example.com"])
    assert list(known.values()) == ["bounced"]
    second = [planned_sends.rendered(n, at=datetime.now(UTC), cycle=2) for n in range(2)]
    planned_sends.plan(ledger, *second, run_id="r2")
    run(smtp, ledger)
    assert states(ledger) == {"rejected": 2, "suppressed": 1, "accepted": 1}


def test_real_people_are_not_mailed_before_the_time(settings, ledger, fake):
    later = datetime.now(UTC) + timedelta(days=3)
    planned_sends.plan(ledger, planned_sends.rendered(1, at=later))
    with pytest.raises(ClockError, match=r"in the future.*lifecycle preview"):
        deliver(settings(), ledger, now=later)
    assert (states(ledger), fake.attempts()) == ({"planned": 1}, [])


def test_a_mail_that_found_no_reason_to_wait_is_tried_again_after_the_usual_time(
    settings, ledger, fake
):
    plan(ledger, 1)
    fake.plan(["unauthorized"])
    began = datetime.now(UTC)
    run(settings("retry_seconds = 60"), ledger)
    with ledger.read() as connection:
        row = connection.execute(select(sends)).one()
    assert (row.state, row.attempts) == ("queued", 1)
    assert began + timedelta(seconds=59) < row.not_before < began + timedelta(seconds=180)


# A provider that takes nothing. -------------------------------------------------------------


def last_answers(ledger: Ledger) -> set[str]:
    with ledger.read() as connection:
        return set(connection.scalars(select(sends.c.detail)))


@pytest.mark.parametrize("batch", [1, 50])
def test_a_provider_that_refuses_everything_destroys_nothing(settings, ledger, fake, batch):
    refused = settings("retry_seconds = 0.1")
    refused = refused.model_copy(
        update={"sendgrid": refused.sendgrid.model_copy(update={"batch_size": batch})}
    )
    ids = plan(ledger, 150)
    fake.plan(shares={"bad_request": 1.0})
    with pytest.raises(DeliveryError, match="took none of the last"):
        run(refused, ledger)
    assert states(ledger) == {"queued": 150}
    asked = status(refused, ledger)
    assert asked.refusals[0]["state"] == "queued"
    assert "answered 400" in asked.refusals[0]["why"]
    assert "stayed in the queue" in as_text(asked.as_document(), width=400)
    fake.plan(shares={})
    time.sleep(0.3)
    while states(ledger) != {"accepted": 150}:
        run(refused, ledger)
    assert taken(fake) == dict.fromkeys(ids, 1)


def test_a_few_mails_refused_alike_stay_queued_and_one_is_its_own_fault(settings, ledger, fake):
    plan(ledger, 3)
    fake.plan(shares={"bad_request": 1.0})
    done = run(settings(), ledger)
    assert done.why_none.startswith("sendgrid took none of 3 mails; the last one is rejected")
    assert states(ledger) == {"queued": 3}
    assert done.states[State.QUEUED] == 3
    fake.plan(shares={})
    planned_sends.plan(ledger, planned_sends.rendered(9, at=datetime.now(UTC)), run_id="r2")
    fake.refuse("c9@example.com")
    with ledger.write() as connection:
        connection.execute(update(sends).values(not_before=datetime.now(UTC)))
    done = run(settings(), ledger)
    assert states(ledger) == {"accepted": 3, "rejected": 1}
    assert done.why_none is None


def test_a_relay_that_knows_nobody_makes_nobody_unmailable(settings, ledger, relay):
    plan(ledger, 4)
    for _ in range(4):
        relay.answer("RCPT", "550 5.1.1 no such user")
    smtp = settings("give_up_after = 4", provider="smtp")
    with pytest.raises(DeliveryError):
        run(smtp, ledger)
    assert states(ledger) == {"queued": 4}
    with ledger.read() as connection:
        assert suppressions.reasons(connection, [f"c{n}@example.com" for n in range(4)]) == {}


def test_a_sender_that_is_refused_rejects_no_mail(settings, ledger, relay):
    plan(ledger, 1)
    relay.answer("MAIL", "550 5.7.1 sender not allowed")
    done = run(settings(provider="smtp"), ledger)
    assert states(ledger) == {"queued": 1}
    assert "sender not allowed" in done.why_none


def test_a_relay_that_cannot_be_used_is_told_of_by_the_smallest_delivery(settings, ledger, relay):
    plan(ledger, 1)
    shut = settings(provider="smtp")
    relay.answer("CONNECT", CLOSE)
    done = run(shut, ledger)
    assert "no connection to 127.0.0.1" in done.why_none
    assert states(ledger) == {"queued": 1}


def test_a_mail_that_was_rejected_by_mistake_comes_back(settings, ledger, fake):
    plan(ledger, 2)
    fake.refuse("c0@example.com", "c1@example.com")
    run(settings(), ledger)
    assert states(ledger) == {"rejected": 2}
    with pytest.raises(UnknownName, match="no rejected mail is meant by: reason 403"):
        held.retry(ledger, held.Which(reason="403"), by="Mari", why="a new key")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(UnknownName):
        held.retry(ledger, held.Which(until=yesterday), by="Mari", why="a new key")
    with ledger.write() as connection:
        connection.execute(delete(messages).where(messages.c.send_id.like("%0")))
    assert held.retry(ledger, held.Which(reason="ANSWERED 400"), by="Mari", why="mended") in (1, 2)
    with ledger.read() as connection:
        rows = connection.execute(select(actions)).all()
    assert {(row.action, row.by, row.why) for row in rows} == {("retry", "Mari", "mended")}
    assert states(ledger)["queued"] == len(rows)


# What is written down, and when. ------------------------------------------------------------


def test_answers_are_written_down_while_a_slower_one_is_awaited(settings, ledger, fake):
    slow = settings()
    plan(ledger, 10)
    fake.plan(["hang"])
    seen: list[Counter[str]] = []
    run(slow, ledger, progress=lambda _: seen.append(states(ledger)))
    # While the slow one was still in flight, the others were accepted already.
    assert Counter({"accepted": 9, "attempting": 1}) in seen
    assert states(ledger) == {"accepted": 9, "uncertain": 1}


def test_a_mail_is_dated_when_it_leaves_and_each_attempt_is_the_same(settings, ledger, relay):
    planned = datetime.now(UTC) - timedelta(hours=5)
    mail = planned_sends.rendered(1, at=planned)
    planned_sends.plan(ledger, mail)
    with ledger.write() as connection:
        closes = datetime.now(UTC) + timedelta(hours=5)
        connection.execute(update(sends).values(closes_at=closes, expires_at=None))
    relay.answer("END", TAKE + "451 later")
    smtp = settings("retry_seconds = 0.1", provider="smtp")
    began = datetime.now(UTC).replace(microsecond=0)
    while states(ledger) != {"accepted": 1}:
        run(smtp, ledger)
    first, second = (mime for _, _, mime in relay.taken)
    assert first == second
    assert Message.from_bytes(first).date >= began
    with ledger.read() as connection:
        kept = connection.scalars(select(messages.c.mime)).one()
    assert Message.from_bytes(kept).date >= began


def test_what_we_call_our_triggers_does_not_leave_the_house(settings, ledger, relay):
    plan(ledger, 1)
    run(settings(provider="smtp"), ledger)
    ((_, _, mime),) = relay.taken
    assert b"win_back" not in mime
    assert b"check_in" not in mime
    assert Message.from_bytes(mime).trigger == ""


def test_what_a_full_cap_keeps_back_until_it_is_too_late_says_so(settings, ledger, fake):
    now = datetime.now(UTC)
    soon = now + timedelta(seconds=1.2)
    mails = [
        planned_sends.rendered(n, at=now, account_id="a0", account_cap="1/7d", expires_at=soon)
        for n in range(2)
    ]
    planned_sends.plan(ledger, mails[0])
    planned_sends.plan(ledger, replace(mails[1], trigger="other"), run_id="r2")
    first = run(settings(), ledger)
    (put_off,) = first.dropped
    assert put_off == "put off: capped: this account may get 1/7d"
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.1)
    second = run(settings(), ledger)
    late = "expired: too late to be useful; it waited: capped: this account may get 1/7d"
    assert second.dropped == {late: 1}
    report = DeliveryReport.of(second, now=now, waiting=0)
    assert f"1 mail not sent, {late}." in as_text(report.as_document("UTC"), width=400)


def test_what_finds_no_room_in_its_domains_day_says_so(settings, ledger, fake):
    soon = datetime.now(UTC) + timedelta(seconds=1.2)
    plan(ledger, 3, expires_at=soon)
    careful = settings(warmup=2)
    assert run(careful, ledger).accepted == 2
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.1)
    (why,) = run(careful, ledger).dropped
    assert why.endswith("it waited: its domain had as many mails as it may get in a day ([warmup])")
