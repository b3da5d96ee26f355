"""Prefect's server, its page, one worker and the deployments, on this machine: `make server`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx

from flows.local_api import STARTS_WITHIN, prepare
from lifecycle import settings as settings_file
from lifecycle.errors import LifecycleError
from lifecycle.logs import keep_small
from lifecycle.notify import notify
from lifecycle.settings import CHECKOUT, Settings

HOST = "127.0.0.1"
POOL = "lifecycle"
ENDS_WITHIN = 20
"""Seconds that a process has to end by itself before it is made to."""


class Ended(Exception):
    """Somebody asked the server to end."""


def serve(settings: Settings, port: int) -> None:
    """Start all there is, and stay until somebody ends it or a part of it dies.

    Raises LifecycleError when the port is taken, a part does not start, or one dies.
    """
    logs = settings.state_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    _refuse_taken(port)
    _surroundings(settings, port)
    page = f"http://{HOST}:{port}"
    with _process(logs, "server", ["server", "start", "--host", HOST, "--port", str(port)]) as api:
        print("Starting Prefect …", flush=True)
        _wait(api, f"{page}/api/health", logs)
        _deploy(settings)
        with _process(logs, "worker", ["worker", "start", "--pool", POOL]) as worker:
            print(f"Prefect's page: {page}\nState folder:   {settings.state_dir}", flush=True)
            print("The daily run starts at 06:00 Asia/Tokyo. Ctrl-C ends all of it.", flush=True)
            _stay({"server": api, "worker": worker}, logs)


def _surroundings(settings: Settings, port: int) -> None:
    """What server, worker and runs find in their environment."""
    prepare(settings.state_dir)
    os.environ["PREFECT_API_URL"] = f"http://{HOST}:{port}/api"
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    # A worker starts runs in folders of its own: what was said relative to here must hold there.
    os.environ["LIFECYCLE__STATE__DIR"] = str(settings.state_dir)
    os.environ["LIFECYCLE_CONFIG"] = str(settings.root / settings_file.FILE_NAME)


@contextmanager
def _process(logs: Path, name: str, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A part of Prefect in a process group of its own, so that Ctrl-C reaches us alone."""
    with (logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
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


def _wait(process: subprocess.Popen[bytes], address: str, logs: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(address, timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise LifecycleError(f"Prefect's server did not start; its log is {logs / 'server.log'}")


def _deploy(settings: Settings) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    from flows import automations

    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"), overwrite=True)
    deployed = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if deployed.returncode:
        raise LifecycleError(f"prefect deploy failed:\n{deployed.stdout}{deployed.stderr}")
    automations.set_up(late_after=timedelta(minutes=settings.notify.late_start_minutes))


def _stay(parts: Mapping[str, subprocess.Popen[bytes]], logs: Path) -> None:
    while True:
        for name, process in parts.items():
            keep_small(logs / f"{name}.log")
            if process.poll() is not None:
                raise LifecycleError(
                    f"Prefect's {name} ended by itself, no run will start; "
                    f"its log is {logs / f'{name}.log'}"
                )
        time.sleep(0.5)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LifecycleError(
                f"port {port} cannot be used: {error.strerror}; choose another: "
                "make server PORT=4300"
            ) from None


def main() -> None:
    """`make server`; PORT is in the environment."""

    def end(_signal: int, _frame: object) -> None:
        raise Ended

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, end)
    try:
        settings = settings_file.load()
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
