"""What Prefect's own database in the state folder says of a person: artifacts, events, logs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from lifecycle.errors import LedgerError
from lifecycle.ledger.erased_person import Person
from lifecycle.settings import Settings

BUSY_SECONDS = 60


def erase(settings: Settings, person: Person) -> None:
    """Rewrite every text that names the person; a server that runs meanwhile goes on.

    A Prefect server elsewhere, or on PostgreSQL, is not reached. Raises LedgerError where the
    database is locked for long.
    """
    file = settings.state_dir / "prefect" / "prefect.db"
    if not file.exists():
        return
    try:
        _erase(file, person)
    except sqlite3.Error as error:
        raise LedgerError(f"{file} cannot be searched for the person: {error}") from error


def _erase(file: Path, person: Person) -> None:
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as database:
        database.execute("pragma secure_delete = on")
        names_them = _is_in(person)
        database.create_function("names_them", 1, names_them, deterministic=True)
        database.execute("begin immediate")
        changed = 0
        for (table,) in database.execute(
            "select name from sqlite_master where type = 'table' and sql not like '%without rowid%'"
            " and name not like 'sqlite_%' and name not like 'alembic%'"
        ).fetchall():
            changed += _erase_table(database, table, person)
        database.execute("commit")
        if changed:
            database.execute("vacuum")
        database.execute("pragma wal_checkpoint(truncate)").fetchall()


def _is_in(person: Person):  # type: ignore[no-untyped-def]
    def names_them(value: object) -> bool:
        return isinstance(value, str) and person.is_in(value)

    return names_them


def _erase_table(database: sqlite3.Connection, table: str, person: Person) -> int:
    changed = 0
    for _, column, *_ in database.execute(f'pragma table_info("{table}")').fetchall():
        found = f'select rowid, "{column}" from "{table}" where names_them("{column}")'
        for rowid, value in database.execute(found).fetchall():
            change = f'update "{table}" set "{column}" = ? where rowid = ?'
            database.execute(change, (person.without(value), rowid))
            changed += 1
    return changed
