"""What is refused before a request is made, and what hostile names, subjects and bodies become."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sendgrid.helpers.mail import (
    Category,
    Cc,
    From,
    Header,
    Mail,
    ReplyTo,
    SendAt,
    Substitution,
    To,
)

from company import utc
from faults.fake_sendgrid import FakeSendGrid
from lifecycle.ledger.tables import State
from lifecycle.mail.message import Message
from lifecycle.mail.providers import Mail as OneMail
from lifecycle.mail.providers import Outcome
from lifecycle.mail.providers.keep_alive import KeepAlive
from lifecycle.mail.providers.pause import Pause
from lifecycle.mail.providers.preflight import MAX_REQUEST_BYTES, complaint
from lifecycle.mail.providers.sendgrid import SendGrid

NOW = 1_780_000_000


def request(change: Callable[[Mail], None] = lambda _: None) -> dict[str, Any]:
    """A request that SendGrid would take, as the official client builds it, with a change."""
    mail = Mail(
        From("success@example.com", "Sakura Works"), To("c1@example.com"), "Hello", "Dear you,\n"
    )
    mail.category = [Category("win_back")]
    mail.add_header(Header("Auto-Submitted", "auto-generated"))
    change(mail)
    built: dict[str, Any] = mail.get()
    return built


def test_a_proper_request_passes() -> None:
    assert complaint(request(), 1_000, NOW) is None


def set_(field: str, value: Any) -> Callable[[Mail], None]:
    return lambda mail: setattr(mail, field, value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (set_("from_email", From("not an address")), "from: no address"),
        (set_("from_email", None), "from: no address"),
        (set_("reply_to", ReplyTo("a b@example.com", "O")), "reply_to: no plain e-mail address"),
        (set_("subject", ""), "the subject is empty"),
        (set_("subject", "  "), "the subject is empty"),
        (set_("subject", "Hello\nBcc: x@example.com"), "the subject has a line break"),
        (set_("subject", "Hello\u2028you"), "the subject has a line break"),
        (set_("subject", "あ" * 400), "the subject has 1,200 bytes, over the 998"),
        (lambda mail: mail.add_to(To("c2@example.com")), "2 recipients in one mail"),
        (lambda mail: mail.add_cc(Cc("c2@example.com")), "2 recipients in one mail"),
        (lambda mail: mail.add_header(Header("Reply-To", "x@example.com")), "Reply-To is reserved"),
        (lambda mail: mail.add_header(Header("BCC", "x@example.com")), "BCC is reserved"),
        (lambda mail: mail.add_header(Header("X-SG-EID", "1")), "X-SG-EID is reserved"),
        (lambda mail: mail.add_header(Header("X Y", "1")), "'X Y' is no name of a header"),
        (lambda mail: mail.add_header(Header("X-Ä", "1")), "is no name of a header"),
        (lambda mail: mail.add_header(Header("X-A", "1\r\nBcc: x")), "X-A has a line break"),
        (lambda mail: mail.add_header(Header("X-A", "あ")), "X-A is not encoded"),
        (lambda mail: mail.add_header(Header("X-A", "")), "X-A is empty"),
        (lambda mail: mail.add_header(Header("auto-submitted", "no")), "a header is there twice"),
        (set_("category", [Category(f"c{n}") for n in range(10)]), "11 categories, over 10"),
        (set_("category", [Category("c" * 256)]), "a category has 256 characters"),
        (set_("category", [Category("win_back")]), "a category is there twice"),
        (set_("category", [Category("休眠")]), "a category is not plain ASCII"),
        (set_("send_at", SendAt(NOW + 72 * 3600 + 1)), "send_at is over 72 hours ahead"),
        (
            lambda mail: mail.personalizations[0].add_substitution(
                Substitution("%a%", "x" * 9_998)
            ),
            "substitutions have 10,001 bytes, over 10,000",
        ),
        (lambda mail: mail.add_custom_arg({"send_id": "x" * 10_000}), "custom_args have 10,007"),
        (lambda mail: mail.add_content("<p>Hello</p>", "text/html"), "is not one plain text"),
    ],
)
def test_each_refusal_of_sendgrid_is_foreseen(
    change: Callable[[Mail], None], expected: str
) -> None:
    message = complaint(request(change), 1_000, NOW)
    assert message is not None
    assert expected in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"personalizations": []}, "0 personalizations"),
        ({"personalizations": [{}] * 1_001}, "1001 personalizations"),
        ({"content": []}, "is not one plain text"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "the body is empty"),
        ({"send_at": "tomorrow"}, "send_at is no Unix time"),
        ({"custom_args": {"n": 1}}, "custom_args: a value is no text"),
    ],
)
def test_what_the_official_client_would_not_build_is_refused_too(
    change: dict[str, Any], expected: str
) -> None:
    message = complaint({**request(), **change}, 1_000, NOW)
    assert message is not None
    assert expected in message


def test_thirty_megabytes_are_too_much_and_72_hours_are_not() -> None:
    assert "over the 31,457,280" in str(complaint(request(), MAX_REQUEST_BYTES, NOW))
    at_the_limit = set_("send_at", SendAt(NOW + 72 * 3600))
    assert complaint(request(at_the_limit), MAX_REQUEST_BYTES - 1, NOW) is None


# Through the provider. --------------------------------------------------------------------


@dataclass
class Door:
    """The provider with the server behind it."""

    provider: SendGrid
    fake: FakeSendGrid

    def send(self, **changes: Any) -> Outcome:
        fields: dict[str, Any] = {
            "send_id": "0" * 32,
            "from_name": "Sakura Works",
            "from_email": "success@example.com",
            "to_name": "Aoi Sato",
            "to_email": "c1@example.com",
            "reply_to": None,
            "subject": "How are you getting on?",
            "body": "Dear Aoi,\n",
            "date": utc("2026-06-10 01:00"),
            "list_unsubscribe": "mailto:success@example.com",
            "locale": "en",
            "trigger": "win_back",
            "step": "check_in",
            **changes,
        }
        message = Message(**fields)
        (outcome,) = self.provider.send([OneMail(message.send_id, message.as_bytes())])
        return outcome

    @property
    def person(self) -> dict[str, Any]:
        """What the last request says of its reader."""
        first: dict[str, Any] = self.fake.requests()[-1]["personalizations"][0]
        return first


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    with FakeSendGrid(folder, key="SG.test", record_requests=True) as fake:
        transport = KeepAlive(fake.base_url, connect_timeout=2, read_timeout=5)
        provider = SendGrid(
            "SG.test", transport=transport, pause=Pause(folder / "pause"), base_url=fake.base_url
        )
        yield Door(provider, fake)
        provider.close()


def test_a_forged_header_becomes_harmless_text(door: Door) -> None:
    injected = "Aoi\r\nBcc: everyone@example.com\r\n\r\nHello"
    assert door.send(to_name=injected, subject=injected).state is State.ACCEPTED
    assert door.person["to"][0]["name"] == "Aoi Bcc: everyone@example.com Hello"
    assert door.person["subject"] == "Aoi Bcc: everyone@example.com Hello"
    assert set(door.person["headers"]) == {
        *("Message-ID", "List-Unsubscribe", "Auto-Submitted", "Content-Language")
    }


def test_bidi_and_zero_width_characters_do_not_arrive(door: Door) -> None:
    outcome = door.send(to_name="A\u202eio\u200b \ufeffSato", subject="pay\u2066\u200dnow\u061c")
    assert outcome.state is State.ACCEPTED
    assert door.person["to"][0]["name"] == "Aio Sato"
    assert door.person["subject"] == "paynow"


def test_emoji_in_a_subject_arrive_as_they_are(door: Door) -> None:
    assert door.send(subject="🎉 おめでとう 🎊👍🏽").state is State.ACCEPTED
    assert door.person["subject"] == "🎉 おめでとう 🎊👍🏽"


def test_an_address_of_254_characters_is_mailed(door: Door) -> None:
    address = "a" * 64 + "@" + "b" * 61 + "." + "c" * 61 + "." + "d" * 53 + ".example"
    assert len(address) == 254 - 4
    address = address.replace(".example", ".example.com")
    assert len(address) == 254
    assert door.send(to_email=address).state is State.ACCEPTED
    assert door.person["to"][0]["email"] == address


def test_a_body_of_200_kilobytes_is_mailed_whole(door: Door) -> None:
    body = "長い本文です。" * 10 + "\n"
    body *= 200_000 // len(body.encode())
    assert door.send(body=body).state is State.ACCEPTED
    assert door.fake.requests()[-1]["content"][0]["value"] == body


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"to_name": "x" * 10_000_000}, "to: the name has 10,000,000 bytes"),
        ({"subject": "x" * 100_000}, "the subject has 100,000 bytes"),
        ({"body": "x" * 32_000_000}, "the request has"),
        ({"subject": "\u200b\r\n"}, "the subject is empty"),
        ({"body": "SG.abc.def is my key\n"}, "the body begins with an API key"),
    ],
)
def test_what_cannot_be_mailed_is_rejected_without_a_request(
    door: Door, changes: dict[str, Any], detail: str
) -> None:
    before = door.fake.stats()["requests"]
    outcome = door.send(**changes)
    assert outcome.state is State.REJECTED
    assert outcome.detail.startswith("not sent: ")
    assert detail in outcome.detail
    assert len(outcome.detail) < 200
    assert door.fake.stats()["requests"] == before


@pytest.mark.parametrize("mime", [b"", b"\xff\xfe", b"Subject: x\r\n\r\nforeign"])
def test_bytes_that_are_no_mail_of_ours_are_rejected(door: Door, mime: bytes) -> None:
    (outcome,) = door.provider.send([OneMail("0" * 32, mime)])
    assert outcome.state is State.REJECTED
    assert outcome.detail.startswith("not sent: ")
