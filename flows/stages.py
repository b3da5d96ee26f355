"""The stages of the daily run as Prefect tasks: what each calls, and whether it is retried.

Planning and delivery are never retried by Prefect: only the ledger knows what was decided
and what has left, and the next run or delivery goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import approval
from flows.artifacts import leave_artifacts
from flows.privacy import hide_addresses_in_logs
from lifecycle.document import Section, as_markdown
from lifecycle.errors import DeliveryHeld, LossesHeld, NothingTaken, WarehouseError
from lifecycle.evaluation.effect import newest, read_effects
from lifecycle.ledger import account_history, approvals, replies
from lifecycle.ledger.tables import APPROVED
from lifecycle.mail.counting import counted
from lifecycle.mail.deliver import deliver as deliver_mails
from lifecycle.masking import mask_addresses
from lifecycle.planning.owner_lists import plan_lists
from lifecycle.planning.plan import plan as plan_mails
from lifecycle.report.run_sections import over_budget
from lifecycle.run import Run
from lifecycle.sources import departures
from lifecycle.sources import ledger as ledger_source
from lifecycle.sources.pull import pull as pull_sources
from lifecycle.warehouse import context
from lifecycle.warehouse.build import build as build_models
from lifecycle.warehouse.connection import connect_published
from lifecycle.warehouse.gate.checkpoint import DataRefused, DeliveryMoved, check
from lifecycle.warehouse.gate.doors import Door
from lifecycle.warehouse.known_then import known_then
from lifecycle.warehouse.publish import publish as publish_marts
from lifecycle.warehouse.published_days import begin_day, keep_published_delivery
from lifecycle.warehouse.published_marts import watched_parts
from lifecycle.warehouse.rejected_delivery import drop_rejected


def is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a retry may help: for a lock, a disk, a network; never for wrong input."""
    return isinstance(state.data, WarehouseError | OSError)


harmless_to_retry: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [1, 5],
    "retry_condition_fn": is_transient,
}
own_memory: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@contextmanager
def begin(**parameters: Any) -> Iterator[Run]:
    """Begin the run; it leaves its artifacts in Prefect however it ends."""
    hide_addresses_in_logs()
    logging.getLogger("lifecycle").setLevel(logging.INFO)
    who = approval.started_by()
    with Run.begin(**parameters, started_by=who, at_the_end=leave_artifacts) as run:
        yield run


@task(**own_memory, **harmless_to_retry)
def pull(run: Run) -> None:
    """Load the sources, and a snapshot of the ledger, into raw tables."""
    with run.stage("pull"):
        begin_day(run.settings, run_id=run.run_id)
        drop_rejected(run.settings, run.ledger)
        if not run.dry_run:
            run.keep_earlier_departures()
        pulled = pull_sources(
            run.settings,
            loaded_at=run.loaded_at,
            progress=run.progress,
            remember=None if run.dry_run else run.remember_departures,
        )
        run.report.add_pull(pulled)
        ledger_source.snapshot(run.settings)
        context.write(run.settings, run_id=run.run_id, as_of=run.as_of, loaded_at=run.loaded_at)


@task(**own_memory, task_run_name="gate-{door}")
def check_door(run: Run, door: Door) -> None:
    """Check one of the two gates with Great Expectations; a failed critical check stops the run."""
    with run.stage(f"gate_{door}"):
        try:
            run.report.add_gate(check(run.settings, door, approved=run.let_through))
        except DataRefused as refused:
            run.report.add_gate(refused.result)
            if isinstance(refused, DeliveryMoved):
                held = run.hold_delivery(door, refused.failures, refused.digests)
                raise held from None
            raise


def gate(run: Run, door: Door) -> None:
    """One of the two doors; a delivery that moved too far waits for a person.

    A deployment's run waits for its form, and goes on with the delivery that it held. Any other
    stops: the next run goes on with the same delivery once it is approved by command.
    """
    try:
        check_door(run, door)
    except DeliveryHeld as held:
        if run.dry_run or not _is_let_through(run, held, "The delivery moved too far"):
            raise
        check_door(run, door)


