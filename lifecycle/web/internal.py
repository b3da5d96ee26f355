"""The internal HTTP service of `lifecycle serve`, for monitoring; never on the public listener.

GET  /healthz   whether the ledger answers
GET  /metrics   the health of the state folder, for Prometheus
"""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client.exposition import choose_encoder
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.web.metrics import registry

log = logging.getLogger(__name__)


def internal(settings: Settings, ledger: Ledger) -> FastAPI:
    """The service over an open ledger."""
    app = FastAPI(
        title="lifecycle", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    metrics = registry(settings, ledger)

    @app.get("/healthz")
    def health() -> Response:
        try:
            with ledger.read() as connection:
                connection.execute(text("select 1"))
        except SQLAlchemyError:
            return _silent()
        return PlainTextResponse("ok\n")

    @app.get("/metrics")
    def scrape(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        try:
            return Response(encode(metrics), headers={"Content-Type": content_type})
        except SQLAlchemyError:
            return _silent()

    return app


def _silent() -> Response:
    log.exception("the ledger does not answer")
    return PlainTextResponse("the ledger does not answer\n", 503)
