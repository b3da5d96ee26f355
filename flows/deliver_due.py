"""The flow of every ten minutes: sends the mails that are due, from the ledger alone."""

from __future__ import annotations

import logging
from typing import Any

from prefect import flow

from flows.logs import begin_log
from flows.names import timed
from lifecycle import settings as settings_file
from lifecycle.clock import delivery_clock
from lifecycle.errors import NothingTaken
from lifecycle.ledger import account_history, commands
from lifecycle.ledger.store import Ledger
from lifecycle.mail.counting import counted
from lifecycle.mail.deliver import deliver
from lifecycle.notify import notify
from lifecycle.report.delivery_report import DeliveryReport
from lifecycle.report.watcher import watched
from lifecycle.settings import Settings

log = logging.getLogger("lifecycle.deliver_due")


@flow(name="deliver-due", flow_run_name=timed("deliver"), persist_result=False)
def deliver_due(config: str | None = None, as_of: str | None = None) -> dict[str, Any]:
    """Send the planned mails that are due. Works beside a daily run, and after a crash.

    Args:
        config: The lifecycle.toml to use. Empty: the one in the working directory.
        as_of: The clock of the mails, for a replay. Empty: now, or where a replay stands.
    """
    settings = settings_file.load(config)
    begin_log(settings)
    with (
        Ledger.open(settings.ledger_url) as ledger,
        commands.recorded(ledger, commands.DELIVER) as record,
    ):
        now = delivery_clock(settings, ledger, as_of)
        with counted(settings, ledger, record, lambda: now):
            done = deliver(settings, ledger, now=now, progress=watched().step)
        if done.why_none:
            error = NothingTaken(done.why_none)
            _tell_once(settings, ledger, error)
            raise error
        return DeliveryReport.of(
            done, now=now, waiting=account_history.mails_waiting(ledger)
        ).as_json()


def _tell_once(settings: Settings, ledger: Ledger, error: NothingTaken) -> None:
    """Notify of the first delivery of which nothing was taken, not of each one after it."""
    with ledger.read() as connection:
        last = commands.read(connection).last_delivery
    if last is not None and last.outcome == commands.FAILED:
        return
    body = f"{error}.\n\nState folder: {settings.state_dir}\n"
    for problem in notify(settings, subject="Lifecycle: no mail was taken", body=body):
        log.error("%s", problem)
