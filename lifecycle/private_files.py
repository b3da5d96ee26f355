"""Only its owner reads what a command leaves behind: mails, addresses, signed links."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

PRIVATE_FOLDER = 0o700
OWNER_ONLY = 0o077
"""The umask: what others may not do with a new file or folder."""


def keep_private(state_dir: Path) -> None:
    """Close a state folder to other users, and all that this process creates from now on.

    A folder that is not there yet is created later, closed as well. One of another owner (a
    mounted volume), or on a disk that may only be read, keeps its mode.
    """
    os.umask(OWNER_ONLY)
    with suppress(OSError):
        status = state_dir.stat()
        if stat.S_IMODE(status.st_mode) & OWNER_ONLY:
            state_dir.chmod(PRIVATE_FOLDER)
