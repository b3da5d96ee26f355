"""`lifecycle serve` as a process: it answers, writes down nothing private, and ends when asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lifecycle.ledger import runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.unsubscribe import Links
from lifecycle.settings import Settings
from sent import NOW, put, send
from served import KEY


@contextmanager
def serving(settings: Settings, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process and its public address."""
    config = settings.root / "lifecycle.toml"
    ports = ("--port", "0", "--internal-port", "0")
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "lifecycle.cli", "--config", config, "serve", *ports],
            stdout=written,
            stderr=written,
            env=os.environ,
        )
    try:
        deadline = time.monotonic() + 60
        while not (match := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process, match[0]
    finally:
        process.kill()
        process.wait()


def test_nothing_private_is_written_down(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    with Ledger.open(settings.ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=NOW, source="files")
        put(ledger, 1, State.ACCEPTED, address="taro.yamada@example.com")
    token = Links([KEY]).token(send(1))
    with serving(settings, log) as (process, address):
        with httpx.Client(base_url=address) as client:
            assert client.get(f"/u/{token}?who=taro.yamada@example.com").status_code == 200
            assert client.post(f"/u/{token}").status_code == 200
            assert client.get(f"/u/{token[:-1]}").status_code == 404
            assert client.get(f"/taro.yamada@example.com/{token}").status_code == 404
            client.post("/events/sendgrid", content=b"taro.yamada@example.com")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    text = log.read_text()
    for private in ("taro", token[:-1], send(1)):
        assert private not in text
    lines = re.findall(r"(\w+) (\S+) (\d+) in \d+ ms", text)
    assert ("GET", "/u/…", "200") in lines
    assert ("POST", "/u/…", "200") in lines
    assert ("GET", "elsewhere", "404") in lines
    assert ("POST", "/events/sendgrid", "404") in lines


def test_a_failure_is_told_without_addresses(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    with Ledger.open(settings.ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=NOW, source="files")
        put(ledger, 1, State.ACCEPTED, address="taro.yamada@example.com")
        with ledger.write() as connection:  # a ledger that refuses to be written to
            connection.exec_driver_sql(
                "create trigger broken before insert on suppressions"
                " begin select raise(abort, 'refused'); end"
            )
    token = Links([KEY]).token(send(1))
    with serving(settings, log) as (_, address):
        assert httpx.post(f"{address}/u/{token}").status_code == 500
        assert httpx.get(f"{address}/u/{token}").status_code == 200
        (internal,) = re.findall(r"Internally on (\S+)", log.read_text())
        assert httpx.get(f"{internal}/healthz").text == "ok\n"
        assert "lifecycle_sends" in httpx.get(f"{internal}/metrics").text
    text = log.read_text()
    assert "refused" in text
    assert "Traceback" in text
    assert "taro" not in text
    assert token not in text


@pytest.mark.parametrize("taken", ["--port", "--internal-port"])
def test_a_port_that_is_taken_is_named(settings: Settings, tmp_path: Path, taken: str) -> None:
    log = tmp_path / "serve.log"
    with serving(settings, log) as (_, address):
        if taken == "--internal-port":
            (address,) = re.findall(r"Internally on (\S+)", log.read_text())
        port = address.rpartition(":")[2]
        config = settings.root / "lifecycle.toml"
        ports = {"--port": "0", "--internal-port": "0", taken: port}
        options = [text for option in ports.items() for text in option]
        second = subprocess.run(
            [sys.executable, "-m", "lifecycle.cli", "--config", config, "serve", *options],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert second.returncode == 1
    answer = f"127.0.0.1:{port} cannot be listened on: Address already in use; choose another with"
    assert f"{answer} {taken}" in second.stderr
