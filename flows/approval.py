"""The form of a run that waits for an approval: a person approves or rejects it in Prefect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import timedelta
from threading import Event, Thread
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from lifecycle.ledger import operator

POLL_SECONDS = 10


class Approval(RunInput):
    """A person's decision about a run that waits: over its budget, or with a delivery that moved
    too far."""

    approve: bool = Field(
        description="Yes goes on: it sends the mails, or takes the delivery. No drops them."
    )
    by: str = Field(min_length=1, description="Who decided: a name or a ticket.")
    why: str = Field(min_length=1, description="Why; it is written down.")


def under_way() -> UUID | None:
    """The current flow run of a deployment; None elsewhere, where nobody sees a form."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return None
    return context.flow_run.id


def started_by() -> str | None:
    """Who started the run by hand: the system's user, or somebody in Prefect; None: a schedule."""
    if under_way() is None:
        return operator.system_user()
    context = FlowRunContext.get()
    is_scheduled = context is not None and context.flow_run and context.flow_run.auto_scheduled
    return None if is_scheduled else operator.PREFECT_PAGE


def ask(
    flow_run: UUID,
    description: str,
    *,
    within: timedelta,
    said_elsewhere: Callable[[], Approval | None],
) -> Approval | None:
    """Wait for the form, or for a decision by command; None when nobody decides in time.

    `description` is Markdown.
    """
    form = Approval.with_initial_data(description=description)
    seconds = max(1, round(within.total_seconds()))
    try:
        with _listening(flow_run, said_elsewhere):
            return pause_flow_run(
                wait_for_input=form, timeout=seconds, poll_interval=min(POLL_SECONDS, seconds)
            )
    except FlowPauseTimeout:
        return None


@contextmanager
def _listening(flow_run: UUID, said_elsewhere: Callable[[], Approval | None]) -> Iterator[None]:
    """Fill in the form where somebody decides by command meanwhile."""
    over = Event()

    def listen() -> None:
        with get_client(sync_client=True) as client:
            while not over.wait(POLL_SECONDS):
                if decision := said_elsewhere():
                    answer = {"approve": decision.approve, "by": decision.by, "why": decision.why}
                    client.resume_flow_run(flow_run, run_input=answer)

    listener = Thread(target=copy_context().run, args=(listen,), daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()
