"""Addresses that may not be mailed any more, whatever the account.

A row stands for a normalised address or, once a person was erased, for a keyed hash of one:
nobody can read the address from it, and yet it stays unmailed.
"""

from __future__ import annotations

import contextlib
import hmac
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, bindparam, delete, select, update

from lifecycle.addresses import is_address
from lifecycle.errors import InputError, UnknownName, did_you_mean
from lifecycle.ledger import departures, dialect, erasure_keys
from lifecycle.ledger.states import batches, transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_LEFT, State, actions, sends, suppressions

Why = Literal["unsubscribed", "bounced", "complained", "manual"]
"""What a person may give as the reason."""

SOFT = "soft_bounced"
BY_WEIGHT = ("erased", "complained", "unsubscribed", "manual", "bounced", "invalid", SOFT)
"""Of several reasons the heaviest is kept, in whatever order they are heard of."""

_SEND_ID = re.compile(r"[0-9a-f]{32}")

LONGEST_ADDRESS = 320
"""Characters that the ledger has room for."""

ERASED = "hmac:"
"""How the keyed hash of an erased address begins; no address does."""


@dataclass(frozen=True)
class Suppression:
    """Why an address may not be mailed."""

    address: str
    reason: str
    at: datetime
    source: str


def normalized(address: str) -> str:
    """The form that addresses are compared in."""
    return address.strip().lower()


def forms(address: str) -> frozenset[str]:
    """The address as CRM and mail servers may each write it: its domain as people read it, and
    as punycode."""
    local, at, domain = normalized(address).rpartition("@")
    domains = {domain}
    with contextlib.suppress(UnicodeError):
        domains.add(domain.encode("idna").decode())
    with contextlib.suppress(UnicodeError):
        domains.add(domain.encode("ascii").decode("idna"))
    # A domain of many labels may be too long as punycode: nobody is mailed there.
    spellings = {f"{local}{at}{form}" for form in domains}
    return frozenset(form for form in spellings if len(form) <= LONGEST_ADDRESS)


def digest(address: str, key: str) -> str:
    """What is kept of an erased address. `key` is `[privacy] erasure_key`: its newest counts."""
    return digests(address, key)[0]


def digests(address: str, key: str) -> list[str]:
    """The keyed hashes of an address by each of the keys, the newest first."""
    text = normalized(address).encode()
    return [
        ERASED + hmac.digest(secret.encode(), text, "sha256").hex()
        for secret in erasure_keys.keys(key)
    ]


_REASONS = select(suppressions.c.address, suppressions.c.reason).where(
    suppressions.c.address.in_(bindparam("addresses", expanding=True))
)


def reasons(ledger: Connection, addresses: Collection[str], key: str = "") -> dict[str, str]:
    """Those of the normalised addresses that may not be mailed, and why: also who left in the CRM.

    `key` is `[privacy] erasure_key`. Raises LedgerError where people were erased and it is
    missing, or another one than then: they could not be told from others.
    """
    wanted = {address: address for address in addresses}
    if erasure_keys.any_erased(ledger):
        erasure_keys.check(ledger, key)
        wanted |= _by_digest(addresses, key)
    left = departures.in_force(ledger, addresses)
    return {address: departures.describe(row) for address, row in left.items()} | {
        wanted[row.address]: row.reason
        for batch in batches(wanted)
        for row in ledger.execute(_REASONS, {"addresses": batch})
    }


def erased_among(ledger: Connection, addresses: Collection[str], key: str) -> set[str]:
    """Those of the normalised addresses whose people were erased. Raises as `reasons` does."""
    if not erasure_keys.any_erased(ledger):
        return set()
    erasure_keys.check(ledger, key)
    hashes = _by_digest(addresses, key)
    return {
        hashes[row.address]
        for batch in batches(hashes)
        for row in ledger.execute(_REASONS, {"addresses": batch})
    }


