"""A copy of the ledger while it is being written, and the way back from it.

A backup is a ledger in one SQLite file, whichever engine it came from: one moment of it,
complete. After a restore nobody knows what left since the backup was taken; so all that may
have is uncertain until evidence, or a person, decides.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, delete, func, insert, select

from lifecycle.errors import InputError, NewerVersion
from lifecycle.ledger import erased, erasure_keys
from lifecycle.ledger.states import batches, transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_LEFT, State, actions, metadata, recording, runs, sends

DOUBT = "the ledger was restored from a backup of {taken}: it may have left since"


def back_up(ledger: Ledger, file: Path) -> int:
    """Write one moment of the ledger into a new file; returns how many rows it has.

    Runs and deliveries go on meanwhile. The file appears whole or not at all. Raises
    InputError if it is there already.
    """
    if file.exists():
        raise InputError(f"{file} is there already; a backup never replaces another")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        with Ledger.open(f"sqlite:///{part}") as copy, ledger.read() as old, copy.write() as new:
            copied = _copy(old, new)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.link(part, file)  # fails if somebody else was faster
    except FileExistsError:
        raise InputError(f"{file} is there already; a backup never replaces another") from None
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return copied


def restore(
    ledger: Ledger,
    file: Path,
    *,
    by: str,
    why: str,
    hashes: Collection[str] = (),
    verifiers: Collection[str] = (),
    erasure_key: str = "",
) -> int:
    """Fill an empty ledger from a backup; returns how many mails are now uncertain.

    `hashes` are of people who were erased, perhaps after the backup was taken, and `verifiers` of
    the keys of these hashes: they are erased again, by the key of `[privacy]`. Raises LedgerError
    where it is missing, or another one than then.

    Mails that were planned or under way at the backup and due since may have left; those
    that the first run plans may have left too, and `lifecycle.ledger.decisions` takes them
    for uncertain. Raises InputError for a ledger that is not empty, or a file that is none or
    was written by a newer version.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such backup")
    with _opened(file) as backup, ledger.write() as new:
        if new.scalar(select(func.count()).select_from(runs)):
            raise InputError(
                "this ledger is not empty: name another one (LIFECYCLE__LEDGER__URL), or move "
                "it away first"
            )
        with backup.read() as old:
            _copy(old, new)
        erasure_keys.keep_first(new, erasure_key)
        again = {"by": by, "why": "erased before the restore"}
        erased.erase_again(new, hashes, erasure_key, verifiers=verifiers, **again)
        now = datetime.now(UTC)
        taken = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        detail = DOUBT.format(taken=f"{taken:%Y-%m-%d %H:%M} UTC")
        states = [*NOT_LEFT, State.ATTEMPTING]
        doubtful = transition(
            new,
            State.UNCERTAIN,
            detail,
            now,
            sends.c.state.in_(states),
            (sends.c.not_before <= now) | (sends.c.state == State.ATTEMPTING),
        )
        new.execute(
            actions.insert().values(at=now, action="restore", subject=file.name, by=by, why=why)
        )
    return len(doubtful)


@contextmanager
def _opened(file: Path) -> Iterator[Ledger]:
    """A copy of a backup, its tables brought up to date; the backup itself stays as it is."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "ledger.db"
        shutil.copyfile(file, copy)
        try:
            ledger = Ledger.open(f"sqlite:///{copy}")
        except NewerVersion as error:
            raise NewerVersion(f"{file}: this backup {error.what}") from None
        with ledger:
            yield ledger


def in_doubt(ledger: Connection) -> bool:
    """Whether what is planned now may have left before a restore: no run was done since."""
    restored = ledger.scalar(
        select(actions.c.at)
        .where(actions.c.action == "restore")
        .order_by(actions.c.at.desc())
        .limit(1)
    )
    if restored is None:
        return False
    since = select(runs.c.run_id).where(runs.c.status == "done", runs.c.started_at > restored)
    return ledger.execute(since.limit(1)).first() is None


def _copy(old: Connection, new: Connection) -> int:
    copied = 0
    new.execute(delete(recording))  # the row that came with the tables gives way to the copy's
    for table in metadata.sorted_tables:
        rows = old.execute(select(table), execution_options={"yield_per": 1_000})
        for batch in batches(rows):
            new.execute(insert(table), [dict(row._mapping) for row in batch])
            copied += len(batch)
        if new.dialect.name == "postgresql" and "id" in table.c:
            # The numbers were copied, so the counter that gives them out has to catch up.
            counter = func.pg_get_serial_sequence(table.name, "id")
            new.execute(select(func.setval(counter, func.max(table.c.id))).select_from(table))
    return copied
