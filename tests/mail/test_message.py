"""A Message is its bytes and its bytes are the Message, whatever a CRM holds."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.mail.message import Message, one_line

MAIL = Message(
    send_id="0123456789abcdef0123456789abcdef",
    from_name="Sakura Works",
    from_email="success@example.com",
    to_name="山田 太郎",
    to_email="taro@example.com",
    reply_to=("佐藤 花子", "hanako@example.com"),
    subject="株式会社みなと 様、その後いかがですか",
    body="山田 太郎 様\n\nこんにちは。\n",
    date=datetime(2026, 6, 10, 1, 0, tzinfo=UTC),
    list_unsubscribe="mailto:success@example.com?subject=unsubscribe%20x",
    locale="ja",
    trigger="win_back_dormant",
    step="check_in",
)

anything = st.text(st.characters(), max_size=300)  # surrogates and controls too
local_part = st.from_regex(r"[a-z0-9_+'-]{1,20}(\.[a-z0-9]{1,10})?", fullmatch=True)
address = st.builds(
    "{}@{}.example.com".format, local_part, st.from_regex("[a-z]{1,20}", fullmatch=True)
)
moment = st.builds(
    datetime.fromtimestamp,
    st.floats(946684800, 4102444800),
    st.sampled_from([UTC, timezone(timedelta(hours=9))]),
)
messages = st.builds(
    Message,
    send_id=st.from_regex("[0-9a-f]{32}", fullmatch=True),
    from_name=anything,
    from_email=address,
    to_name=anything,
    to_email=address,
    reply_to=st.none() | st.tuples(anything, address),
    subject=anything,
    body=st.text(st.characters(), max_size=3000),
    date=moment,
    list_unsubscribe=st.just("https://example.com/u/" + "x" * 600)
    | st.just("mailto:a@example.com"),
    locale=st.sampled_from(["ja", "en", "zh-Hant-TW"]),
    trigger=st.from_regex("[a-z_]{1,80}", fullmatch=True) | st.just("休眠復帰" * 20),
    step=st.from_regex("[a-z_]{1,30}", fullmatch=True),
)


def parsed(message: Message) -> EmailMessage:
    mail = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


@given(messages)
@settings(max_examples=400, deadline=None)
@example(replace(MAIL, to_name="山田 太郎" * 30, subject="お知らせ🎉👩‍💻" * 40))
@example(
    replace(MAIL, to_name='"Bob" <evil@x.example>, \\', subject="=?utf-8?b?DQpCY2M6IHhAeA==?=")
)
@example(replace(MAIL, to_name="=?utf-8?b?DQpCY2M6IHhAeA==?=", from_name="=?us-ascii?q?x?="))
@example(replace(MAIL, to_name="x" * 500, subject="word " * 300, body="y" * 5000))
@example(replace(MAIL, to_name="O'Brien, Al", reply_to=None, body="From me\n.\n..\n=3D \n"))
def test_bytes_and_message_are_inverse(message: Message) -> None:
    mime = message.as_bytes()
    assert Message.from_bytes(mime) == message
    assert Message.from_bytes(mime).as_bytes() == mime


@given(messages)
@settings(max_examples=200, deadline=None)
def test_bytes_survive_any_relay(message: Message) -> None:
    mime = message.as_bytes()
    mime.decode("ascii")
    head, _, _ = mime.partition(b"\r\n\r\n")
    for line in mime.split(b"\r\n"):
        assert len(line) <= 998
        assert b"\r" not in line
        assert b"\n" not in line
        if b"=?utf-8?b?" in line:
            assert len(line) <= 76
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert len(names) == len(set(names))
    assert set(names) <= set(
        b"From To Reply-To Subject Date Message-ID List-Unsubscribe List-Unsubscribe-Post "
        b"Auto-Submitted X-Lifecycle-Send X-Lifecycle-Trigger "
        b"X-Lifecycle-Step Content-Language MIME-Version Content-Type "
        b"Content-Transfer-Encoding".split()
    )


def test_the_headers_a_mail_client_sees() -> None:
    mail = parsed(MAIL)
    assert mail["From"] == "Sakura Works <success@example.com>"
    assert mail["To"].addresses[0].display_name == "山田 太郎"
    assert mail["Reply-To"].addresses[0].addr_spec == "hanako@example.com"
    assert mail["Subject"] == MAIL.subject
    assert mail["Date"].datetime == MAIL.date
    assert mail["Message-ID"] == f"<{MAIL.send_id}@example.com>"
    assert mail["List-Unsubscribe"] == f"<{MAIL.list_unsubscribe}>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Lifecycle-Send"] == MAIL.send_id
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().replace("\r\n", "\n") == MAIL.body
    assert not mail.defects


def test_a_long_unsubscribe_url_stays_on_one_line() -> None:
    url = "https://example.com/unsubscribe/" + "a1B2-_" * 120
    mime = replace(MAIL, list_unsubscribe=url).as_bytes()
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in mime


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("Plain words\n", "7bit"),
        ("A dash – and an é, the rest is plain English words.\n", "quoted-printable"),
        ("日本語の本文です。\n", "base64"),
        ("x" * 2000 + "\n", "quoted-printable"),
    ],
)
def test_the_transfer_encoding_suits_the_text(body: str, encoding: str) -> None:
    mail = parsed(replace(MAIL, body=body))
    assert mail["Content-Transfer-Encoding"] == encoding
    assert mail.get_content().replace("\r\n", "\n") == body


# What may not reach a header. ---------------------------------------------------------------

SHAPELESS = [
    chr(code)
    for code in chain(
        range(0x202A, 0x202F),
        range(0x2066, 0x206A),
        range(0x200B, 0x2010),
        [0x2060, 0xFEFF, 0x061C, 0x00AD, 0xE0041, 0xD800],
    )
]
BREAKS = [chr(code) for code in chain(range(0x20), range(0x7F, 0xA0), [0x2028, 0x2029])]


@pytest.mark.parametrize("char", BREAKS, ids=lambda char: f"U+{ord(char):04X}")
def test_control_characters_become_a_space(char: str) -> None:
    forged = f"A{char}Bcc: evil@example.com"
    message = replace(
        MAIL,
        to_name=forged,
        subject=forged,
        from_name=forged,
        reply_to=(forged, "o@example.com"),
        trigger=forged,
    )
    assert message.subject == message.to_name == message.trigger == "A Bcc: evil@example.com"
    mail = parsed(message)
    assert mail["Bcc"] is None
    assert [who.addr_spec for who in mail["To"].addresses] == ["taro@example.com"]


@pytest.mark.parametrize("char", SHAPELESS, ids=lambda char: f"U+{ord(char):04X}")
def test_characters_without_a_shape_are_taken_out(char: str) -> None:
    message = replace(MAIL, to_name=f"Ta{char}ro", subject=f"Hel{char}lo")
    assert (message.to_name, message.subject) == ("Taro", "Hello")


@given(anything)
def test_one_line_leaves_only_what_can_be_seen(text: str) -> None:
    line = one_line(text)
    assert not {unicodedata.category(char) for char in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert one_line(line) == line


def test_one_line_keeps_what_people_write() -> None:
    for text in ("株式会社　さくら", "髙橋 葉󠄀子", "Zoë O'Brien", "🎉 ❤️", "ﾊﾝｶｸ"):
        assert one_line(text) == text


@pytest.mark.parametrize(
    "bad",
    [
        "a@b.c, evil@x.example",
        "a@example.com\r\nBcc: e@x.example",
        "a@example.com\n",
        "a b@example.com",
        "a@exa\u200bmple.com",
        "a@\u202eexample.com",
        "<a@example.com>",
        '"a b"@example.com',
        "a@example",
        "@example.com",
        "a@",
        "",
        "a@@example.com",
        "a\x00@example.com",
        "é@example.com",
        "a@例え.example",
        "a..b@example.com",
        "a@-x.example",
        "a" * 250 + "@example.com",
    ],
)
@pytest.mark.parametrize("field", ["to_email", "from_email", "reply_to"])
def test_a_doubtful_address_is_refused(field: str, bad: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(MAIL, **{field: ("X", bad) if field == "reply_to" else bad})


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("list_unsubscribe", "https://example.com/a b"),
        ("list_unsubscribe", "https://example.com/>\r\nBcc: x@example.com"),
        ("list_unsubscribe", "javascript:alert(1)"),
        ("list_unsubscribe", "https://example.com/" + "x" * 1000),
        ("send_id", "../../etc/passwd"),
        ("send_id", "a\r\nb"),
        ("locale", "ja\r\nX: y"),
    ],
)
def test_what_is_no_words_for_people_is_refused(field: str, bad: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(MAIL, **{field: bad})


def test_a_date_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(MAIL, date=datetime(2026, 6, 10))  # noqa: DTZ001


def test_foreign_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="X-Lifecycle-Send"):
        Message.from_bytes(b"Subject: x\r\n\r\nhello\r\n")


def test_the_body_keeps_line_breaks_and_loses_other_controls() -> None:
    message = replace(MAIL, body="a\r\nb\rc\td\x00\x1b[31m\x85e\n\n\n")
    assert message.body == "a\nb\nc\td[31me\n"
