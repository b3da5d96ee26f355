"""Serves Prefect's API and page on loopback, and only to requests with the credential.

Whoever reaches Prefect's API can run commands. So every request needs the credential of the state
folder. Requests from pages of another origin are refused, and so are requests for another host name
(a foreign name that points here). `python -m flows.api LISTENER [--for-one-command]` serves on a
socket that is open already.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from flows.logs import log_api
from lifecycle import prefect_credential
from lifecycle.child_environment import child_environment
from lifecycle.errors import LifecycleError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
STARTS_WITHIN = 120
"""Seconds. A cold start on a busy machine with two cores took 30."""
FOR_ONE_COMMAND = "--for-one-command"
HEADERS = (
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""No other page shows ours in a frame, where its visitor would click on an approval unseen."""

RUNS_KEPT_SECONDS = 30 * 24 * 3600
"""How long Prefect's page shows a finished run: 30 days. The ledger keeps what it decided."""


def prepare(state_dir: Path) -> None:
    """Make Prefect store its files in the state folder and log nothing. Call it before Prefect's
    import."""
    defaults = {
        "PREFECT_HOME": str(state_dir / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "lifecycle",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        # An API that ends would have each event printed that it does not hear of.
        "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if _is_ours() and "PREFECT_API_KEY" not in os.environ:
        credential = os.environ.get("PREFECT_API_AUTH_STRING")
        os.environ["PREFECT_API_AUTH_STRING"] = credential or prefect_credential.read_or_create(
            state_dir
        )


def _is_ours() -> bool:
    """Whether Prefect's API is on this machine."""
    address = os.environ.get("PREFECT_API_URL")
    return address is None or prefect_credential.is_local(urlsplit(address).hostname)


def start(
    listener: socket.socket, log: IO[bytes], *, for_one_command: bool
) -> subprocess.Popen[bytes]:
    """Start a process that serves on `listener`; `prepare` must have been called.

    With `for_one_command` it ends when its standard input closes. Of our environment it gets
    Prefect's settings and its own credential, no secret.
    """
    port = listener.getsockname()[1]
    origins = ",".join(f"http://{name}:{port}" for name in prefect_credential.LOCAL_NAMES)
    environment = child_environment("PREFECT", without=("PREFECT_API_KEY",)) | {
        "PREFECT_SERVER_API_AUTH_STRING": os.environ["PREFECT_API_AUTH_STRING"],
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origins,
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_UI_API_URL": f"http://{HOST}:{port}/api",
        # A delivery every ten minutes writes five kilobytes: for ever, where nothing deletes them.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUNS_KEPT_SECONDS),
    }
    arguments = [str(listener.fileno()), *([FOR_ONE_COMMAND] if for_one_command else [])]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.api", *arguments],
        pass_fds=[listener.fileno()],
        env=environment,
        stdin=subprocess.PIPE if for_one_command else subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=not for_one_command,
    )


def wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Return when the API at `address` answers. Raises LifecycleError if it does not come up."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/health", timeout=STARTS_WITHIN).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise LifecycleError(f"Prefect's API did not start; its log is {log}")


class SecurityHeaders:
    """Adds the headers that keep a page of ours out of other pages to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _serve(listener: socket.socket, *, for_one_command: bool) -> None:
    if for_one_command:
        threading.Thread(target=_end_with_the_command, daemon=True).start()
        log_api()
    import uvicorn
    from prefect.server.api.server import create_app
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = create_app(ephemeral=for_one_command, final=True)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(prefect_credential.LOCAL_NAMES))
    app.add_middleware(SecurityHeaders)
    level = "error" if for_one_command else "warning"
    uvicorn.Server(uvicorn.Config(app, log_level=level)).run(sockets=[listener])


def _end_with_the_command() -> None:
    """Serve until standard input closes, which it does however the command ends."""
    sys.stdin.read()
    signal.raise_signal(signal.SIGTERM)  # to uvicorn, once it listens to signals
    time.sleep(4)
    os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), for_one_command=FOR_ONE_COMMAND in sys.argv)
