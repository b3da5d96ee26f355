"""Runs both HTTP services until a signal ends them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from lifecycle.errors import LifecycleError
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.web.guarded import Guarded
from lifecycle.web.internal import internal
from lifecycle.web.logs import log_config
from lifecycle.web.pages import HEADERS
from lifecycle.web.patience import Patient
from lifecycle.web.service import service

AT_ONCE = 160
"""Connections. Requests of further ones get 503, so that they cannot fill the memory; at most
`patience.MOST_INCOMPLETE` of them wait for the rest of a request."""
BACKLOG = 2048
ENDS_WITHIN = 15
"""Seconds that requests under way have to end by themselves."""


def serve(
    settings: Settings,
    ledger: Ledger,
    *,
    host: str,
    port: int,
    internal_port: int,
    ready: Callable[[str, str], None] | None = None,
) -> None:
    """Answer until SIGINT or SIGTERM: the public on host and port (0: any free one), and the
    machines around on `[serve] internal_host` and the internal port.

    `ready` hears both addresses once they are bound. Raises LifecycleError where one cannot be,
    and SettingsError for a key that is none.
    """
    app, internal_app = service(settings, ledger), internal(settings, ledger)
    internal_host = settings.serve.internal_host
    with (
        _bound(host, port, "--port") as listening,
        _bound(internal_host, internal_port, "--internal-port") as internally,
    ):
        if ready is not None:
            ready(_address(host, listening), _address(internal_host, internally))
        with _beside(server(internal_app), internally):
            server(app, http=Patient).run(sockets=[listening])


@contextmanager
def _beside(internal_server: uvicorn.Server, listening: socket.socket) -> Iterator[None]:
    """A server of its own loop and threads: a scrape must not keep a reader waiting."""
    thread = threading.Thread(
        target=internal_server.run, kwargs={"sockets": [listening]}, name="internal"
    )
    thread.start()
    try:
        yield
    finally:
        internal_server.should_exit = True
        thread.join()


def server(app: FastAPI, *, http: type[asyncio.Protocol] | None = None) -> uvicorn.Server:
    """The web server around the service: it names neither itself nor whom it answers."""
    return uvicorn.Server(
        uvicorn.Config(
            Guarded(app, HEADERS),
            headers=list(HEADERS.items()),
            http=http or "auto",
            log_config=log_config(),
            access_log=False,
            server_header=False,
            limit_concurrency=AT_ONCE,
            timeout_graceful_shutdown=ENDS_WITHIN,
            ws="none",
            lifespan="off",
        )
    )


def _address(host: str, listening: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def _bound(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)  # whoever comes before the server runs waits, and is not turned away
    except OSError as error:
        bound.close()
        raise LifecycleError(
            f"{host}:{port} cannot be listened on: {error.strerror}; choose another with {option}"
        ) from None
    return bound
