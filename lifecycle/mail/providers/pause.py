"""Until when a provider asked to be left alone.

It stands in a file, as the time at which that file was "changed", so that every worker of this
machine and the next run keep to it as well, and so that looking costs a microsecond.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

LONGEST_SECONDS = 86_400.0
"""A reset further away than a day is a mistake of whoever wrote it."""


class Pause:
    """One pause of one provider, shared by all threads and processes that name the same file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def left(self) -> float:
        """How many seconds are left of it; 0 where it is over."""
        try:
            until = os.stat(self.file).st_mtime
        except FileNotFoundError:
            return 0.0
        return max(0.0, until - time.time())

    def extend(self, seconds: float) -> float:
        """Pause for that many seconds from now; never makes it shorter. Returns what is left."""
        until = time.time() + min(seconds, LONGEST_SECONDS)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            there = os.fstat(fd).st_mtime
            # A file that was just made says now, and one whose pause is over says the past.
            os.utime(fd, (until, max(until, there)))
        finally:
            os.close(fd)
        return self.left()