def _is_let_through(run: Run, held: DeliveryHeld | LossesHeld, title: str) -> bool:
    flow_run, within = approval.under_way(), timedelta(hours=run.settings.guard.wait_hours)
    if not flow_run or not within or not run.has_form:
        return False
    run.wait(held)
    lines = held.failures if isinstance(held, DeliveryHeld) else str(held).splitlines()
    message = mask_addresses(as_markdown([Section(title, tuple(lines))]))
    reply = approval.ask(flow_run, message, within=within, said_elsewhere=partial(_by_command, run))
    if reply and not _by_command(run):
        run.decide(reply.approve, by=reply.by, why=reply.why)
    decided = _by_command(run)
    return decided is not None and decided.approve and run.go_on()


@task(**own_memory, **harmless_to_retry)
def build(run: Run) -> None:
    """Build the marts from the raw tables with dbt, and test each model."""
    with run.stage("build"):
        run.report.add_build(build_models(run.settings, progress=run.progress))
        clocks = {"as_of": run.as_of, "loaded_at": run.loaded_at}
        run.report.add_known_then(known_then(run.settings, **clocks))


@task(**own_memory, **harmless_to_retry)
def publish(run: Run) -> None:
    """Replace yesterday's published marts by the audited ones, atomically."""
    with run.stage("publish"):
        publish_marts(run.settings, run_id=run.run_id)
        with connect_published(run.settings) as warehouse:
            run.report.add_published(warehouse)
            run.report.add_effects(newest(read_effects(run.settings, warehouse)))
            if not run.dry_run:
                run.ask_about_thin_parts(watched_parts(warehouse))


@task(**own_memory, task_run_name="plan")
def plan_run(run: Run) -> None:
    """Decide who enters, leaves and is due, in one transaction of the ledger; then plan the owners'
    lists, in another.

    From then on the delivery counts: who left by it has left for good. Raises LossesHeld.
    """
    with run.stage("plan"):
        result = plan_mails(
            run.settings,
            run.ledger,
            run_id=run.run_id,
            as_of=run.as_of,
            dry_run=run.dry_run,
            seen=run.seen,
        )
        if result.losses and not run.dry_run:
            raise run.hold_losses(result.losses.failures)
        if not run.dry_run:
            departures.settle(run.settings, run.ledger, run_id=run.run_id, loaded_at=run.loaded_at)
        keep_published_delivery(run.settings)
        run.report.add_plan(result)
        run.tell_of_broken_triggers()
        run.report.add_owner_lists(
            plan_lists(
                run.settings, run.ledger, run_id=run.run_id, as_of=run.as_of, dry_run=run.dry_run
            )
        )


def plan(run: Run) -> None:
    """Plan; a delivery by which too much would end waits for a person, as one at the gate does."""
    try:
        plan_run(run)
    except LossesHeld as held:
        if not _is_let_through(run, held, "Too much would end at once"):
            raise
        plan_run(run)


def approve(run: Run) -> None:
    """Ask a person where the run reaches more people than its budget; else continue at once.

    A deployment's run waits for its form. Any other run stops; its mails go once somebody approves
    it by command. Raises OverBudget where it is not approved.
    """
    if run.report.flood is None or run.dry_run:
        return
    with run.stage("approve"):
        within = timedelta(hours=run.settings.guard.wait_hours)
        flow_run = approval.under_way()
        if flow_run and within and run.has_form:
            run.wait(run.over_budget())
            question = mask_addresses(as_markdown([over_budget(run.report)]))
            decision = approval.ask(
                flow_run, question, within=within, said_elsewhere=partial(_by_command, run)
            )
            if decision and not _by_command(run):
                run.decide(decision.approve, by=decision.by, why=decision.why)
        run.check_approved()


def _by_command(run: Run) -> approval.Approval | None:
    decision = approvals.decision(run.ledger, run.run_id)
    if decision is None:
        return None
    return approval.Approval(
        approve=decision.decision == APPROVED, by=decision.by, why=decision.why
    )


@task(**own_memory)
def deliver(run: Run) -> None:
    """Deliver the mails that are due now; the others wait in the ledger."""
    if run.dry_run:
        return
    with run.stage("deliver"), counted(run.settings, run.ledger, run.record, run.now):
        done = deliver_mails(run.settings, run.ledger, now=run.now(), progress=run.progress)
        run.report.add_delivery(done, remaining=account_history.mails_waiting(run.ledger))
        if done.why_none:
            raise NothingTaken(done.why_none)


@task(**own_memory)
def report(run: Run) -> None:
    """Write the report."""
    run.report.answers_waiting = len(replies.waiting(run.ledger))
    run.conclude()
