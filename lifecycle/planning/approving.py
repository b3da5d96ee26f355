"""Who may approve what a run waits for, and until when.

With `[guard] four_eyes` a second person decides: whoever started the run by hand, or last changed
the trigger files that caused its mails, may not. A person is the user of the operating system;
`[guard.approvers]` says under which names git knows them.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from lifecycle.errors import InputError
from lifecycle.ledger import approvals, operator
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import runs, sends, trigger_versions
from lifecycle.settings import Settings
from lifecycle.template_names import OWNER_LIST
from lifecycle.triggers.commit import author_of


def approve(
    settings: Settings, ledger: Ledger, run_id: str, *, now: datetime, by: str, why: str
) -> int:
    """Let go what a run waits for; returns how many mails are left to go.

    `now` is the clock that mails go by. Raises InputError where the run is older than `[guard]
    approve_within`, or four eyes are asked for and these are not the other two; and what
    `approvals.approve` raises.
    """
    if settings.guard.four_eyes:
        _refuse_same_eyes(settings, ledger, run_id)
    _refuse_stale(settings, ledger, run_id, now)
    return approvals.approve(ledger, run_id, by=by, why=why)


def _refuse_stale(settings: Settings, ledger: Ledger, run_id: str, now: datetime) -> None:
    with ledger.read() as connection:
        query = select(runs.c.as_of).where(runs.c.run_id == run_id, runs.c.over_budget.is_not(None))
        planned_at = connection.scalar(query)
    if planned_at is not None and now - planned_at > settings.guard.approval_lasts:
        raise InputError(
            f"run {run_id} is older than {settings.guard.approve_within}, and its mails are stale: "
            f"nothing is sent. `lifecycle reject {run_id}` drops them, and the next run plans anew"
        )


def _refuse_same_eyes(settings: Settings, ledger: Ledger, run_id: str) -> None:
    user = operator.current()
    if user == operator.PREFECT_FORM:
        raise InputError(
            "[guard] four_eyes is true: Prefect's form does not say who fills it in. Use "
            f"`lifecycle approve {run_id}`"
        )
    names = settings.guard.approvers.get(user)
    if names is None:
        raise InputError(
            f"{user} may not approve: [guard.approvers] names "
            f"{', '.join(sorted(settings.guard.approvers)) or 'nobody'}"
        )
    with ledger.read() as connection:
        query = select(runs.c.started_by).where(runs.c.run_id == run_id)
        starter = connection.scalar(query)
        caused_by = connection.execute(
            select(trigger_versions.c.trigger, trigger_versions.c.git_commit)
            .join(
                sends,
                (sends.c.trigger == trigger_versions.c.trigger)
                & (sends.c.trigger_version == trigger_versions.c.version),
            )
            .where(sends.c.run_id == run_id, sends.c.trigger != OWNER_LIST)
            .distinct()
        ).all()
    if starter == user:
        raise InputError(f"{user} started run {run_id}: somebody else has to approve it")
    if starter == operator.PREFECT_PAGE:
        raise InputError(
            f"run {run_id} was started in Prefect's page, and nobody knows by whom: reject it, and "
            "start it by `lifecycle run`, or wait for the schedule"
        )
    own = {name.casefold() for name in names}
    for trigger, commit in caused_by:
        file = settings.folder("triggers") / f"{trigger}.yaml"
        author = author_of(file, commit) if commit else None
        if author is None:
            raise InputError(
                f"{Path(file).name}: git does not say who changed it last: commit it, reject the "
                "run, and approve the next one"
            )
        if not own.isdisjoint(author):
            raise InputError(
                f"{user} changed {Path(file).name} last: somebody else has to approve run {run_id}"
            )
