"""One plain-text mail: a value that becomes the same bytes every time, and comes back from them.

What may stand in a header is decided by kind of character, because names and subjects come
from a CRM that anybody may have typed into:

- In an address anything but a plain ASCII address is refused: to change an address is to
  write to somebody else.
- In a name or subject line breaks, NUL and other control characters become one space;
  characters without a shape (zero width, bidi marks and overrides, soft hyphens, lone
  surrogates) are taken out. A joiner stays where its script writes with it (Persian, Hindi,
  an emoji family). The reader loses nothing, and no header can be forged.
- In the body line breaks and tabs stay, and every other control character goes.

The bytes are written here rather than by `email.message.EmailMessage`: that one either cuts a
long List-Unsubscribe URL or makes encoded words longer than RFC 2047 allows, and takes 1.4 ms.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import unicodedata
from base64 import b64encode
from binascii import a2b_base64
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from lifecycle.addresses import ADDRESS, ATOM, LONGEST_ADDRESS
from lifecycle.locales import LOCALE

LONGEST_LINE = 998
"""Octets of a line without its end (RFC 5322); a relay may cut or refuse a longer one."""
LONGEST_URL = 900

PREVIEW = "X-Lifecycle-Preview: yes"
"""The header of a mail that shows a colleague what a customer would get."""

_BARE_PHRASE = re.compile(rf"{ATOM}(?: {ATOM})*")
_URL = re.compile(r"(?:mailto:|https://|http://)[!-;=?-~]+")
_ENCODED_WORD = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/=]*)\?=")
_SPACES = re.compile(" {2,}")
_SEND_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def one_line(text: str) -> str:
    """The text as one line without control characters and characters without a shape.

    Line breaks and controls become a space, runs of spaces one, the ends are trimmed.
    """
    if not text.isprintable():
        text = "".join(char if _joins(text, at) else _visible(char) for at, char in enumerate(text))
    return (_SPACES.sub(" ", text) if "  " in text else text).strip()


_JOINERS = "\u200c\u200d"
_JOINING = re.compile(
    # Arabic to Syriac and N'Ko, the scripts of India, Myanmar, Khmer, Mongolian.
    "[\u0600-\u07ff\u0860-\u08ff\ufb50-\ufdff\ufe70-\ufefc\u0900-\u0dff\u1000-\u109f"
    "\u1780-\u18af\ua840-\ua8ff\uaa60-\uaa7f]"
)


def _joins(text: str, at: int) -> bool:
    """Whether the sign at a place is a joiner that the script around it writes with."""
    if text[at] not in _JOINERS or at == 0:
        return False
    before, after = text[at - 1], text[at + 1 : at + 2]
    if _JOINING.match(before):
        return not after or after == " " or _JOINING.match(after) is not None
    is_emoji = before == "\ufe0f" or unicodedata.category(before) in ("So", "Sk")
    return text[at] == "\u200d" and is_emoji and after != "" and unicodedata.category(after) == "So"


def _visible(char: str) -> str:
    match unicodedata.category(char):
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Cf" | "Cs":
            return ""
        case _:
            return char


def _lines(text: str) -> str:
    """The text with LF line ends, no other control but the tab, and one line end at its end."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.replace("\n", "").isprintable():
        text = "".join(
            char
            for char in text
            if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs")
        )
    return text.rstrip("\n") + "\n"


