"""Runs the `lifecycle` command as a person would, and reads what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import warm

CHECKOUT = Path(__file__).resolve().parents[2]
RETAIL = CHECKOUT.parent / "shared" / "data" / "online_retail"
COMMAND = Path(sys.executable).parent / "lifecycle"
PREFECT_CREDENTIAL = "tests:of-one-session"
"""Of the Prefect API that the runs of a test session share."""


def environment(state: Path, **settings: str) -> dict[str, str]:
    """The environment of a run in a state folder, with nothing of the surrounding one's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIFECYCLE")}
    kept = {name: value for name, value in kept.items() if not name.startswith("PREFECT")}
    if "PREFECT_API_URL" in settings:
        kept["PREFECT_API_AUTH_STRING"] = PREFECT_CREDENTIAL
    return {**kept, "LIFECYCLE__STATE__DIR": str(state), **settings}


def lifecycle(
    *arguments: str, env: dict[str, str], cwd: Path = CHECKOUT
) -> subprocess.CompletedProcess[str]:
    """One command, run to its end."""
    return subprocess.run(
        [str(COMMAND), *arguments], env=env, cwd=cwd, capture_output=True, text=True, timeout=600
    )


def run_json(*arguments: str, env: dict[str, str], status: int = 0) -> dict[str, Any]:
    """`lifecycle … --json`, in a warm process: the one object on standard output."""
    done = warm.lifecycle(*arguments, "--json", env=env, cwd=CHECKOUT)
    assert done.returncode == status, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
