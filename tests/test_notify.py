"""A real HTTP server and a real SMTP server on loopback hear what notify has to say."""

from __future__ import annotations

import email
import json
import logging
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from certificate import make_certificate
from lifecycle import notify as module
from lifecycle.errors import SettingsError
from lifecycle.notify import notify
from lifecycle.settings import Settings, load

TOML = """
[company]
name = "Example"
from_email = "success@example.com"
postal_address = "1 Example Street"
contact = "support@example.com"
"""


@pytest.fixture
def make_settings(tmp_path: Path) -> Any:
    def make(smtp: dict[str, Any] | None = None, **keys: Any) -> Settings:
        (tmp_path / "lifecycle.toml").write_text(TOML, encoding="utf-8")
        return load(tmp_path / "lifecycle.toml", notify=keys, smtp=smtp or {})

    return make


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Webhook(BaseHTTPRequestHandler):
    status = 200
    delay = 0.0
    heard: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).heard.append((self.path, json.loads(body)))
        threading.Event().wait(self.delay)
        try:
            self.send_response(self.status)
            self.end_headers()
        except OSError:  # who asked has gone
            pass

    def log_message(self, *_: Any) -> None: ...


class Mailbox(socketserver.StreamRequestHandler):
    """As much SMTP as one mail needs."""

    tls: ssl.SSLContext | None = None
    rejects_recipients = False
    heard: ClassVar[list[tuple[bool, list[str], EmailMessage]]] = []

    def handle(self) -> None:
        recipients: list[str] = []
        self.say("220 loopback")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                offered = self.tls and not isinstance(self.connection, ssl.SSLSocket)
                self.say("250-loopback\r\n250 STARTTLS" if offered else "250 loopback")
            elif verb == "STARTTLS" and self.tls:
                self.say("220 go ahead")
                self.connection = self.tls.wrap_socket(self.connection, server_side=True)
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb", buffering=0)
            elif verb == "RCPT" and self.rejects_recipients:
                self.say("550 no mailbox watch@example.com here")
            elif verb == "RCPT":
                recipients.append(line)
                self.say("250 fine")
            elif verb == "DATA":
                self.say("354 go on")
                content = b"".join(iter(self.rfile.readline, b".\r\n"))
                message = email.message_from_bytes(content, policy=policy.default)
                assert isinstance(message, EmailMessage)
                encrypted = isinstance(self.connection, ssl.SSLSocket)
                type(self).heard.append((encrypted, recipients, message))
                self.say("250 taken")
            else:
                self.say("221 bye" if verb == "QUIT" else "250 fine")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def webhook() -> Iterator[tuple[str, type[Webhook]]]:
    handler = type("Handler", (Webhook,), {"heard": []})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        yield f"http://127.0.0.1:{port}/hooks/s3cr3t", handler


@pytest.fixture
def mailbox() -> Iterator[tuple[dict[str, Any], type[Mailbox]]]:
    handler = type("Handler", (Mailbox,), {"heard": []})
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)) as port:
        relay = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": "none"}
        keys = {"email": "watch@example.com", **relay}
        yield keys, handler


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nothing_is_sent_when_nothing_is_configured(make_settings: Any) -> None:
    assert notify(make_settings(), subject="stopped", body="why") == []


def test_the_webhook_gets_what_slack_takes(make_settings: Any, webhook: Any) -> None:
    url, server = webhook
    settings = make_settings(webhook_url=url)
    assert notify(settings, subject="run\nstopped", body="2 rows < 3 <!channel>") == []
    text = "*run stopped*\n2 rows &lt; 3 &lt;!channel&gt;"
    assert server.heard == [("/hooks/s3cr3t", {"text": text})]


def test_the_mail_can_be_read_in_japanese(make_settings: Any, mailbox: Any) -> None:
    keys, server = mailbox
    body = "データが届いていません。\n見てください。\n"
    assert notify(make_settings(**keys), subject="停止しました", body=body) == []
    [(encrypted, recipients, message)] = server.heard
    assert recipients == ["RCPT TO:<watch@example.com>"]
    assert not encrypted
    assert message["Subject"] == "停止しました"
    assert message["From"] == "success@example.com"
    assert message["To"] == "watch@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().replace("\r\n", "\n") == body


