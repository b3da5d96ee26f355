"""The form of a run that waits: whoever opens it in Prefect approves or rejects there."""

from __future__ import annotations

from datetime import timedelta

from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

POLL_SECONDS = 10


class Approval(RunInput):
    """What a person says about a run over its budget."""

    approve: bool = Field(description="Yes sends the mails; no cancels them and what they began.")
    by: str = Field(min_length=1, description="Who says so: a name or a ticket.")
    why: str = Field(min_length=1, description="Why; it is written down.")


def can_ask() -> bool:
    """Whether this is a deployment's flow run: only that has somebody to wait for."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.deployment_id)


def ask(description: str, *, within: timedelta) -> Approval | None:
    """Wait for the form; None when nobody filled it in time. `description` is Markdown."""
    form = Approval.with_initial_data(description=description)
    seconds = max(1, round(within.total_seconds()))
    try:
        return pause_flow_run(
            wait_for_input=form, timeout=seconds, poll_interval=min(POLL_SECONDS, seconds)
        )
    except FlowPauseTimeout:
        return None
