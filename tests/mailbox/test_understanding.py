"""What a message is, and what its writer wrote: by client, by encoding, in both languages."""

from __future__ import annotations

from datetime import date

import pytest

from lifecycle.ledger.feedback import Kind
from lifecycle.ledger.replies import ReplyKind
from lifecycle.mailbox import reports, wishes
from lifecycle.mailbox.inbound import Inbound
from lifecycle.mailbox.understanding import kind_of
from lifecycle.mailbox.written import written
from mailbox_letters import ENCODINGS, STYLES, complaint, letter, report, styled

ENGLISH = "Thanks, it works well.\nCould you call me on Friday?"
JAPANESE = "ありがとうございます。\n金曜日にお電話いただけますか。"


def kind(raw: bytes, *, has_token: bool = False) -> ReplyKind:
    return kind_of(Inbound.read(raw), has_token=has_token)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("text", [ENGLISH, JAPANESE], ids=["en", "ja"])
def test_only_what_the_person_wrote_is_kept(style: str, text: str) -> None:
    message = Inbound.read(letter(styled(text, style)))
    assert written(message.text) == text
    assert kind(letter(styled(text, style))) is ReplyKind.ANSWER


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("style", ["gmail_ja", "becky_ja"])
def test_every_encoding_is_read(encoding: str, style: str) -> None:
    message = Inbound.read(letter(styled(JAPANESE, style), encoding=encoding))
    assert written(message.text) == JAPANESE
    assert message.sender == "c1@example.com"


@pytest.mark.parametrize(
    "text",
    [
        *("unsubscribe", "Unsubscribe please", "STOP", "Please remove me from your list."),
        *("Please unsubscribe me from this list, thanks", "take me off this list"),
        *("Stop sending me emails", "Please do not email me again", "No more mails please"),
        *("配信停止", "配信停止をお願いします。", "配信停止してください", "配信停止希望"),
        *(
            "メール配信を停止してください。",
            "メルマガの配信停止をお願いいたします",
            "登録解除",
            "購読解除希望です",
        ),
        *(
            "今後メールは送らないでください。",
            "もう送信しないでください",
            "今後のメールは不要です。",
        ),
        *("お世話になっております。\n配信停止をお願い致します。\n佐藤", "ｕｎｓｕｂｓｃｒｉｂｅ"),
    ],
)
def test_a_clear_wish_is_an_unsubscribe(text: str) -> None:
    assert kind(letter(styled(text, "gmail_ja"))) is ReplyKind.UNSUBSCRIBE


@pytest.mark.parametrize(
    "text",
    [
        *(
            "How do I unsubscribe a colleague?",
            "I can't stop using it!",
            "Please stop by next week",
        ),
        *(
            "配信停止ボタンが見つかりません",
            "配信停止しないでください",
            "今は不要です、来月また連絡ください",
        ),
        *("We don't want to unsubscribe", "不要", "ありがとうございます", "2", "10分後に", "OK"),
    ],
)
def test_what_only_mentions_it_is_an_answer(text: str) -> None:
    assert kind(letter(styled(text, "gmail"))) is ReplyKind.ANSWER


def test_words_that_are_only_quoted_suppress_nobody() -> None:
    for style in STYLES:
        assert kind(letter(styled("Yes, 1", style))) is ReplyKind.ANSWER


def test_a_subject_alone_is_a_wish_and_the_subject_of_an_answer_is_none() -> None:
    assert kind(letter("", subject="unsubscribe")) is ReplyKind.UNSUBSCRIBE
    assert kind(letter("", subject="配信停止")) is ReplyKind.UNSUBSCRIBE
    assert kind(letter("", subject="Re: unsubscribe")) is ReplyKind.ANSWER
    assert kind(letter("hello", subject="unsubscribe abc"), has_token=True) is ReplyKind.UNSUBSCRIBE


@pytest.mark.parametrize(
    ("headers", "subject", "body"),
    [
        ({"Auto-Submitted": "auto-replied"}, "Re: check_in", "配信停止"),
        ({"Auto-Submitted": "auto-generated; x=y"}, "Re: check_in", "stop"),
        ({"X-Autoreply": "yes"}, "Re: check_in", "unsubscribe"),
        ({"Precedence": "auto_reply"}, "Re: check_in", "stop"),
        ({"Precedence": "bulk"}, "News", "stop"),
        ({"X-Auto-Response-Suppress": "DR, OOF, AutoReply"}, "Re: check_in", "away"),
        ({"Return-Path": "<>"}, "Re: check_in", "away"),
        ({}, "Out of Office: check_in", "I am away."),
        ({}, "Automatic reply: check_in", "I am away."),
        ({}, "自動返信: check_in", "不在にしております。"),
        ({}, "【不在通知】 check_in", "休暇をいただいております。"),
        ({}, "Re: check_in", "このメールは自動返信です。\n6月20日まで不在です。"),
        ({}, "Re: check_in", "I am currently out of the office until June 20."),
        ({}, "Re: check_in", "This is an automated reply. stop"),
    ],
)
def test_what_nobody_wrote_is_no_answer(headers, subject, body) -> None:
    assert kind(letter(body, subject=subject, headers=headers)) is ReplyKind.AUTOMATIC


