"""The service on a real socket, over a real ledger."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from company import Company
from faults.fake_sendgrid import Webhook
from lifecycle.ledger import runs
from lifecycle.ledger.store import Ledger
from lifecycle.mail.unsubscribe import Links
from lifecycle.settings import Settings, load
from lifecycle.web.internal import internal
from lifecycle.web.patience import Patient
from lifecycle.web.server import server
from lifecycle.web.service import service
from sent import NOW

OLD_KEY, KEY = "o" * 32, "k" * 32


@dataclass
class Service:
    """What is asked, and what is behind it."""

    client: httpx.Client
    ledger: Ledger
    settings: Settings
    webhook: Webhook
    links = Links([KEY, OLD_KEY])

    def path(self, send_id: str) -> str:
        """A mail's link."""
        return f"/u/{self.links.token(send_id)}"

    def post_events(self, events: list, at: float | None = None, **headers: str) -> httpx.Response:
        """Events as SendGrid posts them, signed now or then."""
        body, signed = self.webhook.signed(events, time.time() if at is None else at)
        return self.client.post("/events/sendgrid", content=body, headers={**signed, **headers})


@contextmanager
def answering(settings: Settings, ledger: Ledger) -> Iterator[httpx.Client]:
    """The public server in a thread, as `lifecycle serve` runs it."""
    with _running(service(settings, ledger), http=Patient) as client:
        yield client


@contextmanager
def answering_internally(settings: Settings, ledger: Ledger) -> Iterator[httpx.Client]:
    """The internal one."""
    with _running(internal(settings, ledger)) as client:
        yield client


@contextmanager
def _running(app: FastAPI, **how: type[Patient]) -> Iterator[httpx.Client]:
    running = server(app, **how)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with httpx.Client(base_url=address, timeout=60) as client:
                yield client
        finally:
            running.should_exit = True
            thread.join(30)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    folder = Company(tmp_path / "company").folder
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__SECRET", f"{KEY} {OLD_KEY}")
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__BASE_URL", "https://mail.example.com")
    monkeypatch.setenv("LIFECYCLE__STATE__DIR", str(tmp_path / "state"))
    return load(folder / "lifecycle.toml")


@pytest.fixture
def served(settings: Settings) -> Iterator[Service]:
    webhook = Webhook()
    keyed = settings.feedback.model_copy(update={"sendgrid_public_key": webhook.public_key})
    settings = settings.model_copy(update={"feedback": keyed})
    with Ledger.open(settings.ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=NOW, source="files")
        with answering(settings, ledger) as client:
            yield Service(client, ledger, settings, webhook)