@dataclass(frozen=True)
class Message:
    """One mail to one contact. Equal messages have equal bytes.

    Names and subject are cleaned and `date` is cut to whole seconds of UTC when it is made.
    Raises ValueError for an address, URL, id or locale that must not reach a header.
    """

    send_id: str
    from_name: str
    from_email: str
    to_name: str
    """May be empty."""
    to_email: str
    reply_to: tuple[str, str] | None
    """Name (may be empty) and address."""
    subject: str
    body: str
    """Plain text, LF line ends, already wrapped."""
    date: datetime
    list_unsubscribe: str | None
    """A mailto or HTTPS address, never folded over lines. None: a mail to a colleague."""
    locale: str
    trigger: str
    step: str
    is_preview: bool = False
    """Whether the mail shows a colleague what a customer would get."""

    def __post_init__(self) -> None:
        _require("send_id", self.send_id, _SEND_ID, 64)
        _require("from_email", self.from_email, ADDRESS, LONGEST_ADDRESS)
        _require("to_email", self.to_email, ADDRESS, LONGEST_ADDRESS)
        if self.list_unsubscribe is not None:
            _require("list_unsubscribe", self.list_unsubscribe, _URL, LONGEST_URL)
        _require("locale", self.locale, LOCALE, 35)
        if self.reply_to is not None:
            _require("reply_to", self.reply_to[1], ADDRESS, LONGEST_ADDRESS)
            _set(self, "reply_to", (one_line(self.reply_to[0]), self.reply_to[1]))
        for field in ("from_name", "to_name", "subject", "trigger", "step"):
            _set(self, field, one_line(getattr(self, field)))
        _set(self, "body", _lines(self.body))
        if self.date.tzinfo is None:
            raise ValueError(f"date: {self.date} has no time zone")
        _set(self, "date", self.date.astimezone(UTC).replace(microsecond=0))

    @property
    def message_id(self) -> str:
        """The Message-ID, derived from the send: every attempt at it is the same mail."""
        return f"<{self.send_id}@{self.from_email.rpartition('@')[2]}>"

    @property
    def is_one_click(self) -> bool:
        """Whether a mail client may unsubscribe its reader by one POST (RFC 8058)."""
        return (self.list_unsubscribe or "").startswith("https://")

    def as_bytes(self) -> bytes:
        """The mail as RFC 5322 bytes: CRLF, ASCII on the wire, UTF-8 within.

        The body goes as it is where it is ASCII, else as quoted-printable or base64, the
        shorter one: relays that know no 8BITMIME neither break nor re-encode it.
        """
        reply_to = [] if self.reply_to is None else [("Reply-To", *self.reply_to)]
        people = [("From", self.from_name, self.from_email), ("To", self.to_name, self.to_email)]
        encoding, body = _encoded_body(self.body)
        headers = [
            *(f"{header}: {_person(header, *person)}" for header, *person in [*people, *reply_to]),
            f"Subject: {_text('Subject', self.subject)}",
            f"Date: {format_datetime(self.date)}",
            f"Message-ID: {self.message_id}",
            *([f"List-Unsubscribe: <{self.list_unsubscribe}>"] if self.list_unsubscribe else []),
            *(["List-Unsubscribe-Post: List-Unsubscribe=One-Click"] if self.is_one_click else []),
            "Auto-Submitted: auto-generated",
            f"X-Lifecycle-Send: {self.send_id}",
            f"X-Lifecycle-Trigger: {_text('X-Lifecycle-Trigger', self.trigger)}",
            f"X-Lifecycle-Step: {_text('X-Lifecycle-Step', self.step)}",
            *([PREVIEW] if self.is_preview else []),
            f"Content-Language: {self.locale}",
            "MIME-Version: 1.0",
            'Content-Type: text/plain; charset="utf-8"',
            f"Content-Transfer-Encoding: {encoding}",
        ]
        return "\r\n".join([*headers, "", ""]).encode("ascii") + body

    @classmethod
    def from_bytes(cls, mime: bytes) -> Message:
        """The Message that `as_bytes` made these bytes of. Raises ValueError for other bytes.

        What `outward` made of them names neither trigger nor step.
        """
        head, _, body = mime.partition(b"\r\n\r\n")
        unfolded = head.decode("ascii").replace("\r\n ", " ")
        headers = _Headers(line.split(": ", 1) for line in unfolded.split("\r\n") if ": " in line)
        send_id = headers["X-Lifecycle-Send"]
        from_name, from_email = _parsed_person(headers["From"])
        to_name, to_email = _parsed_person(headers["To"])
        return cls(
            send_id=send_id,
            from_name=from_name,
            from_email=from_email,
            to_name=to_name,
            to_email=to_email,
            reply_to=_parsed_person(headers["Reply-To"]) if "Reply-To" in headers else None,
            subject=_decoded(headers["Subject"]),
            body=_decoded_body(headers["Content-Transfer-Encoding"], body),
            date=parsedate_to_datetime(headers["Date"]),
            list_unsubscribe=unsubscribe[1:-1]
            if (unsubscribe := headers.get("List-Unsubscribe"))
            else None,
            locale=headers["Content-Language"],
            trigger=_decoded(headers.get("X-Lifecycle-Trigger", "")),
            step=_decoded(headers.get("X-Lifecycle-Step", "")),
            is_preview="X-Lifecycle-Preview" in headers,
        )


