"""`lifecycle serve` as a process: it answers, writes down nothing private, and ends when asked."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
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
from lifecycle.web import patience
from lifecycle.web.patience import Patient
from lifecycle.web.server import server
from lifecycle.web.service import service
from sent import NOW, put, put_all, send
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


def half_open(address: str, many: int) -> list[socket.socket]:
    """Connections that begin a post and never end it."""
    host, port = address.removeprefix("http://").split(":")
    opened = []
    for _ in range(many):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nfrom")
        opened.append(connection)
    return opened


def test_whoever_leaves_is_served_beside_any_number_of_requests_that_never_end(
    settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "serve.log"
    with Ledger.open(settings.ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=NOW, source="files")
        put_all(ledger, list(range(15)), State.ACCEPTED)
    with serving(settings, log) as (_, address):
        idle = half_open(address, 300)
        answers = [
            httpx.post(f"{address}/u/{Links([KEY]).token(send(n))}").status_code for n in range(15)
        ]
        for connection in idle:
            connection.close()
        assert httpx.get(f"{address}/u/x").status_code == 404
    assert answers == [200] * 15
    text = log.read_text()
    assert "Traceback" not in text
    assert len(text.splitlines()) < 400  # a line each, not eighty


def test_a_request_that_does_not_become_whole_is_given_up(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.2)
    with Ledger.open(settings.ledger_url) as ledger:
        app = service(settings, ledger)
        web = server(app, http=Patient)
        listening = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            (waiting,) = half_open(f"http://127.0.0.1:{listening.getsockname()[1]}", 1)
            waiting.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                assert waiting.recv(10) == b""
        finally:
            web.should_exit = True
            thread.join()


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
