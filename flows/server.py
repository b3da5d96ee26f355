"""Prefect's server, its page, one worker and the deployments, on this machine: `make server`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from flows import api
from lifecycle import prefect_credential
from lifecycle import settings as settings_file
from lifecycle.child_environment import child_environment
from lifecycle.errors import LifecycleError
from lifecycle.logs import keep_small
from lifecycle.notify import notify
from lifecycle.private_files import keep_private
from lifecycle.settings import CHECKOUT, Settings

if TYPE_CHECKING:
    from flows.schedules import NextRuns

POOL = "lifecycle"
ENDS_WITHIN = 20
"""Seconds that a process has to end by itself before it is made to."""
FIRST_CHECK_WITHIN = 60
"""Seconds after which every schedule must have a next run."""
CHECK_EVERY = 600
"""Seconds between later looks at the schedules."""
WORK_POOL = CHECKOUT / "flows" / "work_pool.json"
"""The pool's base job template. It has no variables, so that nobody's flow run replaces the
command, the environment or the working directory."""


class Ended(Exception):
    """Somebody asked the server to end."""


def serve(settings: Settings, port: int) -> None:
    """Start all parts, and stay until a signal ends them or a part dies.

    Raises LifecycleError when the port is taken, a part does not start, or one dies.
    """
    logs = settings.state_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with _listen(port) as listener:
        _set_environment(settings, port)
        with (logs / "server.log").open("ab") as log:
            server = api.start(listener, log, for_one_command=False)
    with _ending(server):
        print("Starting Prefect …", flush=True)
        api.wait(server, os.environ["PREFECT_API_URL"], logs / "server.log")
        deploy(settings)
        with _worker(logs / "worker.log") as worker:
            print(f"Prefect's page: http://{api.HOST}:{port}", flush=True)
            print(f"Log in with:    {settings.state_dir / prefect_credential.FILE_NAME}")
            print(f"State folder:   {settings.state_dir}", flush=True)
            _stay(settings, {"server": server, "worker": worker}, logs)


def _set_environment(settings: Settings, port: int) -> None:
    """Set the environment variables of server, worker and runs."""
    os.environ["PREFECT_API_URL"] = f"http://{api.HOST}:{port}/api"
    api.prepare(settings.state_dir)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    # A worker starts runs in other folders: make relative paths absolute.
    os.environ["LIFECYCLE__STATE__DIR"] = str(settings.state_dir)
    os.environ["LIFECYCLE_CONFIG"] = str(settings.root / settings_file.FILE_NAME)


def _worker(log: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Start the worker in a process group of its own, so that Ctrl-C reaches us alone."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--pool", POOL],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return _ending(process)


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End a part of Prefect, and all that it started, with the block."""
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(timeout=ENDS_WITHIN)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def deploy(settings: Settings) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    from flows import automations

    with get_client(sync_client=True) as client:
        template = json.loads(WORK_POOL.read_text(encoding="utf-8"))
        pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
        client.create_work_pool(pool, overwrite=True)
    deployed = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=CHECKOUT,
        env=child_environment("PREFECT"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if deployed.returncode:
        raise LifecycleError(f"prefect deploy failed:\n{deployed.stdout}{deployed.stderr}")
    automations.set_up(late_after=timedelta(minutes=settings.notify.late_start_minutes))


def _stay(settings: Settings, parts: Mapping[str, subprocess.Popen[bytes]], logs: Path) -> None:
    """Check at intervals that the schedules fire; raise LifecycleError when a part dies."""

    def check() -> None:
        _refuse_dead(parts, logs)

    wait = FIRST_CHECK_WITHIN
    while True:
        _report_schedules(settings, logs, within=wait, check=check)
        wait = 0
        check_again = time.monotonic() + CHECK_EVERY
        while time.monotonic() < check_again:
            check()
            time.sleep(0.5)


def _report_schedules(
    settings: Settings, logs: Path, *, within: float, check: Callable[[], None]
) -> None:
    """Print the next runs in one line, or warn which schedules do not fire, and why."""
    from prefect.exceptions import PrefectException

    from flows import schedules

    try:
        runs = schedules.wait_for_next_runs(within, check)
        problem = _problem(runs)
    except (httpx.HTTPError, PrefectException) as error:
        runs, problem = None, f"Prefect's API does not say what is scheduled: {error}"
    if runs is not None and problem is None:
        if within:
            zone = settings.company.time_zone
            print(f"Next runs:      {runs.text(zone)} ({zone})", flush=True)
            print("Ctrl-C ends all of it.", flush=True)
        return
    log = logs / "server.log"
    cause = schedules.first_error(log) or "no error stands in its log"
    body = f"{problem}\nFirst error: {cause}\nLog: {log}"
    print(f"NOTHING IS SCHEDULED AS IT SHOULD BE: {body}", file=sys.stderr, flush=True)
    notify(settings, subject=f"Lifecycle: {problem}", body=body)


def _problem(runs: NextRuns) -> str | None:
    if not runs.by_deployment:
        return "no deployment has a schedule, so no run will start"
    if runs.missing:
        return f"no run is scheduled for {', '.join(runs.missing)}: the scheduler does not work"
    return None


def _refuse_dead(parts: Mapping[str, subprocess.Popen[bytes]], logs: Path) -> None:
    for name, process in parts.items():
        keep_small(logs / f"{name}.log")
        if process.poll() is not None:
            raise LifecycleError(
                f"Prefect's {name} ended by itself, no run will start; "
                f"its log is {logs / f'{name}.log'}"
            )


def _listen(port: int) -> socket.socket:
    """Return a socket that listens on the port. Raises LifecycleError when that is taken."""
    try:
        return socket.create_server((api.HOST, port))
    except (OSError, OverflowError) as error:
        raise LifecycleError(
            f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}; "
            "choose another: make server PORT=4300"
        ) from None


def main() -> None:
    """`make server`; PORT is in the environment."""

    def end(_signal: int, _frame: object) -> None:
        raise Ended

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, end)
    try:
        settings = settings_file.load()
        keep_private(settings.state_dir)
        try:
            serve(settings, int(os.environ.get("PORT") or 4200))
        except LifecycleError as error:
            notify(settings, subject="Lifecycle: the Prefect server ended", body=str(error))
            raise
    except Ended:
        print("\nEnded.", flush=True)
    except LifecycleError as error:
        sys.exit(f"lifecycle: {error}")


if __name__ == "__main__":
    main()
