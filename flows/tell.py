"""The flow that notifies about a run that crashed or never started."""

from __future__ import annotations

import logging

from prefect import flow

from flows.logs import begin_log
from lifecycle import settings as settings_file
from lifecycle.notify import notify

log = logging.getLogger("lifecycle.tell")


@flow(name="tell", persist_result=False)
def tell(run: str, what: str, config: str | None = None) -> None:
    """Notify whom `[notify]` names.

    Args:
        run: The flow run's name.
        what: What happened to it.
        config: The lifecycle.toml to use. Empty: the one in the working directory.
    """
    settings = settings_file.load(config)
    begin_log(settings)
    problems = notify(
        settings,
        subject=f"Lifecycle: {what}",
        body=f"Flow run {run}: {what}.\n\nState folder: {settings.state_dir}\n",
    )
    log.warning("%s: %s", run, what)
    for problem in problems:
        log.error("%s", problem)
