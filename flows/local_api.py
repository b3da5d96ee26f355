"""A Prefect API for the length of one command, where no Prefect server was named.

Prefect can start one by itself, but only after its own import, and leaves it behind when
the command is killed. This one starts beside the imports and ends with whoever started it.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from flows import api
from lifecycle.logs import keep_small

if TYPE_CHECKING:
    from prefect.settings.models.client import ClientSettings


class LocalApi:
    """The API's process. Its address is in PREFECT_API_URL from the first moment on."""

    def __init__(self, state_dir: Path) -> None:
        self._log = state_dir / "logs" / "prefect.log"
        self._process: subprocess.Popen[bytes] | None = None
        if "PREFECT_API_URL" in os.environ:
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        keep_small(self._log)
        with socket.create_server((api.HOST, 0)) as listener, self._log.open("ab") as log:
            self._process = api.start(listener, log, for_one_command=True)
            self._address = f"http://{api.HOST}:{listener.getsockname()[1]}/api"
        os.environ["PREFECT_API_URL"] = self._address
        # Before Prefect registers its own: it still has events to send when Python ends.
        atexit.register(self._end)

    @property
    def process_id(self) -> int | None:
        """Of the process that was started, if one was."""
        return self._process.pid if self._process else None

    @property
    def has_ended(self) -> bool:
        """Whether it was started, and is no more."""
        return self._process is not None and self._process.poll() is not None

    def wait(self) -> None:
        """Return when it answers. Raises LifecycleError if it does not come up."""
        if self._process is not None:
            from prefect.context import get_settings_context

            api.wait(self._process, self._address, self._log)
            client = get_settings_context().settings.client
            self.watcher = threading.Thread(
                target=_give_up_at_its_end, args=(self._process, client), daemon=True
            )
            self.watcher.start()

    def _end(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _give_up_at_its_end(process: subprocess.Popen[bytes], client: ClientSettings) -> None:
    """Prefect tries six times for each thing it reports, over a minute: an API that is gone does
    not come back."""
    process.wait()
    client.max_retries = 0
