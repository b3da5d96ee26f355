"""`lifecycle status` knows about time, and `--check` says in one line whether all is well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import duckdb
import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from commands import PREFECT_CREDENTIAL
from lifecycle.cli import app
from lifecycle.ledger import runs
from lifecycle.ledger.commands import DELIVER, FIT_SCORES, RUN, SYNC_FEEDBACK
from lifecycle.ledger.tables import State
from planned import Workspace, workspace
from sent import put
from test_notify import serving
from watched import MINUTE, all_ran, publish_today, ran

__all__ = ["workspace"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _healthy(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    config = workspace.company.folder / "lifecycle.toml"
    config.write_text(config.read_text() + '[source]\nkind = "files"\npath = "data"\n')
    workspace.settings = workspace.company.settings
    publish_today(workspace)
    all_ran(workspace.ledger)


def ask(workspace: Workspace, *arguments: str) -> Result:
    config = str(workspace.company.folder / "lifecycle.toml")
    return CliRunner().invoke(app, ["--config", config, *arguments], env={"COLUMNS": "160"})


def check(workspace: Workspace) -> list[tuple[str, str]]:
    """The alarms of the check; its line and its exit status say the same."""
    alarms = json.loads(ask(workspace, "status", "--check", "--json").stdout)
    result = [(alarm["kind"], alarm["text"]) for alarm in alarms["alarms"]]
    line = ask(workspace, "status", "--check")
    assert line.stdout.count("\n") == 1
    assert line.stdout.startswith("ok: ") == (not result) == alarms["ok"]
    assert line.exit_code == bool(result)
    assert all(text in line.stdout for _, text in result)
    return result


def kinds(workspace: Workspace) -> list[str]:
    return [kind for kind, _ in check(workspace)]


def test_a_folder_whose_schedules_are_kept_is_well(workspace: Workspace) -> None:
    assert check(workspace) == []
    page = ask(workspace, "status").stdout
    assert "OVERDUE" not in page
    assert "every-10-minutes" in page
    (daily, *_) = json.loads(ask(workspace, "status", "--json").stdout)["schedules"]
    assert (daily["schedule"], daily["command"], daily["last_outcome"]) == (
        "daily",
        "lifecycle-run",
        "done",
    )
    assert datetime.fromisoformat(daily["next_at"]) > datetime.now(UTC)


def test_a_schedule_is_overdue_one_interval_and_the_grace_after_the_last(
    workspace: Workspace,
) -> None:
    all_ran(workspace.ledger, {DELIVER: 39 * MINUTE})
    assert check(workspace) == [], "ten minutes and thirty of grace are not over"
    all_ran(workspace.ledger, {DELIVER: 41 * MINUTE})
    ((kind, message),) = check(workspace)
    assert kind == "overdue"
    assert message.startswith("every-10-minutes (deliver-due) is overdue: it last finished")
    assert "OVERDUE" in ask(workspace, "status").stdout
    ran(workspace.ledger, DELIVER, MINUTE, outcome=None)
    ((kind, message),) = check(workspace)
    assert kind == "overdue", "one that was killed finished nothing"


def test_runs_that_finish_but_fail_are_no_schedule_that_is_kept(workspace: Workspace) -> None:
    all_ran(workspace.ledger, {FIT_SCORES: 40 * DAY})
    ran(workspace.ledger, FIT_SCORES, DAY, "failed", why="the usage feed is late")
    ((kind, message),) = check(workspace)
    assert kind == "failing"
    assert message.endswith("the usage feed is late")
    assert "FAILING" in ask(workspace, "status").stdout


def test_a_schedule_that_never_ran_is_overdue_only_after_its_time(workspace: Workspace) -> None:
    with workspace.ledger.write() as connection:
        connection.execute(text("delete from command_runs"))
        connection.execute(text("delete from recording"))
        since = datetime.now(UTC) - 50 * MINUTE
        connection.execute(
            text("insert into recording values (:since)"), {"since": since.replace(tzinfo=None)}
        )
    output = dict.fromkeys(text for _, text in check(workspace))
    assert list(output) == [
        "every-10-minutes (deliver-due) is overdue: it never ran here",
        "every-15-minutes (sync-feedback) is overdue: it never ran here",
    ]
    assert "never ran" in ask(workspace, "status").stdout


def test_old_data_held_mails_and_mails_that_do_not_leave_are_alarms(workspace: Workspace) -> None:
    with duckdb.connect(workspace.settings.published_db) as db:
        as_of = (datetime.now(UTC) - 31 * HOUR).replace(tzinfo=None)
        db.execute("update marts.published set as_of = ?", [as_of])
    now = datetime.now(UTC)
    put(workspace.ledger, 1, State.HELD)
    put(workspace.ledger, 2, State.QUEUED, not_before=now - 61 * MINUTE, closes_at=now + 5 * HOUR)
    ran(workspace.ledger, DELIVER, timedelta(), due=7, accepted=0, why="421 try later")
    values = dict(check(workspace))
    assert values.keys() == {"published", "due", "held", "delivery"}
    assert values["held"].startswith("1 mail held")
    assert values["due"].startswith("1 mail could leave since")
    assert "of 7 mails due, the provider took none" in values["delivery"]
    assert "421 try later" in values["delivery"]
    ran(workspace.ledger, DELIVER, timedelta(), due=7, accepted=1)
    assert "delivery" not in kinds(workspace)
    workspace.settings.published_db.unlink()
    assert dict(check(workspace))["published"] == "nothing was published yet"


def test_feedback_of_a_live_provider_that_nobody_read_is_an_alarm(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", "sendgrid")
    ((kind, message),) = check(workspace)
    assert kind == "feedback"
    assert "bounces were never read from the provider" in message


def test_a_broken_prefect_yaml_is_an_alarm_and_hides_nothing(workspace: Workspace) -> None:
    (workspace.company.folder / "prefect.yaml").write_text("deployments: [")
    ((kind, message),) = check(workspace)
    assert kind == "not_scheduled"
    assert "prefect.yaml: not valid YAML" in message
    assert "3 accounts" not in message
    assert "accounts as of" in ask(workspace, "status").stdout


def test_a_replay_that_nobody_scheduled_is_not_alarming(workspace: Workspace) -> None:
    with workspace.ledger.write() as connection:
        for table in ("command_runs", "runs"):
            connection.execute(text(f"delete from {table}"))
        connection.execute(text("update recording set since = '2026-01-01 00:00:00'"))
    past = datetime.now(UTC) - 30 * DAY
    runs.begin(workspace.ledger, run_id="r2", as_of=past, source="files")
    runs.finish(
        workspace.ledger, run_id="r2", status="done", report={"withheld": {}, "stopped": None}
    )
    page = " ".join(ask(workspace, "status").stdout.split())
    assert "OVERDUE" not in page
    assert "No schedule has run in this folder, which looks at the past" in page
    assert "overdue" in kinds(workspace), "a check is a check"


def test_prefect_is_asked_whether_anything_is_scheduled(
    workspace: Workspace, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", PREFECT_CREDENTIAL)
    (workspace.company.folder / "prefect.yaml").write_text(
        "deployments:\n  - name: nowhere\n    entrypoint: f.py:never_deployed\n"
        "    schedules: [{cron: '0 6 * * *'}]\n"
    )
    ran(workspace.ledger, "never-deployed", MINUTE)
    ((kind, message),) = check(workspace)
    assert kind == "not_scheduled"
    assert message == f"Prefect at {prefect_api} has no run to come for nowhere"
    assert "NOTHING IS SCHEDULED" in ask(workspace, "status").stdout
    _schedule_in_prefect(prefect_api)
    assert check(workspace) == []
    assert "has scheduled a next run for each of them" in ask(workspace, "status").stdout


def _schedule_in_prefect(api: str) -> None:
    """A deployment and a run of it that is to come, as Prefect's scheduler makes it."""
    import httpx

    user, _, password = PREFECT_CREDENTIAL.partition(":")
    with httpx.Client(base_url=api, auth=(user, password), timeout=60) as client:
        flow = client.post("flows/", json={"name": "never-deployed"}).json()
        deployment = client.post(
            "deployments/", json={"name": "nowhere", "flow_id": flow["id"]}
        ).json()
        at = (datetime.now(UTC) + HOUR).isoformat()
        scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}
        run = client.post(
            f"deployments/{deployment['id']}/create_flow_run", json={"state": scheduled}
        )
        run.raise_for_status()


