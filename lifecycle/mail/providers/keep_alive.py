"""The official client's requests and errors, over a pool of connections that stay open.

Its own transport opens a TLS connection a call, has no timeout, follows redirects, and writes
the API key and every address to its debug log. Only that part is replaced.
"""

from __future__ import annotations

import io
import ssl
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import urllib3
from python_http_client import Client  # type: ignore[import-untyped]
from python_http_client.exceptions import handle_error  # type: ignore[import-untyped]
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError as TransportError

LONGEST_ANSWER = 1 << 16
"""Bytes of an answer that are read; an answer says what is wrong in far less."""


class NotConnected(TransportError):
    """There is no connection: not a byte of the request has left."""


@dataclass(frozen=True)
class Answer:
    """What came back. The body is empty where it was cut off."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Takes a request to one server and brings the answer."""

    def request(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """Raises NotConnected, or another TransportError when it is not known what arrived."""

    def close(self) -> None:
        """Let go of every connection."""


class KeepAlive:
    """A pool of connections to one server, for any number of threads. Redirects are answers."""

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        connections: int,
        ca_file: Path | None = None,
    ) -> None:
        """Timeouts in seconds. `ca_file` is trusted instead of the system's authorities."""
        address = urlsplit(base_url)
        options: dict[str, Any] = {
            "port": address.port,
            "maxsize": connections,
            "timeout": urllib3.Timeout(connect=connect_timeout, read=read_timeout),
            "retries": False,
        }
        host = address.hostname or ""
        self._pool: urllib3.HTTPConnectionPool
        if address.scheme == "http":
            self._pool = urllib3.HTTPConnectionPool(host, **options)
            self._pool.ConnectionCls = _Plain
        else:
            context = ssl.create_default_context(cafile=ca_file)
            self._pool = urllib3.HTTPSConnectionPool(host, ssl_context=context, **options)
            self._pool.ConnectionCls = _Secure

    def request(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """See Transport."""
        response = self._pool.urlopen(
            method, target, body=body, headers=headers, redirect=False, preload_content=False
        )
        try:
            content = response.read(LONGEST_ANSWER)
        except TransportError:
            content = b""  # the status line is there, and it is what counts
        if not response.closed:
            response.close()
        return Answer(response.status, response.reason or "", response.headers, content)

    def close(self) -> None:
        """See Transport."""
        self._pool.close()


class _Plain(HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, TransportError) as error:
            raise NotConnected(_why(error)) from error


class _Secure(HTTPSConnection):
    """A failed handshake looks like a failed request unless it is told apart here."""

    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, TransportError) as error:
            raise NotConnected(_why(error)) from error


def _why(error: BaseException) -> str:
    """The first cause, which says "connection refused" and not where in memory."""
    while error.__cause__ is not None:
        error = error.__cause__
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
                    answer.headers,  # type: ignore[arg-type]
                    io.BytesIO(answer.body),
                )
            )
        return answer
