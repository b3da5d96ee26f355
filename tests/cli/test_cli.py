"""The Typer app: help, exit statuses, and standard output that holds only the answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from commands import environment
from commands import lifecycle as cold
from lifecycle.cli import app, main
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import actions, suppressions
from planned import Workspace, workspace

__all__ = ["workspace"]

CHECKOUT = Path(__file__).parents[2]
COMMANDS = (
    *("run", "deliver", "preview", "explain", "validate", "status", "suppress"),
    *("simulate", "diff"),
)


@dataclass(frozen=True)
class Done:
    """What a command said on either stream, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


class Lifecycle(Protocol):
    def __call__(self, *arguments: str, state: Path) -> Done: ...


@pytest.fixture
def lifecycle(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lifecycle:
    """The console script in this process: a new one imports for seconds."""

    def call(*arguments: str, state: Path) -> Done:
        for name in os.environ:
            if name.startswith("LIFECYCLE"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("LIFECYCLE__STATE__DIR", str(state))
        monkeypatch.chdir(CHECKOUT)
        monkeypatch.setattr(sys, "argv", ["lifecycle", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_has_its_help(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100", "TERM": "dumb"})
    assert shown.exit_code == 0
    assert "--json" in shown.stdout
    described = app.registered_commands
    assert all(
        description.callback is not None and description.callback.__doc__
        for description in described
    )


def test_help_waits_for_no_warehouse() -> None:
    heavy = ("prefect", "duckdb", "sqlalchemy", "pydantic", "dlt", "great_expectations", "flows")
    program = f"import sys, lifecycle.cli; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=CHECKOUT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("lifecycle ")


def test_a_missing_config_is_wrong_input_and_says_where(
    lifecycle: Lifecycle, tmp_path: Path
) -> None:
    done = lifecycle("--config", str(tmp_path / "no.toml"), "status", state=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"{tmp_path / 'no.toml'}: no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_keeps_its_traceback_in_the_state_folder(
    lifecycle: Lifecycle, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.db").write_text("this is no database, however long it may be")
    done = lifecycle("explain", "A0001", state=tmp_path / "state")
    assert done.returncode == 1
    log = tmp_path / "state" / "logs" / "lifecycle.log"
    assert f"Traceback: {log}" in done.stderr
    assert "LedgerError" in log.read_text()


def test_before_the_first_run_a_preview_says_so_in_one_sentence(
    lifecycle: Lifecycle, tmp_path: Path
) -> None:
    done = lifecycle("preview", "win_back_dormant", state=tmp_path)
    assert done.returncode == 1
    assert "nothing was published yet; `lifecycle run` makes it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_as_of_that_is_no_moment_is_refused_before_anything_starts(
    lifecycle: Lifecycle, tmp_path: Path
) -> None:
    done = lifecycle("run", "--as-of", "yesterday", state=tmp_path / "state")
    assert done.returncode == 2
    assert "2011-12-09 13:00 UTC" in done.stderr
    assert not (tmp_path / "state" / "prefect").exists()


def test_an_unknown_option_is_wrong_input(lifecycle: Lifecycle, tmp_path: Path) -> None:
    assert lifecycle("run", "--asof", "2026-06-10", state=tmp_path).returncode == 2


def test_what_is_wrong_in_a_trigger_is_named_and_counted(
    lifecycle: Lifecycle, tmp_path: Path
) -> None:
    (tmp_path / "triggers").mkdir()
    (tmp_path / "triggers" / "odd.yaml").write_text("audience: is_dormnt\n")
    config = tmp_path / "lifecycle.toml"
    config.write_text((CHECKOUT / "lifecycle.toml").read_text())
    done = lifecycle("--config", str(config), "validate", "--json", state=tmp_path / "state")
    assert done.returncode == 2
    problems = json.loads(done.stdout)["problems"]
    assert any(
        "is_dormnt" in problem["what"] and "is_dormant" in problem["hint"] for problem in problems
    )
    assert "triggers/odd.yaml" in done.stderr


def test_the_project_as_it_is_shipped_is_valid(lifecycle: Lifecycle, tmp_path: Path) -> None:
    done = lifecycle("validate", state=tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert "nothing wrong" in done.stdout


def test_status_of_an_empty_folder_is_one_object(lifecycle: Lifecycle, tmp_path: Path) -> None:
    done = lifecycle("status", "--json", state=tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"] == []


def test_a_suppressed_address_stays_suppressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE__STATE__DIR", str(tmp_path))
    monkeypatch.setenv("LIFECYCLE_CONFIG", str(CHECKOUT / "lifecycle.toml"))
    asked = ["suppress", " Aiko@Example.com ", "--by", "ticket 12", "--reason", "complained"]
    answer = (
        "aiko@example.com is never mailed again.\n"  # and nothing of who has it: nobody can tell
    )
    assert CliRunner().invoke(app, [*asked, "--why", "she called"]).stdout == answer
    again = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert (again["address"], again["new"], again["known"]) == ("aiko@example.com", False, None)
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger, ledger.read() as connection:
        (row,) = connection.execute(suppressions.select()).all()
        decided = connection.execute(select(actions.c.subject, actions.c.by, actions.c.why)).all()
    assert decided[0] == ("aiko@example.com", "ticket 12", "she called")
    assert (row.address, row.reason, row.source) == ("aiko@example.com", "complained", "ticket 12")


def test_an_address_that_nobody_known_has_is_suppressed_with_a_remark(workspace: Workspace) -> None:
    workspace.publish()
    config = ["--config", str(workspace.company.folder / "lifecycle.toml")]

    def suppress(address: str) -> str:
        return CliRunner().invoke(app, [*config, "suppress", address, "--by", "me"]).stdout

    assert suppress("c1@example.com") == "c1@example.com is never mailed again.\n"
    assert suppress("aiko@nowhere.example.com") == (
        "aiko@nowhere.example.com is never mailed again. But no contact, account owner or mail has "
        "this address: is it written right?\n"
    )
    assert "There is c3@example.com." in suppress("c3@exmple.com")


def test_a_restore_knows_who_was_erased_since_the_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE__STATE__DIR", str(tmp_path))
    monkeypatch.setenv("LIFECYCLE_CONFIG", str(CHECKOUT / "lifecycle.toml"))
    monkeypatch.setenv("LIFECYCLE__PRIVACY__ERASURE_KEY", "0123456789abcdef0123456789abcdef")
    copy = str(tmp_path / "copy.db")
    for asked in (
        ["backup", copy],
        ["erase", "aiko@example.com", "--by", "Mari"],
        ["restore", copy, "--by", "Mari", "--why", "disk lost"],
    ):
        if asked[0] == "restore":
            (tmp_path / "ledger.db").rename(tmp_path / "lost.db")
        assert CliRunner().invoke(app, asked).exit_code == 0
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger, ledger.read() as connection:
        (row,) = connection.execute(suppressions.select()).all()
    assert (row.address[:5], row.reason) == ("hmac:", "erased")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["not-an-address", "--by", "me"], "neither an e-mail address nor the id of a send"),
        (["a@example.com, b@example.com", "--by", "me"], "neither an e-mail address"),
        (["0" * 32, "--by", "me"], "no mail has the id"),
        (["a@example.com", "--by", "me", "--reason", "complaint"], 'did you mean "complained"'),
    ],
)
def test_only_an_address_with_a_known_reason_is_suppressed(
    lifecycle: Lifecycle, arguments: list[str], expected: str, tmp_path: Path
) -> None:
    done = lifecycle("suppress", *arguments, state=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr


def test_a_run_through_prefect_keeps_standard_output_for_the_answer(tmp_path: Path) -> None:
    """The real flow over real (bad) files: stopped at once, told in one object."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "accounts.csv").write_text("account_id,created_at\nA1,2026-01-01\n")
    state = tmp_path / "state"
    settings = {
        "HOME": str(tmp_path / "home"),
        "LIFECYCLE__SOURCE__KIND": "files",
        "LIFECYCLE__SOURCE__PATH": str(tmp_path / "data"),
    }
    done = cold("run", "--json", env=environment(state, **settings))
    assert done.returncode == 2, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "failed"
    assert answer["stopped"]["stage"] == "pull"
    assert answer["state_dir"] == str(state)
    assert "Traceback" not in done.stderr
    assert "usage_events" in done.stderr  # the file that is missing
    # Prefect is a guest of the state folder and leaves nothing at home.
    assert not (tmp_path / "home").exists()
    assert (state / "reports" / "latest.txt").exists()
