"""Finds what SendGrid would refuse, before a request is made.

A refused batch costs a search for the mail that is to blame, and a refused mail counts against
the account. The limits are those of the v3 Mail Send reference; where that gives none, those of
RFC 5322. Our own rules are here as well: plain text, and one reader a mail.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from lifecycle.addresses import is_address
from lifecycle.mail.message import LONGEST_LINE

MAX_REQUEST_BYTES = 30 * 1024 * 1024
MAX_PERSONALIZATIONS = 1_000
MAX_SUBSTITUTION_BYTES = 10_000
MAX_CUSTOM_ARG_BYTES = 10_000
MAX_CATEGORIES = 10
MAX_CATEGORY_LENGTH = 255
MAX_AHEAD_SECONDS = 72 * 3600

RESERVED_HEADERS = frozenset(
    {
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature"),
        *("content-type", "content-transfer-encoding"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    }
)
_HEADER_NAME = re.compile(r"[!-9;-~]+")


def complaint(request: Mapping[str, Any], size: int, now: float) -> str | None:
    """Why SendGrid would refuse this request of `size` bytes at `now` (Unix time); else None."""
    return next(_complaints(request, size, now), None)


def _complaints(request: Mapping[str, Any], size: int, now: float) -> Iterator[str]:
    if size >= MAX_REQUEST_BYTES:
        yield f"the request has {size:,} bytes, over the {MAX_REQUEST_BYTES:,} that are taken"
    yield from _person("from", request.get("from"))
    if "reply_to" in request:
        yield from _person("reply_to", request["reply_to"])
    personalizations = request.get("personalizations") or []
    if not 1 <= len(personalizations) <= MAX_PERSONALIZATIONS:
        yield f"{len(personalizations)} personalizations, not 1 to {MAX_PERSONALIZATIONS:,}"
    for personalization in personalizations:
        yield from _personalization(personalization, request, now)
    yield from _headers(request.get("headers", {}))
    yield from _send_at(request, now)
    yield from _content(request.get("content") or [])
    yield from _categories(request.get("categories", []))


def _personalization(
    personalization: Mapping[str, Any], request: Mapping[str, Any], now: float
) -> Iterator[str]:
    readers = [person for field in ("to", "cc", "bcc") for person in personalization.get(field, [])]
    if len(readers) != 1 or not personalization.get("to"):
        yield f"{len(readers)} recipients in one mail, who would see each other; it takes one"
    for person in readers:
        yield from _person("to", person)
        if set(";,") & set(person.get("name", "")):
            yield "to: the name has a comma or a semicolon, which SendGrid takes for a list"
    yield from _subject(personalization.get("subject", request.get("subject")))
    yield from _headers(personalization.get("headers", {}))
    yield from _send_at(personalization, now)
    arguments = {**request.get("custom_args", {}), **personalization.get("custom_args", {})}
    if not all(isinstance(value, str) for value in arguments.values()):
        yield "custom_args: a value is no text"
    elif (used := _bytes(arguments)) >= MAX_CUSTOM_ARG_BYTES:
        yield f"custom_args have {used:,} bytes, over {MAX_CUSTOM_ARG_BYTES:,}"
    if (used := _bytes(personalization.get("substitutions", {}))) > MAX_SUBSTITUTION_BYTES:
        yield f"substitutions have {used:,} bytes, over {MAX_SUBSTITUTION_BYTES:,}"


def _person(field: str, person: Mapping[str, Any] | None) -> Iterator[str]:
    address = (person or {}).get("email", "")
    if not is_address(address):
        yield f"{field}: no plain e-mail address" if address else f"{field}: no address"
    yield from _text(f"{field}: the name", (person or {}).get("name", ""))


def _subject(subject: Any) -> Iterator[str]:
    if not isinstance(subject, str) or not subject.strip():
        yield "the subject is empty"
    else:
        yield from _text("the subject", subject)


def _text(what: str, text: str) -> Iterator[str]:
    """What becomes one header line."""
    if not text.isprintable() and any(
        unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in text
    ):
        yield f"{what} has a line break or another control character"
    if (length := len(text.encode())) > LONGEST_LINE:
        yield f"{what} has {length:,} bytes, over the {LONGEST_LINE} of a header line"


def _headers(headers: Mapping[str, Any]) -> Iterator[str]:
    names = [name.lower() for name in headers]
    if len(set(names)) < len(names):
        yield "a header is there twice"
    for name, value in headers.items():
        if name.lower() in RESERVED_HEADERS:
            yield f"the header {name} is reserved"
        if not _HEADER_NAME.fullmatch(name):
            yield f"{name!r} is no name of a header"
        if not isinstance(value, str) or not value:
            yield f"the header {name} is empty"
        else:
            yield from _text(f"the header {name}", value)
            if not value.isascii():
                yield f"the header {name} is not encoded"


def _send_at(where: Mapping[str, Any], now: float) -> Iterator[str]:
    moment = where.get("send_at", now)
    if not isinstance(moment, int | float):
        yield "send_at is no Unix time"
    elif moment > now + MAX_AHEAD_SECONDS:
        yield "send_at is over 72 hours ahead"


def _content(content: list[Mapping[str, Any]]) -> Iterator[str]:
    if [part.get("type") for part in content] != ["text/plain"]:
        yield "the content is not one plain text"
    elif not content[0].get("value"):
        yield "the body is empty"


def _categories(categories: list[str]) -> Iterator[str]:
    if len(categories) > MAX_CATEGORIES:
        yield f"{len(categories)} categories, over {MAX_CATEGORIES}"
    if len(set(categories)) < len(categories):
        yield "a category is there twice"
    for category in categories:
        if not category or len(category) > MAX_CATEGORY_LENGTH:
            yield f"a category has {len(category)} characters, not 1 to {MAX_CATEGORY_LENGTH}"
        if not category.isascii():
            yield "a category is not plain ASCII"


def _bytes(texts: Mapping[str, str]) -> int:
    return sum(len(name.encode()) + len(value.encode()) for name, value in texts.items())
