"""What SendGrid is asked, and what each of its answers means: over real HTTP, fault by fault."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate import make_certificate
from company import Company, utc
from faults.fake_sendgrid import FakeSendGrid
from lifecycle.errors import DeliveryError, SettingsError
from lifecycle.ledger.tables import State
from lifecycle.mail.message import Message
from lifecycle.mail.providers import Mail, Outcome, open_provider
from lifecycle.mail.providers.keep_alive import KeepAlive
from lifecycle.mail.providers.pause import LOOK_EVERY_SECONDS
from lifecycle.mail.providers.sendgrid import SendGrid
from lifecycle.settings import load

KEY = "SG.secret-of-the-test"
Open = Callable[..., SendGrid]


def letter(number: int = 0, **changes: Any) -> Message:
    message = Message(
        send_id=f"{number:032x}",
        from_name="Sakura Works",
        from_email="success@example.com",
        to_name="佐藤 葵",
        to_email=f"c{number}@example.com",
        reply_to=("山田 花", "owner@example.com"),
        subject="その後いかがですか",
        body=f"c{number} 様\n\nいつもありがとうございます。\n",
        date=utc("2026-06-10 01:00"),
        list_unsubscribe="https://example.com/u/abc",
        locale="ja",
        trigger="win_back",
        step="check_in",
    )
    return replace(message, **changes)


def mails(*messages: Message) -> list[Mail]:
    return [Mail(message.send_id, message.as_bytes()) for message in messages]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSendGrid]:
    with FakeSendGrid(tmp_path / "fake", key=KEY, record_requests=True, email_logs=True) as fake:
        yield fake


@pytest.fixture
def connect(fake: FakeSendGrid, tmp_path: Path) -> Iterator[Open]:
    opened: list[SendGrid] = []

    def connect(**changes: Any) -> SendGrid:
        settings = load(
            Company(tmp_path / "company").folder / "lifecycle.toml",
            delivery={"provider": "sendgrid"},
            sendgrid={
                "api_key": KEY,
                "base_url": fake.base_url,
                "connect_timeout_seconds": 2,
                "read_timeout_seconds": 0.5,
                **changes,
            },
        )
        provider = open_provider(settings)
        assert isinstance(provider, SendGrid)
        opened.append(provider)
        return provider

    yield connect
    for provider in opened:
        provider.close()


def send(provider: SendGrid, *messages: Message) -> list[Outcome]:
    return provider.send(mails(*messages))


# What is asked. ---------------------------------------------------------------------------


def test_a_request_says_all_that_the_mail_says_and_nothing_is_tracked(
    fake: FakeSendGrid, connect: Open
) -> None:
    (outcome,) = send(connect(), letter(1))
    assert outcome.state is State.ACCEPTED
    (request,) = fake.requests()
    assert request == {
        "from": {"email": "success@example.com", "name": "Sakura Works"},
        "reply_to": {"email": "owner@example.com", "name": "山田 花"},
        "personalizations": [
            {
                "to": [{"email": "c1@example.com", "name": "佐藤 葵"}],
                "subject": "その後いかがですか",
                "headers": {
                    "Message-ID": f"<{1:032x}@example.com>",
                    "List-Unsubscribe": "<https://example.com/u/abc>",
                    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                    "Auto-Submitted": "auto-generated",
                    "Content-Language": "ja",
                },
                "custom_args": {"send_id": f"{1:032x}"},
            }
        ],
        "subject": "その後いかがですか",
        "content": [{"type": "text/plain", "value": "c1 様\n\nいつもありがとうございます。\n"}],
        "categories": ["win_back", "win_back/check_in"],
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
            "ganalytics": {"enable": False},
        },
    }


def test_what_mails_of_a_step_share_is_not_taken_for_another_s(
    fake: FakeSendGrid, connect: Open
) -> None:
    other = {"from_name": "Kiku", "from_email": "kiku@example.com", "reply_to": None}
    steps = [{}, other, {"trigger": "renewal"}, {"step": "last_call"}, {"is_preview": True}, {}]
    send(connect(), *(letter(number, **more) for number, more in enumerate(steps)))
    once = ("from", "reply_to", "categories")
    output = [{name: body.get(name) for name in once} for body in fake.requests()]
    assert output[0] == output[-1]
    assert len({str(line) for line in output}) == len(steps) - 1
    assert output[1]["from"] == {"email": "kiku@example.com", "name": "Kiku"}
    assert output[1]["reply_to"] is None


def test_a_mailto_is_not_offered_as_one_click(fake: FakeSendGrid, connect: Open) -> None:
    send(connect(), letter(list_unsubscribe="mailto:success@example.com", reply_to=None))
    (request,) = fake.requests()
    assert "List-Unsubscribe-Post" not in request["personalizations"][0]["headers"]
    assert "reply_to" not in request


def test_every_attempt_at_a_mail_posts_the_same_bytes(fake: FakeSendGrid, connect: Open) -> None:
    fake.plan(["error_500", "reset", "accept"])
    for _ in range(3):  # each time as after a crash, from the bytes in the ledger
        send(connect(), letter(1))
    assert len({attempt.request for attempt in fake.attempts()}) == 1
    assert len(fake.attempts()) == 3


def test_a_name_that_looks_like_a_list_is_written_as_one_person(
    fake: FakeSendGrid, connect: Open
) -> None:
    send(connect(), letter(to_name="Sato, Aoi; Dr."))
    (request,) = fake.requests()
    assert request["personalizations"][0]["to"][0]["name"] == "Sato Aoi Dr."


def test_many_mails_share_few_connections(fake: FakeSendGrid, connect: Open) -> None:
    provider = connect()
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: send(provider, letter(n))[0], range(400)))
    assert {outcome.state for outcome in outcomes} == {State.ACCEPTED}
    stats = fake.stats()
    assert stats["taken"] == 400
    assert stats["connections"] <= 8 + 1, "one a thread, and the one that asks for this number"


# What the answers mean. -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "state", "detail"),
    [
        ("accept_then_reset", State.UNCERTAIN, "no answer"),
        ("accept_then_close", State.UNCERTAIN, "no answer"),
        ("accept_then_hang", State.UNCERTAIN, "no answer: timed out"),
        ("accept_then_500", State.UNCERTAIN, "answered 500: Internal Server Error"),
        ("accept_then_303", State.UNCERTAIN, "answered 303"),
        ("accept_then_200", State.UNCERTAIN, "answered 200, not 202"),
        ("accept_then_cut_head", State.UNCERTAIN, "no answer"),
        ("accept_then_cut_body", State.ACCEPTED, ""),
        ("reset", State.UNCERTAIN, "no answer"),
        ("hang", State.UNCERTAIN, "no answer"),
        ("error_500", State.UNCERTAIN, "answered 500"),
        ("redirect", State.UNCERTAIN, "answered 307"),
        ("bad_request", State.REJECTED, "answered 400: Does not contain a valid address."),
        ("too_large", State.REJECTED, "answered 413"),
        ("unauthorized", State.QUEUED, "answered 401: authorization required"),
        ("forbidden", State.QUEUED, "answered 403: The from address does not match"),
        ("too_many", State.QUEUED, "answered 429"),
    ],
)
def test_each_fault_has_its_outcome(
    fake: FakeSendGrid, connect: Open, fault: str, state: State, detail: str
) -> None:
    fake.plan([fault])
    (outcome,) = send(connect(), letter())
    assert outcome.state is state
    assert detail in outcome.detail
    assert len(fake.attempts()) == 1, "nothing is tried again behind the ledger's back"
    # Never "queued" or "rejected" for what was taken.
    assert (state in (State.ACCEPTED, State.UNCERTAIN)) or not fake.taken()


def test_an_outcome_after_a_fault_does_not_spoil_the_next(
    fake: FakeSendGrid, connect: Open
) -> None:
    fake.plan(["accept_then_cut_body", "bad_request", "accept_then_reset", "redirect"])
    provider = connect()
    for number in range(4):
        send(provider, letter(number))
    assert send(provider, letter(9))[0].state is State.ACCEPTED


def test_where_nobody_listens_nothing_has_left(connect: Open) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        (outcome,) = send(connect(base_url=address), letter())
    assert outcome == Outcome(State.QUEUED, "no connection: Connection refused")


def test_a_name_that_leads_nowhere_is_no_connection(connect: Open) -> None:
    (outcome,) = send(connect(base_url="https://nowhere.invalid"), letter())
    assert outcome.state is State.QUEUED
    assert "no connection" in outcome.detail


def test_a_stranger_s_certificate_gets_no_mail(tmp_path: Path, connect: Open) -> None:
    certificate = make_certificate(tmp_path / "server.pem")
    with FakeSendGrid(tmp_path / "tls", key=KEY, certificate=certificate) as fake:
        (stranger,) = send(connect(base_url=fake.base_url), letter())
        assert stranger.state is State.QUEUED
        assert "certificate" in stranger.detail
        trusted = connect(base_url=fake.base_url, ca_file=certificate)
        assert send(trusted, letter())[0].state is State.ACCEPTED
        assert len(fake.attempts()) == 1


def test_a_handshake_that_breaks_off_is_no_request(connect: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(5)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        (outcome,) = send(connect(base_url=address), letter())
        thread.join()
    assert outcome.state is State.QUEUED


# 429. -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "at_least", "at_most"),
    [("too_many:30", 29, 32), ("too_many_retry_after:30", 29, 32), ("too_many_silent", 59, 60)],
)
def test_a_429_says_how_long_to_wait(
    fake: FakeSendGrid, connect: Open, fault: str, at_least: float, at_most: float
) -> None:
    fake.plan([fault])
    (outcome,) = send(connect(), letter())
    assert outcome.retry_after is not None
    assert timedelta(seconds=at_least) < outcome.retry_after <= timedelta(seconds=at_most)


def test_no_thread_asks_before_the_reset_of_a_429(fake: FakeSendGrid, connect: Open) -> None:
    fake.plan(["accept"] * 40 + ["too_many:2"])
    provider, stop = connect(), time.monotonic() + 4
    outcomes: list[Outcome] = []

    def keep_sending(worker: int) -> None:
        number = worker * 1_000_000
        while time.monotonic() < stop:
            outcomes.extend(send(provider, letter(number)))
            number += 1
            time.sleep(0.002)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(keep_sending, range(16)))
    assert fake.early() == []
    put_off = [outcome for outcome in outcomes if outcome.state is State.QUEUED]
    assert len(put_off) > 100, "the threads went on trying"
    assert all(outcome.retry_after for outcome in put_off)
    assert outcomes[-1].state is State.ACCEPTED, "after the reset it goes on"


def test_another_process_and_the_next_run_keep_to_the_pause_too(
    fake: FakeSendGrid, connect: Open
) -> None:
    fake.plan(["too_many:30"])
    send(connect(), letter(1))
    (outcome,) = send(connect(), letter(2))  # all that it shares with the first is the folder
    assert outcome.state is State.QUEUED
    assert outcome.detail == "SendGrid asked for a pause"
    assert len(fake.attempts()) == 1


def test_a_429_that_comes_while_a_connection_is_made_is_obeyed(
    fake: FakeSendGrid, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.plan(["too_many:30"])
    first, second = connect(), connect()
    connected = KeepAlive._connected

    def slowly(self: KeepAlive) -> Any:
        monkeypatch.undo()
        send(first, letter(1))
        time.sleep(LOOK_EVERY_SECONDS)
        return connected(self)

    monkeypatch.setattr(KeepAlive, "_connected", slowly)
    (outcome,) = send(second, letter(2))
    assert (outcome.state, outcome.detail) == (State.QUEUED, "SendGrid asked for a pause")
    assert len(fake.attempts()) == 1


# Batches. ---------------------------------------------------------------------------------


def test_a_batch_is_one_request_and_each_reader_gets_the_same_mail_as_alone(
    fake: FakeSendGrid, connect: Open
) -> None:
    letters = [letter(n) for n in range(1_000)]
    outcomes = connect(batch_size=1_000).send(mails(*letters))
    assert {outcome.state for outcome in outcomes} == {State.ACCEPTED}
    (request,) = fake.requests()
    batch = {mail.send_id: mail.digest for mail in fake.taken()}
    assert len(batch) == 1_000
    (tag,) = {
        tag
        for personalization in request["personalizations"]
        for tag in personalization["substitutions"]
    }
    assert request["content"] == [{"type": "text/plain", "value": tag}]

    connect().send(mails(*letters[:3]))
    for alone in fake.taken()[1_000:]:
        assert alone.digest == batch[alone.send_id]


def test_a_batch_says_each_readers_subject_at_both_levels(fake: FakeSendGrid, connect: Open):
    send(connect(batch_size=10), letter(1, subject="To Aoi"), letter(2, subject="To Ren"))
    (request,) = fake.requests()
    first, second = request["personalizations"]
    tag = request["subject"]
    assert (first["subject"], second["subject"]) == ("To Aoi", "To Ren")
    assert (first["substitutions"][tag], second["substitutions"][tag]) == ("To Aoi", "To Ren")


def test_where_everything_is_refused_in_the_same_words_the_batch_stays_in_the_queue(
    fake: FakeSendGrid, connect: Open
) -> None:
    fake.plan(shares={"bad_request": 1.0})
    outcomes = connect(batch_size=1_000).send(mails(*(letter(n) for n in range(1_000))))
    assert {outcome.state for outcome in outcomes} == {State.QUEUED}
    assert {"answered 400" in outcome.detail for outcome in outcomes} == {True}
    assert fake.stats()["requests"] < 20


def test_the_tag_is_new_for_each_request(fake: FakeSendGrid, connect: Open) -> None:
    provider = connect(batch_size=10)
    for _ in range(2):
        send(provider, letter(1), letter(2))
    first, second = (request["content"][0]["value"] for request in fake.requests())
    assert first != second


def test_only_the_bad_mail_of_a_batch_is_rejected(fake: FakeSendGrid, connect: Open) -> None:
    fake.refuse("c37@example.com", "c38@example.com", "c900@example.com")
    outcomes = connect(batch_size=1_000).send(mails(*(letter(n) for n in range(1_000))))
    rejected = [n for n, outcome in enumerate(outcomes) if outcome.state is State.REJECTED]
    assert rejected == [37, 38, 900]
    taken = [mail.send_id for mail in fake.taken()]
    assert len(taken) == len(set(taken)) == 997
    assert fake.stats()["requests"] < 80


def test_mails_that_do_not_fit_go_singly(fake: FakeSendGrid, connect: Open) -> None:
    fits = letter(1, body="あ" * 3_300 + "\n")
    too_long = letter(2, body="あ" * 3_330 + "\n")
    outcomes = send(connect(batch_size=10), letter(0), fits, too_long, letter(3))
    assert [outcome.state for outcome in outcomes] == [State.ACCEPTED] * 4
    assert sorted(len(request["personalizations"]) for request in fake.requests()) == [1, 3]
    assert {mail.send_id: mail.mails for mail in fake.taken()}[too_long.send_id] == 1


def test_a_batch_holds_only_what_a_request_can_say_once(fake: FakeSendGrid, connect: Open) -> None:
    letters = [
        letter(0),
        letter(1, step="last_call"),
        letter(2, reply_to=("佐々木", "other@example.com")),
        letter(3, to_email="C0@example.com"),  # the reader of letter 0
        letter(4),
    ]
    send(connect(batch_size=10), *letters)
    taken = {mail.send_id: mail.mails for mail in fake.taken()}
    assert [taken[item.send_id] for item in letters] == [1, 1, 1, 2, 2]
    assert len(fake.requests()) == 4


def test_the_outcomes_of_a_mixed_batch_are_in_the_order_of_its_mails(
    fake: FakeSendGrid, connect: Open
) -> None:
    fake.refuse("c2@example.com")
    letters = [
        letter(0, subject=""),
        letter(1),
        letter(2),
        letter(3, body="x" * 20_000),
        letter(4),
    ]
    outcomes = send(connect(batch_size=10), *letters)
    assert [outcome.state.value for outcome in outcomes] == [
        *("rejected", "accepted", "rejected", "accepted", "accepted")
    ]


@pytest.mark.parametrize(
    ("fault", "state"),
    [("accept_then_500", State.UNCERTAIN), ("unauthorized", State.QUEUED)],
)
def test_the_fate_of_a_batch_is_that_of_all_its_mails(
    fake: FakeSendGrid, connect: Open, fault: str, state: State
) -> None:
    fake.plan([fault])
    outcomes = connect(batch_size=50).send(mails(*(letter(n) for n in range(50))))
    assert {outcome.state for outcome in outcomes} == {state}
    assert fake.stats()["requests"] == 1


def test_a_429_while_a_batch_is_halved_stops_the_search(fake: FakeSendGrid, connect: Open) -> None:
    fake.plan(["bad_request", "too_many:5", "accept"])
    outcomes = connect(batch_size=50).send(mails(*(letter(n) for n in range(50))))
    assert State.REJECTED not in {outcome.state for outcome in outcomes}
    assert fake.early() == []


# Evidence. --------------------------------------------------------------------------------


def test_email_activity_settles_a_doubt(fake: FakeSendGrid, connect: Open) -> None:
    fake.plan(["accept_then_reset", "reset"])
    provider = connect(email_logs=True)
    send(provider, letter(1))
    send(provider, letter(2))
    assert provider.resolve(letter(1).send_id) is State.ACCEPTED
    assert provider.resolve(letter(2).send_id) is None, "what is not written yet may still come"


def test_an_account_without_email_activity_is_asked_once(tmp_path: Path, connect: Open) -> None:
    with FakeSendGrid(tmp_path / "poor", key=KEY) as poor:
        provider = connect(base_url=poor.base_url, email_logs=True)
        before = poor.stats()["connections"]
        assert [provider.resolve(f"{n:032x}") for n in range(3)] == [None] * 3
        assert poor.stats()["connections"] <= before + 2
    assert connect().resolve(f"{1:032x}") is None, "not asked for"


# What must not be seen. -------------------------------------------------------------------


def test_neither_key_nor_address_is_logged_or_told(
    fake: FakeSendGrid, connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    # Put back afterwards: else each later test of this process would write SQLAlchemy's every step.
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    provider = connect(batch_size=5, email_logs=True)
    fake.plan(["bad_request", "accept_then_reset", "unauthorized", "too_many:1"])
    fake.refuse("c9@example.com")
    text = repr([send(provider, letter(n)) for n in range(5)])
    provider.resolve(letter(0).send_id)
    text += repr(send(connect(base_url="http://127.0.0.1:1"), letter()))
    seen = caplog.text + text + repr(provider) + repr(vars(provider).keys())
    assert KEY not in seen
    assert "c0@example.com" not in seen


@pytest.mark.parametrize("key", ["", "SG.line\nbreak", "SG with blanks", "SG.鍵"])
def test_what_cannot_be_a_key_is_refused_without_being_shown(connect: Open, key: str) -> None:
    with pytest.raises(DeliveryError, match="LIFECYCLE__SENDGRID__API_KEY") as caught:
        connect(api_key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://api.sendgrid.com",
        "ftp://example.com",
        "https://user:word@example.com",
        "https://example.com/v3",
        "example.com",
    ],
)
def test_mail_goes_only_over_tls_unless_it_stays_on_this_machine(
    connect: Open, address: str
) -> None:
    with pytest.raises(SettingsError, match=r"sendgrid\.base_url: must be https://") as caught:
        connect(base_url=address)
    assert "word" not in str(caught.value)
