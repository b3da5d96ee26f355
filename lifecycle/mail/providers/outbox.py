"""Mails land in a folder, one `<send_id>.eml` each: safe by default, nothing leaves.

A mail appears whole or not at all, and never twice: it is written under a temporary name and
flushed to disk, then linked to its name, which fails where that name is taken. It is accepted
only once the folder too is on disk, so what the ledger calls accepted survives a power cut.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Literal
from uuid import uuid4

from lifecycle.errors import DeliveryError
from lifecycle.ledger.tables import State
from lifecycle.mail.providers import TOO_LATE_TO_BEGIN, Mail, Outcome

_SEND_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Outbox:
    """A folder of mails, shared by any number of threads and processes."""

    name = "outbox"
    live = False
    batch_size = 1

    def __init__(self, folder: Path) -> None:
        """Open the folder, make it where there is none, and clear what dead writers left.

        Raises DeliveryError when the folder cannot be made or written to.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            self._sweep()
        except OSError as error:
            raise DeliveryError(f"{folder}: the outbox cannot be used: {error.strerror}") from None
        self._counting = threading.Lock()
        self._flushing = threading.Lock()
        self._linked = 0  # links that were made
        self._flushed = 0  # how many of them are on disk

    def send(self, mails: Sequence[Mail], begin_by: float = inf) -> list[Outcome]:
        """Write the mails, unless they are there already. Returns when they are on disk."""
        return [
            self._send_one(mail.send_id, mail.mime) if time.time() < begin_by else TOO_LATE_TO_BEGIN
            for mail in mails
        ]

    def _send_one(self, send_id: str, mime: bytes) -> Outcome:
        final = self._file(send_id)
        try:
            with self._written(send_id, mime) as temporary:
                os.link(temporary, final)
            detail = ""
        except FileExistsError:
            detail = "was in the outbox already"
        except OSError as error:
            return Outcome(State.QUEUED, f"could not be written: {error.strerror}")
        try:
            self._sync_folder()
        except OSError as error:
            return Outcome(State.UNCERTAIN, f"written, perhaps not to disk: {error.strerror}")
        return Outcome(State.ACCEPTED, detail)

    def rest(self) -> float:
        """0: a folder needs no pause."""
        return 0.0

    def resolve(self, send_id: str) -> Literal[State.ACCEPTED, State.QUEUED] | None:
        """Accepted where the file is there; else it is provably absent."""
        try:
            if not self._file(send_id).exists():
                return State.QUEUED
            self._sync_folder()
        except OSError:
            return None
        return State.ACCEPTED

    def close(self) -> None:
        """Close the folder."""
        os.close(self._folder_fd)

    def _file(self, send_id: str) -> Path:
        if not _SEND_ID.fullmatch(send_id):
            raise ValueError(f"{send_id!r} is not the id of a send")
        return self.folder / f"{send_id}.eml"

    @contextmanager
    def _written(self, send_id: str, mime: bytes) -> Iterator[Path]:
        """A temporary file with the mail on disk; its lock says that its writer lives."""
        path = self.folder / f".{send_id}.{uuid4().hex}.tmp"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with open(fd, "wb", closefd=False) as file:
                file.write(mime)
            os.fsync(fd)
            yield path
        finally:
            with suppress(FileNotFoundError):
                path.unlink()
            os.close(fd)

    def _sync_folder(self) -> None:
        """Flush the folder; one flush serves all threads whose links came before it."""
        with self._counting:
            self._linked += 1
            mine = self._linked
        with self._flushing:
            if self._flushed < mine:
                linked = self._linked
                os.fsync(self._folder_fd)
                self._flushed = linked

    def _sweep(self) -> None:
        """Remove the temporary files of writers that were killed: those no process locks.

        A file swept between its making and its locking makes its writer's link fail, which is
        an attempt that definitely did not succeed, and is made again.
        """
        for path in self.folder.glob(".*.tmp"):
            with suppress(FileNotFoundError, BlockingIOError):
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(fd)
