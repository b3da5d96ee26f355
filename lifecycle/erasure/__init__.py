"""Removes a person everywhere, and keeps only a keyed hash, so that they stay unmailed."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches

from lifecycle.erasure import files, prefect_database, warehouse
from lifecycle.erasure.remembered import check_key, remember, remembered, remembered_keys
from lifecycle.errors import InputError, SettingsError
from lifecycle.ledger import erased, erasure_keys, suppressions
from lifecycle.ledger.erased_person import Person
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings

__all__ = ["Erased", "check_key", "erase", "remember", "remembered", "remembered_keys"]

_ADDRESS = re.compile(r"[^\s@<>\"(),;:\\]+@[^\s@<>\"(),;:\\]*[^\s@<>\"(),;:\\.]")
"""An address in any script; what is no address in a header may still be one in the CRM."""
NEARBY = 3


@dataclass(frozen=True)
class Erased:
    """What was erased, and what may be the same person."""

    mails: int
    """Stored mails in the ledger and the outbox: to the person, and those that name the person.
    The ledger keeps that they were sent, not to whom."""
    rows: int
    """Rows of the warehouse that were deleted, or that no longer identify the person."""
    files: int
    """Reports, logs and other files that no longer name the person."""
    was_known: bool
    """Whether anything here had the address."""
    also: tuple[str, ...] = ()
    """Other addresses of the person that are still here: `name+tag@` of `name@`, and what the same
    contact was reached at before."""
    nearest: tuple[str, ...] = ()
    """The addresses most like it, where nothing had it."""
    leaves_traces: bool = False
    """Another process reads an old moment of the ledger: its log could not be emptied yet."""


def erase(
    settings: Settings, ledger: Ledger, address: str, *, by: str, why: str, also: bool = False
) -> Erased:
    """Remove a person by address; what has not surely left to them ends in the same transaction.

    The person may be a contact, the owner of accounts, or both. An account that they own stays,
    without an owner until the CRM names one; what is planned in their name is stopped. A survey
    response stays with its score, without its words and without who gave it. Where the address
    is somebody's id, as of who used the product, its hash takes its place: counts stay right.
    `also` erases the other addresses of the person in the same way.

    The caller holds the state folder's lock. Safe to repeat after a crash: what is gone is
    gone, the rest follows. The CRM is not ours: while it exports the person, their row comes
    back to the warehouse with every pull, and stays unmailed. Raises InputError for what is
    no address, SettingsError without `[privacy] erasure_key`, LedgerError under another one.
    """
    if not _ADDRESS.fullmatch(address.strip()) or len(address) > suppressions.LONGEST_ADDRESS:
        raise InputError(f"{address!r} is not an e-mail address")
    key = settings.privacy.erasure_key.get_secret_value()
    if not key:
        raise SettingsError(
            "privacy.erasure_key is empty: without it an erased person could not be told from "
            "others; set LIFECYCLE__PRIVACY__ERASURE_KEY to a long random text, and keep it"
        )
    check_key(settings, ledger)
    files.sweep(settings)
    here = warehouse.addresses(settings)
    with ledger.read() as connection:
        here |= erased.addresses(connection)
    person = warehouse.known(settings, Person.of(address, key))
    others = _others(person, here, warehouse.addresses_of(settings, person))
    result = _erase(settings, ledger, person, by=by, why=why)
    was_known = result.was_known or not here.isdisjoint(person.forms)
    if also:
        for other in sorted(others):
            again = warehouse.known(settings, Person.of(other, key))
            more = _erase(settings, ledger, again, by=by, why=why)
            result = replace(
                more,
                mails=result.mails + more.mails,
                rows=result.rows + more.rows,
                files=result.files + more.files,
            )
        others = set()
    nearest = [] if was_known else get_close_matches(person.forms[0], sorted(here), NEARBY, 0.75)
    return replace(
        result,
        was_known=was_known,
        also=tuple(sorted(others)),
        nearest=tuple(nearest),
        leaves_traces=not erased.leave_no_trace(ledger),
    )


def _erase(settings: Settings, ledger: Ledger, person: Person, *, by: str, why: str) -> Erased:
    newest = erasure_keys.verifier(erasure_keys.keys(person.key)[0])
    remember(settings, [newest, *person.hashes.values()])
    with ledger.read() as connection:
        person = erased.known(connection, person)
    rows = warehouse.erase(settings, person)
    with ledger.write() as connection:
        send_ids = erased.erase(connection, person, by=by, why=why)
    for send_id in send_ids:
        with suppress(FileNotFoundError):
            (settings.outbox_dir / f"{send_id}.eml").unlink()
    changed = files.erase(settings, person)
    prefect_database.erase(settings, person)
    was_known = bool(rows or send_ids or changed)
    return Erased(len(send_ids), rows, changed, was_known)


def _others(person: Person, here: Collection[str], theirs: Collection[str]) -> set[str]:
    """Of the addresses that are here, those that look like the person's, and `theirs`: those of
    the same contacts."""
    tagged: set[str] = set()
    for form in person.forms:
        local, _, domain = form.rpartition("@")
        name = local.partition("+")[0]
        same = re.compile(rf"{re.escape(name)}(?:\+[^@]*)?@{re.escape(domain)}")
        tagged.update(address for address in here if same.fullmatch(address))
    return {*tagged, *theirs}.difference(person.forms)
