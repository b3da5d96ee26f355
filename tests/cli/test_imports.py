"""A command imports only what it needs: the libraries that take seconds are for runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from commands import CHECKOUT, environment
from planned import Workspace, workspace

__all__ = ["workspace"]

HEAVY = frozenset(
    {
        *("altair", "cryptography", "dbt", "dlt", "fastapi", "great_expectations", "matplotlib"),
        *("pandas", "prefect", "scipy", "sendgrid", "uvicorn"),
    }
)
"""Libraries that cost a tenth of a CPU second and more."""
FILES = frozenset({"jinja2", "sqlglot"})
"""What reading triggers and mails takes."""

LISTS_ITS_MODULES = """
import json, sys
from lifecycle.cli import main
try:
    main()
finally:
    names = {name.partition(".")[0] for name in sys.modules}
    print(json.dumps(sorted(names)), file=sys.stderr)
"""


def imported(state: Path, command: str) -> set[str]:
    """The top-level packages that a command's own process imported; it could work."""
    done = subprocess.run(
        [sys.executable, "-c", LISTS_ITS_MODULES, *command.split()],
        cwd=CHECKOUT,
        env=environment(state),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: `status --check` finds something late
    return set(json.loads(done.stderr.splitlines()[-1]))


NOT_NEEDED = {
    "--help": HEAVY | FILES | {"duckdb", "sqlalchemy", "numpy", "pydantic_settings"},
    "status": HEAVY | FILES | {"numpy", "pyarrow", "holidays", "psycopg"},
    "status --check": HEAVY | FILES | {"numpy", "pyarrow", "holidays", "psycopg"},
    "explain A1": HEAVY | {"numpy", "pyarrow", "psycopg"},
    "preview win_back_dormant": HEAVY - {"pandas"},
    "validate": HEAVY | {"numpy", "pyarrow", "psycopg", "sqlalchemy"},
}


def test_a_command_imports_what_it_needs(workspace: Workspace) -> None:
    workspace.publish()
    workspace.run()
    state = workspace.settings.state_dir
    for command in ("status", "validate"):  # from then on the same files were checked before
        imported(state, command)
    superfluous = {
        command: imported(state, command) & not_needed for command, not_needed in NOT_NEEDED.items()
    }
    assert superfluous == {command: set() for command in NOT_NEEDED}
