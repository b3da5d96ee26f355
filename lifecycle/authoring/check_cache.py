"""Caches the outcome of a check of files until the files, or the code that checks them, change.

A check reads files alone, so the same bytes give the same outcome. `lifecycle status` and
`lifecycle validate` need not repeat one, nor import the libraries that it needs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lifecycle

LIBRARIES = ("great-expectations", "jinja2", "pydantic", "sqlglot")
"""Their versions decide, too, what is wrong in a file."""


class CheckCache:
    """The cached outcome of one check, in `<state>/checks/<name>.json`; None where it is stale."""

    def __init__(self, state_dir: Path, name: str, files: Iterable[Path], *values: object) -> None:
        """`files` are all that the check reads, `values` what else its outcome depends on."""
        self._path = state_dir / "checks" / f"{name}.json"
        self._fingerprint = _fingerprint(files, values)

    def read(self) -> Any:
        """The outcome as `write` got it, or None: there is none, or something changed since."""
        try:
            cached = json.loads(self._path.read_text(encoding="utf-8"))
            return cached["outcome"] if cached["fingerprint"] == self._fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, outcome: Any) -> None:
        """Keep the outcome, which JSON can hold. A folder that cannot be written keeps none."""
        text = json.dumps({"fingerprint": self._fingerprint, "outcome": outcome})
        part = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
            part.replace(self._path)
        except OSError:
            with suppress(OSError):  # a full disk leaves a part, a read-only one nothing
                part.unlink()


def _fingerprint(files: Iterable[Path], values: Iterable[object]) -> str:
    code = Path(lifecycle.__file__).parent
    parts = [
        *(f"{name} {version(name)}" for name in LIBRARIES),
        *(_stamp(path) for path in sorted(code.rglob("*.py"))),
        *(_content(path) for path in sorted(files)),
        *map(str, values),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _stamp(path: Path) -> str:
    written = path.stat()
    return f"{path} {written.st_mtime_ns} {written.st_size}"


def _content(path: Path) -> str:
    try:
        return f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError as error:
        return f"{path} {error.strerror}"
