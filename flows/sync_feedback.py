"""The flow of every 15 minutes: reads feedback about mails and addresses into the ledger."""

from __future__ import annotations

from prefect import flow

from flows.logs import begin_log
from flows.names import timed
from lifecycle import settings as settings_file
from lifecycle.ledger.store import Ledger
from lifecycle.mailbox.sync import sync
from lifecycle.report.watcher import watched


@flow(name="sync-feedback", flow_run_name=timed("feedback"), persist_result=False)
def sync_feedback(config: str | None = None) -> dict[str, int]:
    """Read bounces, complaints and unsubscribes, and the answers in the mailbox. Safe to repeat.

    Without news for longer than [feedback] max_age_hours, no run sends by a live provider.

    Args:
        config: The lifecycle.toml to use. Empty: the one in the working directory.
    """
    settings = settings_file.load(config)
    begin_log(settings)
    with Ledger.open(settings.ledger_url) as ledger:
        return sync(settings, ledger, progress=watched().step)
