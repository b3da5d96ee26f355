"""A worker of a Prefect server that runs elsewhere: `python -m flows.worker`.

It deploys prefect.yaml from the working directory, and then works until it is ended.
PREFECT_API_URL names the server, PREFECT_API_AUTH_STRING (or PREFECT_API_KEY) is the credential.
"""

from __future__ import annotations

import os
import sys
import time

import httpx

from flows.api import STARTS_WITHIN, prepare
from flows.server import POOL, deploy
from lifecycle import settings as settings_file
from lifecycle.errors import LifecycleError, SettingsError
from lifecycle.notify import notify
from lifecycle.private_files import keep_private
from lifecycle.settings import CHECKOUT, Settings


def work(settings: Settings) -> None:
    """Deploy, and become the worker's process.

    Raises SettingsError where no server is named, LifecycleError where it does not answer, or
    takes no deployment.
    """
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        raise SettingsError(
            "PREFECT_API_URL is not set: name the Prefect server, https://…/api; "
            "`make server` starts one on this machine"
        )
    prepare(settings.state_dir)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    # A worker starts runs in other folders: make relative paths absolute.
    os.environ["LIFECYCLE__STATE__DIR"] = str(settings.state_dir)
    os.environ["LIFECYCLE_CONFIG"] = str(settings.root / settings_file.FILE_NAME)
    _wait(address)
    deploy(settings)
    print(f"Deployed to {address}; state folder {settings.state_dir}", flush=True)
    arguments = ["-m", "prefect", "--no-prompt", "worker", "start", "--pool", POOL]
    os.chdir(CHECKOUT)
    os.execv(sys.executable, [sys.executable, *arguments])  # nosec B606


def _wait(address: str) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    why = "no answer"
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{address.rstrip('/')}/health", timeout=10)
        except httpx.HTTPError as error:
            why = type(error).__name__
        else:
            if answer.is_success:
                return
            why = f"it answers {answer.status_code}"
        time.sleep(1)
    raise LifecycleError(f"the Prefect server at {address} cannot be used: {why}")


def main() -> None:
    """Work until somebody ends it."""
    try:
        settings = settings_file.load()
        keep_private(settings.state_dir)
        try:
            work(settings)
        except LifecycleError as error:
            notify(settings, subject="Lifecycle: the worker did not start", body=str(error))
            raise
    except LifecycleError as error:
        sys.exit(f"lifecycle: {error}")


if __name__ == "__main__":
    main()
