"""The unsubscribe address of a mail: a mailto address, or a signed link that carries no e-mail
address.

A link ends in a token: the send's id and a signature over it. Without a key nobody can make a
token, and nobody can read from it who got the mail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from urllib.parse import quote

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from lifecycle.mail import old_unsubscribe_links
from lifecycle.mail.answer_token import AnswerTokens
from lifecycle.settings import Unsubscribe

PATH = "/u/"
NO_SEND = "0" * 32
"""The send id of a preview: its link unsubscribes nobody."""

_SEND = 16
"""Bytes of a send's id."""
_SIGNED = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""Base64 in its one proper spelling: the last sign of each part has bits that must be 0."""
TOKEN = re.compile(f"{_SIGNED.pattern}|{old_unsubscribe_links.TOKEN.pattern}")


class Links:
    """Signs and verifies the tokens of unsubscribe links."""

    def __init__(self, keys: Sequence[str]) -> None:
        """The first key signs. Tokens of all keys verify, so that keys can be rotated."""
        self._keys = tuple(keys)
        self._signer = Signer(
            keys[::-1],  # itsdangerous signs with the last one
            salt="unsubscribe",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )

    def token(self, send_id: str) -> str:
        """The token of a send. Raises ValueError without a key, or for an invalid send id."""
        if not self._keys:
            raise ValueError("there is no key to sign links with")
        if len(send_id) != 2 * _SEND:
            raise ValueError(f"{send_id!r} is not the id of a send")
        return self._signer.sign(base64_encode(bytes.fromhex(send_id))).decode()

    def send_id(self, token: str) -> str | None:
        """The send that the token belongs to, or None for a token that no key of ours signed."""
        if not _SIGNED.fullmatch(token):
            return old_unsubscribe_links.send_id(token, self._keys)
        try:
            return base64_decode(self._signer.unsign(token)).hex() if self._keys else None
        except BadSignature:
            return None


class UnsubscribeAddress:
    """The unsubscribe address of each send."""

    def __init__(
        self, settings: Unsubscribe, from_email: str, tokens: AnswerTokens | None = None
    ) -> None:
        """`from_email` is the address which is written to where no other is set. With `tokens`,
        which the mailbox knows, a mail names its send by one instead of by its whole id."""
        self._base_url = settings.base_url
        self._links = Links(settings.keys)
        self._mailto = quote(settings.mailto or from_email, safe="@+")
        self._tokens = tokens

    def url(self, send_id: str) -> str:
        """An HTTPS link where `unsubscribe.base_url` is set, else a mailto address."""
        if self._base_url:
            return f"{self._base_url}{PATH}{self._links.token(send_id)}"
        name = self._tokens.token(send_id) if self._tokens else send_id
        return f"mailto:{self._mailto}?subject=unsubscribe%20{name}"
