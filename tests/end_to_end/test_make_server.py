"""`make server` as its user starts it: its schedules fire, and nobody gets in without the key."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import websockets
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Paused
from ruamel.yaml import YAML

from commands import CHECKOUT, environment
from flows import approval

BOUND = 300
"""Seconds: no promise about speed, only an end for a test that waits for what never comes."""
SCHEDULED = {
    deployment["name"]
    for deployment in YAML(typ="safe").load(CHECKOUT / "prefect.yaml")["deployments"]
    if deployment.get("schedules")
}


@dataclass(frozen=True)
class Server:
    """A `make server` under way."""

    process: subprocess.Popen[str]
    state: Path
    output: Path
    url: str

    @property
    def credential(self) -> str:
        """The line that its user logs in with."""
        return (self.state / "prefect.auth").read_text().strip()

    def post(self, path: str, json: Any = None, **headers: str) -> httpx.Response:
        """A request of somebody who has no credential."""
        return httpx.post(f"{self.url}/api{path}", json=json or {}, headers=headers, timeout=600)


def wait_for(what: str, ready: Callable[[], Any]) -> Any:
    """The first true answer of `ready`."""
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        if answer := ready():
            return answer
        time.sleep(0.5)
    raise AssertionError(f"no {what} within {BOUND} s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    state, output = folder / "state", folder / "output"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with output.open("w") as out:
        process = subprocess.Popen(
            ["make", "server", f"PORT={port}"],
            env=environment(state),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    running = Server(process, state, output, f"http://127.0.0.1:{port}")
    try:
        wait_for(
            "end of the start",
            lambda: process.poll() is not None or "Ctrl-C ends" in output.read_text(),
        )
        assert process.poll() is None, output.read_text()
        yield running
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=600)


@pytest.fixture
def client(server: Server) -> Iterator[SyncPrefectClient]:
    with (
        temporary_settings(
            {PREFECT_API_URL: f"{server.url}/api", PREFECT_API_AUTH_STRING: server.credential}
        ),
        get_client(sync_client=True) as result,
    ):
        yield result


def test_every_schedule_has_its_next_run_and_one_goes_through_the_worker(
    server: Server, client: SyncPrefectClient
) -> None:
    deployments = {item.name: item for item in client.read_deployments()}
    assert {name for name, item in deployments.items() if item.schedules} == SCHEDULED

    def runs(name: str) -> list[Any]:
        wanted = FlowRunFilterDeploymentId(any_=[deployments[name].id])
        return client.read_flow_runs(flow_run_filter=FlowRunFilter(deployment_id=wanted))

    for name in sorted(SCHEDULED):
        wait_for(f"run of {name}", lambda name=name: runs(name))
        assert name in server.output.read_text()

    soon = IntervalSchedule(interval=timedelta(seconds=20))
    client.create_deployment_schedules(deployments["every-10-minutes"].id, [(soon, True)])

    def completed() -> bool:
        states = [run.state for run in runs("every-10-minutes") if run.auto_scheduled]
        wrong = [state for state in states if state.is_failed() or state.is_crashed()]
        assert not wrong, (wrong, (server.state / "logs" / "worker.log").read_text())
        return any(state.is_completed() for state in states)

    wait_for("completed delivery", completed)
    log = (server.state / "logs" / "server.log").read_text()
    assert "ERROR" not in log, log


def test_nobody_gets_in_without_the_credential(server: Server) -> None:
    assert stat.S_IMODE((server.state / "prefect.auth").stat().st_mode) == 0o600
    assert server.credential not in server.output.read_text()
    for path in (
        "/flow_runs/filter",
        "/deployments/filter",
        "/work_pools/filter",
        "/admin/version",
    ):
        assert server.post(path).status_code == 401, path
    wrong = httpx.post(f"{server.url}/api/flow_runs/count", json={}, auth=("lifecycle", "guess"))
    assert wrong.status_code == 401

    async def events_without_credential() -> None:
        address = server.url.replace("http", "ws") + "/api/events/out"
        async with websockets.connect(address, subprotocols=["prefect"]) as socket:
            await socket.send('{"type": "auth", "token": "guess"}')
            await socket.recv()

    with pytest.raises(websockets.ConnectionClosed):
        asyncio.run(events_without_credential())


def test_a_foreign_page_and_a_foreign_name_of_the_host_are_refused(server: Server) -> None:
    user, _, password = server.credential.partition(":")
    preflight = httpx.options(
        f"{server.url}/api/deployments/",
        headers={"Origin": "http://page.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    ours = httpx.options(
        f"{server.url}/api/deployments/",
        headers={"Origin": server.url, "Access-Control-Request-Method": "POST"},
    )
    assert ours.headers["access-control-allow-origin"] == server.url
    for path in ("/", "/api/health", "/api/flow_runs/count"):
        rebound = httpx.get(
            f"{server.url}{path}", headers={"Host": "page.example"}, auth=(user, password)
        )
        assert rebound.status_code == 400, path
    page = httpx.get(server.url, follow_redirects=True)
    assert page.headers["content-security-policy"] == "frame-ancestors 'none'"


def test_nobody_replaces_the_command_the_environment_or_the_folder_of_a_run(
    server: Server, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    user, _, password = server.credential.partition(":")
    with httpx.Client(base_url=f"{server.url}/api", auth=(user, password), timeout=600) as client:
        name = "/deployments/name/sync-feedback/every-15-minutes"
        deployment = f"/deployments/{client.get(name).json()['id']}"
        for variables in (
            {"command": f"touch {touched}"},
            {"env": {"LIFECYCLE__STATE__DIR": "/tmp"}},
            {"env.LIFECYCLE__STATE__DIR": "/tmp"},
            {"working_dir": "/tmp"},
        ):
            flow_run = {"job_variables": variables}
            refused = client.post(f"{deployment}/create_flow_run", json=flow_run)
            assert refused.status_code in (409, 422), (variables, refused.text)
        # Prefect takes these for a deployment, but then refuses each run of it.
        client.patch(deployment, json={"job_variables": {"command": f"touch {touched}"}})
        refused = client.post(f"{deployment}/create_flow_run", json={})
        client.patch(deployment, json={"job_variables": {}})
        assert refused.status_code in (409, 422), refused.text
        assert not touched.exists()


def test_the_form_of_an_approval_works_in_a_browser(
    server: Server, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed, so the form is tried in no browser")
    monkeypatch.setattr(approval, "POLL_SECONDS", 1)
    answers: list[approval.Approval | None] = []

    @flow(name="waits-for-an-approval", persist_result=False)
    def waits() -> None:
        flow_run = approval.under_way()
        assert flow_run is not None
        answers.append(
            approval.ask(
                flow_run,
                "The run reaches 301 people.",
                within=timedelta(seconds=BOUND / 2),
                said_elsewhere=lambda: None,
            )
        )

    deployment = client.create_deployment(client.create_flow(waits), name="in-a-browser")
    flow_run = client.create_flow_run_from_deployment(deployment)
    person = Thread(
        target=approve_in_a_browser, args=(chromium, server, str(flow_run.id), client), daemon=True
    )
    person.start()
    run_flow(waits, flow_run)
    person.join()
    (answer,) = answers
    assert answer is not None
    assert (answer.approve, answer.by, answer.why) == (True, "aiko", "as agreed")


ATTACK = """async ([api, deployment, flowRun, job]) => {
  const json = {'Content-Type': 'application/json'}, plain = {'Content-Type': 'text/plain'};
  const run = JSON.stringify({job_variables: job});
  const answer = JSON.stringify({run_input: {approve: true, by: 'nobody', why: 'none'}});
  const started = `${api}/deployments/${deployment}/create_flow_run`;
  const resumed = `${api}/flow_runs/${flowRun}/resume`;
  const attempts = [
    [started, {method: 'POST', headers: json, body: run}],
    [started, {method: 'POST', headers: json, body: run, credentials: 'include'}],
    [started, {method: 'POST', headers: plain, body: run, mode: 'no-cors'}],
    [resumed, {method: 'POST', headers: json, body: answer, credentials: 'include'}],
    [resumed, {method: 'POST', headers: plain, body: answer, mode: 'no-cors'}],
    [`${api}/deployments/${deployment}`, {credentials: 'include'}],
  ];
  const read = [];
  for (const [url, how] of attempts) {
    try { read.push((await fetch(url, how)).status); } catch (error) { read.push(error.name); }
  }
  const form = document.createElement('form');
  form.method = 'POST', form.action = started, form.enctype = 'text/plain', form.target = 'frame';
  form.innerHTML = `<input name='{"x":"' value='"}'>`;
  const frame = document.createElement('iframe');
  frame.name = 'frame';
  const loaded = new Promise(done => { frame.onload = done; setTimeout(done, 5000); });
  document.body.append(frame, form);
  form.submit();
  await loaded;
  return read;
}"""


def test_a_page_of_another_origin_starts_and_answers_nothing_in_a_browser(
    server: Server, client: SyncPrefectClient, tmp_path: Path
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed, so no browser opens the page")
    touched = tmp_path / "touched"
    every_15 = client.read_deployment_by_name("sync-feedback/every-15-minutes")
    waiting = client.create_flow_run(flow(lambda: None, name="waits"), state=Paused())
    of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[every_15.id]))
    with foreign_page() as url, in_browser(chromium) as browser:
        page = browser.new_page()
        page.set_default_timeout(600_000)
        # In the browser of somebody who is logged in.
        log_in(page, server)
        page.goto(url)
        job = {"command": f"touch {touched}"}
        api = f"{server.url}/api"
        read = page.evaluate(ATTACK, [api, str(every_15.id), str(waiting.id), job])
    # Nothing is told to it: an error, or the opaque 0 of a request whose answer it may not read.
    assert read == ["TypeError", "TypeError", 0, "TypeError", 0, "TypeError"]
    runs = client.read_flow_runs(flow_run_filter=of_it, limit=200)
    assert runs
    assert all(flow_run.auto_scheduled for flow_run in runs), "somebody started one"
    assert client.read_flow_run(waiting.id).state.is_paused()
    assert not touched.exists()


@contextmanager
def foreign_page() -> Iterator[str]:
    """An empty page on another port: another origin."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>page</title><body></body>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as page:
        Thread(target=page.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{page.server_port}/"
        finally:
            page.shutdown()


@contextmanager
def in_browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


def log_in(page: Any, server: Server) -> None:
    page.goto(server.url)
    page.locator("input").first.fill(server.credential)
    page.keyboard.press("Enter")
    page.get_by_text("Dashboard").first.wait_for()


def approve_in_a_browser(
    chromium: str, server: Server, flow_run: str, client: SyncPrefectClient
) -> None:
    """Log in with the credential, and fill in the form of a run that waits."""
    wait_for("run that waits", lambda: client.read_flow_run(flow_run).state.is_paused())
    with in_browser(chromium) as browser:
        page = browser.new_page()
        page.set_default_timeout(600_000)
        log_in(page, server)
        page.goto(f"{server.url}/runs/flow-run/{flow_run}")
        page.get_by_role("button", name="Resume").first.click()
        page.get_by_text("The run reaches 301 people.").wait_for()
        page.locator("input[type=checkbox]").evaluate("box => box.click()")  # a picture hides it
        by, why = page.locator("textarea").all()
        by.fill("aiko")
        why.fill("as agreed")
        page.get_by_role("button", name="Submit").click()
        wait_for("answer", lambda: not client.read_flow_run(flow_run).state.is_paused())
