"""The daily run, from the outside world to the mails: this file is the table of contents."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow

from flows.names import run_name
from flows.stages import approve, begin, build, deliver, gate, plan, publish, pull, report


@flow(name="lifecycle-run", flow_run_name=run_name, persist_result=False)
def lifecycle_run(
    as_of: str | None = None,
    dry_run: bool = False,
    source: Literal["demo", "files"] | None = None,
    config: str | None = None,
    delivered: str | None = None,
) -> dict[str, Any]:
    """Work out every account's health from today's data, and send the mails that follow.

    Args:
        as_of: Use the data as of that moment: 2026-06-10 10:00+09:00, or a day. Empty: now.
        dry_run: Decide, but write nothing to the ledger and send nothing.
        source: Where CRM and usage data come from. Empty: as lifecycle.toml says.
        config: The lifecycle.toml to use. Empty: the one in the working directory.
        delivered: The day from which on the files count as known: 2026-06-10. Empty: now.
    """
    asked = {"as_of": as_of, "dry_run": dry_run, "source": source, "config": config}
    with begin(**asked, delivered=delivered) as run:
        pull(run)
        gate(run, "raw")
        build(run)
        gate(run, "marts")
        publish(run)
        plan(run)
        approve(run)
        deliver(run)
        report(run)
    return run.report.as_json()
