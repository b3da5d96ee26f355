"""A Prefect API for the length of one command, where no Prefect server was named.

Prefect can start one by itself, but only after its own import, and leaves it behind when
the command is killed. This one starts beside the imports and ends with whoever started it.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from flows.logs import log_api
from lifecycle.errors import LifecycleError
from lifecycle.logs import keep_small

STARTS_WITHIN = 120
"""Seconds. A cold start on a busy machine with two cores took 30."""


def prepare(state_dir: Path) -> None:
    """Keep Prefect to the state folder and silent; call it before Prefect is imported."""
    defaults = {
        "PREFECT_HOME": str(state_dir / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "lifecycle",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


class LocalApi:
    """The API's process. Its address is in PREFECT_API_URL from the first moment on."""

    def __init__(self, state_dir: Path) -> None:
        self._log = state_dir / "logs" / "prefect.log"
        self._process: subprocess.Popen[bytes] | None = None
        if "PREFECT_API_URL" in os.environ:
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        keep_small(self._log)
        with socket.create_server(("127.0.0.1", 0)) as listener, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.local_api", str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
            self._address = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        os.environ["PREFECT_API_URL"] = self._address
        # Before Prefect registers its own: it still has events to send when Python ends.
        atexit.register(self._end)

    @property
    def process_id(self) -> int | None:
        """Of the process that was started, if one was."""
        return self._process.pid if self._process else None

    def wait(self) -> None:
        """Return when it answers. Raises LifecycleError if it does not come up."""
        if self._process is None:
            return
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self._address}/health", timeout=STARTS_WITHIN).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise LifecycleError(f"Prefect's API did not start; its log is {self._log}")

    def _end(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _serve(listener: socket.socket) -> None:
    """Serve until standard input closes: then the command is over, however it ended."""
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    log_api()
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


def _end_with_the_command() -> None:
    sys.stdin.read()
    signal.raise_signal(signal.SIGTERM)  # to uvicorn, once it listens to signals
    time.sleep(4)
    os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