class Refuses(BaseHTTPRequestHandler):
    """An API that answers each question in one way, and writes down how it was asked."""

    answer: tuple[int, bytes]
    heard: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.heard.append(self.headers.get("Authorization", ""))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Refuses]]:
    handler: Any = type("Handler", (Refuses,), {"answer": (500, b"oh"), "heard": []})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        monkeypatch.setenv("PREFECT_API_URL", f"http://user:hidden@127.0.0.1:{port}/api")
        yield handler


@pytest.mark.parametrize(
    ("answer", "told_of_it"),
    [
        ((500, b"Internal Server Error"), "answered 500"),
        ((401, b"{}"), "answered 401: it wants a credential, PREFECT_API_AUTH_STRING"),
        ((302, b""), "answered 302"),
        ((200, b"<html>"), "is not Prefect's API"),
        ((200, b'{"a": 1}'), "is not Prefect's API"),
        ((200, b'[{"id": 1}]'), "is not Prefect's API"),
    ],
)
def test_an_api_that_answers_with_errors_is_one_clear_message(
    workspace: Workspace, api: type[Refuses], answer: tuple[int, bytes], told_of_it: str
) -> None:
    api.answer = answer
    ((kind, message),) = check(workspace)
    assert kind == "not_scheduled"
    assert told_of_it in message
    assert "hidden" not in message
    page = ask(workspace, "status")
    assert page.exit_code == 0
    assert "so it is unknown whether a run is scheduled" in " ".join(page.stdout.split())


