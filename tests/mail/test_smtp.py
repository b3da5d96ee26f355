"""What a relay is told, and what each of its answers means: over real SMTP, step by step."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certificate import make_certificate
from company import Company, utc
from faults.fake_smtp import CLOSE, HANG, TAKE, FakeSmtp
from lifecycle.errors import DeliveryError, SettingsError
from lifecycle.ledger.tables import State
from lifecycle.mail.message import Message
from lifecycle.mail.providers import Mail, Outcome, open_provider
from lifecycle.mail.providers.smtp import Smtp
from lifecycle.settings import Smtp as SmtpSettings
from lifecycle.settings import load

Open = Callable[..., Smtp]
LETTER = Message(
    send_id="0" * 32,
    from_name="Sakura Works",
    from_email="success@example.com",
    to_name="佐藤 葵",
    to_email="c0@example.com",
    reply_to=None,
    subject="How are you getting on?",
    body="Dear Aoi,\n.\n..\n.hidden\n\nBye\n",
    date=utc("2026-06-10 01:00"),
    list_unsubscribe="mailto:success@example.com",
    locale="en",
    trigger="win_back",
    step="check_in",
)


@pytest.fixture
def relay() -> Iterator[FakeSmtp]:
    with FakeSmtp() as relay:
        yield relay


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Open]:
    opened: list[Smtp] = []

    def connect(relay: FakeSmtp, **changes: Any) -> Smtp:
        section = {
            "host": "127.0.0.1",
            "port": relay.port,
            "tls": "none",
            "timeout_seconds": 0.5,
            **changes,
        }
        settings = load(
            Company(tmp_path / "company").folder / "lifecycle.toml",
            delivery={"provider": "smtp"},
            smtp=section,
        )
        provider = open_provider(settings)
        assert isinstance(provider, Smtp)
        opened.append(provider)
        return provider

    yield connect
    for provider in opened:
        provider.close()


def send(provider: Smtp, message: Message = LETTER) -> Outcome:
    (outcome,) = provider.send([Mail(message.send_id, message.as_bytes())])
    return outcome


def test_the_bytes_arrive_as_they_are_dots_included(relay: FakeSmtp, connect: Open) -> None:
    assert send(connect(relay)) == Outcome(State.ACCEPTED, "taken as 1")
    assert relay.taken == [("success@example.com", "c0@example.com", LETTER.as_bytes())]


def test_one_connection_carries_many_mails(relay: FakeSmtp, connect: Open) -> None:
    provider = connect(relay)
    outcomes = [send(provider, replace(LETTER, to_email=f"c{n}@example.com")) for n in range(50)]
    assert {outcome.state for outcome in outcomes} == {State.ACCEPTED}
    assert relay.connections == 1
    assert [to for _, to, _ in relay.taken] == [f"c{n}@example.com" for n in range(50)]


def test_there_are_never_more_connections_than_allowed(relay: FakeSmtp, connect: Open) -> None:
    provider = connect(relay, connections=3)
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda _: send(provider), range(200)))
    assert {outcome.state for outcome in outcomes} == {State.ACCEPTED}
    assert len(relay.taken) == 200
    assert relay.connections <= 3


@pytest.mark.parametrize(
    ("step", "answer", "state", "detail"),
    [
        ("CONNECT", "421 busy", State.QUEUED, "421 busy"),
        ("CONNECT", "554 go away", State.QUEUED, "554 go away"),
        ("CONNECT", CLOSE, State.QUEUED, "no connection to 127.0.0.1"),
        ("CONNECT", HANG, State.QUEUED, "no connection to 127.0.0.1"),
        ("MAIL", "450 slow down", State.QUEUED, "MAIL: 450 slow down"),
        ("MAIL", "530 log in first", State.QUEUED, "MAIL: 530 log in first"),
        ("MAIL", "552 too big", State.REJECTED, "MAIL: 552 too big"),
        ("MAIL", CLOSE, State.QUEUED, "MAIL: Connection unexpectedly closed"),
        ("RCPT", "450 4.2.1 mailbox busy", State.QUEUED, "RCPT: 450 4.2.1 mailbox busy"),
        ("RCPT", "550 5.1.1 no such user", State.REJECTED, "RCPT: 550 5.1.1 no such user"),
        ("RCPT", "421 shutting down", State.QUEUED, "RCPT: 421"),
        ("RCPT", "what?", State.QUEUED, "RCPT"),
        ("RCPT", HANG, State.QUEUED, "RCPT"),
        ("DATA", "451 try later", State.QUEUED, "DATA: 451"),
        ("DATA", "554 no", State.REJECTED, "DATA: 554"),
        ("DATA", CLOSE, State.QUEUED, "DATA"),
        ("END", "452 disk full", State.QUEUED, "mail: 452 disk full"),
        ("END", "554 5.7.1 spam", State.REJECTED, "mail: 554 5.7.1 spam"),
        ("END", CLOSE, State.UNCERTAIN, "no answer to the mail"),
        ("END", HANG, State.UNCERTAIN, "no answer to the mail"),
        ("END", TAKE + CLOSE, State.UNCERTAIN, "no answer to the mail"),
        ("END", TAKE + HANG, State.UNCERTAIN, "no answer to the mail: "),
        ("END", TAKE + "what?", State.UNCERTAIN, "mail"),
    ],
)
def test_each_answer_has_its_outcome(
    relay: FakeSmtp, connect: Open, step: str, answer: str, state: State, detail: str
) -> None:
    relay.answer(step, answer)
    provider = connect(relay)
    outcome = send(provider)
    assert outcome.state is state
    assert detail in outcome.detail
    before = len(relay.taken)
    assert before == 0 or state is State.UNCERTAIN
    assert send(provider).state is State.ACCEPTED, "the next mail goes"
    assert len(relay.taken) == before + 1


def test_a_mail_that_breaks_off_before_its_dot_stays_queued(relay: FakeSmtp, connect: Open) -> None:
    relay.answer("BODY", CLOSE)
    long = replace(LETTER, body="a line of a very long mail\n" * 1_000_000)  # over any buffer
    outcome = send(connect(relay), long)
    assert outcome.state is State.QUEUED
    assert "broke off" in outcome.detail
    assert relay.taken == []


def test_a_refused_mail_does_not_spoil_the_conversation(relay: FakeSmtp, connect: Open) -> None:
    relay.answer("RCPT", "550 no such user")
    provider = connect(relay)
    send(provider)
    send(provider)
    assert relay.connections == 1
    assert relay.commands[-4:] == ["RCPT", "DATA", "BODY", "END"]
    assert "RSET" in relay.commands


def test_a_connection_that_died_while_it_rested_is_replaced(
    relay: FakeSmtp,
) -> None:
    section = SmtpSettings(host="127.0.0.1", port=relay.port, tls="none")
    provider = Smtp(section, idle_seconds=0)
    send(provider)
    relay.answer("NOOP", CLOSE)
    assert send(provider).state is State.ACCEPTED
    assert relay.connections == 2
    assert send(provider).state is State.ACCEPTED
    assert relay.connections == 2, "one that answers is kept"
    provider.close()


def test_where_nobody_listens_nothing_has_left(relay: FakeSmtp, connect: Open) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome = send(connect(relay, port=unused.getsockname()[1]))
    assert outcome.state is State.QUEUED
    assert outcome.detail.endswith("Connection refused")


@pytest.mark.parametrize("implicit", [True, False])
def test_over_tls_with_a_log_in(tmp_path: Path, connect: Open, implicit: bool) -> None:
    certificate = make_certificate(tmp_path / "relay.pem")
    login = ("robot", "open sesame")
    with FakeSmtp(certificate=certificate, implicit_tls=implicit, login=login) as relay:
        how = {
            "tls": "implicit" if implicit else "starttls",
            "username": "robot",
            "ca_file": certificate,
        }
        assert send(connect(relay, **how, password="open sesame")).state is State.ACCEPTED
        refused = send(connect(relay, **how, password="wrong word"))
        assert refused.state is State.QUEUED
        assert "535 5.7.8 wrong" in refused.detail
        stranger = send(connect(relay, tls=how["tls"]))
        assert stranger.state is State.QUEUED
        assert "certificate" in stranger.detail.lower()
        assert len(relay.taken) == 1


def test_a_relay_without_tls_gets_nothing_where_tls_is_asked_for(
    relay: FakeSmtp, connect: Open
) -> None:
    outcome = send(connect(relay, tls="starttls"))
    assert outcome.state is State.QUEUED
    assert "STARTTLS" in outcome.detail
    assert "MAIL" not in relay.commands


def test_only_this_machine_is_spoken_to_in_the_open(relay: FakeSmtp, connect: Open) -> None:
    with pytest.raises(SettingsError, match="in the open"):
        connect(relay, host="relay.example.com")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": ""}, "name the relay"),
        ({"username": "robot"}, "LIFECYCLE__SMTP__PASSWORD"),
        ({"password": "word"}, "go together"),
        ({"ca_file": "/nowhere.pem"}, "smtp.ca_file"),
    ],
)
def test_what_cannot_work_is_said_at_once(
    relay: FakeSmtp, connect: Open, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeliveryError, match=message):
        connect(relay, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "mail..example.com", "tls": "implicit"},
        {"username": "robot", "password": "pässword"},
    ],
)
def test_what_cannot_be_said_to_a_relay_leaves_the_mail_in_the_queue(
    relay: FakeSmtp, connect: Open, changes: dict[str, Any]
) -> None:
    outcome = send(connect(relay, **changes))
    assert (outcome.state, relay.taken) == (State.QUEUED, [])
    assert outcome.detail.startswith("no connection to")


def test_no_line_end_can_smuggle_a_mail_in(relay: FakeSmtp, connect: Open) -> None:
    mime = LETTER.as_bytes() + b"\n.\nMAIL FROM:<x@example.com>\r\n"
    (outcome,) = connect(relay).send([Mail(LETTER.send_id, mime)])
    assert outcome.state is State.REJECTED
    assert relay.connections == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"to_name": "Aoi\r\nBcc: everyone@example.com", "subject": "a\r\nBcc: b@example.com"},
        {"to_name": "A\u202eoi\u200b", "subject": "🎉 \u2066おめでとう"},
        {"to_email": "a" * 64 + "@" + "b" * 61 + "." + "c" * 61 + "." + "d" * 60 + ".com"},
        {"body": "長い本文です。\n" * 9_000},
        {"to_name": "x" * 100_000, "subject": "y" * 100_000},
    ],
)
def test_hostile_text_leaves_as_one_mail_to_one_reader(
    relay: FakeSmtp, connect: Open, changes: dict[str, Any]
) -> None:
    message = replace(LETTER, **changes)
    assert send(connect(relay), message).state is State.ACCEPTED
    ((_, to, mime),) = relay.taken
    assert to == message.to_email
    assert b"\r\nBcc:" not in mime
    assert Message.from_bytes(mime) == message


def test_neither_password_nor_address_is_logged_or_told(
    tmp_path: Path, connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), FakeSmtp(login=("robot", "right")) as relay:
        relay.answer("RCPT", "550 <c0@example.com> no such user")
        good = connect(relay, username="robot", password="right")
        text = repr([send(good), send(connect(relay, username="robot", password="open sesame"))])
    assert "c***@example.com" in text
    for secret in ("open sesame", "right", "c0@example.com"):
        assert secret not in text + caplog.text + repr(good)


def test_a_relay_knows_nothing_about_the_past(relay: FakeSmtp, connect: Open) -> None:
    assert connect(relay).resolve("0" * 32) is None
