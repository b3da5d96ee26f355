"""Messages a second that the mailbox reads, understands and records, beside a bare imap-tools loop
that fetches and parses the same ones.

    .venv/bin/python benchmarks/mailbox.py [--messages 2000]

Both read the same folder of a pymap server on loopback, started here. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from imap_tools import MailBoxUnencrypted

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "support")]

from company import Company  # noqa: E402
from lifecycle.ledger import runs  # noqa: E402
from lifecycle.ledger.store import Ledger  # noqa: E402
from lifecycle.ledger.tables import State  # noqa: E402
from lifecycle.mailbox.sync import read_mailbox  # noqa: E402
from lifecycle.settings import load  # noqa: E402
from mailbox_letters import STYLES, letter, report, styled  # noqa: E402
from sent import put_all, send  # noqa: E402

USER, PASSWORD = "success", "benchmark-0f3a"


@contextmanager
def server() -> Iterator[int]:
    """A pymap server in memory; its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("pymap"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--no-tls", "dict", "--demo-user", USER, "--demo-password", PASSWORD]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def messages(count: int) -> Iterator[bytes]:
    """Answers in all styles, and a tenth of them reports of delivery."""
    styles = list(STYLES)
    for number in range(count):
        address = f"c{number}@example.com"
        message_id = f"<{number}@client.example.com>"
        if number % 10 == 9:
            yield report(send(number), address=address, message_id=message_id)
        else:
            body = styled(f"Answer {number}\nありがとうございます。", styles[number % len(styles)])
            yield letter(body, answers=send(number), sender=address, message_id=message_id)


def bare(port: int) -> int:
    """Fetch and parse every message, as the library's own page shows it; returns how many."""
    with MailBoxUnencrypted("127.0.0.1", port).login(USER, PASSWORD) as box:
        return sum(
            len((mail.from_, mail.subject, mail.date, mail.text or mail.html)) == 4
            for mail in box.fetch(mark_seen=False, bulk=50)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000)
    count = parser.parse_args().messages
    with server() as port, tempfile.TemporaryDirectory() as folder:
        with MailBoxUnencrypted("127.0.0.1", port).login(USER, PASSWORD) as box:
            for message in messages(count):
                box.append(message, "INBOX")
        began = time.perf_counter()
        assert bare(port) == count
        bare_seconds = time.perf_counter() - began
        settings = load(
            Company(Path(folder)).folder / "lifecycle.toml",
            mailbox={"host": "127.0.0.1", "port": port, "tls": "none", "username": USER,
                     "password": PASSWORD},
        )  # fmt: skip
        now = datetime.now(UTC)
        with Ledger.open(settings.ledger_url) as ledger:
            runs.begin(ledger, run_id="r1", as_of=now, source="files")
            put_all(ledger, list(range(count)), State.ACCEPTED, state_at=now, accepted_at=now)
            began = time.perf_counter()
            read = read_mailbox(settings, ledger)
            seconds = time.perf_counter() - began
    assert sum(read.values()) == count, read
    print(
        json.dumps(
            {
                "messages": count,
                "bare_per_second": round(count / bare_seconds),
                "read_and_recorded_per_second": round(count / seconds),
                "share_of_bare": round(bare_seconds / seconds, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
