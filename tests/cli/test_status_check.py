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
from planned import Told, told
from sent import put
from test_notify import serving
from watched import MINUTE, all_ran, publish_today, ran

__all__ = ["told"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _healthy(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    config = told.company.folder / "lifecycle.toml"
    config.write_text(config.read_text() + '[source]\nkind = "files"\npath = "data"\n')
    told.settings = told.company.settings
    publish_today(told)
    all_ran(told.ledger)


def ask(told: Told, *arguments: str) -> Result:
    config = str(told.company.folder / "lifecycle.toml")
    return CliRunner().invoke(app, ["--config", config, *arguments], env={"COLUMNS": "160"})


def check(told: Told) -> list[tuple[str, str]]:
    """The alarms of the check; its line and its exit status say the same."""
    alarms = json.loads(ask(told, "status", "--check", "--json").stdout)
    found = [(one["kind"], one["text"]) for one in alarms["alarms"]]
    line = ask(told, "status", "--check")
    assert line.stdout.count("\n") == 1
    assert line.stdout.startswith("ok: ") == (not found) == alarms["ok"]
    assert line.exit_code == bool(found)
    assert all(text in line.stdout for _, text in found)
    return found


def kinds(told: Told) -> list[str]:
    return [kind for kind, _ in check(told)]


def test_a_folder_whose_schedules_are_kept_is_well(told: Told) -> None:
    assert check(told) == []
    page = ask(told, "status").stdout
    assert "OVERDUE" not in page
    assert "every-10-minutes" in page
    (daily, *_) = json.loads(ask(told, "status", "--json").stdout)["schedules"]
    assert (daily["schedule"], daily["command"], daily["last_outcome"]) == (
        "daily",
        "lifecycle-run",
        "done",
    )
    assert datetime.fromisoformat(daily["next_at"]) > datetime.now(UTC)


def test_a_schedule_is_overdue_one_interval_and_the_grace_after_the_last(told: Told) -> None:
    all_ran(told.ledger, {DELIVER: 39 * MINUTE})
    assert check(told) == [], "ten minutes and thirty of grace are not over"
    all_ran(told.ledger, {DELIVER: 41 * MINUTE})
    ((kind, said),) = check(told)
    assert kind == "overdue"
    assert said.startswith("every-10-minutes (deliver-due) is overdue: it last finished")
    assert "OVERDUE" in ask(told, "status").stdout
    ran(told.ledger, DELIVER, MINUTE, outcome=None)
    ((kind, said),) = check(told)
    assert kind == "overdue", "one that was killed finished nothing"


def test_runs_that_finish_but_fail_are_no_schedule_that_is_kept(told: Told) -> None:
    all_ran(told.ledger, {FIT_SCORES: 40 * DAY})
    ran(told.ledger, FIT_SCORES, DAY, "failed", why="the usage feed is late")
    ((kind, said),) = check(told)
    assert kind == "failing"
    assert said.endswith("the usage feed is late")
    assert "FAILING" in ask(told, "status").stdout


def test_a_schedule_that_never_ran_is_overdue_only_after_its_time(told: Told) -> None:
    with told.ledger.write() as connection:
        connection.execute(text("delete from command_runs"))
        connection.execute(text("delete from recording"))
        since = datetime.now(UTC) - 50 * MINUTE
        connection.execute(
            text("insert into recording values (:since)"), {"since": since.replace(tzinfo=None)}
        )
    said = dict.fromkeys(text for _, text in check(told))
    assert list(said) == [
        "every-10-minutes (deliver-due) is overdue: it never ran here",
        "every-15-minutes (sync-feedback) is overdue: it never ran here",
    ]
    assert "never ran" in ask(told, "status").stdout


def test_old_data_held_mails_and_mails_that_do_not_leave_are_alarms(told: Told) -> None:
    with duckdb.connect(told.settings.published_db) as db:
        as_of = (datetime.now(UTC) - 31 * HOUR).replace(tzinfo=None)
        db.execute("update marts.published set as_of = ?", [as_of])
    now = datetime.now(UTC)
    put(told.ledger, 1, State.HELD)
    put(told.ledger, 2, State.QUEUED, not_before=now - 61 * MINUTE, closes_at=now + 5 * HOUR)
    ran(told.ledger, DELIVER, timedelta(), due=7, accepted=0, why="421 try later")
    found = dict(check(told))
    assert found.keys() == {"published", "due", "held", "delivery"}
    assert found["held"].startswith("1 mail held")
    assert found["due"].startswith("1 mail could leave since")
    assert "of 7 mails due, the provider took none" in found["delivery"]
    assert "421 try later" in found["delivery"]
    ran(told.ledger, DELIVER, timedelta(), due=7, accepted=1)
    assert "delivery" not in kinds(told)
    told.settings.published_db.unlink()
    assert dict(check(told))["published"] == "nothing was published yet"


def test_feedback_of_a_live_provider_that_nobody_read_is_an_alarm(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", "sendgrid")
    ((kind, said),) = check(told)
    assert kind == "feedback"
    assert "bounces were never read from the provider" in said


def test_a_broken_prefect_yaml_is_an_alarm_and_hides_nothing(told: Told) -> None:
    (told.company.folder / "prefect.yaml").write_text("deployments: [")
    ((kind, said),) = check(told)
    assert kind == "not_scheduled"
    assert "prefect.yaml: not valid YAML" in said
    assert "3 accounts" not in said
    assert "accounts as of" in ask(told, "status").stdout


def test_a_replay_that_nobody_scheduled_is_not_alarming(told: Told) -> None:
    with told.ledger.write() as connection:
        for table in ("command_runs", "runs"):
            connection.execute(text(f"delete from {table}"))
        connection.execute(text("update recording set since = '2026-01-01 00:00:00'"))
    past = datetime.now(UTC) - 30 * DAY
    runs.begin(told.ledger, run_id="r2", as_of=past, source="files")
    runs.finish(told.ledger, run_id="r2", status="done", report={"withheld": {}, "stopped": None})
    page = " ".join(ask(told, "status").stdout.split())
    assert "OVERDUE" not in page
    assert "No schedule has run in this folder, which looks at the past" in page
    assert "overdue" in kinds(told), "a check is a check"


def test_prefect_is_asked_whether_anything_is_scheduled(
    told: Told, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", PREFECT_CREDENTIAL)
    (told.company.folder / "prefect.yaml").write_text(
        "deployments:\n  - name: nowhere\n    entrypoint: f.py:never_deployed\n"
        "    schedules: [{cron: '0 6 * * *'}]\n"
    )
    ran(told.ledger, "never-deployed", MINUTE)
    ((kind, said),) = check(told)
    assert kind == "not_scheduled"
    assert said == f"Prefect at {prefect_api} has no run to come for nowhere"
    assert "NOTHING IS SCHEDULED" in ask(told, "status").stdout
    _schedule_in_prefect(prefect_api)
    assert check(told) == []
    assert "has scheduled a next run for each of them" in ask(told, "status").stdout


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
    told: Told, api: type[Refuses], answer: tuple[int, bytes], told_of_it: str
) -> None:
    api.answer = answer
    ((kind, said),) = check(told)
    assert kind == "not_scheduled"
    assert told_of_it in said
    assert "hidden" not in said
    page = ask(told, "status")
    assert page.exit_code == 0
    assert "so it is unknown whether a run is scheduled" in " ".join(page.stdout.split())


def test_an_api_that_is_gone_is_one_clear_message(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    ((kind, said),) = check(told)
    assert kind == "not_scheduled"
    assert said == "Prefect's API at http://127.0.0.1:9/api does not answer (ConnectError)"


def test_the_credential_comes_from_the_environment_or_the_state_folder(
    told: Told, api: type[Refuses], monkeypatch: pytest.MonkeyPatch
) -> None:
    from base64 import b64decode

    port_only = ask(told, "status", "--check")
    assert port_only.exit_code == 1
    file = told.settings.state_dir / "prefect.auth"
    file.write_text("lifecycle:from:file\n")
    file.chmod(0o600)
    ask(told, "status", "--check")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "lifecycle:from-env")
    ask(told, "status", "--check")
    sent = [b64decode(one.removeprefix("Basic ")).decode() for one in api.heard if one]
    assert sent == ["user:hidden", "lifecycle:from:file", "lifecycle:from-env"]


def test_a_folder_of_a_newer_version_is_refused(told: Told) -> None:
    from commands import environment, lifecycle

    with told.ledger.write() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    config = str(told.company.folder / "lifecycle.toml")
    env = environment(told.settings.state_dir)
    refused = lifecycle("--config", config, "status", "--check", env=env)
    assert refused.returncode == 2
    assert "this state folder was written by a newer version: its ledger" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_each_command_counts_for_its_own_schedule(told: Told) -> None:
    """What the ledger calls a command is what prefect.yaml's entrypoints are called."""
    schedules = json.loads(ask(told, "status", "--json").stdout)["schedules"]
    assert {RUN, DELIVER, SYNC_FEEDBACK, FIT_SCORES} <= {one["command"] for one in schedules}
