"""What holds for every answer and every request of a listener, whatever answers it.

The security headers stand on all answers, also on those that the web server gives by itself. A
request that says its length in two ways is refused: a proxy in front may believe the other one.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]
_AMBIGUOUS = b"A request says its length once.\n"


class Guarded:
    """An application whose answers leave the security headers to the web server."""

    def __init__(self, app: ASGIApp, headers: Iterable[str]) -> None:
        self._app = app
        self._names = {name.lower().encode() for name in headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def without_repeated(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0].lower() not in self._names]
                message = {**message, "headers": kept}
            await send(message)

        if scope["type"] == "http" and _is_ambiguous(scope["headers"]):
            await _refuse(send)
            return
        await self._app(scope, receive, without_repeated)


def _is_ambiguous(headers: Headers) -> bool:
    names = [name.lower() for name, _ in headers]
    lengths = names.count(b"content-length") + names.count(b"transfer-encoding")
    return lengths > 1


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": _AMBIGUOUS})
