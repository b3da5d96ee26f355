"""What may be kept, printed, logged or posted of a text from outside or of an exception.

Secrets go from every such text: the errors of `lifecycle.errors` and the ledger's texts do it by
themselves. Addresses go where others read along: logs, reports, chats.
"""

from __future__ import annotations

import os
import re
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SHORTEST_SECRET = 6
"""Characters of a secret that is looked for in texts: a shorter one is in every text."""

_NOT_IN_ADDRESS = r"\s@<>\"'(),;:="
_ADDRESS = re.compile(rf"([^{_NOT_IN_ADDRESS}])[^{_NOT_IN_ADDRESS}]*@(?=[^{_NOT_IN_ADDRESS}])")

_PASSWORD = r"pass(?:word|wd|phrase)?|pwd|secret|token"  # nosec B105
_CREDENTIAL = (
    rf"{_PASSWORD}|sig|signature|credentials?|auth|sas|key|apikey|"
    r"(?:[a-z0-9]+[-_.])+(?:key|secret|token|password|signature)(?:[-_.]id)?"
)
_VALUE = r"(?:'[^']*'|\"[^\"]*\"|[^\s&;#'\",)]+)"
_PARTS = (
    # user:password@host of an address
    (re.compile(r"(?<=://)()[^\s/@:]*:[^\s/@]*(?=@)"), rf"{HIDDEN}"),
    # ?key=… of an address
    (re.compile(rf"(?i)([?&;](?:{_CREDENTIAL})=){_VALUE}"), rf"\1{HIDDEN}"),
    # password=… of a connection string
    (re.compile(rf"(?i)(\s(?:{_PASSWORD})=){_VALUE}"), rf"\1{HIDDEN}"),
    # a header
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)(?=\S*\d)[a-z0-9._~+/=-]{8,}"), rf"\1{HIDDEN}"),
    # SendGrid's keys, AWS's key ids, Slack's hooks
    (re.compile(r"\bSG\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)?"), HIDDEN),
    (re.compile(r"\bAKIA[A-Z0-9]{12,}\b"), HIDDEN),
    (re.compile(r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/_-]+"), HIDDEN),
)
_WORTH_A_LOOK = re.compile(r"[=:]|SG\.|AKIA|earer |asic |hooks\.")

_IN_ENVIRONMENT = re.compile(
    r"(?i)(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PGPASSWORD)$|AUTH_STRING$"
)
"""Names of variables that hold a secret: those of object stores and databases too."""

_secrets: set[str] = set()


def know_secret(value: str) -> None:
    """Hide a value from now on, as it is and as it stands in an address."""
    for part in {value, *value.split()}:
        if len(part) >= SHORTEST_SECRET:
            _secrets.update({part, quote(part, safe=""), quote_plus(part)})


def know_environment() -> None:
    """Hide the values of variables that are called after a secret."""
    for name, value in os.environ.items():
        if _IN_ENVIRONMENT.search(name):
            know_secret(value)


def hide_known_secrets(text: str) -> str:
    """The text without the secrets that this process was given."""
    for secret in sorted(_secrets, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


def hide_secrets(text: str) -> str:
    """The text without secrets, and without whatever looks like a credential in an address."""
    text = hide_known_secrets(text)
    if not _WORTH_A_LOOK.search(text):
        return text
    for pattern, instead in _PARTS:
        text = pattern.sub(instead, text)
    return text


def has_credential(address: str) -> bool:
    """Whether an address carries a user's password, or a parameter that is called after one."""
    return any(pattern.search(address) for pattern, _ in _PARTS)


def mask_addresses(text: str) -> str:
    """The text without secrets, and with the name part of its addresses hidden:
    j***@example.com."""
    return _ADDRESS.sub(r"\1***@", hide_secrets(text))
