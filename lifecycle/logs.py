"""The log files of a state folder: rotated, without addresses, and never a reason to fail.

`logs/lifecycle.log` says what every run and every delivery did, whoever started it, and what
libraries warn of. Times are UTC.
"""

from __future__ import annotations

import fcntl
import logging
import logging.handlers
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lifecycle.masking import mask_addresses
from lifecycle.outside_text import for_log

OURS = ("lifecycle", "flows")
"""Loggers that are written from INFO on; of all others only warnings and worse."""
MOST_BYTES = 10_000_000
"""Of one file: some months of `lifecycle.log`."""
KEPT = 5
"""Older files beside the newest: lifecycle.log.1 is the one before."""


def write_log(folder: Path) -> None:
    """Write what happens from now on into `lifecycle.log` of a folder, and of no other one.

    Doing so twice is fine.
    """
    path = folder.absolute() / "lifecycle.log"
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LogFile)]:
        if Path(handler.baseFilename) == path:
            return
        root.removeHandler(handler)
        handler.close()
    root.addHandler(LogFile(path))
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)


class LogFile(logging.handlers.RotatingFileHandler):
    """A log file that several processes write and rotate at once.

    What cannot be written (a full disk, a folder that is gone) is said once on standard error,
    and whoever logged goes on.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES, kept: int = KEPT) -> None:
        super().__init__(
            path.absolute(), maxBytes=most_bytes, backupCount=kept, encoding="utf-8", delay=True
        )
        self.setFormatter(Private("%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s"))
        self.addFilter(_is_wanted)
        self._has_complained = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, where the file is now: another process may have rotated it."""
        if self.stream is not None and not self._is_current():
            self._let_go()
        super().emit(record)

    def _let_go(self) -> None:
        """Close the file; the next record opens the one of that name."""
        with suppress(OSError):
            self.stream.close()
        self.stream = None  # type: ignore[assignment]

    def _is_current(self) -> bool:
        try:
            on_disk, ours = os.stat(self.baseFilename), os.fstat(self.stream.fileno())
        except (OSError, ValueError):
            return False
        return (on_disk.st_dev, on_disk.st_ino) == (ours.st_dev, ours.st_ino)

    def _open(self):  # type: ignore[no-untyped-def]
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def close(self) -> None:
        """Close the file; what a full disk did not take is lost."""
        with suppress(OSError):
            super().close()

    def doRollover(self) -> None:  # noqa: N802
        """Rotate, unless another process just did."""
        with locked(Path(self.baseFilename)):
            if self._is_current():
                super().doRollover()
            else:
                self._let_go()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say once what is wrong with the log; it is no reason for a run to fail."""
        if self._has_complained:
            return
        self._has_complained = True
        error = sys.exc_info()[1]
        why = (error.strerror if isinstance(error, OSError) else None) or error
        with suppress(OSError, ValueError):
            sys.stderr.write(
                f"lifecycle: the log {self.baseFilename} cannot be written: {why}. What is under "
                "way goes on; the log has a gap.\n"
            )


class Private(logging.Formatter):
    """Masks addresses in the whole of what is written, tracebacks included. Times are UTC."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record, each of its lines but the first set in."""
        return for_log(mask_addresses(super().format(record)))


def _is_wanted(record: logging.LogRecord) -> bool:
    is_ours = record.name.partition(".")[0] in OURS
    return record.levelno >= (logging.INFO if is_ours else logging.WARNING)


def keep_small(path: Path, *, most_bytes: int = MOST_BYTES, kept: int = KEPT) -> None:
    """Rotate a log that another process has open and appends to, once it is too large.

    The file is copied and emptied, for its writer knows no other; a line that is written between
    the two may be lost. Raises nothing: a disk without room for the copy loses what is oldest.
    """
    with suppress(OSError):
        if path.stat().st_size <= most_bytes:
            return
        with locked(path):
            for number in range(kept - 1, 0, -1):
                older = path.with_name(f"{path.name}.{number}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{number + 1}"))
            try:
                shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            finally:
                os.truncate(path, 0)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time rotate a file."""
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