_DATE = re.compile(rb"(?m)^Date: [^\r\n]*")
_OURS = re.compile(rb"X-Lifecycle-(?:Trigger|Step): [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")


def dated(mime: bytes, moment: datetime) -> bytes:
    """The bytes of a mail with another date: when it leaves, not when it was planned."""
    head, blank, body = mime.partition(b"\r\n\r\n")
    date = format_datetime(moment.astimezone(UTC).replace(microsecond=0))
    return _DATE.sub(f"Date: {date}".encode(), head, count=1) + blank + body


def outward(mime: bytes, trigger: str, step: str) -> bytes:
    """The bytes of a mail for eyes outside: the names of its trigger and step become a number.

    What a company calls its triggers is not for its customers to read.
    """
    head, blank, body = mime.partition(b"\r\n\r\n")
    number = hashlib.sha256(f"{trigger}/{step}".encode()).hexdigest()[:12]
    kept = _OURS.sub(b"", head + b"\r\n")
    return kept + f"X-Lifecycle-Mail: {number}".encode() + blank + body


def _require(field: str, value: str, form: re.Pattern[str], longest: int) -> None:
    if len(value) > longest:
        raise ValueError(f"{field}: {value[:40]!r}… has {len(value)} characters, over {longest}")
    if not form.fullmatch(value):
        raise ValueError(f"{field}: {value!r} must not reach a mail header")


def _set(message: Message, field: str, value: object) -> None:
    object.__setattr__(message, field, value)


# Writing. ---------------------------------------------------------------------------------


def _text(header: str, text: str) -> str:
    """A header's text: as it is where that is plain ASCII, else as RFC 2047 words."""
    if text.isascii() and "=?" not in text and len(text) <= 200:
        return text
    return _encoded_words(header, text)


def _person(header: str, name: str, address: str) -> str:
    if not name:
        return address
    if not name.isascii() or "=?" in name or len(name) > 200:
        return f"{_encoded_words(header, name)}\r\n <{address}>"
    if not _BARE_PHRASE.fullmatch(name):
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return f"{name} <{address}>"


def _encoded_words(header: str, text: str) -> str:
    """Base64 words that each hold whole characters, on lines of at most 76 columns."""
    words, word = [], b""
    room = (76 - len(f"{header}: =?utf-8?b??=")) // 4 * 3
    for char in text:
        piece = char.encode()
        if len(word) + len(piece) > room:
            words.append(word)
            word, room = b"", 45
        word += piece
    return "\r\n ".join(f"=?utf-8?b?{b64encode(part).decode()}?=" for part in [*words, word])


def _encoded_body(body: str) -> tuple[str, bytes]:
    plain = body.replace("\n", "\r\n").encode()
    if body.isascii() and all(len(line) <= LONGEST_LINE for line in body.split("\n")):
        return "7bit", plain
    quoted = binascii.b2a_qp(plain, istext=True)
    base64 = re.sub(rb"(.{1,76})", rb"\1\r\n", b64encode(plain))
    return ("quoted-printable", quoted) if len(quoted) < len(base64) else ("base64", base64)


# Reading what was written above, which takes a sixth of what a parser of any mail takes. -----


class _Headers(dict[str, str]):
    def __missing__(self, name: str) -> str:
        raise ValueError(f"not a mail of this system: it has no {name}")


def _decoded(text: str) -> str:
    if "=?" not in text:
        return text
    return b"".join(map(a2b_base64, _ENCODED_WORD.findall(text))).decode()


def _decoded_body(encoding: str, body: bytes) -> str:
    match encoding:
        case "quoted-printable":
            body = binascii.a2b_qp(body)
        case "base64":
            body = a2b_base64(body)
    return body.decode()


def _parsed_person(header: str) -> tuple[str, str]:
    name, bracket, address = header.rpartition("<")
    if not bracket:
        return "", address
    name = name.strip()
    if name.startswith('"'):
        return re.sub(r"\\(.)", r"\1", name[1:-1]), address[:-1]
    return _decoded(name), address[:-1]
