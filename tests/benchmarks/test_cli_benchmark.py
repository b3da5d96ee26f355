"""The benchmark of the commands, one round: each of them is measured beside a bare Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from planned import Workspace, workspace

__all__ = ["workspace"]

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "cli.py"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))


@pytest.mark.usefixtures("commands")
@pytest.mark.long
def test_each_command_is_measured_beside_a_bare_python(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cli

    workspace.publish()
    workspace.run()
    assert set(cli.AIMS) == set(cli.PROMISED) < set(cli.COMMANDS)
    monkeypatch.setitem(cli.COMMANDS, "explain", (str(cli.LIFECYCLE), "explain", "A1"))
    monkeypatch.setattr(cli, "PROMISED", {"--help": 1000})  # other tests run beside this one
    state = str(workspace.settings.state_dir)
    monkeypatch.setattr(sys, "argv", ["cli.py", "--state", state, "--rounds", "1", "--json"])
    cli.main()
    answer = json.loads(capsys.readouterr().out)
    assert list(answer["cpu_seconds"]) == list(cli.COMMANDS)
    assert all(seconds > 0 for seconds in answer["cpu_seconds"].values())
    assert answer["times_bare_python"][cli.BARE] == 1
    # Great Expectations alone costs more than all that the other one does.
    assert answer["cpu_seconds"]["validate"] < answer["cpu_seconds"][cli.EDITED]


@pytest.mark.usefixtures("commands")
def test_a_missed_promise_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cli

    bare = cli.COMMANDS[cli.BARE]
    monkeypatch.setattr(cli, "COMMANDS", {cli.BARE: bare, "status": bare, "explain": bare})
    monkeypatch.setattr(cli, "PROMISED", {"status": 0.01, "explain": 1000})
    monkeypatch.setattr(sys, "argv", ["cli.py", "--state", str(tmp_path), "--rounds", "1"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == "more than promised: status"
    assert "status" in capsys.readouterr().out