def test_the_mail_is_encrypted_and_the_certificate_checked(
    make_settings: Any, mailbox: Any, tmp_path: Path
) -> None:
    keys, server = mailbox
    server.tls = server_context(tmp_path)
    trusted = {"ca_file": tmp_path / "server.pem"}
    settings = make_settings(**keys | {"smtp_tls": "starttls"}, smtp=trusted)
    assert notify(settings, subject="stopped", body="why") == []
    [(encrypted, _, _)] = server.heard
    assert encrypted


def test_a_relay_that_nobody_vouches_for_gets_nothing(
    make_settings: Any, mailbox: Any, tmp_path: Path
) -> None:
    keys, server = mailbox
    server.tls = server_context(tmp_path)
    [problem] = notify(
        make_settings(**keys | {"smtp_tls": "starttls"}), subject="stopped", body="why"
    )
    assert problem.startswith(
        f"notify: the mail was not taken: no connection to 127.0.0.1:{keys['smtp_port']}:"
    )
    assert "certificate verify failed" in problem.lower().replace("_", " ")
    assert server.heard == []


def test_a_relay_without_tls_gets_nothing_unless_the_settings_allow_it(
    make_settings: Any, mailbox: Any
) -> None:
    keys, server = mailbox
    [problem] = notify(
        make_settings(**keys | {"smtp_tls": "starttls"}), subject="stopped", body="why"
    )
    assert "STARTTLS" in problem
    assert server.heard == []


def test_only_a_relay_on_this_machine_may_be_spoken_to_in_the_open(make_settings: Any) -> None:
    with pytest.raises(SettingsError, match=r"mail\.example\.com in the open"):
        make_settings(smtp_host="mail.example.com", smtp_tls="none")


def test_without_a_relay_of_its_own_the_mail_goes_by_the_relay_of_deliveries(
    make_settings: Any, mailbox: Any
) -> None:
    keys, server = mailbox
    relay = {"host": keys["smtp_host"], "port": keys["smtp_port"], "tls": "none"}
    settings = make_settings(email=keys["email"], smtp=relay)
    assert notify(settings, subject="stopped", body="why") == []
    assert len(server.heard) == 1


def test_both_ways_are_used_and_one_may_fail(
    make_settings: Any, webhook: Any, mailbox: Any
) -> None:
    url, hook = webhook
    keys, box = mailbox
    hook.status = 500
    problems = notify(make_settings(webhook_url=url, **keys), subject="stopped", body="why")
    assert problems == ["notify: the webhook was not taken: it answered 500"]
    assert len(box.heard) == 1


def test_addresses_of_customers_are_masked(make_settings: Any, webhook: Any) -> None:
    url, server = webhook
    settings = make_settings(webhook_url=url)
    notify(settings, subject="stopped", body="row: email=jo.doe@example.com, x")
    assert server.heard[0][1]["text"] == "*stopped*\nrow: email=j***@example.com, x"


@pytest.mark.parametrize("answers", ["nobody listens", "never", "no address at all"])
def test_the_secret_address_of_the_webhook_is_never_shown(
    answers: str,
    make_settings: Any,
    webhook: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    url, server = webhook
    if answers == "never":
        server.delay = 2
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    elif answers == "nobody listens":
        url = f"http://127.0.0.1:{closed_port()}/hooks/s3cr3t"
    else:
        url = "s3cr3t"
    [problem] = notify(make_settings(webhook_url=url), subject="stopped", body="why")
    assert problem.startswith("notify: the webhook could not be sent: ")
    assert "s3cr3t" not in problem + caplog.text


def test_the_secret_address_is_not_logged_on_success(
    make_settings: Any, webhook: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url, server = webhook
    assert notify(make_settings(webhook_url=url), subject="stopped", body="why") == []
    assert server.heard
    assert "s3cr3t" not in caplog.text
    logging.getLogger("httpx").info("others still log")
    assert "others still log" in caplog.text


def test_a_refused_recipient_is_told_without_the_address(make_settings: Any, mailbox: Any) -> None:
    keys, server = mailbox
    server.rejects_recipients = True
    problems = notify(make_settings(**keys), subject="stopped", body="why")
    refusal = "RCPT: 550 no mailbox w***@example.com here"
    assert problems == [f"notify: the mail was not taken: {refusal}"]


def test_a_mail_without_a_server_is_a_problem_and_not_silence(make_settings: Any) -> None:
    [problem] = notify(make_settings(email="watch@example.com"), subject="stopped", body="why")
    what = "[notify] smtp_host is empty, and so is [smtp] host"
    assert problem == f"notify: the mail was not taken: {what}"


def server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificate(folder / "server.pem"))
    return context
