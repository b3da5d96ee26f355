"""Short tokens by which a mail that comes back names the mail that it answers.

Sixteen letters and digits are a half of the send's id, and eight more a signature over them where
there is a key: short enough for an address and a subject, and nobody can read from one who got the
mail. Without a key a token only counts together with the sender whose mail it is.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32decode, b32encode
from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.settings import Settings

_SEND, _SIGNATURE = 10, 5
"""Bytes."""
_TOKEN = re.compile(r"(?<![a-z0-9])([a-z2-7]{16})([a-z2-7]{8})?(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """What a token says."""

    prefix: str
    """How the send's id begins: 20 hex digits."""
    is_signed: bool


class AnswerTokens:
    """Makes and reads the tokens."""

    def __init__(self, keys: Sequence[str]) -> None:
        """The first key signs; tokens of all keys are known, so that keys can be rotated."""
        self._keys = tuple(keys)

    def token(self, send_id: str) -> str:
        """The token of a send (32 hex digits)."""
        begin = bytes.fromhex(send_id)[:_SEND]
        signed = _sign(self._keys[0], begin) if self._keys else b""
        return (b32encode(begin) + b32encode(signed)).decode().lower()

    def read(self, text: str) -> Named | None:
        """The first token in a text that is one of ours, or may be; None where there is none."""
        for match in _TOKEN.finditer(text):
            begin, signature = b32decode(match[1].upper()), match[2]
            if signature:
                signed = b32decode(signature.upper())
                if any(hmac.compare_digest(_sign(key, begin), signed) for key in self._keys):
                    return Named(begin.hex(), is_signed=True)
            elif not self._keys:
                return Named(begin.hex(), is_signed=False)
        return None


def token_keys(settings: Settings) -> list[str]:
    """The keys that sign the tokens of answers, the newest first; none: they are not signed."""
    own = settings.mailbox.secret.get_secret_value().split()
    return own or settings.unsubscribe.keys


def _sign(key: str, begin: bytes) -> bytes:
    return hmac.digest(key.encode(), b"answer: " + begin, "sha256")[:_SIGNATURE]
