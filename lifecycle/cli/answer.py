"""Standard output belongs to the answer of a command, whatever a library or a child prints.

While a command works, file descriptor 1 and `sys.stdout` point to standard error. Only what this
module writes reaches the standard output that the command was started with.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

from typer.core import TyperCommand

from lifecycle.masking import hide_known_secrets
from lifecycle.outside_text import for_json, for_terminal

_streams: list[TextIO] = []
"""The standard output of each running command, the innermost last."""


def stream() -> TextIO:
    """Where the answer goes."""
    return _streams[-1] if _streams else sys.stdout


def write(text: str) -> None:
    """Write a part of the answer: a line, or lines."""
    _write(for_terminal(text))


def _write(text: str) -> None:
    out = stream()
    text = hide_known_secrets(text)
    out.write(text if text.endswith("\n") else f"{text}\n")
    out.flush()


def write_json(value: dict[str, Any]) -> None:
    """Write the answer as one JSON object."""
    _write(for_json(json.dumps(value, ensure_ascii=False, indent=2, default=str)))


class Command(TyperCommand):
    """A command whose standard output carries its answer alone; help texts go as usual."""

    def invoke(self, context: Any) -> Any:
        """Run the command."""
        with _owned_standard_output():
            return super().invoke(context)


@contextmanager
def _owned_standard_output() -> Iterator[None]:
    sys.stdout.flush()
    original = os.dup(1)
    answer, opened = sys.stdout, False
    if _descriptor(sys.stdout) == 1:
        answer = os.fdopen(os.dup(original), "w", encoding="utf-8", errors="backslashreplace")
        opened = True
    os.dup2(2, 1)
    _streams.append(answer)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _streams.pop()
        os.dup2(original, 1)
        os.close(original)
        if opened:
            with suppress(OSError):  # its reader is gone, as after `| head`
                answer.close()


def _descriptor(file: TextIO) -> int | None:
    try:
        return file.fileno()
    except (OSError, ValueError):
        return None  # in memory
