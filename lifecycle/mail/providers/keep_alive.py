"""The official client's requests and errors, over connections that stay open.

Its own transport opens a TLS connection a call, has no timeout, follows redirects, and writes
the API key and every address to its debug log. Only that part is replaced, by the standard
library's connections: urllib3 takes twice as long for a request, and does not tell whether a
broken one had begun to leave.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
import urllib.error
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from python_http_client import Client  # type: ignore[import-untyped]
from python_http_client.exceptions import handle_error  # type: ignore[import-untyped]

LONGEST_ANSWER = 1 << 16
"""Bytes of an answer that are read; an answer says what is wrong in far less."""
SURELY_OPEN_SECONDS = 1.0
"""No server closes a connection so soon without having said so in its answer."""


class NoAnswer(Exception):
    """The request may or may not have arrived."""


class NotConnected(NoAnswer):
    """No byte of the request has left."""


@dataclass(frozen=True)
class Answer:
    """The answer. Its body is empty where it was cut off."""

    status: int
    reason: str
    headers: HTTPMessage
    body: bytes


class Transport(Protocol):
    """Sends requests to one server and returns the answers."""

    def request(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """Raises NotConnected, or NoAnswer where it is not known what arrived."""

    def close(self) -> None:
        """Close every connection."""


class KeepAlive:
    """Connections to one server, as many as threads ask at once. Redirects are answers."""

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        ca_file: Path | None = None,
        may_leave: Callable[[], None] = lambda: None,
    ) -> None:
        """Timeouts in seconds. `ca_file` is trusted instead of the system's authorities.

        `may_leave` is asked before connecting and before the first byte; it stops the request
        with a NotConnected of its own.
        """
        address = urlsplit(base_url)
        self._where = address.hostname or "", address.port
        self._connect_timeout, self._read_timeout = connect_timeout, read_timeout
        self._tls = None if address.scheme == "http" else ssl.create_default_context(cafile=ca_file)
        self._may_leave = may_leave
        self._idle: deque[tuple[HTTPConnection, float]] = deque()
        """With the monotonic time since when. The last one used is the next one used."""

    def request(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """See Transport."""
        connection = self._connection()
        try:
            self._may_leave()  # to connect may take seconds
        except NotConnected:
            self._idle.append((connection, time.monotonic()))
            raise
        try:
            with suppress(BrokenPipeError):  # it may have answered before it had read all
                connection.request(method, target, body, headers)
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise NoAnswer(_why(error)) from error
        try:
            content = response.read(LONGEST_ANSWER)
        except (OSError, HTTPException):
            content = b""  # the status line is there, and it is what counts
        if response.isclosed() and not response.will_close:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()
        return Answer(response.status, response.reason, response.headers, content)

    def close(self) -> None:
        """See Transport."""
        while self._idle:
            self._idle.pop()[0].close()

    def _connection(self) -> HTTPConnection:
        """A connection that no other thread uses, and that the server has not closed."""
        while True:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return self._connected()
            if time.monotonic() - since < SURELY_OPEN_SECONDS or not _has_news(connection.sock):
                return connection
            connection.close()

    def _connected(self) -> HTTPConnection:
        self._may_leave()
        host, port = self._where
        connection = (
            _InOnePiece(host, port, timeout=self._connect_timeout)
            if self._tls is None
            else _InOnePieceOverTls(host, port, timeout=self._connect_timeout, context=self._tls)
        )
        connection.auto_open = 0  # never again behind our back
        try:
            connection.connect()
            connection.sock.settimeout(self._read_timeout)
        except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
            connection.close()
            raise NotConnected(_why(error)) from error
        return connection


class _InOnePiece(HTTPConnection):
    """Head and body leave together: two writes cost two packets, and wake the server twice."""

    def request(self, *request: Any, **more: Any) -> None:
        self._pieces: list[bytes] = []
        super().request(*request, **more)
        self.sock.sendall(b"".join(self._pieces))

    def send(self, data: Any) -> None:
        self._pieces.append(data)


class _InOnePieceOverTls(_InOnePiece, HTTPSConnection):
    """The same over TLS."""


def _has_news(resting: socket.socket) -> bool:
    """Whether an idle connection has unread data; as a rule the server has closed it."""
    poll = select.poll()
    poll.register(resting, select.POLLIN)
    return bool(poll.poll(0))


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class PooledClient(Client):  # type: ignore[misc]
    """The official client, sending over a Transport.

    A request body is bytes already, so that what was measured is what leaves. Raises the
    official errors for every answer of 300 and above, and what the transport raises.
    """

    def __init__(
        self,
        host: str,
        request_headers: dict[str, str],
        version: int,
        transport: Transport,
        url_path: list[str] | None = None,
    ) -> None:
        super().__init__(host, request_headers, version, url_path)
        self.transport = transport

    def _build_client(self, name: str | None = None) -> PooledClient:
        path = [*self._url_path, name] if name else self._url_path
        return PooledClient(self.host, self.request_headers, self._version, self.transport, path)

    def __getattr__(self, name: str) -> Any:
        if name in self.methods:
            return partial(self._call, name.upper())
        return super().__getattr__(name)

    def _call(
        self,
        method: str,
        request_body: bytes | None = None,
        query_params: Mapping[str, Any] | None = None,
    ) -> Answer:
        url = self._build_url(query_params)
        headers = self.request_headers
        if request_body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        answer = self.transport.request(method, url.removeprefix(self.host), request_body, headers)
        if answer.status >= 300:
            raise handle_error(
                urllib.error.HTTPError(
                    url,
                    answer.status,
                    answer.reason,
                    answer.headers,
                    io.BytesIO(answer.body),
                )
            )
        return answer