def stop(ledger: Connection, found_suppressions: Iterable[Suppression], now: datetime) -> int:
    """Never mail these addresses again, and stop what is planned or queued for them.

    Saying so again changes nothing. Returns how many addresses were not known before.
    """
    wanted: dict[str, Suppression] = {}
    for suppression in found_suppressions:
        for address in forms(suppression.address):
            form = Suppression(address, suppression.reason, suppression.at, suppression.source)
            wanted[address] = _heavier(wanted.get(address, form), form)
    known = {
        row.address: Suppression(row.address, row.reason, row.at, row.source)
        for batch in batches(sorted(wanted))
        for row in ledger.execute(select(suppressions).where(suppressions.c.address.in_(batch)))
    }
    new = [
        vars(suppression) for address, suppression in sorted(wanted.items()) if address not in known
    ]
    for rows in batches(new):
        ledger.execute(dialect.insert(ledger, suppressions).on_conflict_do_nothing(), rows)
    heavier = [
        {"of_address": address, **_values(kept)}
        for address, old in known.items()
        if (kept := _heavier(old, wanted[address])) != old
    ]
    if heavier:
        same = suppressions.c.address == bindparam("of_address")
        ledger.execute(update(suppressions).where(same), heavier)
    _stop_what_waits(ledger, wanted, now)
    return len(new)


def lift_soft(ledger: Connection, addresses: Collection[str]) -> None:
    """Take back suppressions for soft bounces, where a late fact showed them to be none."""
    forms_of = sorted({form for address in addresses for form in forms(address)})
    for batch in batches(forms_of):
        ledger.execute(
            delete(suppressions).where(
                suppressions.c.address.in_(batch), suppressions.c.reason == SOFT
            )
        )


def suppress(ledger: Ledger, whom: str, *, reason: str, by: str, why: str = "asked for") -> bool:
    """Never mail an address again, or the reader of a send: who leaves by a mail to us names it.

    Returns False where that was so already. Raises InputError for what is neither, or for an
    unknown reason; UnknownName for a send that the ledger does not have.
    """
    named = normalized(whom)
    if not (is_address(named) or _SEND_ID.fullmatch(named)):
        raise InputError(f"{whom!r} is neither an e-mail address nor the id of a send")
    if reason not in get_args(Why):
        hint = did_you_mean(reason, get_args(Why)) or f"there are {', '.join(get_args(Why))}"
        raise InputError(f"unknown reason {reason!r}; {hint}")
    now = datetime.now(UTC)
    with ledger.write() as connection:
        address = named if is_address(named) else _reader(connection, named)
        if address.startswith(ERASED):
            return False
        connection.execute(
            actions.insert().values(at=now, action="suppress", subject=address, by=by, why=why)
        )
        return bool(stop(connection, [Suppression(address, reason, now, by)], now))


def was_mailed(ledger: Ledger, address: str) -> bool:
    """Whether the ledger has any mail to an address, planned or gone."""
    with ledger.read() as connection:
        theirs = select(sends.c.send_id).where(sends.c.address.in_(forms(address)))
        return connection.scalar(theirs.limit(1)) is not None


def _reader(ledger: Connection, send_id: str) -> str:
    address = ledger.scalar(select(sends.c.address).where(sends.c.send_id == send_id))
    if address is None:
        raise UnknownName(f"no mail has the id {send_id!r}")
    return str(address)


def _by_digest(addresses: Iterable[str], key: str) -> dict[str, str]:
    return {hashed: address for address in addresses for hashed in digests(address, key)}


def _heavier(suppression: Suppression, other: Suppression) -> Suppression:
    return min(suppression, other, key=lambda of: (_weight(of.reason), of.at, of.source))


def _weight(reason: str) -> int:
    return BY_WEIGHT.index(reason) if reason in BY_WEIGHT else len(BY_WEIGHT)


def _values(suppression: Suppression) -> dict[str, Any]:
    return {"reason": suppression.reason, "at": suppression.at, "source": suppression.source}


def _stop_what_waits(ledger: Connection, wanted: dict[str, Suppression], now: datetime) -> None:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for address, suppression in wanted.items():
        by_reason[suppression.reason].append(address)
    for reason, addresses in by_reason.items():
        for batch in batches(addresses):
            transition(
                ledger,
                State.SUPPRESSED,
                f"address suppressed: {reason}",
                now,
                sends.c.address.in_(batch),
                sends.c.state.in_(NOT_LEFT),
            )
