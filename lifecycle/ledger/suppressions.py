"""Addresses that may not be mailed any more, as people say so by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, get_args

from sqlalchemy import insert, select

from lifecycle.errors import InputError, did_you_mean
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import suppressions
from lifecycle.mail.message import is_address

Why = Literal["unsubscribed", "bounced", "complained", "manual"]


def suppress(ledger: Ledger, address: str, *, reason: str, by: str) -> bool:
    """Never mail an address again; returns False where that was so already.

    What is planned stays in the ledger: the claim that precedes each delivery refuses it.
    Raises InputError for what is no address, or for an unknown reason.
    """
    normalized = address.strip().lower()
    if not is_address(normalized):
        raise InputError(f"{address!r} is not an e-mail address")
    if reason not in get_args(Why):
        hint = did_you_mean(reason, get_args(Why)) or f"there are {', '.join(get_args(Why))}"
        raise InputError(f"unknown reason {reason!r}; {hint}")
    with ledger.write() as connection:
        known = select(suppressions.c.address).where(suppressions.c.address == normalized)
        if connection.execute(known).first():
            return False
        connection.execute(
            insert(suppressions).values(
                address=normalized, reason=reason, at=datetime.now(UTC), source=by
            )
        )
    return True
