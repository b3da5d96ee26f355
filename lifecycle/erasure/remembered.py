"""`erased.txt`: the hashes of people who were erased, for ledgers that do not have them."""

from __future__ import annotations

import os
from collections.abc import Collection

from lifecycle.ledger import erased, erasure_keys, suppressions
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings


def check_key(settings: Settings, ledger: Ledger) -> None:
    """Raise LedgerError where people were erased under a key that `[privacy]` does not have.

    A ledger and an `erased.txt` from before keys could be recognised keep the key of now. A ledger
    that is new beside an old `erased.txt` learns whom it names.
    """
    key = settings.privacy.erasure_key.get_secret_value()
    lines = _lines(settings)
    if lines:
        erasure_keys.check_verifiers(remembered_keys(settings), key)
        if not remembered_keys(settings):
            remember(settings, [erasure_keys.verifier(secret) for secret in erasure_keys.keys(key)])
    with ledger.write() as connection:
        erasure_keys.keep_first(connection, key)
        again = {"by": "erased.txt", "why": "erased before this ledger was made"}
        keys = remembered_keys(settings)
        erased.erase_again(connection, remembered(settings), key, verifiers=keys, **again)


def remember(settings: Settings, lines: Collection[str]) -> None:
    """Add hashes and verifiers to the state folder's `erased.txt`: an older backup does not have
    them."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    fresh = settings.erased_file.with_suffix(".fresh")
    with fresh.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in sorted(_lines(settings).union(lines)))
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, settings.erased_file)


def remembered(settings: Settings) -> set[str]:
    """The hashes of all persons that were erased in this state folder."""
    return {line for line in _lines(settings) if line.startswith(suppressions.ERASED)}


def remembered_keys(settings: Settings) -> set[str]:
    """The verifiers of the keys that the hashes were made with."""
    return {line for line in _lines(settings) if line.startswith(erasure_keys.VERIFIER)}


def _lines(settings: Settings) -> set[str]:
    if not settings.erased_file.exists():
        return set()
    return set(settings.erased_file.read_text(encoding="utf-8").split())