def test_an_api_that_is_gone_is_one_clear_message(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    ((kind, message),) = check(workspace)
    assert kind == "not_scheduled"
    assert message == "Prefect's API at http://127.0.0.1:9/api does not answer (ConnectError)"


def test_the_credential_comes_from_the_environment_or_the_state_folder(
    workspace: Workspace, api: type[Refuses], monkeypatch: pytest.MonkeyPatch
) -> None:
    from base64 import b64decode

    port_only = ask(workspace, "status", "--check")
    assert port_only.exit_code == 1
    file = workspace.settings.state_dir / "prefect.auth"
    file.write_text("lifecycle:from:file\n")
    file.chmod(0o600)
    ask(workspace, "status", "--check")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "lifecycle:from-env")
    ask(workspace, "status", "--check")
    sent = [b64decode(request.removeprefix("Basic ")).decode() for request in api.heard if request]
    assert sent == ["user:hidden", "lifecycle:from:file", "lifecycle:from-env"]


def test_a_folder_of_a_newer_version_is_refused(workspace: Workspace) -> None:
    from commands import environment, lifecycle

    with workspace.ledger.write() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    config = str(workspace.company.folder / "lifecycle.toml")
    env = environment(workspace.settings.state_dir)
    refused = lifecycle("--config", config, "status", "--check", env=env)
    assert refused.returncode == 2
    assert "this state folder was written by a newer version: its ledger" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_each_command_counts_for_its_own_schedule(workspace: Workspace) -> None:
    """What the ledger calls a command is what prefect.yaml's entrypoints are called."""
    schedules = json.loads(ask(workspace, "status", "--json").stdout)["schedules"]
    assert {RUN, DELIVER, SYNC_FEEDBACK, FIT_SCORES} <= {
        schedule["command"] for schedule in schedules
    }
