"""The public HTTP service of `lifecycle serve`: which address does what.

GET  /u/<token>         shows a page with a button; changes nothing
POST /u/<token>         unsubscribes: a mail client's one click (RFC 8058), or the page's button
POST /events/sendgrid   SendGrid's signed events
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lifecycle.ledger.store import Ledger
from lifecycle.mail.customers import known_to_the_crm
from lifecycle.mail.unsubscribe import PATH
from lifecycle.settings import Settings
from lifecycle.web.events import LARGEST_BODY, Refused, Webhook
from lifecycle.web.logs import REQUESTS
from lifecycle.web.pages import HEADERS, language_of, page
from lifecycle.web.unsubscribe import Unsubscribing

GONE = 499
"""For the log alone: the other side went, or was too slow, before its request was whole."""
LARGEST_CLICK = 64 << 10
"""Bytes of the form that a mail client posts; its own words take thirty."""

log = logging.getLogger(REQUESTS)


def service(settings: Settings, ledger: Ledger) -> FastAPI:
    """The service over an open ledger. Raises SettingsError for a key that is none."""
    app = FastAPI(
        title="lifecycle", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    erasure_key = settings.privacy.erasure_key.get_secret_value()
    unsubscribing = Unsubscribing(ledger, keys=settings.unsubscribe.keys, erasure_key=erasure_key)
    webhook = Webhook(
        ledger,
        public_key=settings.feedback.sendgrid_public_key,
        erasure_key=erasure_key,
        customers=partial(known_to_the_crm, settings),
    )

    def unknown(request: Request) -> Response:
        """Without a mail, the browser's Accept-Language decides the page's language."""
        spoken = language_of(request.headers.get("Accept-Language", ""))
        return page("unknown", settings.company, spoken)

    @app.api_route(PATH + "{token}", methods=["GET", "HEAD"])
    def ask(token: str, request: Request) -> Response:
        reader = unsubscribing.reader_of(token)
        if reader is None:
            return unknown(request)
        return page("done" if reader.is_unsubscribed else "ask", settings.company, reader.locale)

    @app.post(PATH + "{token}")
    async def unsubscribe(token: str, request: Request) -> Response:
        form = await _body(request, LARGEST_CLICK)
        reader = await run_in_threadpool(unsubscribing.reader_of, token)
        if reader is None:
            return unknown(request)
        await run_in_threadpool(unsubscribing.unsubscribe, reader)
        if b"page" in parse_qs(form).get(b"from", []):
            return page("done", settings.company, reader.locale)
        return PlainTextResponse("Unsubscribed.\n", headers=HEADERS)

    @app.post("/events/sendgrid")
    async def events(
        request: Request,
        signature: Annotated[str, Header(alias="X-Twilio-Email-Event-Webhook-Signature")] = "",
        timestamp: Annotated[str, Header(alias="X-Twilio-Email-Event-Webhook-Timestamp")] = "",
    ) -> Response:
        body = await _body(request, LARGEST_BODY)
        try:
            result = await run_in_threadpool(webhook.take, body, signature, timestamp)
        except Refused as refusal:
            log.warning("events refused: %s", refusal)
            return JSONResponse({"refused": str(refusal)}, refusal.status)
        if result.odd:
            log.warning("events passed over as odd: %d", result.odd)
        return JSONResponse({"new": result.new, "odd": result.odd})

    @app.exception_handler(404)
    def nowhere(request: Request, _: Exception) -> Response:
        return unknown(request)

    app.add_middleware(_Log)
    return app


async def _body(request: Request, largest: int) -> bytes:
    """The bytes of a request; 413 as soon as they are too many."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise HTTPException(413, "too large")
        parts.append(part)
    return b"".join(parts)


class _Log:
    """One line a request: the route and not the path, which may be a key to somebody's mail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            status = GONE
        finally:
            route = getattr(scope.get("route"), "path", "elsewhere")
            spent = (time.perf_counter() - begun) * 1000
            log.info("%s %s %d in %.0f ms", scope["method"], route, status, spent)
