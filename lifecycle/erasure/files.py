"""The files of a state folder that may name a person: logs, reports, mails, leftovers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lifecycle.ledger.erased import readable
from lifecycle.ledger.erased_person import Person
from lifecycle.logs import locked
from lifecycle.mail.preview_mail import PREVIEW_ID
from lifecycle.settings import Settings
from lifecycle.temporary_folders import sweep_temporary_folders
from lifecycle.warehouse.backfill import COPY

LEFTOVERS = ("pull", COPY)
"""Folders that only a command under way needs; a killed one leaves them."""
HALF_WRITTEN = (".fresh", ".erase", ".part", ".partial")
"""Files that a killed command did not rename."""
DATABASES = (".db", ".duckdb", ".db-wal", ".db-shm", ".wal")
"""They are erased from as databases."""
NOT_OURS = ("erased.txt", "prefect.auth", "run.lock")


def sweep(settings: Settings) -> None:
    """Remove the copies of data that killed commands left. The caller holds the state folder's
    lock."""
    for name in LEFTOVERS:
        shutil.rmtree(settings.state_dir / name, ignore_errors=True)
    sweep_temporary_folders(settings.state_dir)


def erase(settings: Settings, person: Person) -> int:
    """Remove the person from every file but backups; returns how many files named them."""
    changed = 0
    # The working folder of the last load may still hold the rows that it loaded.
    shutil.rmtree(settings.state_dir / "dlt", ignore_errors=True)
    for file in _files(settings):
        if file.suffix in HALF_WRITTEN:
            file.unlink(missing_ok=True)
    for preview in settings.outbox_dir.glob(f"{PREVIEW_ID}*.eml"):
        preview.unlink(missing_ok=True)  # whoever it shows, it can be made again
    for file in _files(settings):
        if file.name in NOT_OURS or file.name.endswith(DATABASES):
            continue
        if file.suffix == ".eml":
            changed += _erase_mail(file, person)
        else:
            changed += _erase_text(file, person, in_place=file.parent.name == "logs")
    return changed


def _files(settings: Settings) -> Iterator[Path]:
    backups = settings.backups_dir
    for folder, folders, names in os.walk(settings.state_dir):
        folders[:] = [name for name in folders if Path(folder, name) != backups]
        yield from (Path(folder, name) for name in names if not Path(folder, name).is_symlink())


def _erase_mail(file: Path, person: Person) -> bool:
    """Remove a stored mail that has the address: what it says cannot be rewritten."""
    if not any(map(person.has_address, readable(file.read_bytes()))):
        return False
    file.unlink(missing_ok=True)
    return True


def _erase_text(file: Path, person: Person, *, in_place: bool) -> bool:
    """Rewrite a text without the person; a file of another kind that names them goes.

    `in_place` is a log: whoever has it open goes on writing into it.
    """
    data = file.read_bytes()
    text = data.decode("utf-8", "surrogateescape")
    if not person.is_in(text):
        return False
    if b"\0" in data:
        file.unlink(missing_ok=True)
        return True
    if in_place:
        with locked(file):
            text = file.read_bytes().decode("utf-8", "surrogateescape")
            kept = person.without(text).encode("utf-8", "surrogateescape")
            with file.open("r+b") as log:
                log.write(kept)
                log.truncate()
        return True
    fresh = file.with_name(f".{file.name}.{os.getpid()}.part")
    fresh.write_bytes(person.without(text).encode("utf-8", "surrogateescape"))
    shutil.copymode(file, fresh)
    os.replace(fresh, file)
    return True
