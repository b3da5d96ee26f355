"""A run over its budget, from the plan on: stopped by command, waiting in Prefect."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from sqlalchemy import select

import small_export
from commands import PREFECT_CREDENTIAL
from company import Company
from flows import approval, stages
from lifecycle.errors import OverBudget
from lifecycle.ledger import approvals, runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import approvals as approvals_table
from lifecycle.ledger.tables import enrollments, sends
from lifecycle.ledger.tables import runs as runs_table
from lifecycle.mail.deliver import deliver
from lifecycle.planning.plan import plan
from lifecycle.settings import load
from lifecycle.sources.demo_clock import DEMO_CLOCK
from lifecycle.state_lock import only_one
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_days import keep_published_delivery
from planned import Workspace

SAYS_YES = {"approve": True, "by": "aiko", "why": "as agreed"}
SAYS_NO = {"approve": False, "by": "bo", "why": "wrong offer"}


@pytest.fixture
def config(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a company in which any mail is one too many."""
    monkeypatch.setenv("LIFECYCLE__GUARD__PEOPLE", "0")
    monkeypatch.setenv("LIFECYCLE__OWNERS__MORNING_LIST", "false")
    monkeypatch.setenv("LIFECYCLE__GUARD__WAIT_HOURS", "0.03")  # no test waits for ever
    workspace.publish()
    return str(workspace.company.folder / "lifecycle.toml")


def rest_of_a_run(config: str, **asked: Any) -> dict[str, Any]:
    """A daily run on marts that are published."""
    with stages.begin(config=config, **asked) as run:
        stages.plan_run.fn(run)
        stages.approve(run)
        stages.deliver.fn(run)
        stages.report.fn(run)
    return run.report.as_json()


def states(workspace: Workspace) -> list[str]:
    with workspace.ledger.read() as connection:
        return list(connection.scalars(select(sends.c.state)))


def last_run(workspace: Workspace) -> Any:
    with workspace.ledger.read() as connection:
        return connection.execute(select(runs_table)).one()


def test_a_run_by_hand_stops_and_goes_on_where_it_stood_once_it_is_approved(
    workspace: Workspace, config: str
) -> None:
    with pytest.raises(OverBudget, match=r"it reaches 1 person; guard\.people is 0") as stopped:
        rest_of_a_run(config)
    assert stopped.value.exit_status == 3
    row = last_run(workspace)
    assert f"lifecycle approve {row.run_id} --by NAME --why TEXT" in str(stopped.value)
    assert "  - win_back: 1" in str(stopped.value)
    assert (row.status, row.people) == ("stopped", 1)
    report = json.loads(row.report)
    assert report["flood"]["by_trigger"] == {"win_back": 1}
    assert report["stopped"]["exit_status"] == 3
    page = (workspace.settings.reports_dir / "latest.txt").read_text()
    assert "Needs an approval" in page
    assert "若竹設備株式会社" in page
    deliver(workspace.settings, workspace.ledger, now=DEMO_CLOCK)
    assert states(workspace) == ["planned"]
    approvals.approve(workspace.ledger, row.run_id, by="aiko", why="as agreed")
    deliver(workspace.settings, workspace.ledger, now=DEMO_CLOCK)
    assert states(workspace) == ["accepted"]


def test_a_dry_run_says_that_it_would_wait_and_does_not(workspace: Workspace, config: str) -> None:
    report = rest_of_a_run(config, dry_run=True)
    assert report["flood"]["people"] == 1
    assert states(workspace) == []


