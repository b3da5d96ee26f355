"""Who leaves a sequence: churned, gone from the CRM, by `exit_when`, or with its trigger."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.caps import local_day
from lifecycle.document import counted
from lifecycle.ledger.decisions import Absence, Ending, KeptBack
from lifecycle.ledger.tables import NOT_LEFT
from lifecycle.planning import audience, ledger_state
from lifecycle.planning.audience import Row
from lifecycle.planning.context import PlanningContext
from lifecycle.planning.decision import Reason


def leave(
    context: PlanningContext, trigger: str, covered_versions: Sequence[str], waits: bool
) -> None:
    """End the enrolments by these versions that end now; with `waits` none ends by a condition."""
    missing: list[Row] = []
    for row in audience.leavers(context.warehouse, covered_versions):
        if row["reason"] == "missing":
            missing.append(row)
        elif row["reason"] != "exit" or not waits:
            ending = Ending(row["account_id"], trigger, row["cycle"], row["reason"])
            context.decisions.endings.append(ending)
    _miss(context, trigger, covered_versions, missing)


def _miss(
    context: PlanningContext, trigger: str, covered_versions: Sequence[str], absent: Sequence[Row]
) -> None:
    """Count the runs that miss an account; one bad day of the CRM ends nothing."""
    missing: list[str] = []
    before = {
        key: row
        for version in covered_versions
        for key, row in context.missed.get((trigger, version), {}).items()
    }
    for account_id, cycle in before.keys() - {(row["account_id"], row["cycle"]) for row in absent}:
        context.decisions.absences.append(Absence(account_id, trigger, cycle, since=None, runs=0))
    for row in absent:
        mine = (row["account_id"], trigger, row["cycle"])
        if why := context.rejected_accounts.get(row["account_id"]):
            context.result.withhold(trigger, row["account_id"], Reason.ACCOUNT_SET_ASIDE, why)
            continue
        known = before.get((row["account_id"], row["cycle"]))
        since = known.absent_since if known else context.as_of
        runs = (known.absent_runs if known else 0) + 1
        zone = context.settings.company.time_zone
        days = local_day(context.as_of, zone) - local_day(since, zone)
        if runs >= context.absent_for.runs and days >= context.absent_for.days:
            context.decisions.endings.append(Ending(*mine, "deleted"))
            continue
        context.decisions.absences.append(Absence(*mine, since=since, runs=runs))
        why = f"missing in the CRM for {counted(runs, 'run')}"
        context.result.withhold(trigger, row["account_id"], Reason.ABSENT, why)
        missing.append(row["account_id"])
    for mails in ledger_state.mails_of(context.ledger, trigger, missing).values():
        for mail in mails:
            if mail.state in NOT_LEFT:
                kept = KeptBack(mail.send_id, f"{Reason.ABSENT}: missing in the CRM")
                context.decisions.kept_back.append(kept)


def left_inside(context: PlanningContext, trigger: str, covered_versions: Sequence[str]) -> int:
    """How many open enrolments by these versions do not end in this run."""
    gone = {ending.account_id for ending in context.decisions.endings if ending.trigger == trigger}
    return sum(
        row["account_id"] not in gone
        for row in audience.insiders(context.warehouse, covered_versions)
    )


def end_removed(context: PlanningContext, names: Sequence[str]) -> None:
    """End what triggers began whose file is gone."""
    context.decisions.endings.extend(
        Ending(row.account_id, row.trigger, row.cycle, "trigger_removed")
        for row in ledger_state.left_behind(context.ledger, names)
    )
