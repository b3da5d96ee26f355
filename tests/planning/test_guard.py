"""A run that reaches more people than its budget waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import duckdb
import pytest
from sqlalchemy import insert, select

from company import Company, Marts, utc
from lifecycle.errors import InputError, LedgerError, UnknownName
from lifecycle.ledger import approvals, runs
from lifecycle.ledger import tables as ledger_tables
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.suppressions import suppress
from lifecycle.ledger.tables import actions, enrollments, sends
from lifecycle.mail.deliver import deliver
from lifecycle.planning import guard
from lifecycle.planning import plan as plan_module
from lifecycle.planning.plan import plan
from lifecycle.planning.plan_result import PlanResult
from lifecycle.settings import Guard
from lifecycle.status.overview import status
from lifecycle.warehouse.connection import connect_published
from planned import MONDAY, WIN_BACK, Workspace

NOON = MONDAY + timedelta(hours=5)
AIKO = {"by": "aiko", "why": "as agreed"}


@pytest.fixture
def workspace(tmp_path, ledger_url) -> Iterator[Workspace]:
    company = Company(tmp_path / "company")
    company.trigger("win_back", WIN_BACK, "check_in", "case_study")
    with Ledger.open(ledger_url) as ledger:
        answer = Workspace(company, company.settings, ledger, MONDAY)
        answer.publish()
        yield answer


def run(workspace: Workspace, *, dry_run: bool = False, **limits) -> PlanResult:
    """A run of one mail, to C1 of A1."""
    settings = workspace.settings.model_copy(update={"guard": Guard(**limits)})
    runs.begin(workspace.ledger, run_id="r1", as_of=MONDAY, source="files")
    return plan(settings, workspace.ledger, run_id="r1", as_of=MONDAY, dry_run=dry_run)


def history(workspace: Workspace, days: int, people: int = 0, **more) -> None:
    """Runs that were done on the days before, at one in the morning in Tokyo, and one then."""
    rows = [
        {
            "run_id": f"old-{day}",
            "as_of": utc("2026-06-07 16:00") - timedelta(days=day),
            "started_at": MONDAY,
            "status": "done",
            "source": "files",
            "people": people,
            **more,
        }
        for day in range(1, days + 1)
    ]
    with workspace.ledger.write() as connection:
        connection.execute(insert(ledger_tables.runs), rows)


def outcome(workspace: Workspace) -> list[tuple[str, str]]:
    with workspace.ledger.read() as connection:
        query = select(sends.c.step, sends.c.state).order_by(sends.c.not_before)
        return [tuple(row) for row in connection.execute(query)]


def test_a_run_within_its_budget_is_not_held_up(workspace):
    assert run(workspace, people=1).flood is None
    deliver(workspace.settings, workspace.ledger, now=NOON)
    assert outcome(workspace) == [("check_in", "accepted")]


def test_a_run_over_its_budget_is_planned_whole_and_waits(workspace):
    flood = run(workspace, people=0).flood
    assert flood is not None
    assert (flood.people, flood.budget, flood.by_trigger) == (1, 0, {"win_back": 1})
    assert flood.sample == (
        {"account_id": "A1", "name": "若竹設備株式会社", "trigger": "win_back"},
    )
    assert "@" not in str(flood)
    deliver(workspace.settings, workspace.ledger, now=NOON)
    assert outcome(workspace) == [("check_in", "planned")]
    (waits,) = approvals.waiting(workspace.ledger)
    assert (waits.run_id, waits.people, waits.mails) == ("r1", 1, 1)
    assert status(workspace.settings, workspace.ledger, as_of=NOON).next_due is None

    assert approvals.approve(workspace.ledger, "r1", **AIKO) == 1
    seen = status(workspace.settings, workspace.ledger, as_of=NOON)
    assert seen.next_due is not None
    assert seen.runs[0]["why"] == "It was approved by aiko: as agreed"
    deliver(workspace.settings, workspace.ledger, now=NOON)
    assert outcome(workspace) == [("check_in", "accepted")]
    assert approvals.waiting(workspace.ledger) == []
    with workspace.ledger.read() as connection:
        columns = actions.c.action, actions.c.subject, actions.c.by, actions.c.why
        assert connection.execute(select(*columns)).all() == [
            ("approve", "r1", "aiko", "as agreed")
        ]


def test_an_approval_that_comes_too_late_sends_nothing(workspace):
    run(workspace, people=0)
    late = MONDAY + timedelta(days=4)
    deliver(workspace.settings, workspace.ledger, now=late)
    assert outcome(workspace) == [("check_in", "expired")]
    assert approvals.waiting(workspace.ledger) == []
    assert approvals.approve(workspace.ledger, "r1", **AIKO) == 0
    deliver(workspace.settings, workspace.ledger, now=late)
    assert outcome(workspace) == [("check_in", "expired")]


def test_a_rejected_run_takes_back_its_mails_and_what_it_began(workspace):
    run(workspace, people=0)
    done = approvals.reject(workspace.ledger, "r1", now=NOON, **AIKO)
    assert (done.accounts, done.mails) == (1, 1)
    assert outcome(workspace) == [("check_in", "cancelled")]
    with workspace.ledger.read() as connection:
        assert connection.execute(select(enrollments.c.end_reason)).all() == [("rejected",)]
    with pytest.raises(InputError, match="r1 was rejected by aiko: as agreed"):
        approvals.approve(workspace.ledger, "r1", **AIKO)


def test_a_later_run_is_not_held_up_by_one_that_waits(workspace):
    run(workspace, people=0)
    runs.begin(workspace.ledger, run_id="r2", as_of=NOON, source="files")
    with workspace.ledger.write() as connection:
        connection.execute(ledger_tables.enrollments.update().values(ended_at=NOON))
    workspace.company.trigger("rescue", WIN_BACK, "check_in", "case_study")
    plan(workspace.settings, workspace.ledger, run_id="r2", as_of=NOON)
    deliver(workspace.settings, workspace.ledger, now=NOON)
    with workspace.ledger.read() as connection:
        query = select(sends.c.trigger, sends.c.state).order_by(sends.c.trigger)
        assert connection.execute(query).all() == [("rescue", "accepted"), ("win_back", "planned")]


@pytest.mark.parametrize(("days", "waits"), [(27, False), (28, True)])
def test_the_usual_counts_once_there_are_28_days(workspace, days, waits):
    history(workspace, days)
    assert (run(workspace, never_below=0).flood is not None) is waits


@pytest.mark.parametrize(
    ("moment", "waits"),
    [
        ("2026-05-10 23:30", False),  # 08:30 in Tokyo on the oldest of the 28 days
        ("2026-05-10 14:30", True),  # 23:30 the day before
    ],
)
def test_the_usual_is_the_busiest_day_and_days_are_those_of_the_company(workspace, moment, waits):
    history(workspace, 28)
    busy = {"run_id": "busy", "started_at": MONDAY, "status": "done", "source": "files"}
    with workspace.ledger.write() as connection:
        row = {**busy, "as_of": utc(moment), "people": 1}
        connection.execute(insert(ledger_tables.runs), [row])
    assert (run(workspace, never_below=0, times=1).flood is not None) is waits


def test_a_day_before_the_last_28_is_not_usual_any_more(workspace):
    history(workspace, 29)
    with workspace.ledger.write() as connection:
        table = ledger_tables.runs
        connection.execute(table.update().where(table.c.run_id == "old-29").values(people=9))
    assert run(workspace, never_below=0).flood is not None


def test_a_few_people_after_quiet_days_are_no_flood(workspace):
    history(workspace, 28)
    assert run(workspace, never_below=1).flood is None


def test_runs_that_were_stopped_are_no_measure(workspace):
    history(workspace, 28, people=1_000, status="stopped")
    assert run(workspace, never_below=0).flood is None, "there is no usual yet"


def test_a_dry_run_tells_and_marks_nothing(workspace):
    assert run(workspace, dry_run=True, people=0).flood is not None
    with pytest.raises(UnknownName, match="no run 'r1' waits for a decision"):
        approvals.approve(workspace.ledger, "r1", **AIKO)


def test_mails_and_mark_are_written_together_or_not_at_all(workspace, monkeypatch):
    def crash(*_: object, **__: object) -> None:
        raise LedgerError("the disk is gone")

    monkeypatch.setattr(plan_module.approvals, "mark", crash)
    with pytest.raises(LedgerError):
        run(workspace, people=0)
    assert outcome(workspace) == []


def test_what_an_earlier_run_of_the_day_reached_is_not_usual_by_that(workspace):
    history(workspace, 28)
    today = {"run_id": "today", "as_of": utc("2026-06-07 21:00"), "people": 1}
    with workspace.ledger.write() as connection:
        row = {**today, "started_at": MONDAY, "status": "done", "source": "files"}
        connection.execute(insert(ledger_tables.runs), [row])
    assert run(workspace, never_below=0).flood is not None


def many_people(workspace: Workspace, reached: int, others: int) -> None:
    """Accounts of which a win-back reaches so many, each with one admin, and others beside."""
    with duckdb.connect(workspace.settings.published_db) as db:
        marts = Marts(db)
        shared = {"as_of": MONDAY.replace(tzinfo=None), "touch_model": "tech", "is_churned": False}
        marts.accounts(
            {**shared, "account_id": f"B{n}", "is_dormant": n < reached}
            for n in range(reached + others)
        )
        marts.contacts(
            {"contact_id": f"D{n}", "account_id": f"B{n}"} for n in range(reached + others)
        )


def test_most_of_a_small_company_at_once_waits_from_the_first_day(workspace):
    many_people(workspace, reached=22, others=20)
    flood = run(workspace).flood
    assert flood is not None
    assert (flood.people, flood.budget) == (22, 21)
    assert flood.why == (
        "it reaches 22 people, 52% of the 42 who may be mailed; guard.share is 50%"
    )


@pytest.mark.parametrize(
    ("reached", "others", "limits"),
    [(21, 21, {}), (20, 0, {}), (22, 0, {"share": 1}), (22, 0, {"share_never_below": 22})],
)
def test_the_share_forbids_neither_half_nor_a_few_people(workspace, reached, others, limits):
    many_people(workspace, reached=reached, others=others)
    assert run(workspace, **limits).flood is None


def test_whoever_may_not_be_mailed_makes_no_room_for_others(workspace):
    many_people(workspace, reached=22, others=22)
    assert run(workspace).flood is None
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute("update marts.dim_contacts set consent_basis = null where contact_id = 'D40'")
    suppress(workspace.ledger, "d41@example.com", reason="manual", **AIKO)
    with workspace.ledger.read() as known, connect_published(workspace.settings) as warehouse:
        assert guard.mailable_people(workspace.settings, warehouse, known) == 42
