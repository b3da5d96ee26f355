"""`make server`: what it deploys, who hears of a run that cannot tell by itself, and its end."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.automations import ResourceSpecification
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from commands import CHECKOUT, PREFECT_CREDENTIAL, environment
from company import Company
from flows import automations, server
from flows.tell import tell
from test_notify import Webhook, serving


@pytest.fixture
def client(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)  # for the processes that it starts
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", PREFECT_CREDENTIAL)
    with (
        temporary_settings(
            {PREFECT_API_URL: prefect_api, PREFECT_API_AUTH_STRING: PREFECT_CREDENTIAL}
        ),
        get_client(sync_client=True) as result,
    ):
        yield result


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    """The address of a channel, and what it heard."""
    handler = type("Handler", (Webhook,), {"heard": []})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        yield f"http://127.0.0.1:{port}/channel", handler.heard


def test_all_is_deployed_and_set_up_twice_it_is_there_once(
    client: SyncPrefectClient, tmp_path: Path
) -> None:
    settings = Company(tmp_path).settings
    server.deploy(settings)
    automations.set_up(late_after=timedelta(minutes=45))

    assert client.read_work_pool(server.POOL).type == "process"
    daily, delivery, answer = (
        client.read_deployment_by_name(name)
        for name in (automations.DAILY, automations.DELIVERY, automations.TELL)
    )
    assert [schedule.schedule.cron for schedule in daily.schedules] == ["0 6 * * *"]
    assert daily.work_pool_name == server.POOL

    assert len(client.read_automations()) == 3
    result = {automation.name: automation for automation in client.read_automations()}
    watched = {
        name: (states(item.trigger.after), states(item.trigger.expect), item.trigger.match_related)
        for name, item in result.items()
    }
    of_daily, of_delivery = (of(item.id) for item in (daily, delivery))
    assert watched == {
        "The daily run crashed": (set(), {"Crashed"}, of_daily),
        "The daily run did not start": ({"Late"}, {"Running", "Cancelled"}, of_daily),
        "Delivery keeps failing": (set(), {"Failed", "Crashed"}, of_delivery),
    }
    for item in result.values():
        (action,) = item.actions
        assert action.deployment_id == answer.id
        assert action.parameters.keys() <= tell.parameters.properties.keys()
    late = result["The daily run did not start"]
    assert late.trigger.within == timedelta(minutes=45), "as it was said last"
    assert late.actions[0].parameters["what"] == "the daily run did not start within 45 minutes"
    assert result["Delivery keeps failing"].trigger.threshold == 3


def states(events: set[str]) -> set[str]:
    return {event.removeprefix("prefect.flow-run.") for event in events}


def of(deployment: UUID) -> ResourceSpecification:
    return ResourceSpecification.model_validate(
        {
            "prefect.resource.role": "deployment",
            "prefect.resource.id": f"prefect.deployment.{deployment}",
        }
    )


def test_an_automation_that_tells_is_heard(
    webhook: tuple[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, heard = webhook
    monkeypatch.setenv("LIFECYCLE__NOTIFY__WEBHOOK_URL", address)
    config = Company(tmp_path).folder / "lifecycle.toml"
    tell.fn(run="brave-otter", what="the daily run's process ended", config=str(config))
    ((_, answer),) = heard
    assert answer["text"].startswith("*Lifecycle: the daily run's process ended*\n")
    assert "Flow run brave-otter" in answer["text"]


def test_a_server_that_cannot_start_says_why_and_tells_it(
    webhook: tuple[str, list[Any]], tmp_path: Path
) -> None:
    address, heard = webhook
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "flows.server"],
            env=environment(tmp_path, PORT=str(port), LIFECYCLE__NOTIFY__WEBHOOK_URL=address),
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr
    assert "choose another: make server PORT=4300" in done.stderr
    ((_, answer),) = heard
    assert answer["text"].startswith("*Lifecycle: the Prefect server ended*\n")


def test_when_a_part_dies_the_server_ends_and_names_its_log(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as worker:
        worker.wait()
        with pytest.raises(server.LifecycleError, match=r"worker ended by itself.*worker\.log"):
            server._refuse_dead({"worker": worker}, tmp_path)


def test_schedules_that_do_not_fire_are_reported_with_the_first_error(
    client: SyncPrefectClient,
    tmp_path: Path,
    webhook: tuple[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, heard = webhook
    monkeypatch.setenv("LIFECYCLE__NOTIFY__WEBHOOK_URL", address)
    settings = Company(tmp_path).settings
    server.deploy(settings)  # to an API whose scheduler does not run
    (tmp_path / "server.log").write_text("10:00:00 | WARNING | x\n10:00:01 | ERROR   | no SQL\n")
    server._report_schedules(settings, tmp_path, within=0, check=lambda: None)
    printed = capsys.readouterr().err
    assert printed.startswith("NOTHING IS SCHEDULED AS IT SHOULD BE: no run is scheduled for ")
    for name in ("daily", "every-10-minutes", "every-15-minutes", "monthly"):
        assert name in printed.splitlines()[0]
    assert "First error: 10:00:01 | ERROR   | no SQL" in printed
    assert str(tmp_path / "server.log") in printed
    ((_, message),) = heard
    assert "the scheduler does not work" in message["text"]


def test_an_api_that_does_not_answer_is_reported_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        server._report_schedules(Company(tmp_path).settings, tmp_path, within=1, check=lambda: None)
    assert "Prefect's API does not say what is scheduled" in capsys.readouterr().err


def test_the_work_pool_of_a_server_elsewhere_takes_no_job_variables(
    client: SyncPrefectClient,
) -> None:
    command = ["work-pool", "create", "pool-elsewhere", "--type", "process"]
    command += ["--base-job-template", "flows/work_pool.json"]
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *command],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    template = client.read_work_pool("pool-elsewhere").base_job_template
    assert template["variables"]["properties"] == {}
    assert template["variables"]["additionalProperties"] is False
