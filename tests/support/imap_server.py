"""A real IMAP server (pymap, in memory) on loopback, and a company that reads it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from imap_tools import MailBoxUnencrypted

USER, PASSWORD = "success", "5f2c-mailbox-90d1"


class ImapServer:
    """One server and its one user."""

    def __init__(self, port: int) -> None:
        self.port = port

    def open(self) -> MailBoxUnencrypted:
        """A connection of somebody else, logged in."""
        box = MailBoxUnencrypted("127.0.0.1", self.port, timeout=30)
        return box.login(USER, PASSWORD)

    def put(self, *messages: bytes, folder: str = "INBOX") -> None:
        """Deliver messages."""
        with self.open() as box:
            if not box.folder.exists(folder):
                box.folder.create(folder)
            for message in messages:
                box.append(message, folder, dt=None)

    def flags(self, folder: str = "INBOX") -> list[tuple[str, ...]]:
        """The flags of each message, in order."""
        with self.open() as box:
            box.folder.set(folder)
            return [
                tuple(flag for flag in mail.flags if flag != "\\Recent")
                for mail in box.fetch(mark_seen=False, headers_only=True)
            ]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def imap(imap_process: ImapServer) -> ImapServer:
    """The server, its folders empty."""
    with imap_process.open() as box:
        for folder in box.folder.list():
            box.folder.set(folder.name)
            if uids := box.uids():
                box.delete(uids)
    return imap_process


@pytest.fixture(scope="session")
def imap_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapServer]:
    """One server of all tests: it takes a second to start."""
    tmp_path = tmp_path_factory.mktemp("pymap")
    port = free_port()
    process = subprocess.Popen(
        [
            *(Path(sys.executable).with_name("pymap"), "--no-service", "admin"),
            *("--host", "127.0.0.1", "--port", str(port), "--no-tls"),
            *("dict", "--demo-user", USER, "--demo-password", PASSWORD),
        ],
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "pymap.log").open("wb"),
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, (tmp_path / "pymap.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield ImapServer(port)
    finally:
        process.kill()
        process.wait()
