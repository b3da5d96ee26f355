"""A SendGrid of our own: real HTTP on 127.0.0.1, in a process of its own, with faults on order.

    with FakeSendGrid(folder, key="SG.test") as fake:
        fake.base_url                       # for [sendgrid] base_url
        fake.plan(["accept", "accept_then_reset"])            # the next requests, in order
        fake.plan(shares={"accept_then_500": 0.1}, seed=7)    # then by chance; else "accept"
        fake.go_on()                        # answer what "accept_when_told" has kept waiting
        fake.refuse("bad@example.com")      # 400 for every request with this reader
        fake.taken()        # [Taken]: every mail it took, once for each time it took it
        fake.attempts()     # [Taken]: every mail in a complete request that came with the key
        fake.early()        # times of requests that came before a 429's reset
        fake.stats()        # {"connections", "requests", "taken"}

Its log (`fake.log`, JSON lines) is the truth: a line is written before the answer leaves, so
what the client was told can lag behind it and never the other way round. It survives the death
of its clients and ends with the `with`.

A fault is the fate of one POST /v3/mail/send that is valid; FAULTS lists them. "x:y" gives a
fault its number: seconds for the 429s ("too_many:2"). What begins with `accept` takes the
mails. After a 429 that names its reset, every request until then is answered 429, and one that
begins later than GRACE after it counts as early: what had left by then could not know.

Other paths: GET /v3/messages (Email Activity; 403 unless `email_logs`), and /_fake/… by which
this class steers it.

`Webhook` makes and signs what SendGrid's Event Webhook would post about the mails it took.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

FAULTS = {
    "accept": "202",
    "accept_when_told": "takes it at once, and answers 202 when it is told to go on",
    "accept_then_reset": "takes it, then breaks the connection off with a reset",
    "accept_then_close": "takes it, then closes the connection without an answer",
    "accept_then_hang": "takes it and never answers",
    "accept_then_500": "takes it and answers 500",
    "accept_then_303": "takes it and answers with a redirect",
    "accept_then_200": "takes it and answers 200",
    "accept_then_cut_head": "takes it, and the answer ends within its status line",
    "accept_then_cut_body": "takes it, and the answer ends within its body",
    "reset": "breaks off with a reset, without taking it",
    "hang": "never answers, without taking it",
    "error_500": "answers 500 without taking it",
    "redirect": "answers 307 without taking it",
    "too_many": "429 with X-RateLimit-Reset; the number is seconds from now",
    "too_many_retry_after": "429 with Retry-After",
    "too_many_silent": "429 with neither",
    "bad_request": "400",
    "unauthorized": "401",
    "forbidden": "403",
    "too_large": "413",
}
GRACE = 1.0
"""Seconds within which a request may have left before the 429 was read, on a busy machine."""

_RESERVED = re.compile(
    r"(?i)x-sg-id|x-sg-eid|received|dkim-signature|content-type|content-transfer-encoding"
    r"|to|from|subject|reply-to|cc|bcc"
)


@dataclass(frozen=True)
class Taken:
    """One mail as its reader would get it."""

    at: float
    """Unix time at which its request began."""
    read_at: float
    """Unix time at which it was there in full, and was answered."""
    port: int
    """The client's."""
    send_id: str
    to: str
    subject: str
    digest: str
    """Of everything the reader gets: the same for the same mail, single or in a batch."""
    request: str
    """Digest of the bytes of the request."""
    mails: int
    """How many its request carried."""
    fault: str