@pytest.fixture
def deployed(prefect_api: str) -> Iterator[Any]:
    """Runs `rest_of_a_run` as a deployment's flow run, while somebody fills in its form."""
    the_flow = flow(name="rest-of-a-run", persist_result=False)(rest_of_a_run)

    def go(
        config: str,
        form: dict[str, Any] | None,
        by_command: Any = None,
        the_flow: Any = the_flow,
    ) -> tuple[Any, dict[str, Any]]:
        seen: dict[str, Any] = {}
        with get_client(sync_client=True) as client:
            deployment = client.create_deployment(client.create_flow(the_flow), name="daily")
            flow_run = client.create_flow_run_from_deployment(
                deployment, parameters={"config": config}
            )

            def fill_in() -> None:
                deadline = time.monotonic() + 90
                while time.monotonic() < deadline:
                    state = client.read_flow_run(flow_run.id).state
                    if state is not None and (state.is_paused() or state.is_final()):
                        break
                    time.sleep(0.05)
                seen["lock"] = can_begin(config)
                if by_command is not None:
                    by_command()
                elif form is not None:
                    time.sleep(0.2)
                    client.resume_flow_run(flow_run.id, run_input=form)

            person = Thread(target=fill_in)
            person.start()
            state = run_flow(the_flow, flow_run, parameters={"config": config}, return_type="state")
            person.join()
        return state, seen

    with temporary_settings(
        {PREFECT_API_URL: prefect_api, PREFECT_API_AUTH_STRING: PREFECT_CREDENTIAL}
    ):
        yield go


def can_begin(config: str) -> bool:
    """Whether another run could begin: nobody holds the state folder's lock."""
    with only_one(Path(config).parent / ".lifecycle"):
        return True


def test_a_run_in_prefect_waits_for_its_form_and_then_delivers(
    workspace: Workspace, config: str, deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "POLL_SECONDS", 1)
    state, seen = deployed(config, SAYS_YES)
    assert state.is_completed(), state
    assert seen == {"lock": True}
    assert states(workspace) == ["accepted"]
    row = last_run(workspace)
    assert row.status == "done"
    with workspace.ledger.read() as connection:
        (output,) = connection.execute(select(approvals_table)).all()
    assert (output.run_id, output.decision, output.by) == (row.run_id, "approved", "aiko")


def test_a_no_in_the_form_cancels(
    workspace: Workspace, config: str, deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "POLL_SECONDS", 1)
    state, _ = deployed(config, SAYS_NO)
    assert state.is_failed()
    assert "bo rejected the run: wrong offer" in str(state.message)
    assert states(workspace) == ["cancelled"]
    assert last_run(workspace).status == "stopped"


def test_a_run_that_waits_for_its_form_goes_on_when_it_is_approved_by_command(
    workspace: Workspace, config: str, deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "POLL_SECONDS", 1)

    def by_command() -> None:
        approvals.approve(workspace.ledger, last_run(workspace).run_id, by="chie", why="as agreed")

    state, _ = deployed(config, None, by_command)
    assert state.is_completed(), state
    assert states(workspace) == ["accepted"]
    with workspace.ledger.read() as connection:
        assert [row.by for row in connection.execute(select(approvals_table))] == ["chie"]


