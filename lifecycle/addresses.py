"""The form of an e-mail address that a mail header can carry."""

from __future__ import annotations

import re

LONGEST_ADDRESS = 254
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
ADDRESS = re.compile(rf"{ATOM}(?:\.{ATOM})*@{_LABEL}(?:\.{_LABEL})+")


def is_address(text: str) -> bool:
    """Whether it is a plain ASCII e-mail address, fit for a header."""
    return len(text) <= LONGEST_ADDRESS and ADDRESS.fullmatch(text) is not None