class FakeSendGrid:
    """The server, as tests see it."""

    def __init__(
        self,
        folder: Path,
        *,
        key: str = "SG.test",
        certificate: Path | None = None,
        email_logs: bool = False,
        record_requests: bool = False,
    ) -> None:
        """`certificate`: PEM with key, for TLS. `record_requests`: keep whole bodies too."""
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "sendgrid.jsonl"
        self._options = {
            "log": str(self.log),
            "key": key,
            "certificate": str(certificate) if certificate else None,
            "email_logs": email_logs,
            "record_requests": record_requests,
        }
        self._scheme = "https" if certificate else "http"
        self._certificate = certificate

    def __enter__(self) -> FakeSendGrid:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(self._options)], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.base_url = f"{self._scheme}://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def plan(
        self,
        faults: Iterable[str] = (),
        *,
        shares: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        """What becomes of the next requests: `faults` in order, then `shares` by chance."""
        named = [fault.partition(":")[0] for fault in [*faults, *(shares or {})]]
        assert set(named) <= set(FAULTS), f"unknown fault in {named}"
        self._steer("plan", {"faults": list(faults), "shares": shares or {}, "seed": seed})

    def refuse(self, *addresses: str) -> None:
        """Answer 400 to every request with one of these readers."""
        self._steer("refuse", list(addresses))

    def go_on(self) -> None:
        """Answer every request that `accept_when_told` has kept waiting."""
        self._steer("go_on", None)

    def stats(self) -> dict[str, int]:
        """connections, requests, taken: counted since the start."""
        counted: dict[str, int] = self._steer("stats", None)
        return counted

    def taken(self) -> list[Taken]:
        """Every mail it took, once for each time it took it."""
        return [Taken(**line) for kind, line in self._lines() if kind == "taken"]

    def attempts(self) -> list[Taken]:
        """Every mail in a complete request with the right key, whatever became of it."""
        return [Taken(**line) for kind, line in self._lines() if kind in ("taken", "seen")]

    def early(self, unheard: Collection[int] = ()) -> list[float]:
        """Unix times of requests that came before a 429's reset, and later than GRACE after
        one that was heard.

        `unheard`: ports of clients that were killed: what they were told last, nobody knows.
        """
        result, heard_at = [], None
        for mail in self.attempts():
            if mail.fault in ("too_many", "too_many_retry_after"):
                heard_at = None
            if mail.fault in ("too_many", "too_many_retry_after", "too_many_again"):
                if heard_at is None and mail.port not in unheard:
                    heard_at = mail.read_at
                elif heard_at is not None and mail.at > heard_at + GRACE:
                    result.append(mail.at)
        return result

    def requests(self) -> list[dict[str, Any]]:
        """The bodies it got, where `record_requests` was asked for."""
        return [line["body"] for kind, line in self._lines() if kind == "body"]

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for text in self.log.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            yield line.pop("kind"), line

    def _steer(self, what: str, value: Any) -> Any:
        body = json.dumps(value).encode()
        with socket.create_connection(("127.0.0.1", self.port)) as plain:
            connection = plain
            if self._certificate:
                context = ssl.create_default_context(cafile=str(self._certificate))
                connection = context.wrap_socket(plain, server_hostname="127.0.0.1")
            head = f"POST /_fake/{what} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
                answer += connection.recv(65536)
        return json.loads(answer.partition(b"\r\n\r\n")[2])


class Webhook:
    """Events about mails as SendGrid posts them: signed, and in whatever disorder is asked for."""

    def __init__(self, seed: int = 0) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._chance = random.Random(seed)

    @property
    def public_key(self) -> str:
        """As SendGrid's page shows it: base64 of DER."""
        from base64 import b64encode

        from cryptography.hazmat.primitives import serialization

        return b64encode(
            self._key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).decode()

    def event(self, mail: Taken, kind: str, after: float = 1.0, **more: Any) -> dict[str, Any]:
        """One event (processed, delivered, deferred, bounce, dropped, spamreport, …)."""
        return {
            "email": mail.to,
            "timestamp": int(mail.at + after),
            "event": kind,
            "send_id": mail.send_id,
            "category": ["win_back/check_in", "win_back"],
            "sg_event_id": f"{self._chance.getrandbits(128):032x}",
            "sg_message_id": f"{mail.request[:22]}.recvd-{mail.send_id[:8]}-0",
            "smtp-id": f"<{mail.send_id}@example.com>",
            **more,
        }

    def mixed(self, events: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Posts: shuffled, some events twice, some of these with a new sg_event_id."""
        mixed = list(events)
        for event in list(mixed):
            if self._chance.random() < 0.3:
                again = dict(event)
                if self._chance.random() < 0.5:
                    again["sg_event_id"] = f"{self._chance.getrandbits(128):032x}"
                mixed.append(again)
        self._chance.shuffle(mixed)
        posts = []
        while mixed:
            size = self._chance.randint(1, 50)
            posts.append(mixed[:size])
            mixed = mixed[size:]
        return posts

    def signed(self, post: list[dict[str, Any]], at: float) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of a post that was signed at a Unix time."""
        body = json.dumps(post).encode()
        return body, self.sign(body, at)

    def sign(self, body: bytes, at: float) -> dict[str, str]:
        """The headers of a body that was signed at a Unix time."""
        from base64 import b64encode

        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        stamp = str(int(at))
        signature = self._key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "Content-Type": "application/json",
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
        }


# The server's process. --------------------------------------------------------------------


