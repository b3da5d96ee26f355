"""What may be shown of an e-mail address where others read along: logs, reports, chats."""

from __future__ import annotations

import re

_NOT_IN_ADDRESS = r"\s@<>\"'(),;:="
_ADDRESS = re.compile(rf"([^{_NOT_IN_ADDRESS}])[^{_NOT_IN_ADDRESS}]*@(?=[^{_NOT_IN_ADDRESS}])")


def mask_addresses(text: str) -> str:
    """The text with the name part of its addresses hidden: j***@example.com."""
    return _ADDRESS.sub(r"\1***@", text)
