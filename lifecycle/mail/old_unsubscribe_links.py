"""Verifies the unsubscribe links of mails that version 0.1 sent: a link works for ever.

Their tokens have 48 characters: the number of a key, the send, and a signature over both.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode
from collections.abc import Sequence

TOKEN = re.compile(r"[A-Za-z0-9_-]{48}")
_NUMBER, _SIGNATURE = 4, 16
"""Bytes of the parts beside the send."""


def send_id(token: str, keys: Sequence[str]) -> str | None:
    """The send that the token belongs to, or None for one that none of the keys signed."""
    if not TOKEN.fullmatch(token):
        return None
    parts = urlsafe_b64decode(token)
    payload, signature = parts[:-_SIGNATURE], parts[-_SIGNATURE:]
    for secret in (key.encode() for key in keys):
        number = hashlib.sha256(b"number of an unsubscribe key: " + secret).digest()[:_NUMBER]
        expected = hmac.digest(secret, b"unsubscribe: " + payload, "sha256")[:_SIGNATURE]
        if number == payload[:_NUMBER] and hmac.compare_digest(expected, signature):
            return payload[_NUMBER:].hex()
    return None
