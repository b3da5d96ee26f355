"""Processes forked from one that has imported their modules: a run imports for ten seconds."""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any
from unittest.mock import patch

from flows.api import prepare

RUN = (
    *("dbt_project_read", "flows.deliver_due", "flows.lifecycle_run"),
    *("lifecycle.authoring.validate", "lifecycle.cli", "anyio._backends._asyncio", "duckdb_engine"),
    # What is first imported, or loaded, where a run gets to it.
    *("prefect.flow_engine", "prefect.task_engine", "fastapi", "sqlglot.dialects.duckdb"),
    *("dlt.destinations.impl.duckdb.duck", "dlt.common.libs.pyarrow", "holidays.countries"),
    *("dbt.task.build", "dbt_common.clients.agate_helper", "lifecycle.warehouse.gate.data_docs"),
)
"""What a run imports, and reads."""

forks = get_context("forkserver")


def start(
    target: Callable[..., Any],
    *arguments: Any,
    imported: tuple[str, ...],
    env: Mapping[str, str] | None = None,
) -> ForkServerProcess:
    """`target(*arguments)` in a new process. What the first call names is imported for all, in
    an environment that `env` completes: Prefect looks for its API when it is imported."""
    process = forks.Process(target=target, args=arguments, daemon=True)
    forks.set_forkserver_preload(list(imported))
    here = Path(__file__).parent
    with patch.dict(os.environ, {**(env or {}), "PYTHONPATH": f"{here}:{here.parent}"}):
        process.start()
    return process


def start_lifecycle(
    *arguments: str, env: Mapping[str, str], cwd: Path, output: Path
) -> ForkServerProcess:
    """A `lifecycle` command with a process group of its own; it writes to `output`.1 and .2.

    `env` names the session's Prefect API, the same for all.
    """
    api = {name: env[name] for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")}
    with patch.dict(os.environ, api):
        prepare(Path(env["LIFECYCLE__STATE__DIR"]))
        prefect = {name: value for name, value in os.environ.items() if name.startswith("PREFECT")}
    fixed = (arguments, dict(env), str(cwd), str(output))
    return start(_lifecycle, *fixed, imported=RUN, env=prefect)


def lifecycle(*arguments: str, env: Mapping[str, str], cwd: Path) -> CompletedProcess[str]:
    """One command, run to its end."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        process = start_lifecycle(*arguments, env=env, cwd=cwd, output=output)
        process.join(600)
        if process.exitcode is None:
            process.kill()
            raise TimeoutExpired(arguments, 600)
        out, err = (output.with_suffix(end).read_text(encoding="utf-8") for end in (".1", ".2"))
        return CompletedProcess(arguments, process.exitcode, out, err)


def _lifecycle(arguments: tuple[str, ...], env: dict[str, str], cwd: str, output: str) -> None:
    gc.freeze()  # else all that was imported is gone through for garbage in each process
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for stream in (1, 2):
        os.dup2(os.open(f"{output}.{stream}", os.O_WRONLY | os.O_CREAT, 0o600), stream)
    # A command of its own has none yet: this one is of what was imported before it.
    logging.getLogger().handlers.clear()
    sys.argv = ["lifecycle", *arguments]
    from lifecycle.cli import main

    main()
