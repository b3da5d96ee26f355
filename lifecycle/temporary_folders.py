"""Folders for the time of one command: in the state folder, for the owner alone, and swept.

They hold copies of the warehouse and of exports. A command removes its own at its end, also on
SIGTERM; what a killed one leaves is removed by the next command that makes one, by every run and
by `lifecycle erase`.
"""

from __future__ import annotations

import fcntl
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from lifecycle.private_files import PRIVATE_FOLDER

NAME = "temporary"
_LOCK = ".in_use"


@contextmanager
def temporary_folder(state_dir: Path, purpose: str) -> Iterator[Path]:
    """Make an empty folder that is gone after the block."""
    sweep_temporary_folders(state_dir)
    parent = state_dir.absolute() / NAME
    parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=parent))
    with (folder / _LOCK).open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system gives it back when the process dies
        try:
            with _sigterm_ends_the_block():
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_temporary_folders(state_dir: Path) -> None:
    """Remove the folders of commands that were killed."""
    parent = state_dir.absolute() / NAME
    if not parent.is_dir():
        return
    for folder in parent.iterdir():
        if not _is_in_use(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_in_use(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # It was made this moment, or its process died before it could lock it.
        return _is_new(folder)
    return False


def _is_new(folder: Path) -> bool:
    with suppress(OSError):
        return time.time() - folder.stat().st_mtime < 60
    return False


@contextmanager
def _sigterm_ends_the_block() -> Iterator[None]:
    """SIGTERM is as Ctrl-C meanwhile: what is open is closed and removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:  # somebody else ends the process in an orderly way
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
