"""A mail relay of our own: real SMTP on 127.0.0.1, in threads, with answers on order.

    with FakeSmtp() as relay:
        relay.answer("RCPT", "550 5.1.1 no such user")   # the next time; then as ever
        relay.answer("END", CLOSE)      # after the dot that ends a mail: close, without a word
        relay.taken                     # [(from, to, bytes)] that it answered 2xx, or took silently
        relay.connections               # how many came

Steps: CONNECT EHLO STARTTLS AUTH MAIL RCPT DATA BODY END NOOP RSET. An answer is a line, CLOSE,
HANG (until the relay ends), or a line after TAKE, which takes the mail first (END only). BODY
is in the middle of the mail: CLOSE there and the dot is never read.
"""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

CLOSE, HANG, TAKE = "close", "hang", "take and "
_USUAL = {
    "CONNECT": "220 relay ready",
    "STARTTLS": "220 go ahead",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go on",
    "BODY": "",
    "END": "250 taken as 1",
    "NOOP": "250 ok",
    "RSET": "250 ok",
    "QUIT": "221 bye",
}


class FakeSmtp:
    """The relay."""

    def __init__(
        self,
        *,
        certificate: Path | None = None,
        implicit_tls: bool = False,
        login: tuple[str, str] | None = None,
    ) -> None:
        """`certificate`: PEM with key; it then offers STARTTLS, or speaks TLS from the start."""
        self.taken: list[tuple[str, str, bytes]] = []
        self.commands: list[str] = []
        self.connections = 0
        self.login = login
        self.implicit_tls = implicit_tls
        self.context: ssl.SSLContext | None = None
        if certificate:
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.context.load_cert_chain(certificate)
        self.ended = threading.Event()
        self._answers: dict[str, list[str]] = defaultdict(list)

    def answer(self, step: str, *answers: str) -> None:
        """What it says at its next times at that step."""
        self._answers[step] += answers

    def next_answer(self, step: str) -> str:
        self.commands.append(step)
        ordered = self._answers[step]
        return ordered.pop(0) if ordered else _USUAL[step]

    def __enter__(self) -> FakeSmtp:
        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            relay = self

        self._server = Server(("127.0.0.1", 0), _Conversation)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


class _Over(Exception):
    """The conversation ends here."""


class _Conversation(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        self.relay: FakeSmtp = self.server.relay
        self.relay.connections += 1
        with suppress(_Over, OSError):
            if self.relay.implicit_tls:
                self._start_tls()
            self._step("CONNECT")
            while line := self._line():
                self._command(line)

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.connection.close()

    def _line(self) -> str:
        return self.rfile.readline().decode("ascii").strip()

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def _step(self, step: str) -> str:
        answer = self.relay.next_answer(step)
        if answer == CLOSE:
            raise _Over
        if answer == HANG:
            self.relay.ended.wait()
            raise _Over
        if answer and not answer.startswith(TAKE):
            self._say(answer)
        return answer

    def _command(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "EHLO":
                self._greet()
            case "STARTTLS":
                self._step("STARTTLS")
                self._start_tls()
            case "AUTH":
                self._log_in(rest)
            case "MAIL":
                self.sender = _address(rest)
                self._step("MAIL")
            case "RCPT":
                self.reader = _address(rest)
                self._step("RCPT")
            case "DATA":
                if self._step("DATA").startswith("354"):
                    self._data()
            case "NOOP" | "RSET":
                self._step(verb.upper())
            case "QUIT":
                self._step("QUIT")
                raise _Over
            case _:
                self._say("502 unknown")

    def _greet(self) -> None:
        features = ["relay", "SIZE 30000000"]
        is_tls = isinstance(self.connection, ssl.SSLSocket)
        if self.relay.context and not is_tls:
            features.append("STARTTLS")
        if self.relay.login and (is_tls or not self.relay.context):
            features.append("AUTH PLAIN")
        for feature in features[:-1]:
            self._say(f"250-{feature}")
        self._say(f"250 {features[-1]}")

    def _log_in(self, rest: str) -> None:
        _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
        self.relay.commands.append("AUTH")
        self._say("235 ok" if (user, password) == self.relay.login else "535 5.7.8 wrong")

    def _data(self) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                raise _Over
            if not lines:
                self._step("BODY")
            lines.append(line[1:] if line.startswith(b".") else line)
        mail = (self.sender, self.reader, b"".join(lines))
        answer = self.relay.next_answer("END")
        if answer.startswith(("2", TAKE)):
            self.relay.taken.append(mail)
            answer = answer.removeprefix(TAKE)
        if answer == CLOSE:
            raise _Over
        if answer == HANG:
            self.relay.ended.wait()
            raise _Over
        self._say(answer)

    def _start_tls(self) -> None:
        assert self.relay.context is not None
        self.connection = self.relay.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)


def _address(rest: str) -> str:
    return rest[rest.index("<") + 1 : rest.index(">")]
