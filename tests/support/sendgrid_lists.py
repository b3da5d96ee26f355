"""SendGrid's suppression lists on a real socket: paged, and failing as often as it is told to."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "SG.test"


class FakeLists:
    """What stands on the lists, what goes wrong next, and who asked for what."""

    def __init__(self) -> None:
        self.entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.troubles: list[tuple[int, dict[str, str], str]] = []
        """The next answers: status, headers, body."""
        self.asked: list[tuple[str, dict[str, int]]] = []
        self.base_url = ""

    def put(self, name: str, email: str, created: int, **more: str) -> None:
        """One more entry; the newest stands first."""
        self.entries[name].insert(0, {"email": email, "created": created, **more})

    def page(self, name: str, query: dict[str, int]) -> list[dict[str, Any]]:
        """What SendGrid answers."""
        result = [
            entry
            for entry in self.entries[name]
            if query.get("start_time", 0) <= entry["created"] <= query["end_time"]
        ]
        return result[query["offset"] :][: min(query["limit"], 500)]


@contextmanager
def sendgrid_lists() -> Iterator[FakeLists]:
    """Serve them on 127.0.0.1."""
    fake = FakeLists()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            prefix, _, name = address.path.rpartition("/")
            query = {key: int(values[0]) for key, values in parse_qs(address.query).items()}
            if self.headers["Authorization"] != f"Bearer {KEY}":
                self._answer(401, {}, '{"errors": [{"message": "authorization required"}]}')
            elif prefix != "/v3/suppression":
                self._answer(404, {}, "{}")
            else:
                fake.asked.append((name, query))
                if fake.troubles:
                    self._answer(*fake.troubles.pop(0))
                else:
                    self._answer(200, {}, json.dumps(fake.page(name, query)))

        def _answer(self, status: int, headers: dict[str, str], body: str) -> None:
            self.send_response(status)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    fake.base_url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
