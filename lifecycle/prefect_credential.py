"""The credential of Prefect's API. Whoever has it can run commands as the user of the server."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.masking import know_secret

FILE_NAME = "prefect.auth"
USER = "lifecycle"
LOCAL_NAMES = ("127.0.0.1", "localhost")
"""What a request may call this machine."""


def is_local(host: str | None) -> bool:
    """Return whether a server is on this machine: no other gets the credential."""
    return host in LOCAL_NAMES


def read_or_create(state_dir: Path) -> str:
    """Return the line `user:password` of a state folder. The first call creates it.

    Raises LifecycleError when other users can read the file, or its content is no credential.
    """
    path = state_dir / FILE_NAME
    if not path.exists():
        _create(path)
    return read(state_dir)


def read(state_dir: Path) -> str:
    """Return the line `user:password` of a state folder.

    Raises FileNotFoundError where there is none yet, and LifecycleError like
    `read_or_create`.
    """
    path = state_dir / FILE_NAME
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise LifecycleError(
            f"other users of this machine can read {path}: remove it, and end Prefect's server "
            "where one runs; the next start creates another"
        )
    credential = path.read_text(encoding="utf-8").strip()
    user, _, password = credential.partition(":")
    if not user or not password or len(credential.split()) != 1:
        raise LifecycleError(
            f"{path} has no credential: one line user:password is needed; remove the file, "
            "and the next start creates another"
        )
    know_secret(credential)
    know_secret(password)
    return credential


def _create(path: Path) -> None:
    """Write the file whole or not at all; of two processes that begin, the first one counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as line:
            line.write(f"{USER}:{secrets.token_urlsafe(32)}\n")
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
