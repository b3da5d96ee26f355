"""Runs the service until somebody ends it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from lifecycle.errors import LifecycleError
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.web.logs import log_config
from lifecycle.web.service import service

AT_ONCE = 100
"""Requests; more are told to come again, before they fill the memory."""
ENDS_WITHIN = 15
"""Seconds that requests under way have to end by themselves."""


def serve(
    settings: Settings,
    ledger: Ledger,
    *,
    host: str,
    port: int,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Answer on host and port (0: any free one) until SIGINT or SIGTERM.

    `ready` hears the address once it is bound. Raises LifecycleError where it cannot be, and
    SettingsError for a key that is none.
    """
    app = service(settings, ledger)
    with _bound(host, port) as listening:
        if ready is not None:
            taken = listening.getsockname()[1]
            ready(f"http://{f'[{host}]' if ':' in host else host}:{taken}")
        server(app).run(sockets=[listening])


def server(app: FastAPI) -> uvicorn.Server:
    """The web server around the service: it names neither itself nor whom it answers."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=log_config(),
            access_log=False,
            server_header=False,
            limit_concurrency=AT_ONCE,
            timeout_graceful_shutdown=ENDS_WITHIN,
            ws="none",
            lifespan="off",
        )
    )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise LifecycleError(
            f"{host}:{port} cannot be listened on: {error.strerror}; choose another with --port"
        ) from None
    return bound
