"""A trigger file that somebody saves half-edited while a run is under way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from flows import stages
from lifecycle.errors import GateStopped
from lifecycle.ledger import account_history, runs
from lifecycle.run import Run
from planned import WIN_BACK, Workspace

OTHER = WIN_BACK.replace("touch_model = 'tech'", "true").partition("  - {id: case_study")[0]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a chat's webhook hears."""
    texts: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            texts.append(json.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/hook"
    monkeypatch.setenv("LIFECYCLE__NOTIFY__WEBHOOK_URL", address)
    yield texts
    server.shutdown()


@pytest.fixture
def config(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LIFECYCLE__OWNERS__MORNING_LIST", "false")  # its marts are not here
    monkeypatch.setenv("LIFECYCLE__SOURCE__KIND", "files")
    monkeypatch.setenv("LIFECYCLE__SOURCE__PATH", str(tmp_path))
    workspace.company.trigger("other", OTHER, "check_in")
    return str(workspace.company.folder / "lifecycle.toml")


@pytest.mark.parametrize("how", ["half saved", "moved away"])
def test_a_file_that_breaks_after_a_run_began_stops_its_trigger_alone(
    workspace: Workspace, config: str, heard: list[str], how: str
) -> None:
    file = workspace.company.folder / "triggers" / "win_back.yaml"
    with Run.begin(config=config) as run:
        workspace.publish()  # what the stages before planning do
        if how == "half saved":
            file.write_text(WIN_BACK[: WIN_BACK.index("after: 0d")])
        else:
            file.rename(file.with_suffix(".tmp"))
        stages.plan_run.fn(run)
        stages.deliver.fn(run)
        stages.report.fn(run)
    assert run.report.status == "done"
    assert run.report.planned_by_trigger == {"other": 1}
    assert list(run.report.broken) == ["win_back"]
    (text,) = heard
    why = "not valid YAML" if how == "half saved" else "is gone since the run began"
    for page in (text, " ".join(run.report.as_text().split())):
        assert "win_back waits: triggers/win_back.yaml" in page
        assert why in page
    written = json.loads((workspace.settings.reports_dir / "latest.json").read_text())
    assert written["broken"]["win_back"][0]["file"] == "triggers/win_back.yaml"
    assert [row.trigger for row in account_history.launched(workspace.ledger)] == ["other"]


def test_what_breaks_and_is_mended_before_the_plan_is_no_news(
    workspace: Workspace, config: str, heard: list[str]
) -> None:
    file = workspace.company.folder / "triggers" / "win_back.yaml"
    whole = file.read_text()
    file.write_text("")
    with Run.begin(config=config) as run:
        assert list(run.report.broken) == ["win_back"], "as far as is known when it begins"
        workspace.publish()
        file.write_text(whole)
        stages.plan_run.fn(run)
    assert run.report.broken == {}
    assert set(run.report.planned_by_trigger) == {"other", "win_back"}
    assert heard == []


def test_a_run_that_a_gate_stops_names_the_broken_trigger_too(
    workspace: Workspace, config: str, heard: list[str]
) -> None:
    (workspace.company.folder / "triggers" / "win_back.yaml").write_text("")
    with pytest.raises(GateStopped), Run.begin(config=config) as run:
        raise GateStopped("raw", ["half of the accounts are gone"])
    assert "triggers/win_back.yaml:1: has to be a mapping" in run.report.as_text()
    assert "half of the accounts are gone" in heard[0]


def test_a_dry_run_reports_it_and_tells_nobody(
    workspace: Workspace, config: str, heard: list[str]
) -> None:
    (workspace.company.folder / "triggers" / "win_back.yaml").write_text("")
    with Run.begin(config=config, dry_run=True) as run:
        workspace.publish()
        stages.plan_run.fn(run)
        stages.report.fn(run)
    assert list(run.report.broken) == ["win_back"]
    assert heard == []
    assert runs.newest_decision(workspace.ledger) is None
