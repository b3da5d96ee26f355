"""What one reason would end of so much at once waits for a person, and is let through exactly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from company import utc
from lifecycle.ledger import approvals, due, held_losses, runs
from lifecycle.ledger.decisions import Decisions, Ending, Withheld
from lifecycle.ledger.held_losses import Lost
from lifecycle.ledger.store import Ledger
from lifecycle.planning import losses
from lifecycle.planning.decision import Reason
from lifecycle.planning.losses import Losses
from lifecycle.planning.plan_result import PlanResult
from lifecycle.settings import Guard
from planned_sends import plan, planned

NOW = utc("2026-06-10 01:00")
OPEN = 60


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """Of 60 accounts that are inside, with a mail each."""
    with Ledger.open(ledger_url) as opened:
        plan(opened, *(planned(n, at=NOW) for n in range(OPEN)), run_id="before")
        runs.begin(opened, run_id="r1", as_of=NOW, source="files")
        yield opened


def ended(count: int, reason: str = "churned") -> PlanResult:
    endings = [Ending(f"a{n}", "win_back", 1, reason) for n in range(count)]
    return PlanResult(decisions=Decisions(endings=endings))


def judged(ledger: Ledger, result: PlanResult, **limits: float) -> Losses | None:
    with ledger.read() as connection:
        return losses.judge(Guard(**limits), connection, result, [])  # type: ignore[arg-type]


def test_a_share_and_a_number_of_sequences_may_end(ledger: Ledger) -> None:
    assert judged(ledger, ended(19)) is None, "too few to be a delivery's fault"
    result = judged(ledger, ended(20))
    assert result is not None
    assert result.why == (
        "20 of 60 open sequences end, 33%: their accounts churned (e.g. a0, a1, a10);"
        " guard.loss_share is 20%"
    )
    assert judged(ledger, ended(20), loss_share=0.34) is None
    assert judged(ledger, ended(8), loss_never_below=5) is None, "8 of 60 are 13%"
    assert judged(ledger, ended(30, "trigger_removed")) is None, "a person took the file away"
    assert judged(ledger, ended(30, "exit")) is None, "who may enter again loses nothing"


def test_people_who_are_due_and_were_chosen_are_counted(ledger: Ledger) -> None:
    result = PlanResult()
    for n in (*range(11), 50):  # the last one would have entered
        result.decisions.withheld.append(
            Withheld("win_back", f"a{n}", f"c{n}", "", Reason.NO_CONSENT, "")
        )
    result.inside = {("win_back", f"a{n}") for n in range(11)}
    result.silenced = {Lost(Reason.NO_CONSENT, "win_back", f"a{n}", f"c{n}") for n in range(11, 24)}
    matches = judged(ledger, result)
    assert matches is not None
    assert "24 of 24 people who are due lose their mail" in matches.why
    result.due = {("win_back", f"a{n}", f"c{n}") for n in range(24, 150)}
    assert judged(ledger, result) is None, "24 of 150 are 16%"


def test_mails_of_accounts_wait_and_an_approval_is_for_exactly_these(ledger: Ledger) -> None:
    def due_mails() -> int:
        with ledger.read() as connection:
            return due.due(connection, NOW + timedelta(minutes=1)).mails

    result = judged(ledger, ended(20))
    assert result is not None
    assert due_mails() == OPEN
    with ledger.write() as connection:
        held_losses.hold(connection, "r1", result.lost, result.why)
    assert due_mails() == OPEN - 20
    assert [(row.run_id, row.why) for row in held_losses.waiting(ledger)] == [("r1", result.why)]

    approvals.approve(ledger, "r1", by="ann", why="a product was closed")
    assert due_mails() == OPEN
    assert held_losses.waiting(ledger) == []
    assert judged(ledger, ended(20)) is None
    assert judged(ledger, ended(39)) is None, "19 more are few"
    assert judged(ledger, ended(40)) is not None


def test_the_next_planning_holds_its_own(ledger: Ledger) -> None:
    with ledger.write() as connection:
        held_losses.hold(connection, "r1", [Lost("churned", "win_back", "a1")], "why")
        held_losses.hold(connection, "r1", [], "")
    assert held_losses.waiting(ledger) == []
