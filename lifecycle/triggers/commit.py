"""Which commit of a git checkout holds a file as it is now, and who changed it last."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lifecycle.child_environment import child_environment


def author_of(file: Path, commit: str) -> frozenset[str] | None:
    """The address and the name of whoever changed a file last, up to a commit, in lower case.

    None where git does not know.
    """
    shown = "--format=%ae%x00%an"
    try:
        log = subprocess.run(
            ["git", "-C", str(file.parent), "log", "-1", shown, commit, "--", file.name],
            env=child_environment("GIT_"),
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    names = (name.strip().casefold() for name in log.stdout.split("\0"))
    return frozenset(name for name in names if name) or None


def commit_of(file: Path) -> str | None:
    """The checkout's commit, or None where the file is not in it as it stands: no checkout, no
    git on this machine, a change that was not committed, a file that git does not know.
    """
    asked = "--porcelain=v2 --branch --untracked-files=all --ignored=matching"
    try:
        git_status = subprocess.run(
            ["git", "-C", str(file.parent), "status", *asked.split(), "--", file.name],
            env=child_environment("GIT_"),
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    head_line, *changes = git_status.stdout.splitlines() or [""]
    is_clean = all(line.startswith("# ") for line in changes)
    oid = head_line.removeprefix("# branch.oid ")
    return oid if is_clean and oid != head_line and oid != "(initial)" else None
