"""A copy of the ledger every night: the newest are kept, the oldest go."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lifecycle.errors import LedgerError
from lifecycle.ledger import commands
from lifecycle.ledger.backup import back_up
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings

NAME = "ledger-%Y%m%d-%H%M%S.db"
"""Of a copy; the time is UTC. Copies of other names are a person's, and stay."""

log = logging.getLogger("lifecycle.ledger.nightly")


@dataclass(frozen=True)
class Copied:
    """What a night left behind."""

    file: Path
    rows: int
    removed: tuple[Path, ...]
    """Older copies that went."""


def copy_ledger(settings: Settings, ledger: Ledger, *, now: datetime | None = None) -> Copied:
    """Copy the ledger into `[backup] dir`, and keep the newest `[backup] keep` copies.

    The hashes of erased people go with it (`erased.txt`): a restore needs them. Nobody else can
    read the folder, for addresses are in it. Older copies go only once the new one is whole.
    Raises LedgerError where it cannot be written.
    """
    with commands.recorded(ledger, commands.BACK_UP):
        return _copy(settings, ledger, now or datetime.now(UTC))


def _copy(settings: Settings, ledger: Ledger, now: datetime) -> Copied:
    folder = settings.backups_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / now.strftime(NAME)
        rows = back_up(ledger, file)
        file.chmod(0o600)
        if settings.erased_file.exists():
            draft = folder / f".erased.{os.getpid()}.part"
            shutil.copyfile(settings.erased_file, draft)
            draft.replace(folder / settings.erased_file.name)
        removed = _remove_oldest(folder, settings.backup.keep)
    except OSError as error:
        raise LedgerError(f"the backup in {folder} failed: {error.strerror}") from error
    log.info("backup: %s, %s rows; %s older ones removed", file.name, rows, len(removed))
    return Copied(file, rows, removed)


def _remove_oldest(folder: Path, keep: int) -> tuple[Path, ...]:
    """Remove all copies but the newest; their names sort by time."""
    copies = sorted(path for path in folder.glob("ledger-*.db") if _is_copy(path))
    oldest = tuple(copies[:-keep])
    for path in oldest:
        path.unlink(missing_ok=True)
    return oldest


def _is_copy(path: Path) -> bool:
    try:
        datetime.strptime(path.name, NAME)  # noqa: DTZ007
    except ValueError:
        return False
    return True
