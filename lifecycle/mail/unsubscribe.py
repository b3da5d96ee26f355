"""The unsubscribe address of a mail: a mailto address, or a signed link that carries no e-mail
address.

A link ends in a token of 48 characters: the number of a key, the send, and a signature over both.
Without a key nobody can make a token, and nobody can read from it who got the mail.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from urllib.parse import quote

from lifecycle.settings import Settings

PATH = "/u/"
NO_SEND = "0" * 32
"""The send id of a preview: its link unsubscribes nobody."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{48}")

_NUMBER, _SEND, _SIGNATURE = 4, 16, 16
"""Bytes of each part."""


class Links:
    """Signs and verifies the tokens of unsubscribe links."""

    def __init__(self, keys: Sequence[str]) -> None:
        """The first key signs. Tokens of all keys verify, so that keys can be rotated."""
        secrets = [key.encode() for key in keys]
        self._by_number = {_number(secret): secret for secret in secrets}
        self._signing = secrets[0] if secrets else None

    def token(self, send_id: str) -> str:
        """The token of a send. Raises ValueError without a key, or for an invalid send id."""
        if self._signing is None:
            raise ValueError("there is no key to sign links with")
        if len(send_id) != 2 * _SEND:
            raise ValueError(f"{send_id!r} is not the id of a send")
        payload = _number(self._signing) + bytes.fromhex(send_id)
        return urlsafe_b64encode(payload + _signature(self._signing, payload)).decode()

    def send_id(self, token: str) -> str | None:
        """The send that the token belongs to, or None for a token that no key of ours signed."""
        if not TOKEN.fullmatch(token):
            return None
        try:
            parts = urlsafe_b64decode(token)
        except binascii.Error:
            return None
        payload, signature = parts[:-_SIGNATURE], parts[-_SIGNATURE:]
        secret = self._by_number.get(payload[:_NUMBER])
        if secret is None or not hmac.compare_digest(_signature(secret, payload), signature):
            return None
        return payload[_NUMBER:].hex()


class UnsubscribeAddress:
    """The unsubscribe address of each send."""

    def __init__(self, settings: Settings) -> None:
        self._base_url = settings.unsubscribe.base_url
        self._links = Links(settings.unsubscribe.keys)
        self._mailto = quote(settings.unsubscribe.mailto or settings.company.from_email, safe="@+")

    def url(self, send_id: str) -> str:
        """An HTTPS link where `unsubscribe.base_url` is set, else a mailto address."""
        if self._base_url:
            return f"{self._base_url}{PATH}{self._links.token(send_id)}"
        return f"mailto:{self._mailto}?subject=unsubscribe%20{send_id}"


def _number(secret: bytes) -> bytes:
    return hashlib.sha256(b"number of an unsubscribe key: " + secret).digest()[:_NUMBER]


def _signature(secret: bytes, payload: bytes) -> bytes:
    return hmac.digest(secret, b"unsubscribe: " + payload, "sha256")[:_SIGNATURE]
