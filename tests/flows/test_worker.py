"""A worker of a Prefect server that runs elsewhere."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from commands import CHECKOUT, PREFECT_CREDENTIAL
from company import Company
from flows import worker
from lifecycle.errors import LifecycleError, SettingsError


def test_without_a_server_it_says_which_variable_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(SettingsError, match="PREFECT_API_URL is not set"):
        worker.work(Company(tmp_path).settings)


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    monkeypatch.setattr(worker, "STARTS_WITHIN", 0.5)
    with pytest.raises(LifecycleError, match=rf"{address} cannot be used: ConnectError"):
        worker._wait(address)


def test_it_deploys_and_stays(tmp_path: Path, prefect_api: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    env |= {
        "PREFECT_API_URL": prefect_api,
        "PREFECT_API_AUTH_STRING": PREFECT_CREDENTIAL,
        "LIFECYCLE__STATE__DIR": str(tmp_path / "state"),
        "LIFECYCLE_CONFIG": str(CHECKOUT / "lifecycle.toml"),
    }

    def ask(path: str) -> httpx.Response:
        user, _, password = PREFECT_CREDENTIAL.partition(":")
        return httpx.post(f"{prefect_api}{path}", json={}, auth=(user, password), timeout=600)

    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.worker"],
            cwd=CHECKOUT,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 300
        workers: list[dict[str, str]] = []
        while not workers:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            answer = ask("/work_pools/lifecycle/workers/filter")
            workers = answer.json() if answer.is_success else []
            time.sleep(0.5)
        assert workers[0]["status"] == "ONLINE"
        deployments = ask("/deployments/filter").json()
        assert {"daily", "nightly"} <= {deployment["name"] for deployment in deployments}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=600)
