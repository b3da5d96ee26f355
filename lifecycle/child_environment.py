"""The environment of a child process: only the variables that it needs, and no secret."""

from __future__ import annotations

import os
from collections.abc import Collection

SYSTEM = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP"),
    *("VIRTUAL_ENV", "DO_NOT_TRACK", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("LD_LIBRARY_PATH", "XDG_RUNTIME_DIR", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
)
"""Names that any program may need."""
SYSTEM_PREFIXES = ("LC_", "PYTHON")


def child_environment(*prefixes: str, without: Collection[str] = ()) -> dict[str, str]:
    """Return the system's variables, and ours that begin with one of `prefixes`.

    Names in `without` stay out.
    """
    prefixes_kept = (*SYSTEM_PREFIXES, *prefixes)
    return {
        name: value
        for name, value in os.environ.items()
        if (name in SYSTEM or name.startswith(prefixes_kept)) and name not in without
    }
