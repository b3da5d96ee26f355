"""A server that takes every mail at once and keeps none: `python sink.py [certificate.pem]`.

It prints its port. GET answers how many requests it has taken. It does as little as a server
can, so that what is measured is who posts.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any

TAKEN = (
    b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nX-Message-Id: 0123456789abcdef012345\r\n\r\n"
)


class Sink(asyncio.Protocol):
    """One connection."""

    taken = 0

    def connection_made(self, transport: Any) -> None:
        """Somebody came."""
        self.transport, self.buffer, self.needed = transport, bytearray(), 0

    def data_received(self, data: bytes) -> None:
        """Some bytes came; answer every request that is whole."""
        self.buffer += data
        while self.buffer:
            if not self.needed:
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                head = bytes(self.buffer[:end]).lower()
                _, result, rest = head.partition(b"content-length:")
                self.needed = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if result else 0)
            if len(self.buffer) < self.needed:
                return
            is_post = self.buffer.startswith(b"POST")
            del self.buffer[: self.needed]
            self.needed = 0
            if is_post:
                Sink.taken += 1
                self.transport.write(TAKEN)
            else:
                text = str(Sink.taken).encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text))
                self.transport.write(text)


async def main() -> None:
    """Serve until killed."""
    context = None
    if sys.argv[1:]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(
        Sink, "127.0.0.1", 0, ssl=context, backlog=256
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
