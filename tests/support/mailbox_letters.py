# ruff: noqa: E501
"""Messages as mail clients write them, for the tests: styles, encodings, reports.

Every word is made up for the purpose; the shapes (how a client quotes, what headers a server's
automatic answer carries) are those of the clients and of the RFCs.
"""

from __future__ import annotations

from base64 import b64encode
from email.header import Header
from email.utils import format_datetime
from quopri import encodestring

from company import utc

SENT_AT = utc("2026-06-10 01:00")
CAME_AT = utc("2026-06-10 03:30")
OURS = "success@example.com"

QUOTED = "Hello Aiko Sato, check_in.\nReply with one digit: 1 yes, 2 later.\nunsubscribe below"


def _angle(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


STYLES = {
    "gmail": "{text}\n\nOn Wed, Jun 10, 2026 at 10:00 AM Sakura Works <success@example.com> wrote:\n\n{quote}\n",
    "gmail_ja": "{text}\n\n2026年6月10日(水) 10:00 Sakura Works <success@example.com>:\n\n{quote}\n",
    "outlook": "{text}\n\n________________________________\nFrom: Sakura Works <success@example.com>\n"
    "Sent: Wednesday, June 10, 2026 10:00 AM\nTo: Aiko <c1@example.com>\nSubject: check_in\n\n{plain}\n",
    "outlook_ja": "{text}\n\n-----Original Message-----\nFrom: Sakura Works <success@example.com>\n"
    "Sent: Wednesday, June 10, 2026 10:00 AM\nTo: Aiko <c1@example.com>\nSubject: check_in\n\n{plain}\n",
    "outlook_web_ja": "{text}\n\n差出人: Sakura Works <success@example.com>\n送信日時: 2026年6月10日 10:00\n"
    "宛先: Aiko <c1@example.com>\n件名: check_in\n\n{plain}\n",
    "apple": "{text}\n\n> On Jun 10, 2026, at 10:00, Sakura Works <success@example.com> wrote:\n> \n{quote}\n",
    "iphone_ja": "{text}\n\niPhoneから送信\n\n2026/06/10 10:00、Sakura Works <success@example.com>のメール:\n\n{quote}\n",
    "thunderbird": "{text}\n\nOn 10/06/2026 10:00, Sakura Works wrote:\n{quote}\n",
    "thunderbird_below": "On 10/06/2026 10:00, Sakura Works wrote:\n{quote}\n\n{text}\n",
    "becky": "{text}\n\nOn Wed, 10 Jun 2026 10:00:00 +0900\nSakura Works <success@example.com> wrote:\n\n{quote}\n",
    "becky_ja": "{text}\n\nWed, 10 Jun 2026 10:00:00 +0900 頃に\n"
    "Sakura Works <success@example.com> さんは書きました:\n\n{quote}\n",
    "bare": "{text}\n",
}

ENCODINGS = {
    "utf-8 8bit": ("utf-8", "8bit"),
    "utf-8 base64": ("utf-8", "base64"),
    "utf-8 quoted-printable": ("utf-8", "quoted-printable"),
    "iso-2022-jp": ("iso-2022-jp", "7bit"),
    "shift_jis base64": ("shift_jis", "base64"),
    "euc-jp 8bit": ("euc-jp", "8bit"),
}


def styled(text: str, style: str = "bare") -> str:
    """A reply's body as a client writes it, our mail quoted."""
    return STYLES[style].format(text=text, quote=_angle(QUOTED), plain=QUOTED)


def letter(
    body: str,
    *,
    answers: str | None = None,
    sender: str = "c1@example.com",
    to: str = OURS,
    subject: str = "Re: check_in",
    encoding: str = "utf-8 8bit",
    kind: str = "plain",
    message_id: str | None = "<reply-1@client.example.com>",
    headers: dict[str, str] | None = None,
) -> bytes:
    """The bytes of one message. `answers` is the id of the send that it replies to."""
    charset, transfer = ENCODINGS[encoding]
    payload = body.replace("\n", "\r\n").encode(charset, "replace")
    if transfer == "base64":
        coded = b64encode(payload)
        payload = b"\r\n".join(coded[n : n + 76] for n in range(0, len(coded), 76))
    elif transfer == "quoted-printable":
        payload = encodestring(payload).replace(b"\n", b"\r\n").replace(b"\r\r\n", b"\r\n")
    lines = {
        "From": f"{Header('佐藤 愛子', 'utf-8').encode()} <{sender}>",
        "To": to,
        "Subject": Header(subject, "utf-8").encode(),
        "Date": format_datetime(CAME_AT),
        "MIME-Version": "1.0",
        "Content-Type": f'text/{kind}; charset="{charset}"',
        "Content-Transfer-Encoding": transfer,
    }
    if message_id:
        lines["Message-ID"] = message_id
    if answers:
        lines["In-Reply-To"] = f"<{answers}@example.com>"
        lines["References"] = f"<{answers}@example.com>"
    lines |= headers or {}
    head = "\r\n".join(f"{name}: {value}" for name, value in lines.items())
    return head.encode() + b"\r\n\r\n" + payload


def report(
    send_id: str | None,
    *,
    status: str = "5.1.1",
    action: str = "failed",
    address: str = "c1@example.com",
    message_id: str = "<dsn-1@relay.example.com>",
    diagnosis: str = "smtp; 550 5.1.1 no such user",
) -> bytes:
    """A delivery report (RFC 3464) of a relay."""
    returned = f"\r\nMessage-ID: <{send_id}@example.com>" if send_id else ""
    return (
        "From: MAILER-DAEMON@relay.example.com\r\nTo: success@example.com\r\nReturn-Path: <>\r\n"
        f"Subject: Undelivered Mail Returned to Sender\r\nMessage-ID: {message_id}\r\n"
        f"Date: {format_datetime(CAME_AT)}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nI'm sorry to have to inform you.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; relay.example.com\r\n\r\n"
        f"Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: {diagnosis}\r\n\r\n"
        "--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        f"From: success@example.com\r\nTo: {address}{returned}\r\n\r\n--b--\r\n"
    ).encode()


def complaint(send_id: str, address: str = "c1@example.com") -> bytes:
    """A feedback report (RFC 5965) of a mailbox provider."""
    return (
        "From: fbl@provider.example.com\r\nTo: success@example.com\r\nSubject: complaint\r\n"
        f"Message-ID: <arf-1@provider.example.com>\r\nDate: {format_datetime(CAME_AT)}\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nAn email abuse report.\r\n"
        "--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        f"Feedback-Type: abuse\r\nVersion: 1\r\nOriginal-Rcpt-To: {address}\r\n\r\n"
        "--b\r\nContent-Type: message/rfc822\r\n\r\n"
        f"From: success@example.com\r\nMessage-ID: <{send_id}@example.com>\r\n\r\nHello\r\n--b--\r\n"
    ).encode()