def test_a_form_that_nobody_fills_in_ends_the_run_and_the_command_still_works(
    workspace: Workspace, config: str, deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE__GUARD__WAIT_HOURS", str(1 / 3600))
    state, _ = deployed(config, None)
    assert state.is_failed()
    row = last_run(workspace)
    assert row.status == "stopped"
    assert states(workspace) == ["planned"]
    assert approvals.approve(workspace.ledger, row.run_id, by="aiko", why="late but yes") == 1


@pytest.fixture
def moved(tmp_path: Path) -> str:
    """The lifecycle.toml of a company whose delivery lost all that it knew of who left."""
    company = Company(tmp_path / "company")
    toml = company.folder / "lifecycle.toml"
    toml.write_text(
        toml.read_text(encoding="utf-8")
        + '[source]\nkind = "files"\npath = "export"\n[guard]\nwait_hours = 0.03\n'
    )
    export = company.folder / "export"
    small_export.write(export, until="2026-06-10 01:00")
    settings = company.settings
    with stages.begin(config=str(toml), as_of="2026-06-10 01:00") as run:
        stages.pull.fn(run)
        keep_published_delivery(settings)
    small_export.write(
        export,
        until="2026-06-11 01:00",
        contacts="select * replace (null as unsubscribed_at) from t",
    )
    return str(toml)


def to_the_gate(config: str, **asked: Any) -> dict[str, Any]:
    """A daily run up to its first gate."""
    with stages.begin(config=config, as_of="2026-06-11 01:00", **asked) as run:
        stages.pull.fn(run)
        stages.gate(run, "raw")
        stages.report.fn(run)
    return run.report.as_json()


@pytest.mark.parametrize(("form", "goes_on"), [(SAYS_YES, True), (SAYS_NO, False)])
def test_a_delivery_that_moved_too_far_waits_for_its_form(
    moved: str,
    deployed: Any,
    monkeypatch: pytest.MonkeyPatch,
    form: dict[str, Any],
    goes_on: bool,
) -> None:
    monkeypatch.setattr(approval, "POLL_SECONDS", 1)
    the_flow = flow(name="to-the-gate", persist_result=False)(to_the_gate)
    state, seen = deployed(moved, form, None, the_flow)
    assert state.is_completed() == goes_on, state
    assert seen == {"lock": True}
    with Ledger.open(load(moved).ledger_url) as ledger, ledger.read() as connection:
        [output] = connection.execute(select(approvals_table)).all()
    assert (output.decision, output.by) == (("approved", "aiko") if goes_on else ("rejected", "bo"))
    if goes_on:
        report = json.loads((load(moved).reports_dir / "latest.json").read_text("utf-8"))
        assert any("let through by aiko: as agreed" in text for text in report["warnings"])


@pytest.fixture
def losing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> str:
    """The lifecycle.toml of a company of which all that are inside a sequence churned at once."""
    for name, value in (("LOSS_NEVER_BELOW", "1"), ("WAIT_HOURS", "0.03")):
        monkeypatch.setenv(f"LIFECYCLE__GUARD__{name}", value)
    monkeypatch.setenv("LIFECYCLE__OWNERS__MORNING_LIST", "false")
    workspace.publish()
    runs.begin(workspace.ledger, run_id="before", as_of=workspace.as_of, source="demo")
    plan(workspace.settings, workspace.ledger, run_id="before", as_of=workspace.as_of)
    runs.finish(workspace.ledger, run_id="before", status="done", report={})
    with duckdb.connect(str(workspace.settings.published_db)) as marts:
        marts.execute("update marts.account_360 set is_churned = true, stage = 'churned'")
    return str(workspace.company.folder / "lifecycle.toml")


def to_the_plan(config: str) -> dict[str, Any]:
    """A daily run on marts that are published, up to its plan."""
    with stages.begin(config=config) as run:
        with connect_work(run.settings) as work:
            work.execute("create schema if not exists context")
            work.execute(
                "create or replace table context.run as"
                f" select '{run.run_id}' as run_id, now()::timestamp as loaded_at"
            )
        stages.plan(run)
        stages.report.fn(run)
    return run.report.as_json()


def open_sequences(workspace: Workspace) -> list[str]:
    with workspace.ledger.read() as connection:
        query = select(enrollments.c.account_id).where(enrollments.c.ended_at.is_(None))
        return list(connection.scalars(query))


@pytest.mark.parametrize(("form", "goes_on"), [(SAYS_YES, True), (SAYS_NO, False)])
def test_what_would_end_at_once_waits_for_its_form(
    workspace: Workspace,
    losing: str,
    deployed: Any,
    monkeypatch: pytest.MonkeyPatch,
    form: dict[str, Any],
    goes_on: bool,
) -> None:
    monkeypatch.setattr(approval, "POLL_SECONDS", 1)
    the_flow = flow(name="to-the-plan", persist_result=False)(to_the_plan)
    assert open_sequences(workspace) == ["A1"]
    state, seen = deployed(losing, form, None, the_flow)
    assert seen == {"lock": True}, "others may begin while it waits"
    assert state.is_completed() == goes_on, state
    assert open_sequences(workspace) == ([] if goes_on else ["A1"])
    if not goes_on:
        assert "their accounts churned" in str(state.message)


def test_a_later_run_may_begin_beside_one_that_waits(workspace: Workspace) -> None:
    runs.begin(workspace.ledger, run_id="waits", as_of=DEMO_CLOCK, source="demo")
    runs.wait(workspace.ledger, "waits")
    runs.begin(workspace.ledger, run_id="next", as_of=DEMO_CLOCK, source="demo")
    with workspace.ledger.read() as connection:
        values = dict(connection.execute(select(runs_table.c.run_id, runs_table.c.status)).all())
    assert values == {"waits": "waiting", "next": "running"}
