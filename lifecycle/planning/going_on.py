"""Those inside a sequence: their readers, their next steps, and their mails that have not left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row as SqlRow

from lifecycle.ledger.decisions import (
    Ending,
    KeptBack,
    Migration,
    Progress,
)
from lifecycle.ledger.held_losses import Lost
from lifecycle.ledger.tables import NOT_LEFT, PAUSED
from lifecycle.planning import audience, ledger_state, losses, readers
from lifecycle.planning.context import PlanningContext, chunks
from lifecycle.planning.decision import (
    MAY_PASS,
    Enrolment,
    Place,
    Reason,
    goal_until,
    last_due,
)
from lifecycle.planning.steps import Inside
from lifecycle.planning.versions import Version
from lifecycle.triggers.model import Trigger


def migrate(context: PlanningContext, trigger: Trigger) -> list[SqlRow[Any]]:
    """Move those inside by other versions to the file's; returns their enrolments."""
    left = {
        ending.account_id for ending in context.decisions.endings if ending.trigger == trigger.name
    }
    inside = ledger_state.inside_by_others(context.ledger, trigger)
    moving = [row for row in inside if row.account_id not in left]
    for row in moving:
        place = Place(row.time_zone, row.time_zone_source, row.country)
        enrolment = _enrolment(row, place)
        context.decisions.migrations.append(
            Migration(
                account_id=row.account_id,
                trigger=trigger.name,
                cycle=row.cycle,
                from_version=row.trigger_version,
                to_version=trigger.version,
                steps=tuple(step.id for step in trigger.steps),
                next_at=last_due(trigger, enrolment) if row.held_out else context.as_of,
                goal_until=row.goal_until and goal_until(trigger, enrolment),
            )
        )
    return moving


def object_to_planned(context: PlanningContext) -> None:
    """Stop mails that were planned before, and that no version decides about in this run, to
    contacts that may not be mailed any more."""
    for chunk in chunks(ledger_state.not_left(context.ledger)):
        people_now = {
            (account_id, person["contact_id"]): person
            for account_id, people in context.people.of(
                sorted({row.account_id for row in chunk})
            ).items()
            for person in people
        }
        for row in chunk:
            whose = row.trigger, row.account_id, row.contact_id
            if why := context.leaving_unclear.get(row.account_id):
                context.suppress(row.send_id, why)
                context.result.silenced.add(Lost(Reason.ACCOUNT_SET_ASIDE, *whose))
                context.result.withheld[Reason.ACCOUNT_SET_ASIDE] += 1
                continue
            if (
                row.account_id in context.rejected_accounts
                or row.send_id in context.steps.looked_at
            ):
                continue
            person = people_now.get((row.account_id, row.contact_id))
            against = (
                context.people.ineligibility(person)
                if person
                else context.people.ineligibility_of_absent(row.contact_id)
            )
            if against and against[0] not in MAY_PASS:
                context.suppress(row.send_id, ": ".join(against))
                if against[0] in losses.OF_THE_DELIVERY:
                    context.result.silenced.add(Lost(against[0], *whose))
                context.result.withheld[against[0]] += 1
            elif against:
                context.decisions.kept_back.append(KeptBack(row.send_id, ": ".join(against)))
            else:
                context.result.due.add(whose)


