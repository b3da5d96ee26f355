"""Removes a person from the two DuckDB files of a state folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import duckdb

from lifecycle.duckdb_connection import connect
from lifecycle.ledger.erased_person import Person
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work

Tables = Mapping[str, Mapping[str, str]]
"""Quoted name of a table: its columns, each with its type."""

ADDRESSES = ("email", "email_normalized", "owner_email", "address")
"""Columns that hold an address alone."""
CONTACTS = ("email", "email_normalized", "address")
"""Those of them whose rows are about the person: they are deleted."""
CONTACT_IDS = ("contact_id",)


def addresses(settings: Settings) -> set[str]:
    """The addresses of all contacts and owners, normalised."""
    here: set[str] = set()
    for warehouse, tables in _files(settings):
        for table, columns in tables.items():
            for column in columns.keys() & set(ADDRESSES):
                query = f'select distinct lower(trim("{column}")) from {table}'
                here.update(row[0] for row in warehouse.execute(query).fetchall() if row[0])
    return here


def known(settings: Settings, person: Person) -> Person:
    """The person with the ids, names and accounts that the warehouse has of them."""
    for warehouse, tables in _files(settings):
        person = _known(warehouse, tables, person)
    return person


def addresses_of(settings: Settings, person: Person) -> set[str]:
    """All addresses at which the person's contacts are, or were, reached."""
    theirs: set[str] = set()
    ids = sorted(person.contact_ids)
    for warehouse, tables in _files(settings):
        for table, columns in tables.items():
            if {"contact_id", "email"} <= columns.keys():
                query = (
                    f"select distinct lower(trim(email)) from {table}"
                    " where list_contains(?, contact_id)"
                )
                theirs.update(
                    row[0] for row in warehouse.execute(query, [ids]).fetchall() if row[0]
                )
    return theirs


def erase(settings: Settings, person: Person) -> int:
    """Delete or empty all rows that tell who the person is; returns how many.

    Each file is written anew: a deleted row stays legible in an old one.
    """
    rows = 0
    if settings.work_db.exists():
        with connect_work(settings) as work:
            rows = _erase_rows(work, _tables(work), person)
            fresh = _rewritten(work, settings.work_db)
        os.replace(fresh, settings.work_db)
    if settings.published_db.exists():
        # Readers have it open read-only: the rows are deleted from a copy that replaces it.
        copy = settings.published_db.with_suffix(".erase")
        shutil.copyfile(settings.published_db, copy)
        with connect(copy) as published:
            rows += _erase_rows(published, _tables(published), person)
            fresh = _rewritten(published, copy)
        os.replace(fresh, settings.published_db)
        copy.unlink()
    return rows


def _files(settings: Settings) -> Iterable[tuple[duckdb.DuckDBPyConnection, Tables]]:
    if settings.work_db.exists():
        with connect_work(settings) as work:
            yield work, _tables(work)
    if settings.published_db.exists():
        with connect(settings.published_db, read_only=True) as published:
            yield published, _tables(published)


