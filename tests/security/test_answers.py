"""Security headers on every answer, one length a request, and no body that breaks the reader."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest

from lifecycle.web.pages import HEADERS
from served import served, settings

__all__ = ["served", "settings"]

WHOLE = "Host: x\r\nConnection: close\r\n"
REQUESTS = {
    "200": (200, f"GET /u/x HTTP/1.1\r\n{WHOLE}\r\n"),
    "404": (404, f"GET /nowhere HTTP/1.1\r\n{WHOLE}\r\n"),
    "405": (405, f"DELETE /events/sendgrid HTTP/1.1\r\n{WHOLE}\r\n"),
    "413": (413, f"POST /u/x HTTP/1.1\r\n{WHOLE}Content-Length: 70000\r\n\r\n{'x' * 70000}"),
    "400": (400, "GET / HTTP/1.1\r\nno header\r\n\r\n"),
    "403": (403, f"POST /events/sendgrid HTTP/1.1\r\n{WHOLE}Content-Length: 2\r\n\r\n[]"),
}


def exchange(address: str, request: str) -> tuple[int, str]:
    """What the server says to the bytes of a request."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request.encode())
        answer = b""
        while block := connection.recv(65536):
            answer += block
    head = answer.split(b"\r\n\r\n")[0].decode()
    return int(head.split()[1]), head


def refuse_missing(head: str) -> None:
    names = [line.split(":")[0].lower() for line in head.split("\r\n")[1:]]
    for name in HEADERS:
        assert names.count(name.lower()) == 1, (name, head)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_answer_has_the_headers_once(served, name):
    status, request = REQUESTS[name]
    got, head = exchange(str(served.client.base_url), request)
    assert got in (status, 404 if name == "200" else status), head
    refuse_missing(head)


def test_an_answer_to_our_own_fault_has_them_too(served):
    with served.ledger.engine.begin() as connection:
        connection.exec_driver_sql("drop table messages")
        connection.exec_driver_sql("alter table sends rename to gone")
    got, head = exchange(
        str(served.client.base_url), f"GET {served.path('0' * 32)} HTTP/1.1\r\n{WHOLE}\r\n"
    )
    assert got == 500
    refuse_missing(head)


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_request_that_says_its_length_twice_is_refused(served, lengths):
    request = (
        f"POST /u/x HTTP/1.1\r\nHost: x\r\n{lengths}\r\n0\r\n\r\nGET /u/smuggled HTTP/1.1\r\n\r\n"
    )
    got, head = exchange(str(served.client.base_url), request)
    assert got in (400, 501)
    refuse_missing(head)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 50_000 + b"]" * 50_000]
)
def test_nested_brackets_are_no_fault_of_ours(served, body):
    signed = served.webhook.sign(body, time.time())
    answer = served.client.post("/events/sendgrid", content=body, headers=signed)
    assert answer.status_code == 400
