"""Opens the ledger and keeps its promise: what is committed survives a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from lifecycle.errors import LedgerError, SettingsError

MIGRATIONS = Path(__file__).parent / "migrations"
NEWEST = max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""The revision that this version of the code knows; a file's name begins with its revision."""
BUSY_TIMEOUT_MS = 60_000
"""How long a writer waits for another one: longer than any transaction of ours."""


ONE_WRITER = 20261122
"""The advisory lock of whoever writes; a number of our own, for each database."""


class Ledger:
    """One open ledger. `read` and `write` give a connection; a write commits or undoes all."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)
        # SQLite's readers see one moment by themselves.
        one_moment = {"isolation_level": "REPEATABLE READ"}
        is_postgres = engine.dialect.name == "postgresql"
        self._reader = engine.execution_options(**one_moment) if is_postgres else engine

    @classmethod
    def open(cls, url: str, *, durable: bool = True) -> Ledger:
        """Open the ledger at a SQLAlchemy address and bring its tables up to date.

        One that is thrown away afterwards need not be `durable`: SQLite then waits for no disk.

        Raises SettingsError for an address that cannot be understood, NewerVersion for a ledger
        that a newer version upgraded, LedgerError for a database that cannot be reached or used.
        """
        try:
            address = make_url(url)
            if address.drivername in ("postgres", "postgresql"):
                address = address.set(drivername="postgresql+psycopg")
            # Values are kept out of errors: many of them are somebody's address.
            engine = create_engine(address, pool_pre_ping=True, hide_parameters=True)
        except ModuleNotFoundError as error:
            hint = "install lifecycle[postgres]" if error.name == "psycopg" else "install it"
            raise SettingsError(f"ledger.url: {error.name} is not installed; {hint}") from None
        except (ArgumentError, NoSuchModuleError) as error:
            raise SettingsError(f"ledger.url: {error}") from None
        if engine.dialect.name == "sqlite":
            if address.database:
                Path(address.database).parent.mkdir(parents=True, exist_ok=True)
            event.listen(engine, "connect", _set_up_sqlite)
            if not durable:
                event.listen(engine, "connect", _do_not_wait)
            event.listen(engine, "begin", _begin_sqlite)
        ledger = cls(engine)
        try:
            ledger._migrate()
        except SQLAlchemyError as error:
            reason = str(error).splitlines()[0]
            raise LedgerError(f"the ledger {address!r} cannot be used: {reason}") from error
        except BaseException:
            ledger.close()
            raise
        return ledger

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one moment of the ledger."""
        with self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction, alone among writers from its first moment on.

        SQLite has one writer anyway. On PostgreSQL two that lock the same rows in another
        order would end in a deadlock, and a claim could pass a suppression.
        """
        with self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"select pg_advisory_xact_lock({ONE_WRITER})"))
            yield connection

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _migrate(self) -> None:
        with self.read() as connection:
            revision = _revision(connection)
        if revision == NEWEST:
            return
        from lifecycle.ledger.migrate import migrate  # Alembic: only an old ledger needs it

        migrate(self, revision)


def _revision(connection: Connection) -> str | None:
    """Return the revision of the ledger's tables; None where there are none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("select version_num from alembic_version"))
    return version


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin when we say so, see below
    cursor = connection.cursor()
    cursor.execute(f"pragma busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = full")
    # A send's id is a hash, so each move touches pages all over the file: keep more of them,
    # and copy them back less often than every 4 MB. What is committed is safe in the log.
    cursor.execute("pragma cache_size = -65536")  # KiB
    cursor.execute("pragma wal_autocheckpoint = 8192")  # pages
    cursor.execute("pragma foreign_keys = on")
    cursor.execute("pragma secure_delete = on")  # of an erased person not even free pages tell
    cursor.close()


def _do_not_wait(connection: Any, _: Any) -> None:
    connection.execute("pragma synchronous = off")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail half way when another writer
    # came between; one that will write takes the lock at once and waits its turn.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("begin immediate" if writes else "begin")
