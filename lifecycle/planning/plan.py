"""One run's plan: the audience from the warehouse, the memory from the ledger, the decision.

Reads only what is published, writes only the ledger. A dry run and a preview write nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import duckdb
from sqlalchemy import Connection

from lifecycle.authoring.files import Seen, TriggerFiles, read_to_plan
from lifecycle.document import counted
from lifecycle.errors import Problem
from lifecycle.ledger import approvals, held_losses
from lifecycle.ledger.decisions import (
    GoalMet,
)
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import PAUSED
from lifecycle.mail.folder import Templates
from lifecycle.planning import (
    audience,
    entering,
    going_on,
    guard,
    leaving,
    ledger_state,
    losses,
    versions,
)
from lifecycle.planning.context import PlanningContext
from lifecycle.planning.decision import (
    Reason,
)
from lifecycle.planning.plan_result import PlanResult
from lifecycle.planning.versions import Unreadable, Version
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse.connection import connect_published

FIRST_ZONE = "Pacific/Kiritimati"
"""Where each day begins first."""


def plan(
    settings: Settings,
    ledger: Ledger,
    *,
    run_id: str,
    as_of: datetime,
    dry_run: bool = False,
    only: str | None = None,
    seen: Seen | None = None,
    files: TriggerFiles | None = None,
) -> PlanResult:
    """Decide what every trigger does now, and write it to the ledger unless it is a dry run.

    The mails of a run over its budget wait in the ledger for an approval. Of a run that would end
    too much (`losses`) nothing is written but that. A trigger whose file or mails cannot be used,
    or are gone since `seen`, when the run began, waits.

    `only` names the one trigger to look at, for a preview, and `files` are those that it has read
    already. Raises TriggerError where the models' own YAML cannot be read, LedgerError and
    WarehouseError.
    """
    files = files or read_to_plan(settings, seen)
    with connect_published(settings) as warehouse, ledger.read() as known:
        result = decide(
            settings,
            warehouse,
            known,
            files.usable,
            as_of=as_of,
            only=only,
            is_preview=dry_run,
            broken=files.broken,
            templates=files.templates,
            run_id=run_id,
        )
        result.losses = losses.judge(settings.guard, known, result, files.usable)
        sends = result.decisions.sends
        result.flood = guard.judge(settings, warehouse, known, sends, as_of=as_of)
    if not dry_run:
        with ledger.write() as connection:
            lost = result.losses.lost if result.losses else ()
            held_losses.hold(connection, run_id, lost, result.losses.why if result.losses else "")
            if result.losses:
                return result
            record(connection, result.decisions, run_id=run_id, at=as_of)
            why = result.flood.why if result.flood else None
            approvals.mark(connection, run_id, people=guard.people(sends), over_budget=why)
    return result


def decide(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Connection,
    triggers: Sequence[Trigger],
    *,
    as_of: datetime,
    only: str | None = None,
    is_preview: bool = False,
    broken: Mapping[str, Sequence[Problem]] | None = None,
    templates: Templates | None = None,
    run_id: str | None = None,
) -> PlanResult:
    """What `plan` writes: reads the schema `marts` of a warehouse and a ledger, writes neither.

    Who left by the delivery of `run_id` counts as having left for good. With `is_preview` no mail
    may be sent: its unsubscribe link unsubscribes nobody. `broken` are the triggers besides these
    that cannot be used, `templates` the mails that were read before.
    """
    context = PlanningContext(
        settings,
        warehouse,
        ledger,
        as_of,
        is_preview=is_preview,
        templates=templates,
        run_id=run_id,
    )
    for trigger in sorted(triggers, key=lambda trigger: trigger.rank):
        if only in (None, trigger.name):
            _run(context, trigger)
    broken = broken or {}
    for name, problems in broken.items():
        if only in (None, name):
            _keep_waiting(context, name, problems)
    if only is None:
        leaving.end_removed(context, [*(trigger.name for trigger in triggers), *broken])
        going_on.object_to_planned(context)
        _end_waiting(context)
        _count_those_without_country(context)
    context.result.name_those_without_zone()
    return context.result


def _run(context: PlanningContext, trigger: Trigger) -> None:
    """Decide all that this trigger does now.

    Who is inside goes on by the version that they entered by; who enters, by the file.
    """
    launched = context.launched.get(trigger.name)
    if (first := trigger.begins(FIRST_ZONE)) and context.as_of + context.ahead < first:
        return  # the broadcast's day begins nowhere before the next run
    renderer, find_commit = context.renderer, not context.is_preview
    if new := versions.first_use(context.ledger, trigger, renderer, find_commit=find_commit):
        context.decisions.first_uses.append(new)
    audience.register(context.warehouse, context.ledger, trigger.name, context.as_of)
    others = list(versions.older(context.ledger, trigger, renderer, context.as_of))
    for other in others:
        if isinstance(other, Version):
            audience.evaluate(context.warehouse, other.trigger, only_entered=True)
            if trigger.migrate:
                _meet_goals(context, other.trigger)
            elif other.wrong_mails:
                _meet_goals(context, other.trigger)
                _keep_waiting_version(
                    context, trigger, Unreadable(other.trigger.version, other.wrong_mails)
                )
            else:
                _go_on(context, other)
        elif not trigger.migrate:
            audience.evaluate(context.warehouse, trigger, only_entered=True)
            _keep_waiting_version(context, trigger, other)
    audience.evaluate(context.warehouse, trigger)
    covered_versions = [trigger.version]
    if trigger.migrate:
        covered_versions += [
            other.trigger.version if isinstance(other, Version) else other.version
            for other in others
        ]
    if not _go_on(context, Version(trigger, renderer, tuple(covered_versions), trigger.name)):
        return
    seen = audience.seen_false(context.warehouse)
    context.decisions.seen_false.extend((trigger.name, account_id) for account_id in seen)
    if stop := context.stops.get(trigger.name):
        entering.keep_out(context, trigger, stop, launched)
        return
    entering.enter(context, trigger)


def _go_on(context: PlanningContext, version: Version) -> bool:
    """Decide about those inside, by the version whose verdict is the warehouse's now.

    False where it waits for the usage feed.
    """
    trigger = version.trigger
    why = context.why_it_waits(trigger)
    leaving.leave(context, trigger.name, version.covered_versions, waits=why is not None)
    moving = going_on.migrate(context, trigger) if trigger.migrate else []
    for version_number in {trigger.version, *version.covered_versions}:
        context.decisions.waiting[trigger.name, version_number] = why
    if why is not None:
        _wait(context, version, why)
        return False
    _meet_goals(context, trigger)
    going_on.decide_inside(context, version, moving)
    stop = context.stops.get(trigger.name)
    if stop is None or stop.mode != PAUSED:
        going_on.finish_held_out(context, trigger)
    elif inside := leaving.left_inside(context, trigger.name, version.covered_versions):
        context.result.withheld[Reason.PAUSED] += inside
    return True


def _meet_goals(context: PlanningContext, trigger: Trigger) -> None:
    context.decisions.goals.extend(
        GoalMet(row["account_id"], trigger.name, row["cycle"])
        for row in audience.arrived(context.warehouse, trigger.version)
    )


def _wait(context: PlanningContext, version: Version, why: str) -> None:
    context.result.waiting.append(f"{version.called} waits: {why}")
    if inside := leaving.left_inside(context, version.trigger.name, version.covered_versions):
        context.result.withheld[Reason.WAITING_FOR_FEED] += inside


def _keep_waiting_version(context: PlanningContext, trigger: Trigger, lost: Unreadable) -> None:
    """Keep those inside where they are: nobody knows what comes next for them."""
    leaving.leave(context, trigger.name, [lost.version], waits=True)
    context.decisions.waiting[trigger.name, lost.version] = f"it cannot be read: {lost.why}"
    if inside := leaving.left_inside(context, trigger.name, [lost.version]):
        context.result.withheld[Reason.VERSION_UNREADABLE] += inside
        context.result.waiting.append(
            f"{versions.called(trigger.name, lost.version)} cannot be read: {lost.why}. Those"
            " who entered by it wait; `migrate: true` in the file moves them to it"
        )


def _keep_waiting(context: PlanningContext, name: str, problems: Sequence[Problem]) -> None:
    """Keep all of a trigger where it is whose file or mails cannot be used as they stand.

    Nobody enters, nobody leaves by a condition, and nothing is mailed, not even what is
    planned; it is not launched by this either. Whose account is gone leaves all the same,
    and goals are looked for, by the versions that the ledger keeps.
    """
    audience.register(context.warehouse, context.ledger, name, context.as_of)
    why = versions.in_words(problems)
    file = context.settings.folder("triggers") / f"{name}.yaml"
    in_use: list[str] = []
    for version in versions.in_use(context.ledger, file, context.renderer, context.as_of):
        if isinstance(version, Version):
            audience.evaluate(context.warehouse, version.trigger, only_entered=True)
            leaving.leave(context, name, version.covered_versions, waits=True)
            _meet_goals(context, version.trigger)
            in_use += version.covered_versions
        else:
            in_use.append(version.version)
    context.decisions.waiting.update({(name, digest): why for digest in in_use})
    if inside := leaving.left_inside(context, name, in_use):
        context.result.withheld[Reason.TRIGGER_UNUSABLE] += inside
    context.result.broken[name] = tuple(problems)


def _end_waiting(context: PlanningContext) -> None:
    """Let go what waited and has nobody any more to wait for."""
    for key in ledger_state.waiting_versions(context.ledger):
        context.decisions.waiting.setdefault(key, None)


def _count_those_without_country(context: PlanningContext) -> None:
    """Say for how many accounts another country's holidays stand in."""
    query = "select count(*) as n from marts.account_360 where country_code is null"
    without = audience.rows(context.warehouse, query)[0]["n"]
    if without:
        context.result.waiting.append(
            f"{counted(without, 'account')} without a country: the holidays of their time"
            f" zone's country count, else those of {context.settings.company.country}"
        )
