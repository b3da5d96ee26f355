"""The keys by which erased people are recognised, and how a wrong one is noticed.

`[privacy] erasure_key` is the newest key, by which people are erased; older ones follow it,
separated by spaces, for as long as people are recognised by them. The ledger keeps a verifier of
each key that was used, from which nobody can read the key.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from lifecycle.errors import LedgerError
from lifecycle.ledger import dialect
from lifecycle.ledger.tables import erasure_keys, suppressions

VERIFIER = "key:"
"""How a verifier begins."""
_CONSTANT = b"lifecycle: the key of erased people"

VARIABLE = "LIFECYCLE__PRIVACY__ERASURE_KEY"
MISSING = (
    f"people were erased from this ledger, and without {VARIABLE} "
    "they cannot be recognised; set it to what it was then"
)
CHANGED = (
    "people were erased under another erasure key, and by this one they could not be recognised: "
    f"they would be mailed again. Set {VARIABLE} to the key of then, or to the new key, a space, "
    "and the key of then"
)


def keys(erasure_key: str) -> list[str]:
    """The keys of `[privacy] erasure_key`, the newest first."""
    return erasure_key.split()


def verifier(key: str) -> str:
    """What is kept of a key."""
    return VERIFIER + hmac.digest(key.encode(), _CONSTANT, "sha256").hex()


def any_erased(ledger: Connection) -> bool:
    """Whether people were erased from this ledger."""
    query = select(suppressions.c.address).where(suppressions.c.reason == "erased").limit(1)
    return ledger.execute(query).first() is not None


def check(ledger: Connection, erasure_key: str) -> None:
    """Raise LedgerError unless all people who were erased are recognised by these keys."""
    if any_erased(ledger):
        check_verifiers(ledger.scalars(select(erasure_keys.c.verifier)), erasure_key)


def check_verifiers(known: Iterable[str], erasure_key: str) -> None:
    """Raise LedgerError where a key is missing, or is not one of those that were used."""
    if not erasure_key.strip():
        raise LedgerError(MISSING)
    if not {verifier(key) for key in keys(erasure_key)}.issuperset(known):
        raise LedgerError(CHANGED)


def record(ledger: Connection, verifiers: Collection[str]) -> None:
    """Keep the verifiers of keys by which people were erased. Doing so twice is fine."""
    now = datetime.now(UTC)
    rows = [{"verifier": text, "since": now} for text in sorted(verifiers)]
    if rows:
        ledger.execute(dialect.insert(ledger, erasure_keys).on_conflict_do_nothing(), rows)


def keep_first(ledger: Connection, erasure_key: str) -> None:
    """Keep verifiers in a ledger whose people were erased before there were any.

    Raises LedgerError where people were erased under another key, or the key is missing.
    """
    check(ledger, erasure_key)
    if any_erased(ledger) and ledger.scalar(select(erasure_keys.c.verifier).limit(1)) is None:
        record(ledger, [verifier(key) for key in keys(erasure_key)])
