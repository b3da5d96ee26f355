"""The contents page, and what Prefect is told about it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Failed
from ruamel.yaml import YAML

from flows import lifecycle_run as contents
from flows import stages
from flows.api import prepare
from flows.privacy import HideAddresses
from lifecycle.errors import GateStopped, SourceError, WarehouseError

CHECKOUT = Path(__file__).parents[2]
DEPLOYMENTS = {
    f"{deployment['entrypoint']}/{deployment['name']}": deployment
    for deployment in YAML(typ="safe").load(CHECKOUT / "prefect.yaml")["deployments"]
}


def test_the_stages_stand_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    report = SimpleNamespace(as_json=lambda: {"run_id": "1"})

    @contextmanager
    def begin(**asked: Any) -> Iterator[Any]:
        called.append(f"begin {asked['as_of']}")
        yield SimpleNamespace(report=report)
        called.append("end")

    monkeypatch.setattr(contents, "begin", begin)
    for name in ("pull", "build", "publish", "plan", "approve", "deliver", "report"):
        monkeypatch.setattr(contents, name, lambda run, name=name: called.append(name))
    monkeypatch.setattr(contents, "gate", lambda run, door: called.append(f"gate {door}"))

    assert contents.lifecycle_run.fn(as_of="2026-06-10") == {"run_id": "1"}
    assert called == [
        *("begin 2026-06-10", "pull", "gate raw", "build", "gate marts"),
        *("publish", "plan", "approve", "deliver", "report", "end"),
    ]


def test_only_what_is_harmless_is_retried() -> None:
    retried = {
        name: getattr(stages, name).retries
        for name in ("pull", "check_door", "build", "publish", "plan_run", "deliver", "report")
    }
    assert retried == dict.fromkeys(("pull", "build", "publish"), 2) | dict.fromkeys(
        ("check_door", "plan_run", "deliver", "report"), 0
    )


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (WarehouseError("work.duckdb is in use"), True),
        (ConnectionResetError(), True),
        (SourceError("accounts.csv: no column account_id"), False),
        (GateStopped("raw", ["half is gone"]), False),
        (KeyError("bug"), False),
    ],
)
def test_retries_wait_for_what_may_pass(error: Exception, again: bool) -> None:
    assert stages.is_transient(None, None, Failed(data=error)) is again


def test_every_parameter_is_described_in_the_form() -> None:
    form = contents.lifecycle_run.parameters.properties
    assert set(form) == {"as_of", "delivered", "dry_run", "source", "config"}
    assert all(field.get("description") for field in form.values())
    assert {"demo", "files"} <= set(form["source"]["anyOf"][0]["enum"])


@pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=DEPLOYMENTS.keys())
def test_what_prefect_yaml_names_is_there(deployment: dict[str, Any]) -> None:
    path, _, name = deployment["entrypoint"].partition(":")
    assert load_flow_from_entrypoint(f"{CHECKOUT / path}:{name}").name
    assert deployment["work_pool"]["name"] == "lifecycle"
    assert str(CHECKOUT) not in (CHECKOUT / "prefect.yaml").read_text()


def test_the_daily_run_starts_at_six_in_tokyo_and_mails_go_every_ten_minutes() -> None:
    schedules = {
        deployment["name"]: deployment.get("schedules") for deployment in DEPLOYMENTS.values()
    }
    assert schedules["daily"] == [{"cron": "0 6 * * *", "timezone": "Asia/Tokyo"}]
    assert schedules["every-10-minutes"][0]["cron"] == "*/10 * * * *"


def test_logs_for_prefect_carry_no_address() -> None:
    try:
        raise WarehouseError("duplicate key aiko.sato@example.com")
    except WarehouseError:
        record = logging.LogRecord(
            "lifecycle", logging.ERROR, "x.py", 1, "mail to %s", ("bo@example.com",), sys.exc_info()
        )
    assert HideAddresses().filter(record)
    answer = logging.Formatter().format(record)
    assert "aiko" not in answer
    assert "mail to b***@example.com" in answer
    assert "Traceback" in answer


def test_prefect_lives_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PREFECT")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    prepare(tmp_path)
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "prefect")
    monkeypatch.setitem(os.environ, "PREFECT_HOME", "/elsewhere")
    prepare(tmp_path)
    assert os.environ["PREFECT_HOME"] == "/elsewhere"


def test_the_local_api_ends_with_a_command_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from flows.api import prepare\n"
        "from flows.local_api import LocalApi\n"
        "prepare(Path(sys.argv[1])); api = LocalApi(Path(sys.argv[1]))\n"
        "print(api.process_id, flush=True); time.sleep(60)\n"
    )
    surroundings = {n: value for n, value in os.environ.items() if not n.startswith("PREFECT")}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, env=surroundings
    ) as command:
        assert command.stdout is not None
        server = psutil.Process(int(command.stdout.readline()))
        command.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the API outlived its command"
        time.sleep(0.1)
