"""One message that came back, as far as anything here asks about it.

The bytes are parsed by the standard library, which takes any bytes for a message: a broken MIME
tree yields less text, never an error. Only the first megabyte of a message is read; the words of a
person and the parts of a delivery report stand before what they attach.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from functools import cached_property
from html import unescape
from typing import Any

from lifecycle.ledger.suppressions import LONGEST_ADDRESS, normalized
from lifecycle.mailbox.written import written

READ_BYTES = 1 << 20
"""Of each message; an attachment of thirty megabytes costs no more."""
LONGEST_TEXT = 20_000
"""Characters of a message that are looked at."""
MOST_PARTS = 200

_NOT_FOR_A_DATABASE = re.compile("[\0\ud800-\udfff]")
_TAG = re.compile(r"(?s)<(script|style|head)\b.*?</\1>|<[^>]*>")
_BREAK = re.compile(r"(?i)<(?:br|/p|/div|/tr|/li|/h\d)\b[^>]*>")
_QUOTE = re.compile(
    r"(?is)<blockquote\b.*|<div[^>]+(?:gmail_quote|yahoo_quoted|moz-cite-prefix|divRplyFwdMsg)\b.*"
)
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_CHARSETS = ("utf-8", "iso-2022-jp", "cp932", "euc-jp", "latin-1")


@dataclass(frozen=True, eq=False)
class Inbound:
    """One message."""

    raw: bytes
    mail: Message
    received_at: datetime
    """By the server's clock (UTC)."""

    @classmethod
    def read(cls, raw: bytes, received_at: datetime | None = None) -> Inbound:
        """Parse the first bytes of a message; anything is one."""
        mail = message_from_bytes(raw[:READ_BYTES])
        moment = received_at or _date(mail) or datetime.now(UTC)
        return cls(raw[:READ_BYTES], mail, moment)

    @cached_property
    def key(self) -> str:
        """The same for the same message, however often it arrives: its Message-ID, and who says
        so; else its bytes."""
        message_ids = _MESSAGE_ID.findall(self.header("Message-ID"))
        if message_ids:
            facts = f"{message_ids[0]}\n{self.sender}".encode("utf-8", "replace")
        else:
            facts = self.raw
        return hashlib.sha256(facts).hexdigest()[:32]

    def header(self, name: str) -> str:
        """A header as one line of text; empty where there is none."""
        value = self.mail.get(name)
        return "" if value is None else _decoded(str(value))

    def headers(self, name: str) -> list[str]:
        """All headers of that name."""
        return [_decoded(str(value)) for value in self.mail.get_all(name, [])]

    @cached_property
    def subject(self) -> str:
        """The subject, as a database can hold it."""
        return self.header("Subject")[:500]

    @cached_property
    def sender(self) -> str:
        """The address in From, normalised; empty where there is none."""
        return next(iter(self.addresses("From")), "")

    def addresses(self, *names: str) -> list[str]:
        """The addresses of these headers, normalised."""
        values = [value for name in names for value in self.headers(name)]
        found = (normalized(address) for _, address in getaddresses(values))
        return [address for address in found if "@" in address and len(address) <= LONGEST_ADDRESS]

    @cached_property
    def answered_ids(self) -> list[str]:
        """The Message-IDs that it answers, the nearest first: In-Reply-To, then References."""
        ids = _MESSAGE_ID.findall(self.header("In-Reply-To"))
        ids += reversed(_MESSAGE_ID.findall(self.header("References")))
        return list(dict.fromkeys(ids))

    def parts(self) -> Iterator[Message]:
        """Every part, the message itself first; of a tree without end only the first ones."""
        for number, part in enumerate(self.mail.walk()):
            if number == MOST_PARTS:
                return
            yield part

    @cached_property
    def text(self) -> str:
        """What it says, quotes included: the first plain text, else the first HTML as text."""
        html = ""
        for part in self.parts():
            if part.is_multipart() or part.get_filename():
                continue
            kind = part.get_content_type()
            if kind == "text/plain" and (text := content(part)).strip():
                return text[:LONGEST_TEXT]
            if kind == "text/html" and not html:
                html = content(part)
        return _from_html(html)[:LONGEST_TEXT]

    @cached_property
    def written(self) -> str:
        """What its writer wrote, without the mail that it quotes."""
        return written(self.text)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The content types of its parts."""
        return frozenset(part.get_content_type() for part in self.parts())


def content(part: Message) -> str:
    """A part's text in whatever encoding it names, or has."""
    payload: Any = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    named = part.get_content_charset() or ""
    for charset in (named, *_CHARSETS):
        if not charset:
            continue
        if charset.lower() in ("shift_jis", "x-sjis", "sjis"):
            charset = "cp932"
        try:
            return _clean(payload.decode(charset))
        except (LookupError, UnicodeError):
            continue
    return _clean(payload.decode("utf-8", "replace"))


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _NOT_FOR_A_DATABASE.sub("", text)


def _from_html(html: str) -> str:
    body = _BREAK.sub("\n", _QUOTE.sub("", html))
    lines = (" ".join(line.split()) for line in unescape(_TAG.sub("", body)).split("\n"))
    return "\n".join(lines).strip()


def _decoded(value: str) -> str:
    """A header's RFC 2047 words as text, on one line."""
    try:
        pieces = decode_header(value)
    except ValueError:
        pieces = [(value, None)]
    texts = []
    for piece, charset in pieces:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        try:
            texts.append(piece.decode(charset or "ascii"))
        except (LookupError, UnicodeError):
            texts.append(piece.decode("utf-8", "replace"))
    return " ".join(_clean("".join(texts)).split())


def _date(mail: Message) -> datetime | None:
    try:
        moment = parsedate_to_datetime(str(mail.get("Date")))
    except (ValueError, TypeError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
