"""Who decides is known, and with four eyes it is somebody else than who caused it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from company import Company
from lifecycle.erasure import erase
from lifecycle.errors import InputError
from lifecycle.ledger import approvals, controls, operator, runs, suppressions
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import actions, sends
from lifecycle.ledger.tables import approvals as approvals_table
from lifecycle.planning import approving
from lifecycle.planning.plan import plan
from lifecycle.settings import Guard
from planned import MONDAY, WIN_BACK, Workspace

ME = operator.system_user()
AUTHOR, ANOTHER = "aiko@example.com", "ken@example.com"
HOW = {"by": "Ken", "why": "looked at the list"}
LATER = MONDAY + timedelta(hours=5)


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    company = Company(tmp_path / "company")
    company.trigger("win_back", WIN_BACK, "check_in", "case_study")
    with Ledger.open(company.settings.ledger_url) as ledger:
        answer = Workspace(company, company.settings, ledger, MONDAY)
        answer.publish()
        yield answer


def commit(workspace: Workspace, author: str) -> None:
    folder = workspace.company.settings.root
    for arguments in (
        ["init", "-q"],
        ["add", "triggers", "email_templates"],
        ["-c", "user.name=x", "-c", f"user.email={author}", "commit", "-qm", "change"],
    ):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)


def waits(workspace: Workspace, *, started_by: str | None = None, **guard) -> None:
    """A run of one mail that is over its budget."""
    settings = workspace.settings.model_copy(update={"guard": Guard(people=0, **guard)})
    workspace.settings = settings
    runs.begin(workspace.ledger, run_id="r1", as_of=MONDAY, source="files", started_by=started_by)
    plan(settings, workspace.ledger, run_id="r1", as_of=MONDAY)


def approve(workspace: Workspace, now=LATER) -> int:
    return approving.approve(workspace.settings, workspace.ledger, "r1", now=now, **HOW)


FOUR = {"four_eyes": True, "approvers": {ME: [ANOTHER]}}


def test_every_decision_says_who_entered_it(workspace, monkeypatch):
    monkeypatch.setenv("LIFECYCLE__PRIVACY__ERASURE_KEY", "0123456789abcdef" * 2)
    waits(workspace)
    ledger = workspace.ledger
    with operator.through_form():
        approvals.approve(ledger, "r1", **HOW)
    controls.pause(ledger, "win_back", **HOW)
    controls.resume(ledger, "win_back", **HOW)
    controls.hold(ledger, "A1", until=LATER, **HOW)
    suppressions.suppress(ledger, "x@example.com", reason="manual", by="Ken")
    erase(workspace.company.settings, ledger, "y@example.com", by="Ken", why="asked")
    with ledger.read() as connection:
        entered = dict(connection.execute(select(actions.c.action, actions.c.entered_by)).all())
        approved = connection.scalar(select(approvals_table.c.entered_by))
    assert entered.pop("approve") == approved == operator.PREFECT_FORM
    assert entered == dict.fromkeys(("pause", "resume", "hold", "suppress", "erase"), ME)


@pytest.mark.parametrize("variable", ["USER", "LOGNAME", "SUDO_USER"])
def test_no_variable_changes_who_it_is(variable, monkeypatch):
    monkeypatch.setenv(variable, "somebody-else")
    assert operator.current() == ME


def test_another_person_approves(workspace):
    commit(workspace, AUTHOR)
    waits(workspace, started_by=None, **FOUR)
    assert approve(workspace) == 1


@pytest.mark.parametrize(
    ("author", "started_by", "guard", "why"),
    [
        (AUTHOR, ME, FOUR, "started run r1"),
        (ANOTHER, None, FOUR, "changed win_back.yaml last"),
        (ANOTHER.upper(), None, FOUR, "changed win_back.yaml last"),
        (None, None, FOUR, "git does not say"),
        (AUTHOR, None, {"four_eyes": True}, "may not approve"),
        (AUTHOR, operator.PREFECT_PAGE, FOUR, "nobody knows by whom"),
    ],
)
def test_whoever_caused_it_does_not_approve_it(workspace, author, started_by, guard, why):
    if author:
        commit(workspace, author)
    waits(workspace, started_by=started_by, **guard)
    with pytest.raises(InputError, match=why):
        approve(workspace)
    with workspace.ledger.read() as connection:
        assert connection.execute(select(approvals_table)).all() == []


def test_the_form_does_not_count_with_four_eyes(workspace):
    commit(workspace, AUTHOR)
    waits(workspace, **FOUR)
    with operator.through_form(), pytest.raises(InputError, match="form does not say"):
        approve(workspace)


@pytest.mark.parametrize("guard", [{}, {"approve_within": "1d"}])
def test_a_late_approval_sends_nothing_stale(workspace, guard):
    waits(workspace, **guard)
    lasts = timedelta(days=int(guard.get("approve_within", "3d")[0]))
    with pytest.raises(InputError, match=r"stale.*plans anew"):
        approve(workspace, MONDAY + lasts + timedelta(minutes=1))
    approvals.reject(workspace.ledger, "r1", now=LATER, **HOW)
    with workspace.ledger.read() as connection:
        assert set(connection.scalars(select(sends.c.state))) == {"cancelled"}


def test_an_approval_in_time_goes(workspace):
    waits(workspace)
    assert approve(workspace, MONDAY + timedelta(days=3)) == 1