def _tables(warehouse: duckdb.DuckDBPyConnection) -> Tables:
    return {
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


def _rewritten(warehouse: duckdb.DuckDBPyConnection, file: Path) -> Path:
    """The database in a new file beside it."""
    fresh = file.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    catalog = file.name.split(".")[0]
    warehouse.execute(f"attach '{str(fresh).replace(chr(39), chr(39) * 2)}' as fresh")
    warehouse.execute(f'copy from database "{catalog}" to fresh')
    warehouse.execute("detach fresh")
    return fresh


def _known(warehouse: duckdb.DuckDBPyConnection, tables: Tables, person: Person) -> Person:
    found: dict[str, set[str]] = {"contact_id": set(), "name": set(), "account_id": set()}
    for table, columns in tables.items():
        for column in columns.keys() & {"email", "owner_email"}:
            wanted = {"contact_id": "contact_id", "account_id": "account_id", "name": "name"}
            if column == "owner_email":
                # There `name` is the account's.
                wanted = {"account_id": "account_id", "owner_name": "name"}
            for name, kind in wanted.items():
                if name not in columns:
                    continue
                query = (
                    f'select distinct "{name}" from {table}'
                    f' where list_contains(?, lower(trim("{column}")))'
                )
                rows = warehouse.execute(query, [list(person.forms)]).fetchall()
                found[kind].update(str(row[0]).strip() for row in rows if row[0] is not None)
    return replace(
        person,
        contact_ids=person.contact_ids | found["contact_id"],
        names=person.names | found["name"],
        accounts=person.accounts | found["account_id"],
    )


def _erase_rows(warehouse: duckdb.DuckDBPyConnection, tables: Tables, person: Person) -> int:
    changed = 0
    forms = list(person.forms)

    def change(statement: str, *values: object) -> None:
        nonlocal changed
        row = warehouse.execute(statement, list(values)).fetchone()
        changed += row[0] if row else 0

    for table, columns in tables.items():
        for column in sorted(columns.keys() & set(CONTACTS)):
            change(f'delete from {table} where list_contains(?, lower(trim("{column}")))', forms)
        if "owner_email" in columns:
            emptied = ", ".join(
                f"{name} = null" for name in sorted(columns.keys() & {"owner_email", "owner_name"})
            )
            is_owner = "list_contains(?, lower(trim(owner_email)))"
            change(f"update {table} set {emptied} where {is_owner}", forms)
        ids = sorted(person.contact_ids)
        if {"contact_id", "comment"} <= columns.keys():
            is_theirs = "list_contains(?, contact_id)"
            change(
                f"update {table} set contact_id = null, comment = null where {is_theirs}",
                ids,
            )
        if "record" in columns:
            holds_address = (
                "select 1 from unnest(?::varchar[]) as t(form) where contains(lower(record), form)"
            )
            change(f"delete from {table} where exists ({holds_address})", forms)
            # A rejected record need not be JSON.
            contact = "case when json_valid(record) then record ->> '$.contact_id' end"
            change(f"delete from {table} where list_contains(?, {contact})", ids)
        if {"reason", "value"} <= columns.keys():
            any_form = "select 1 from unnest(?::varchar[]) as t(form)"
            names_them = f"{any_form} where contains(lower(reason), form)"
            change(f"delete from {table} where exists ({names_them})", forms)
        changed += _replace_ids(warehouse, table, columns, person)
        changed += _replace_in_texts(warehouse, table, columns, person)
    return changed


def _replace_ids(
    warehouse: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str], person: Person
) -> int:
    """Hash the person's contact ids, and where the product knows them by these."""
    changed = 0
    where = dict.fromkeys(columns.keys() & set(CONTACT_IDS), "")
    if {"user_id", "account_id"} <= columns.keys():
        # Another account may have a user of that number.
        where["user_id"] = " and list_contains(?, account_id)"
    for column, of_account in where.items():
        for contact_id in sorted(person.contact_ids):
            values: list[object] = [person.pseudonym(contact_id), contact_id]
            if of_account:
                values.append(sorted(person.accounts))
            statement = f'update {table} set "{column}" = ? where "{column}" = ?{of_account}'
            row = warehouse.execute(statement, values).fetchone()
            changed += row[0] if row else 0
    return changed


def _replace_in_texts(
    warehouse: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str], person: Person
) -> int:
    """Put the hash in the place of the address wherever else it stands, alone or inside a text:
    an id has to stay one. In texts of their accounts names and ids go too."""
    changed = 0
    for column, data_type in columns.items():
        if not _holds_text(data_type):
            continue
        text = f'cast("{column}" as varchar)'
        changed += _change_texts(warehouse, table, column, data_type, text, person, "", [])
        if "account_id" in columns and column != "account_id":
            scope = " and list_contains(?, account_id)"
            accounts = [sorted(person.accounts)]
            changed += _change_texts(
                warehouse, table, column, data_type, text, person, scope, accounts
            )
    return changed


def _change_texts(
    warehouse: duckdb.DuckDBPyConnection,
    table: str,
    column: str,
    data_type: str,
    text: str,
    person: Person,
    scope: str,
    scoped: Collection[object],
) -> int:
    may_name = (
        f"exists (select 1 from unnest(?::varchar[]) as t(n) where contains(lower({text}), n))"
    )
    query = f"select distinct {text} from {table} where {may_name}{scope}"
    changed = 0
    for (old,) in warehouse.execute(query, [person.needles, *scoped]).fetchall():
        if person.is_address(old):
            new = person.hashed
        elif not scope:
            new = person.without_address(old)
        elif old.strip() in person.names:
            continue  # a name alone is somebody's: of a namesake, where the person's row is gone
        else:
            new = person.without(old)
        if new != old:
            statement = (
                f'update {table} set "{column}" = cast(? as {data_type}) where {text} = ?{scope}'
            )
            row = warehouse.execute(statement, [new, old, *scoped]).fetchone()
            changed += row[0] if row else 0
    return changed


def _holds_text(data_type: str) -> bool:
    return any(kind in data_type for kind in ("VARCHAR", "JSON"))
