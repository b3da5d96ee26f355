"""Removes a person everywhere, and keeps only a keyed hash, so that they stay unmailed."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from sqlalchemy import delete, select, update

from lifecycle.errors import InputError, SettingsError
from lifecycle.ledger import suppressions
from lifecycle.ledger.states import batches, move
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_LEFT, State, actions, feedback, messages, sends
from lifecycle.ledger.tables import suppressions as suppressions_table
from lifecycle.mail.message import is_address
from lifecycle.mail.rehearsal import PREVIEW_ID
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work


@dataclass(frozen=True)
class Erased:
    """What was found of a person and is gone."""

    mails: int
    """Stored mails, in the ledger and the outbox. That they were sent stays known, not to whom."""
    rows: int
    """Rows of the warehouse."""


def erase(settings: Settings, ledger: Ledger, address: str, *, by: str, why: str) -> Erased:
    """Remove a person by address; what is planned for them is stopped in the same transaction.

    The caller holds the state folder's lock. Safe to repeat after a crash: what is gone is
    gone, the rest follows. The CRM is not ours: while it exports the person, their row comes
    back to the warehouse with every pull, and stays unmailed. Raises InputError for what is
    no address, SettingsError without `[privacy] erasure_key`.
    """
    if not is_address(suppressions.normalized(address)):
        raise InputError(f"{address!r} is not an e-mail address")
    key = settings.privacy.erasure_key.get_secret_value()
    if not key:
        raise SettingsError(
            "privacy.erasure_key is empty: without it an erased person could not be told from "
            "others; set LIFECYCLE__PRIVACY__ERASURE_KEY to a long random text, and keep it"
        )
    forms = sorted(suppressions.forms(address))
    rows = _erase_from_warehouse(settings, forms)
    send_ids = _erase_from_ledger(ledger, forms, key, by, why)
    for send_id in send_ids:
        with suppress(FileNotFoundError):
            (settings.outbox_dir / f"{send_id}.eml").unlink()
    for preview in settings.outbox_dir.glob(f"{PREVIEW_ID}*.eml"):
        preview.unlink(missing_ok=True)  # whoever it shows, it can be made again
    return Erased(len(send_ids), rows)


def _erase_from_ledger(ledger: Ledger, forms: list[str], key: str, by: str, why: str) -> list[str]:
    now = datetime.now(UTC)
    with ledger.write() as connection:
        erased = [
            suppressions.Suppression(suppressions.digest(form, key), "erased", now, by)
            for form in forms
        ]
        suppressions.stop(connection, erased, now)
        theirs = sends.c.address.in_(forms)
        move(connection, State.SUPPRESSED, "erased", now, theirs, sends.c.state.in_(NOT_LEFT))
        send_ids: list[str] = list(connection.scalars(select(sends.c.send_id).where(theirs)))
        for some in batches(send_ids):
            connection.execute(delete(messages).where(messages.c.send_id.in_(some)))
        for form in forms:
            hashed = suppressions.digest(form, key)
            for table in (sends, feedback):
                same = table.c.address == form
                connection.execute(update(table).where(same).values(address=hashed))
            connection.execute(
                delete(suppressions_table).where(suppressions_table.c.address == form)
            )
        subject = suppressions.digest(forms[0], key)
        connection.execute(
            actions.insert().values(at=now, action="erase", subject=subject, by=by, why=why)
        )
    return send_ids


def _erase_from_warehouse(settings: Settings, forms: list[str]) -> int:
    # The working folder of the last load may still hold the rows that it loaded.
    shutil.rmtree(settings.state_dir / "dlt", ignore_errors=True)
    rows = 0
    if settings.work_db.exists():
        with connect_work(settings) as work:
            rows = _delete_rows(work, forms)
            fresh = _rewritten(work, settings.work_db)
        os.replace(fresh, settings.work_db)
    if settings.published_db.exists():
        # Readers have it open read-only: the rows are deleted from a copy that replaces it.
        copy = settings.published_db.with_suffix(".erase")
        shutil.copyfile(settings.published_db, copy)
        with duckdb.connect(copy) as published:
            rows += _delete_rows(published, forms)
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


def _delete_rows(warehouse: duckdb.DuckDBPyConnection, forms: list[str]) -> int:
    """Delete the rows of every table that name the address in whatever column holds it."""
    columns = warehouse.execute(
        """
        select table_schema, table_name, column_name from information_schema.columns
        join information_schema.tables using (table_catalog, table_schema, table_name)
        where table_type = 'BASE TABLE' and table_name not like '\\_dlt%' escape '\\'
          and column_name in ('email', 'email_normalized', 'record')
        """
    ).fetchall()
    deleted = 0
    for schema, table, column in columns:
        held = f'lower("{column}")'
        is_theirs = f"contains({held}, form)" if column == "record" else f"trim({held}) = form"
        found = warehouse.execute(
            f'delete from "{schema}"."{table}"'
            f" where exists (select 1 from unnest(?::varchar[]) as t(form) where {is_theirs})",
            [forms],
        ).fetchone()
        deleted += found[0] if found else 0
    return deleted