def decide_inside(
    context: PlanningContext, version: Version, moving: Sequence[SqlRow[Any]]
) -> None:
    """Decide the next steps, and once more the mails that have not left, of those inside by a
    version and of those who move to it."""
    trigger = version.trigger
    stop = context.stops.get(trigger.name)
    is_paused = stop is not None and stop.mode == PAUSED
    left = {
        ending.account_id for ending in context.decisions.endings if ending.trigger == trigger.name
    }
    until, moved = context.as_of + context.ahead, context.moved.get(trigger.name, ())
    own = ledger_state.to_decide(context.ledger, trigger, until, moved)
    due = [
        row
        for row in (*own, *(row for row in moving if not row.held_out))
        if row.account_id not in left
        and row.account_id not in context.rejected_accounts
        and not context.waits_for_its_feed(trigger, row.account_id)
    ]
    if trigger.needs_feed and context.late:
        _keep_back_late(context, trigger)
    for account_id in sorted({row.account_id for row in due} & context.holds.keys()):
        context.on_hold(trigger, account_id)
    for chunk in chunks(due):
        ids = [row.account_id for row in chunk]
        accounts = audience.accounts(context.warehouse, ids)
        people = context.people.of(ids, trigger.recipients)
        context.steps.recall(trigger, people, accounts)
        decided = ledger_state.decided_steps(context.ledger, trigger.name, ids)
        chosen = ledger_state.readers(context.ledger, trigger.name, ids)
        mails = ledger_state.mails_of(context.ledger, trigger.name, ids)
        missing = {
            row.contact_id
            for rows in chosen.values()
            for row in rows
            if row.contact_id
            not in {person["contact_id"] for person in people.get(row.account_id, ())}
        }
        elsewhere = audience.elsewhere(context.warehouse, sorted(missing)) if missing else {}
        for row in chunk:
            if row.account_id not in accounts:
                continue  # it is missing: counted by `_miss`
            key = (row.account_id, row.cycle)
            contacts = {person["contact_id"]: person for person in people.get(row.account_id, [])}
            enrolment = _enrolment(row, context.place(accounts[row.account_id]))
            looked_at = readers.review(
                trigger,
                readers.Enrolled(
                    account_id=row.account_id,
                    trigger=trigger.name,
                    cycle=row.cycle,
                    time_zone=enrolment.place.time_zone,
                    readers=chosen.get(key, []),
                    mails=mails.get(key, []),
                ),
                contacts,
                context.people,
                elsewhere,
                now=context.as_of,
                absent_for=context.absent_for,
            )
            _write_readers(context, trigger, row.account_id, looked_at)
            context.result.inside.add((trigger.name, row.account_id))
            context.result.due.update(
                (trigger.name, row.account_id, reader.contact_id) for reader in looked_at.going
            )
            if not looked_at.going:
                context.decisions.endings.append(
                    Ending(row.account_id, trigger.name, row.cycle, "no_reader")
                )
                continue
            next_at = context.steps.decide(
                Inside(
                    trigger,
                    enrolment,
                    accounts[row.account_id],
                    looked_at.going,
                    version.renderer,
                    decided.get(key, {}),
                    mails.get(key, []),
                    is_paused or row.account_id in context.holds,
                )
            )
            place = enrolment.place
            context.decisions.progress.append(
                Progress(
                    account_id=row.account_id,
                    trigger=trigger.name,
                    cycle=row.cycle,
                    next_at=next_at,
                    time_zone=place.time_zone,
                    time_zone_source=place.source,
                    country=place.country,
                )
            )


def _keep_back_late(context: PlanningContext, trigger: Trigger) -> None:
    """Keep back the mails of accounts whose part of the feed is late."""
    for mails in ledger_state.mails_of(context.ledger, trigger.name, sorted(context.late)).values():
        for mail in mails:
            if mail.state in NOT_LEFT:
                context.steps.looked_at.add(mail.send_id)
                why = "its account's part of the usage feed is late"
                context.decisions.kept_back.append(KeptBack(mail.send_id, why))


def _write_readers(
    context: PlanningContext, trigger: Trigger, account_id: str, looked_at: readers.Readers
) -> None:
    context.decisions.readers.extend(looked_at.changes)
    for contact_id, against in looked_at.gone:
        context.result.withhold(trigger.name, account_id, *against, contact_id)
    for mail in looked_at.withdrawn:
        context.steps.looked_at.add(mail.send_id)
        context.suppress(mail.send_id, "its reader is gone")
        context.steps.is_withdrawn(mail)


def finish_held_out(context: PlanningContext, trigger: Trigger) -> None:
    """Those held out are through when their last mail would have been due."""
    context.decisions.progress.extend(
        Progress(
            row.account_id,
            trigger.name,
            row.cycle,
            None,
            row.time_zone,
            row.time_zone_source,
            row.country,
        )
        for row in ledger_state.held_out_through(context.ledger, trigger, context.as_of)
    )


def _enrolment(row: SqlRow[Any], place: Place) -> Enrolment:
    """An enrolment as the ledger has it, where its account is now."""
    return Enrolment(row.account_id, row.trigger, row.cycle, row.enrolled_at, place)
