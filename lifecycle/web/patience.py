"""The public listener's patience: how long, and for how many, it waits for the rest of a request.

A connection that says nothing, or half of something, costs little; but each takes one of the
places that uvicorn counts, and a hundred of them would shut out everybody else. So a request has
to be whole within seconds; and where many are not, the oldest of whoever has the most of them
makes room. Whoever sends a whole request at once never waits behind those who do not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 10.0
"""For a whole request, from its connection or from its first byte on a connection kept open."""
MOST_INCOMPLETE = 60
"""Requests that are not whole, at a time."""
MOST_OF_A_PEER = 30

_WHOLE = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)


class Patient(H11Protocol):
    """One connection, which is closed where its request does not become whole."""

    _deadline: asyncio.TimerHandle | None = None

    @property
    def _incomplete(self) -> dict[Patient, None]:
        """Those that wait for the rest of a request, the oldest first; a server has one list."""
        waiting: dict[Patient, None] = self.server_state.__dict__.setdefault("incomplete", {})
        return waiting

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; wait on where it is not whole."""
        super().data_received(data)
        if self.conn.their_state in _WHOLE:
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers of every other answer."""
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=msg.encode("ascii")),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._incomplete[self] = None
        self._deadline = self.loop.call_later(SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        self._incomplete.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._stop_waiting()
        self.connections.discard(self)  # its place is free now, not when the socket is
        self.transport.abort()

    def _make_room(self) -> None:
        held = Counter(connection._peer for connection in self._incomplete)
        mine = held[self._peer] > MOST_OF_A_PEER
        if not mine and len(self._incomplete) <= MOST_INCOMPLETE:
            return
        peer: Any = self._peer if mine else held.most_common(1)[0][0]
        oldest = next(connection for connection in self._incomplete if connection._peer == peer)
        oldest._give_up()

    @property
    def _peer(self) -> str:
        return self.client[0] if self.client else ""