def test_a_person_says_no_to_auto_submitted() -> None:
    assert kind(letter("Hello", headers={"Auto-Submitted": "no"})) is ReplyKind.ANSWER
    assert kind(letter("I was out of the office last week, sorry.")) is ReplyKind.ANSWER


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("until 20 June 2026", date(2026, 6, 20)),
        ("back on June 22nd", date(2026, 6, 22)),
        ("6月20日まで不在です", date(2026, 6, 20)),
        ("2026/06/30 に戻ります", date(2026, 6, 30)),
        ("1月5日に出社します", date(2027, 1, 5)),
        ("since 2019-01-01, phone 03-1234-5678", None),
        ("soon", None),
    ],
)
def test_an_automatic_answer_says_when_somebody_is_back(text: str, day: date | None) -> None:
    assert wishes.return_day(text, date(2026, 6, 10)) == day


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *[
            (text, "later")
            for text in ("2", "２", "②", "2.", "２番", "「2」", "2です。", "later", "Later!")
        ],
        *[
            (text, "wants_help")
            for text in (
                "1\n\nよろしくお願いします",
                "wants_help",
                "wants help",
                "1番でお願いします",
            )
        ],
        *[
            (text, None)
            for text in ("10分後に", "3 people use it", "12", "1 or 2", "", "4", "二つ")
        ],
    ],
)
def test_an_answer_is_nothing_but_its_digit_or_label(text: str, label: str | None) -> None:
    labels = [("1", "wants_help"), ("2", "later"), ("3", "leaving")]
    assert wishes.answered_number(text, labels) == label


@pytest.mark.parametrize(
    ("status", "action", "diagnosis", "fact"),
    [
        ("5.1.1", "failed", "smtp; 550 5.1.1 no such user", Kind.BOUNCED),
        ("5.1.10", "failed", "smtp; 556 5.1.10 null MX", Kind.BOUNCED),
        ("5.0.0", "failed", "smtp; 550 5.1.2 no such host", Kind.BOUNCED),
        ("5.2.2", "failed", "smtp; 552 5.2.2 mailbox full", Kind.BLOCKED),
        ("5.7.1", "failed", "smtp; 554 5.7.1 policy", Kind.BLOCKED),
        ("4.4.7", "failed", "smtp; 450 timed out", Kind.BLOCKED),
        ("4.2.2", "delayed", "smtp; 452 later", Kind.DEFERRED),
        ("2.0.0", "delivered", "smtp; 250 ok", Kind.DELIVERED),
        ("2.0.0", "relayed", "smtp; 250 ok", Kind.PROCESSED),
    ],
)
def test_a_report_says_how_bad_it_is_by_its_status(status, action, diagnosis, fact) -> None:
    raw = report("a" * 32, status=status, action=action, diagnosis=diagnosis)
    assert kind(raw) is ReplyKind.BOUNCE
    (told,) = reports.delivery_reports(Inbound.read(raw))
    assert (told.kind, told.send_id, told.address) == (fact, "a" * 32, "c1@example.com")


def test_a_complaint_names_the_mail() -> None:
    assert kind(complaint("b" * 32)) is ReplyKind.COMPLAINT
    (told,) = reports.complaints(Inbound.read(complaint("b" * 32)))
    assert (told.kind, told.send_id) == (Kind.COMPLAINED, "b" * 32)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all",
        b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed;"
        b" boundary=x\r\n\r\n--x\r\n\xff\xfe",
        b"Content-Type: text/plain; charset=nonsense\r\nSubject: =?x?b?!!?=\r\n\r\n\xff\x00\xd8",
        b'From: "<<>\xff@\r\nIn-Reply-To: <<<\r\nDate: never\r\n\r\nhello',
        b"Content-Type: message/delivery-status\r\n\r\n\xff\r\n\r\nAction: failed",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!",
    ],
)
def test_a_broken_message_is_a_message(raw: bytes) -> None:
    message = Inbound.read(raw)
    assert isinstance(kind_of(message, has_token=False), ReplyKind)
    assert "\0" not in message.text + message.subject
    assert len(message.key) == 32


def test_html_alone_is_read_without_its_quotation() -> None:
    html = (
        "<html><style>p {x: y}</style><body><p>Yes &amp; soon</p><p>Friday</p>"
        '<div class="gmail_quote">On Wed wrote: <blockquote>unsubscribe</blockquote></div>'
    )
    assert written(Inbound.read(letter(html, kind="html")).text) == "Yes & soon\nFriday"
