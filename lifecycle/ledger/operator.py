"""Who enters a decision: the operating system's user, or whoever filled in Prefect's form."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

PREFECT_FORM = "Prefect's form"
"""Whoever has the credential of Prefect's page; nobody knows who."""

PREFECT_PAGE = "Prefect's page"
"""Whoever starts a run there by hand."""

_LONGEST = 100
_NOBODY = 0xFFFFFFFF
_entered_by: ContextVar[str | None] = ContextVar("entered_by", default=None)


def current() -> str:
    """Who enters what is being written: the surface, where it is not a command of a user."""
    return _entered_by.get() or system_user()


@contextmanager
def through_form() -> Iterator[None]:
    """Say that what is written meanwhile came through Prefect's form."""
    token = _entered_by.set(PREFECT_FORM)
    try:
        yield
    finally:
        _entered_by.reset(token)


def system_user() -> str:
    """The name of the user who logged in: sudo and su do not change it, nor does a variable.

    Where nobody logged in, as in a service, it is the process's user.
    """
    uid = os.getuid()
    try:
        logged_in = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        logged_in = _NOBODY
    if logged_in != _NOBODY:
        uid = logged_in
    try:
        return pwd.getpwuid(uid).pw_name[:_LONGEST]
    except KeyError:
        return f"user {uid}"
