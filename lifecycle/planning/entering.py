"""Who enters a sequence, or gets a broadcast, in this run; and who is kept out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row as SqlRow

from lifecycle.ledger.decisions import Entry, Launch
from lifecycle.ledger.tables import PAUSED
from lifecycle.planning import audience
from lifecycle.planning.audience import Entrant, Row
from lifecycle.planning.context import PlanningContext, chunks
from lifecycle.planning.decision import (
    Enrolment,
    Place,
    Reason,
    goal_until,
    last_due,
    next_opening,
    without_a_civil_hour,
)
from lifecycle.planning.launch import baseline
from lifecycle.planning.readers import Going, Mails
from lifecycle.planning.steps import Inside
from lifecycle.triggers.model import Trigger


def keep_out(
    context: PlanningContext, trigger: Trigger, stop: SqlRow[Any], launched: datetime | None
) -> None:
    """Nobody enters what is paused or off; it is not launched by then either."""
    is_paused = stop.mode == PAUSED
    what = "paused: its mails stay where they are" if is_paused else "off: nobody enters"
    context.result.waiting.append(f"{trigger.name} is {what} ({stop.by}: {stop.why})")
    if launched is not None:
        reason = Reason.PAUSED if is_paused else Reason.TURNED_OFF
        entrants = audience.entrants(context.warehouse, trigger.enter, context.as_of)
        if entrants and not trigger.is_broadcast:
            context.result.withheld[reason] += len(entrants)


def enter(context: PlanningContext, trigger: Trigger) -> None:
    """Enter the accounts that match now, and launch the trigger where it never ran before."""
    is_launched = trigger.name in context.launched
    candidates = audience.entrants(context.warehouse, trigger.enter, context.as_of)
    if trigger.is_broadcast:
        candidates = _on_its_day(context, trigger, candidates)
        if not (
            candidates or is_launched or _comes_due(context, trigger, context.here, context.as_of)
        ):
            return
    before_launch = set() if is_launched else _launch(context, trigger)
    for account_id in before_launch & candidates.keys():
        del candidates[account_id]
    if is_launched and trigger.audience.columns & audience.SCORED and not trigger.is_broadcast:
        for account_id in sorted(context.moved_by_version & candidates.keys()):
            why = "a new score version moved it; it enters once it was outside the audience"
            context.result.withhold(trigger.name, account_id, Reason.MOVED_BY_SCORE_VERSION, why)
            context.decisions.moved_by_version.append((trigger.name, account_id))
            del candidates[account_id]
    matched_before = context.warehouse.execute(
        "select count(*) from verdicts join baseline using (account_id) where is_member"
    ).fetchone()
    assert matched_before is not None
    for account_id in sorted(context.rejected_accounts.keys() & candidates.keys()):
        why = context.rejected_accounts[account_id]
        context.result.withhold(trigger.name, account_id, Reason.ACCOUNT_SET_ASIDE, why)
        del candidates[account_id]
    if not trigger.is_broadcast:  # whose mail waits for the end of the hold
        for account_id in sorted(context.holds.keys() & candidates.keys()):
            context.on_hold(trigger, account_id)
            del candidates[account_id]
    if trigger.exit_when:
        why = f"it meets exit_when, {trigger.exit_when.text}"
        for account_id in [
            account_id for account_id, entrant in candidates.items() if entrant.would_leave
        ]:
            context.result.withhold(trigger.name, account_id, Reason.WOULD_LEAVE, why)
            del candidates[account_id]
    held_back = matched_before[0] + len(before_launch)
    if held_back:
        context.result.withheld[Reason.MATCHED_BEFORE_LAUNCH] += held_back
    for account_ids in chunks(list(candidates)):
        accounts = audience.accounts(context.warehouse, account_ids)
        people = context.people.of(account_ids, trigger.recipients)
        context.steps.recall(trigger, people, accounts)
        for account_id in account_ids:
            _enter_account(
                context,
                trigger,
                accounts[account_id],
                candidates[account_id],
                people.get(account_id, []),
            )


def _launch(context: PlanningContext, trigger: Trigger) -> set[str]:
    before = baseline(context.settings, context.warehouse, trigger, context.as_of)
    context.decisions.launches.append(
        Launch(trigger.name, str(trigger.launch), tuple(sorted(before)))
    )
    return before


def _on_its_day(
    context: PlanningContext, trigger: Trigger, candidates: Mapping[str, Entrant]
) -> dict[str, Entrant]:
    """Those whom a broadcast is decided about in this run, and in no other one.

    It is the first run of its day where the account is, or the run before, where the mail
    has to leave before that one.
    """
    zones = {
        row["account_id"]: context.place(row)
        for chunk in chunks(list(candidates))
        for row in audience.accounts(context.warehouse, chunk).values()
    }
    return {
        account_id: entrant
        for account_id, entrant in candidates.items()
        if _comes_due(context, trigger, zones[account_id], context.as_of)
        and (
            context.last_run is None
            or trigger.name not in context.launched
            or not _comes_due(context, trigger, zones[account_id], context.last_run)
        )
    }


def _comes_due(context: PlanningContext, trigger: Trigger, place: Place, run: datetime) -> bool:
    begins = trigger.begins(place.time_zone)
    assert begins is not None
    opening = next_opening(trigger, place, begins)
    return begins <= run or (opening is not None and opening.not_before < run + context.ahead)


def _enter_account(
    context: PlanningContext,
    trigger: Trigger,
    account: Row,
    entrant: Entrant,
    people: Sequence[Row],
) -> None:
    account_id = account["account_id"]
    matching = [person for person in people if person["is_recipient"]]
    if not matching:
        detail = (
            f"none of its {len(people)} contacts matches {trigger.recipients.text}"
            if people
            else "it has no contact"
        )
        context.result.withhold(trigger.name, account_id, Reason.NO_RECIPIENT, detail)
        return
    place = context.place(account)
    if why := without_a_civil_hour(trigger, place, context.as_of):
        context.result.waits_for_a_zone(trigger.name, account, why)
        return
    mailable: dict[str, Row] = {}
    for person in matching:
        if against := context.people.ineligibility(person):
            context.result.withhold(trigger.name, account_id, *against, person["contact_id"])
        else:
            mailable[person["contact_id"]] = person
    if not mailable:
        return
    enrolment = Enrolment(
        account_id=account_id,
        trigger=trigger.name,
        cycle=entrant.cycle,
        # A broadcast that comes late is late from its day on.
        enrolled_at=trigger.begins(place.time_zone) or context.as_of,
        place=place,
    )
    held_out = trigger.holds_out(account_id)
    if held_out:
        detail = f"one of the {trigger.holdout} that get no mail, to compare with"
        context.result.withhold(trigger.name, account_id, Reason.HELD_OUT, detail)
        next_at: datetime | None = last_due(trigger, enrolment)
    else:
        next_at = context.steps.decide(
            Inside(
                trigger,
                enrolment,
                account,
                [
                    Going(contact_id, person, None, Mails())
                    for contact_id, person in mailable.items()
                ],
                context.renderer,
                decided={},
            )
        )
    context.decisions.entries.append(
        Entry(
            account_id=account_id,
            trigger=trigger.name,
            cycle=entrant.cycle,
            trigger_version=trigger.version,
            enrolled_at=enrolment.enrolled_at,
            time_zone=enrolment.place.time_zone,
            time_zone_source=enrolment.place.source,
            country=enrolment.place.country,
            next_at=next_at,
            contact_ids=() if held_out else tuple(mailable),
            held_out=held_out,
            despite_hold=trigger.is_broadcast,
            # What is so at entry, the mails did not bring about.
            goal_until=None if entrant.goal_is_met else goal_until(trigger, enrolment),
        )
    )
