"""Finds the account or the trigger that a name stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from lifecycle.errors import UnknownName, WarehouseError, did_you_mean
from lifecycle.ledger import controls, suppressions
from lifecycle.ledger.account_history import AccountHistory
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.triggers import folder as trigger_folder
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published


def trigger_name(settings: Settings, ledger: Ledger, name: str) -> str:
    """Check the name of a trigger: it has a file, usable or not, or the ledger knows it.

    Raises UnknownName with the nearest known name.
    """
    known = {*trigger_folder.names(settings.folder("triggers")), *controls.known_triggers(ledger)}
    if name not in known:
        hint = did_you_mean(name, known) or f"there are: {', '.join(sorted(known)) or 'none'}"
        raise UnknownName(f"no trigger {name!r}; {hint}")
    return name


def account_id(settings: Settings, ledger: Ledger, name_or_id: str) -> str:
    """The id of the account with that id, that name, or a part of the name.

    Raises UnknownName when no account or several accounts match; WarehouseError when nothing was
    published yet.
    """
    with connect_published(settings) as warehouse:
        return find_account(warehouse, ledger, name_or_id)


def find_account(warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, name_or_id: str) -> str:
    """The same, with an open warehouse."""
    matches = published_marts.search(warehouse, name_or_id)
    for rank in (0, 1, 2):
        meant = [row for row in matches if row["rank"] == rank]
        if len(meant) == 1:
            return str(meant[0]["account_id"])
        if meant:
            raise UnknownName(f"more than one account may be meant:\n{_listed(meant)}")
    if AccountHistory(ledger, name_or_id).triggers or published_marts.rejected(
        warehouse, name_or_id
    ):
        return name_or_id
    hint = f"; did you mean one of these?\n{_listed(matches)}" if matches else ""
    raise UnknownName(f"no account {name_or_id!r}{hint}")


def address_is_known(settings: Settings, ledger: Ledger, address: str) -> tuple[bool | None, str]:
    """Whether a contact, an account owner or a mail has an address; if not, the most similar
    address.

    None where this is unknown: nothing was published yet, or it cannot be read.
    """
    if suppressions.was_mailed(ledger, address):
        return True, ""
    forms = suppressions.forms(address)
    try:
        with connect_published(settings) as warehouse:
            nearest = published_marts.nearest_address(warehouse, sorted(forms)) or ""
    except WarehouseError:
        return None, ""
    return (True, "") if nearest in forms else (False, nearest)


def _listed(accounts: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"  {row['account_id']}  {row['name']}" for row in accounts)
