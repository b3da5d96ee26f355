"""What a run leaves in the log files, whoever started it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import stages
from flows.deliver_due import deliver_due
from lifecycle.errors import GateStopped, WarehouseError
from lifecycle.logs import LogFile
from lifecycle.run import Run
from planned import Workspace


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LogFile)]:
        root.removeHandler(handler)
        handler.close()


@pytest.fixture
def config(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LIFECYCLE__OWNERS__MORNING_LIST", "false")  # its marts are not here
    monkeypatch.setenv("LIFECYCLE__SOURCE__KIND", "files")
    monkeypatch.setenv("LIFECYCLE__SOURCE__PATH", str(tmp_path))
    return str(workspace.company.folder / "lifecycle.toml")


def log_of(workspace: Workspace) -> str:
    return (workspace.settings.state_dir / "logs" / "lifecycle.log").read_text(encoding="utf-8")


def test_a_run_without_a_command_line_logs_its_stages_deliveries_and_outcome(
    workspace: Workspace, config: str
) -> None:
    with Run.begin(config=config) as run:
        workspace.publish()
        stages.plan_run.fn(run)
        stages.deliver.fn(run)
        stages.report.fn(run)
    text = log_of(workspace)
    for line in (
        f"run {run.run_id} begins, as of",
        f"run {run.run_id}: plan begins",
        f"run {run.run_id}: plan: 1 mail, 1 withheld, 1 entered (",
        "delivery: ",
        f"run {run.run_id}: done; 0 accounts, 1 mails planned",
    ):
        assert f" INFO lifecycle.{'mail.deliver' if 'delivery' in line else 'run'}[" in text
        assert line in text
    assert "@example.com" not in text


def test_a_run_that_stops_or_fails_logs_where_and_why(workspace: Workspace, config: str) -> None:
    with pytest.raises(GateStopped), Run.begin(config=config) as run, run.stage("gate_raw"):
        raise GateStopped("raw", ["half of the accounts are gone"])
    assert f"run {run.run_id} stopped in gate_raw: stopped at the raw gate" in log_of(workspace)
    with pytest.raises(WarehouseError), Run.begin(config=config) as run, run.stage("build"):
        raise WarehouseError("duplicate key aiko.sato@example.com")
    assert f"run {run.run_id} failed in build: duplicate key a***@example.com" in log_of(workspace)


def test_every_delivery_logs_what_left(workspace: Workspace, config: str) -> None:
    workspace.publish()
    workspace.run()
    deliver_due.fn(config=config, as_of="2026-06-08 00:10")
    deliver_due.fn(config=config, as_of="2026-06-08 00:20")
    text = log_of(workspace)
    assert "delivery: 1 accepted" in text
    assert "delivery: nothing was due" in text


def test_a_full_disk_under_the_log_fails_no_run(
    workspace: Workspace, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = workspace.settings.state_dir / "logs"
    logs.mkdir(parents=True)
    (logs / "lifecycle.log").symlink_to("/dev/full")
    with Run.begin(config=config) as run:
        run.conclude()
    assert run.report.status == "done"
    output = capsys.readouterr().err
    assert output.count("lifecycle.log cannot be written: No space left on device") == 1


def test_the_api_of_one_command_writes_prefect_log(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from flows import api, local_api\n"
        "state = Path(sys.argv[1]); api.prepare(state)\n"
        "server = local_api.LocalApi(state); server.wait(); print(server.process_id)\n"
    )
    surroundings = {n: value for n, value in os.environ.items() if not n.startswith("PREFECT")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    text = (tmp_path / "logs" / "prefect.log").read_text()
    assert f"[{done.stdout.strip()}]: Prefect's API begins, for process " in text
