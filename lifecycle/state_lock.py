"""One writer at a time in a state folder, and data of one source alone."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from lifecycle.errors import AlreadyRunning


@contextmanager
def only_one(state_dir: Path) -> Iterator[TextIO]:
    """Hold the state folder's lock; the system gives it back when the process dies.

    Raises AlreadyRunning when another process holds it.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "run.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_who_holds(file.name)) from None
        file.truncate(0)
        holder = {"pid": os.getpid(), "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}
        file.write(json.dumps(holder))
        file.flush()
        yield file


def _who_holds(path: str) -> str:
    try:
        holder = json.loads(Path(path).read_text(encoding="utf-8"))
        holder_text = f"process {holder['pid']}, since {holder['since']}"
    except (OSError, ValueError, KeyError):
        holder_text = "it has only just begun"
    return f"another run is working in {Path(path).parent} ({holder_text}); wait for it, or end it"
