"""The pause that a provider asked for.

A file stores its end as the file's modification time, so that every worker of this machine and the
next run keep it as well.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

LONGEST_SECONDS = 86_400.0
"""A reset more than a day ahead is a mistake of its author."""
LOOK_EVERY_SECONDS = 0.1
"""How soon another process's pause is seen; what is under way could not know of it either."""


class Pause:
    """One pause of one provider, shared by all threads and processes that name the same file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._until = 0.0
        self._looked_at = float("-inf")
        self._looking = threading.Lock()

    def left(self) -> float:
        """Seconds that are left of the pause; 0 where it is over."""
        # While one thread reads the file, the others wait: their value is too old to send by.
        with self._looking:
            if time.monotonic() - self._looked_at > LOOK_EVERY_SECONDS:
                with suppress(FileNotFoundError):
                    self._until = max(self._until, os.stat(self.file).st_mtime)
                self._looked_at = time.monotonic()
            return max(0.0, self._until - time.time())

    def extend(self, seconds: float) -> float:
        """Pause for that many seconds from now; never makes it shorter. Returns what is left."""
        until = time.time() + min(seconds, LONGEST_SECONDS)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            already = os.fstat(fd).st_mtime
            # A file that was just made says now, and one whose pause is over says the past.
            until = max(until, already)
            os.utime(fd, (until, until))
        finally:
            os.close(fd)
        with self._looking:
            self._until = max(self._until, until)
        return self.left()