class _Server:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.log = os.open(options["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.faults: list[str] = []
        self.shares: dict[str, float] = {}
        self.chance = random.Random(0)
        self.refused: set[str] = set()
        self.taken_ids: set[str] = set()
        self.reset_at = 0.0
        self.waiting: list[_Connection] = []
        self.counts = {"connections": 0, "requests": 0, "taken": 0}

    def write(self, *lines: dict[str, Any]) -> None:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        os.write(self.log, text.encode())

    def steer(self, what: str, value: Any) -> Any:
        match what:
            case "plan":
                self.faults = value["faults"]
                self.shares = value["shares"]
                self.chance = random.Random(value["seed"])
            case "refuse":
                self.refused.update(value)
            case "go_on":
                while self.waiting:
                    self.waiting.pop().fate("accept", 0, None)
            case "stats":
                return self.counts
        return "ok"

    def next_fault(self) -> str:
        if self.faults:
            return self.faults.pop(0)
        drawn = self.chance.random()
        for fault, share in self.shares.items():
            if drawn < share:
                return fault
            drawn -= share
        return "accept"


class _Connection(asyncio.Protocol):
    def __init__(self, server: _Server) -> None:
        self.server = server

    def connection_made(self, transport: Any) -> None:
        self.server.counts["connections"] += 1
        self.transport = transport
        self.buffer = bytearray()
        self.began = 0.0
        self.needed = 0

    def data_received(self, data: bytes) -> None:
        if not self.buffer:
            self.began = time.time()
        self.buffer += data
        while self.buffer:
            if not self.needed:
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                lines = self.buffer[:end].decode("latin-1").split("\r\n")
                self.request_line = lines[0]
                self.headers = {
                    name.lower(): value for name, _, value in (x.partition(": ") for x in lines[1:])
                }
                self.body_at = end + 4
                self.needed = self.body_at + int(self.headers.get("content-length", 0))
            if len(self.buffer) < self.needed:
                return
            body = bytes(self.buffer[self.body_at : self.needed])
            del self.buffer[: self.needed]
            self.needed = 0
            self.handle(body)

    def handle(self, body: bytes) -> None:
        method, target, _ = self.request_line.split(" ", 2)
        path = urlsplit(target).path
        if path.startswith("/_fake/"):
            value = self.server.steer(path.removeprefix("/_fake/"), json.loads(body))
            self.answer(200, json.dumps(value) + "\n")
        elif self.headers.get("authorization") != f"Bearer {self.server.options['key']}":
            self.error(401, "The provided authorization grant is invalid, expired, or revoked")
        elif (method, path) == ("POST", "/v3/mail/send"):
            self.mail_send(body)
        elif (method, path) == ("GET", "/v3/messages"):
            self.messages(target)
        elif path == "/elsewhere":
            self.answer(200, "{}")
        else:
            self.error(404, "Not Found")

    def mail_send(self, body: bytes) -> None:
        server = self.server
        server.counts["requests"] += 1
        try:
            request = json.loads(body)
            mails = [
                _read(personalization, request) for personalization in request["personalizations"]
            ]
            wrong = _wrong(request, body)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            mails, wrong = [], "Bad Request"
        digest = hashlib.sha256(body).hexdigest()[:32]
        if server.options["record_requests"]:
            server.write({"kind": "body", "body": json.loads(body)})
        read_at = time.time()
        if read_at < server.reset_at:
            fault = "too_many_again"
        elif wrong or server.refused & {mail["to"] for mail in mails}:
            fault = "bad_request"
        else:
            fault = server.next_fault()
        fault, _, number = fault.partition(":")
        takes = fault.startswith("accept")
        port = self.transport.get_extra_info("peername")[1]
        common = {"at": self.began, "read_at": read_at, "port": port}
        common |= {"request": digest, "mails": len(mails), "fault": fault}
        server.write(*({"kind": "taken" if takes else "seen", **common, **mail} for mail in mails))
        if takes:
            server.counts["taken"] += len(mails)
            server.taken_ids.update(mail["send_id"] for mail in mails)
        self.fate(fault, float(number or 2), wrong)

    def fate(self, fault: str, number: float, wrong: str | None) -> None:
        server, now = self.server, time.time()
        match fault:
            case "accept":
                self.answer(202, "", f"X-Message-Id: {random.getrandbits(88):022x}\r\n")
            case "accept_when_told":
                server.waiting.append(self)
            case "accept_then_reset" | "reset":
                self.reset()
            case "accept_then_close":
                self.transport.close()
            case "accept_then_hang" | "hang":
                pass
            case "accept_then_500" | "error_500":
                self.error(500, "Internal Server Error")
            case "accept_then_303":
                self.answer(303, "", "Location: /elsewhere\r\n")
            case "accept_then_200":
                self.answer(200, "{}")
            case "accept_then_cut_head":
                self.transport.write(b"HTTP/1.1 20")
                self.transport.close()
            case "accept_then_cut_body":
                self.transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n{")
                self.transport.close()
            case "redirect":
                self.answer(307, "", "Location: /elsewhere\r\n")
            case "too_many" | "too_many_again":
                if fault == "too_many":
                    server.reset_at = float(ceil(now + number))
                reset = f"X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {ceil(server.reset_at)}"
                self.error(429, "too many requests", f"{reset}\r\n")
            case "too_many_retry_after":
                seconds = ceil(number)
                server.reset_at = now + seconds
                self.error(429, "too many requests", f"Retry-After: {seconds}\r\n")
            case "too_many_silent":
                self.error(429, "too many requests")
            case "bad_request":
                self.error(400, wrong or "Does not contain a valid address.")
            case "unauthorized":
                self.error(401, "authorization required")
            case "forbidden":
                self.error(403, "The from address does not match a verified Sender Identity")
            case "too_large":
                self.error(413, "Payload Too Large")

    def messages(self, target: str) -> None:
        if not self.server.options["email_logs"]:
            self.error(403, "access forbidden")
            return
        query = parse_qs(urlsplit(target).query).get("query", [""])[0]
        asked = re.fullmatch(r"\(unique_args\['send_id'\]=\"(\w+)\"\)", unquote(query))
        if asked is None:
            self.error(400, "invalid query")
            return
        result = [{"msg_id": asked[1], "status": "delivered"}]
        known = asked[1] in self.server.taken_ids
        self.answer(200, json.dumps({"messages": result if known else []}))

    def error(self, status: int, message: str, headers: str = "") -> None:
        error = {"errors": [{"message": message, "field": None, "help": None}]}
        self.answer(status, json.dumps(error), headers)

    def answer(self, status: int, body: str, headers: str = "") -> None:
        data = body.encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
        self.transport.write(head.encode() + data)

    def reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _read(values: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """One personalization as its reader would get it."""
    body = request["content"][0]["value"]
    for tag, text in values.get("substitutions", {}).items():
        body = body.replace(tag, text)
    subject = values.get("subject", request.get("subject"))
    arguments = {**request.get("custom_args", {}), **values.get("custom_args", {})}
    mail = [
        *(values["to"], request["from"], request.get("reply_to"), subject, body, arguments),
        {**request.get("headers", {}), **values.get("headers", {})},
        *(request["content"][0]["type"], request.get("tracking_settings")),
    ]
    return {
        "send_id": arguments["send_id"],
        "to": values["to"][0]["email"],
        "subject": subject,
        "digest": hashlib.sha256(json.dumps(mail, sort_keys=True).encode()).hexdigest()[:32],
    }


def _wrong(request: dict[str, Any], body: bytes) -> str | None:
    """The 400s of the v3 reference that a request for plain mails can run into."""
    people = [
        person
        for personalization in request["personalizations"]
        for person in personalization["to"]
    ]
    addresses = [person["email"].lower() for person in people]
    headers = [
        name
        for personalization in request["personalizations"]
        for name in personalization.get("headers", {})
    ]
    used = [
        sum(
            len(tag.encode()) + len(text.encode())
            for tag, text in personalization["substitutions"].items()
        )
        for personalization in request["personalizations"]
        if "substitutions" in personalization
    ]
    categories = request.get("categories", [])
    problems = {
        "limited to 1000 personalizations": len(request["personalizations"]) > 1000,
        "Each unique email address … should only be included once": len(set(addresses))
        < len(addresses),
        "The to.name cannot include ; or ,": any(
            {";", ","} & set(person.get("name", "")) for person in people
        ),
        "The subject is required": not all(
            personalization.get("subject", request.get("subject"))
            for personalization in request["personalizations"]
        ),
        "The content value must be a string at least one character in length": not all(
            part["value"] for part in request["content"]
        ),
        "substitutions may not exceed 10000 bytes": any(size > 10_000 for size in used),
        "Header can not be one of the reserved keys": any(map(_RESERVED.fullmatch, headers)),
        "There is a limit of 10 categories": len(categories) > 10,
        "Categories can not contain non-ASCII": not "".join(categories).isascii(),
        "must be less than 30MB": len(body) >= 30 * 1024 * 1024,
    }
    return next((message for message, is_so in problems.items() if is_so), None)


async def _serve(options: dict[str, Any]) -> None:
    server, context = _Server(options), None
    if options["certificate"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options["certificate"])
    listening = await asyncio.get_running_loop().create_server(
        lambda: _Connection(server), "127.0.0.1", 0, ssl=context, backlog=256
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    asyncio.run(_serve(json.loads(sys.argv[1])))
