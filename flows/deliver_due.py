"""The flow of every ten minutes: sends the mails that are due, from the ledger alone."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.logs import begin_log
from flows.names import timed
from lifecycle import settings as settings_file
from lifecycle.clock import delivery_clock
from lifecycle.ledger import account_history, commands
from lifecycle.ledger.store import Ledger
from lifecycle.mail.counting import counted
from lifecycle.mail.deliver import deliver
from lifecycle.report.delivery_report import DeliveryReport
from lifecycle.report.watcher import watched


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
        return DeliveryReport.of(
            done, now=now, waiting=account_history.mails_waiting(ledger)
        ).as_json()
