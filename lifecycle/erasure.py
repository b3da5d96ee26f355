"""Removes a person everywhere, and keeps only a keyed hash, so that they stay unmailed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lifecycle.addresses import is_address
from lifecycle.duckdb_connection import connect
from lifecycle.errors import InputError, SettingsError
from lifecycle.ledger import erased, erasure_keys, suppressions
from lifecycle.ledger.store import Ledger
from lifecycle.mail.preview_mail import PREVIEW_ID
from lifecycle.settings import Settings
from lifecycle.warehouse.backfill import COPY
from lifecycle.warehouse.connection import connect_work


@dataclass(frozen=True)
class Erased:
    """Counts of what was erased of a person."""

    mails: int
    """Stored mails in the ledger and the outbox: to the person, and those that name the person in
    Reply-To. The ledger keeps that they were sent, not to whom."""
    rows: int
    """Rows of the warehouse that were deleted, or that no longer identify the person."""


def erase(settings: Settings, ledger: Ledger, address: str, *, by: str, why: str) -> Erased:
    """Remove a person by address; what has not surely left to them ends in the same transaction.

    The person may be a contact, the owner of accounts, or both. An account that they own stays,
    without an owner until the CRM names one; what is planned in their name is stopped. A survey
    response stays with its score, without its words and without who gave it. Where the address
    is somebody's id, as of who used the product, its hash takes its place: counts stay right.

    The caller holds the state folder's lock. Safe to repeat after a crash: what is gone is
    gone, the rest follows. The CRM is not ours: while it exports the person, their row comes
    back to the warehouse with every pull, and stays unmailed. Raises InputError for what is
    no address, SettingsError without `[privacy] erasure_key`, LedgerError under another one.
    """
    if not is_address(suppressions.normalized(address)):
        raise InputError(f"{address!r} is not an e-mail address")
    key = settings.privacy.erasure_key.get_secret_value()
    if not key:
        raise SettingsError(
            "privacy.erasure_key is empty: without it an erased person could not be told from "
            "others; set LIFECYCLE__PRIVACY__ERASURE_KEY to a long random text, and keep it"
        )
    check_key(settings, ledger)
    forms = sorted(suppressions.forms(address))
    newest = erasure_keys.verifier(erasure_keys.keys(key)[0])
    remember(settings, [newest, *(suppressions.digest(form, key) for form in forms)])
    rows = _erase_from_warehouse(settings, forms, suppressions.digest(forms[0], key))
    with ledger.write() as connection:
        send_ids = erased.erase(connection, forms, key, by=by, why=why)
    for send_id in send_ids:
        with suppress(FileNotFoundError):
            (settings.outbox_dir / f"{send_id}.eml").unlink()
    for preview in settings.outbox_dir.glob(f"{PREVIEW_ID}*.eml"):
        preview.unlink(missing_ok=True)  # whoever it shows, it can be made again
    return Erased(len(send_ids), rows)


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


def _erase_from_warehouse(settings: Settings, forms: list[str], hashed: str) -> int:
    # The working folder of the last load may still hold the rows that it loaded.
    shutil.rmtree(settings.state_dir / "dlt", ignore_errors=True)
    # And so does the warehouse's copy that a killed backfill leaves.
    shutil.rmtree(settings.state_dir / COPY, ignore_errors=True)
    rows = 0
    if settings.work_db.exists():
        with connect_work(settings) as work:
            rows = _erase_rows(work, forms, hashed)
            fresh = _rewritten(work, settings.work_db)
        os.replace(fresh, settings.work_db)
    if settings.published_db.exists():
        # Readers have it open read-only: the rows are deleted from a copy that replaces it.
        copy = settings.published_db.with_suffix(".erase")
        shutil.copyfile(settings.published_db, copy)
        with connect(copy) as published:
            rows += _erase_rows(published, forms, hashed)
            fresh = _rewritten(published, copy)
        os.replace(fresh, settings.published_db)
        copy.unlink()
    return rows


def _rewritten(warehouse: duckdb.DuckDBPyConnection, file: Path) -> Path:
    """The database in a new file beside it: a deleted row stays legible in an old one."""
    fresh = file.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    catalog = file.name.split(".")[0]
    warehouse.execute(f"attach '{str(fresh).replace(chr(39), chr(39) * 2)}' as fresh")
    warehouse.execute(f'copy from database "{catalog}" to fresh')
    warehouse.execute("detach fresh")
    return fresh


def _erase_rows(warehouse: duckdb.DuckDBPyConnection, forms: list[str], hashed: str) -> int:
    """Delete or empty the rows of every table that tell who the person is; returns how many."""
    tables: dict[str, dict[str, str]] = {
        f'"{schema}"."{table}"': columns
        for schema, table, columns in warehouse.execute(
            """
            select
                table_schema,
                table_name,
                map_from_entries(list((column_name, data_type))) as columns
            from information_schema.columns
            join information_schema.tables using (table_catalog, table_schema, table_name)
            where table_type = 'BASE TABLE' and table_name not like '\\_dlt%' escape '\\'
            group by all
            """
        ).fetchall()
    }
    contact_ids: set[str] = set()
    for table, columns in tables.items():
        if {"contact_id", "email"} <= columns.keys():
            contacts_of_address = (
                f"select contact_id from {table} where list_contains(?, lower(trim(email)))"
            )
            contact_ids |= {
                row[0] for row in warehouse.execute(contacts_of_address, [forms]).fetchall()
            }
    changed = 0

    def change(statement: str, values: Collection[str]) -> None:
        nonlocal changed
        row = warehouse.execute(statement, [list(values)]).fetchone()
        changed += row[0] if row else 0

    for table, columns in tables.items():
        for column in columns.keys() & {"email", "email_normalized"}:
            change(f"delete from {table} where list_contains(?, lower(trim({column})))", forms)
        if "owner_email" in columns:
            emptied = ", ".join(
                f"{name} = null" for name in columns.keys() & {"owner_email", "owner_name"}
            )
            is_owner = "list_contains(?, lower(trim(owner_email)))"
            change(f"update {table} set {emptied} where {is_owner}", forms)
        if {"contact_id", "comment"} <= columns.keys():
            is_theirs = "list_contains(?, contact_id)"
            change(
                f"update {table} set contact_id = null, comment = null where {is_theirs}",
                contact_ids,
            )
        if "record" in columns:
            holds_address = (
                "select 1 from unnest(?::varchar[]) as t(form) where contains(lower(record), form)"
            )
            change(f"delete from {table} where exists ({holds_address})", forms)
            # A rejected record need not be JSON.
            contact = "case when json_valid(record) then record ->> '$.contact_id' end"
            change(f"delete from {table} where list_contains(?, {contact})", contact_ids)
        if {"reason", "value"} <= columns.keys():
            any_form = "select 1 from unnest(?::varchar[]) as t(form)"
            names_them = f"{any_form} where contains(lower(reason), form)"
            change(f"delete from {table} where exists ({names_them})", forms)
        # Anywhere else an address that stands alone is somebody's id, and has to stay one.
        for column in (name for name, data_type in columns.items() if data_type == "VARCHAR"):
            is_address = f'list_contains(?, lower(trim("{column}")))'
            change(f"update {table} set \"{column}\" = '{hashed}' where {is_address}", forms)
    return changed
