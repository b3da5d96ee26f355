"""Corruptions of a file: by name the file, what becomes of its bytes (None: it is not there), what
the run has to say, and whether it stops."""

from __future__ import annotations

from collections.abc import Callable

Corruption = tuple[str, Callable[[bytes], bytes | None], list[str], bool]


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda file: file[: int(len(file) * share)]


def _unbalanced(file: bytes) -> bytes:
    lines = file.split(b"\n")
    lines[5] = b'"' + lines[5]
    return b"\n".join(lines)


def _header_in_the_middle(file: bytes) -> bytes:
    lines = file.split(b"\n")
    return b"\n".join([*lines[:50], lines[0], *lines[50:]])


def _shifted(file: bytes) -> bytes:
    """All values one column to the right."""
    header, *rows = file.rstrip(b"\n").split(b"\n")
    return b"\n".join([header, *(b"x," + row.rsplit(b",", 1)[0] for row in rows)]) + b"\n"


BROKEN_FILES: dict[str, Corruption] = {
    "contacts.csv is not there": ("contacts.csv", lambda file: None, ["contacts"], True),
    "accounts.csv is not there": ("accounts.csv", lambda file: None, ["accounts"], True),
    "usage_events.csv is not there": (
        "usage_events.csv", lambda file: None, ["usage_events"], True
    ),
    "contacts.csv is empty": ("contacts.csv", lambda file: b"", ["contacts.csv"], True),
    "accounts.csv is empty": ("accounts.csv", lambda file: b"", ["accounts.csv"], True),
    "contacts.csv has its header alone": (
        "contacts.csv", lambda file: file[: file.index(b"\n") + 1], ["contacts"], True
    ),
    "contacts.csv is cut in a line": ("contacts.csv", _cut(0.7), ["contacts.csv"], True),
    "accounts.csv is cut in a line": ("accounts.csv", _cut(0.5), ["accounts.csv"], True),
    "usage_events.csv is cut in a line": (
        "usage_events.csv", _cut(0.3), ["usage_events.csv"], True
    ),
    "contacts.csv is UTF-16": (
        "contacts.csv", lambda file: file.decode().encode("utf-16"), ["contacts.csv"], True
    ),
    "contacts.csv is a page of HTML": (
        "contacts.csv",
        lambda file: b"<html><body>Please log in</body></html>\n",
        ["contacts.csv"],
        True,
    ),
    "a quote is not closed": ("contacts.csv", _unbalanced, ["contacts.csv"], True),
    "values stand one column further": ("contacts.csv", _shifted, ["contacts.csv"], True),
    "name and address are exchanged in the header": (
        "contacts.csv",
        lambda file: file.replace(b"email,name,", b"name,email,", 1),
        ["contacts.csv", "email"],
        True,
    ),
    "a header stands in the middle": (
        "contacts.csv", _header_in_the_middle, ["not usable"], False
    ),
    "the lines end as on Windows": (
        "contacts.csv", lambda file: file.replace(b"\n", b"\r\n"), [], False
    ),
    "a byte order mark": ("contacts.csv", lambda file: b"\xef\xbb\xbf" + file, [], False),
    "semicolons": ("contacts.csv", lambda file: file.replace(b",", b";"), [], False),
    "rows of commas at the end": (
        "contacts.csv", lambda file: file + b",,,,,,,,\n" * 5, [], False
    ),
}  # fmt: skip
