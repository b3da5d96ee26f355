"""Every command that prefect.yaml schedules is recorded, by its flow's name, however it ends."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from company import Company
from flows.deliver_due import deliver_due
from lifecycle import schedules
from lifecycle.ledger import commands, runs
from lifecycle.ledger.commands import DELIVER
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.settings import CHECKOUT
from planned import Workspace
from sent import NOW, put


def entrypoints() -> dict[str, str]:
    import yaml

    content = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))
    return {deployment["name"]: deployment["entrypoint"] for deployment in content["deployments"]}


@pytest.mark.parametrize("schedule", schedules.read(CHECKOUT), ids=lambda item: item.name)
def test_each_scheduled_flow_is_recorded(
    schedule: schedules.Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder some of them fail: what counts is that the ledger knows."""
    company = Company(tmp_path / "company")
    config = company.folder / "lifecycle.toml"
    config.write_text(config.read_text() + '[source]\nkind = "files"\npath = "nowhere"\n')
    # What is wrong everywhere ends a daily run before its stages, which need Prefect's API.
    suites = company.folder / "expectations" / "raw"
    suites.mkdir(parents=True)
    (suites / "accounts.yml").write_text("[")
    file, _, name = entrypoints()[schedule.name].partition(":")
    flow = getattr(import_module(file.removesuffix(".py").replace("/", ".")), name)
    assert flow.name == schedule.command, "the ledger and Prefect call it the same"
    with suppress(Exception):
        flow.fn(config=str(config))
    with Ledger.open(company.settings.ledger_url) as ledger, ledger.read() as connection:
        recorded = commands.read(connection).finished
    assert recorded.keys() == {schedule.command}


def test_a_delivery_records_how_many_were_due_and_accepted(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(workspace.company.folder / "lifecycle.toml")
    runs.begin(workspace.ledger, run_id="r1", as_of=NOW, source="files")
    put(workspace.ledger, 1, State.QUEUED)
    deliver_due.fn(config=config, as_of=NOW.isoformat())
    assert counted(workspace) == ("done", 1, 1)
    deliver_due.fn(config=config, as_of=NOW.isoformat())
    assert counted(workspace) == ("done", 0, 0)
    put(workspace.ledger, 2, State.QUEUED)
    outbox = workspace.settings.outbox_dir
    for file in outbox.iterdir():
        file.unlink()
    outbox.rmdir()
    outbox.write_text("in the way")
    with suppress(Exception):
        deliver_due.fn(config=config, as_of=NOW.isoformat())
    _, due, accepted = counted(workspace)
    assert (due, accepted) == (1, 0), "mails were due, and none was accepted"


def counted(workspace: Workspace) -> tuple[str, int | None, int | None]:
    with workspace.ledger.read() as connection:
        records = commands.read(connection)
    last = records.finished[DELIVER]
    assert records.last_delivery == last
    return last.outcome, last.due, last.accepted
