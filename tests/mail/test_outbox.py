"""A mail lands in the folder whole and once, however its writers die."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lifecycle.errors import DeliveryError
from lifecycle.ledger.tables import State
from lifecycle.mail.providers import Outcome, Provider, open_provider
from lifecycle.mail.providers.outbox import Outbox
from lifecycle.settings import Settings

SEND = "0123456789abcdef0123456789abcdef"
MIME = b"Subject: x\r\n\r\n" + b"body\r\n" * 50


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_mail_is_one_file_named_after_its_send(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "state" / "outbox")
    assert outbox.send(SEND, MIME) == Outcome(State.ACCEPTED)
    assert names(outbox.folder) == [f"{SEND}.eml"]
    assert (outbox.folder / f"{SEND}.eml").read_bytes() == MIME
    outbox.close()


def test_the_same_send_never_appears_twice_and_is_never_overwritten(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.send(SEND, MIME)
    again = outbox.send(SEND, b"other bytes")
    assert again == Outcome(State.ACCEPTED, "was in the outbox already")
    assert names(tmp_path) == [f"{SEND}.eml"]
    assert (tmp_path / f"{SEND}.eml").read_bytes() == MIME


def test_the_folder_is_the_evidence(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    assert outbox.resolve(SEND) is State.QUEUED
    outbox.send(SEND, MIME)
    assert outbox.resolve(SEND) is State.ACCEPTED


def test_a_write_that_fails_is_definitely_not_sent(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    (tmp_path / "away").mkdir()
    outbox.folder = tmp_path / "gone"  # as when somebody removes the folder under a run
    outcome = outbox.send(SEND, MIME)
    assert outcome.state is State.QUEUED
    assert "No such file" in outcome.detail


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeliveryError, match="the outbox cannot be used"):
        Outbox(tmp_path / "file" / "outbox")


@pytest.mark.parametrize("send_id", ["../escape", "a/b", "", ".hidden", "a\0b", "x" * 65])
def test_no_id_leads_out_of_the_folder(tmp_path: Path, send_id: str) -> None:
    outbox = Outbox(tmp_path / "outbox")
    with pytest.raises(ValueError, match="is not the id of a send"):
        outbox.send(send_id, MIME)
    with pytest.raises(ValueError, match="is not the id of a send"):
        outbox.resolve(send_id)


def test_the_settings_open_it(tmp_path: Path, company: object) -> None:
    made = company()  # type: ignore[operator]
    assert isinstance(made, Settings)
    provider: Provider = open_provider(made)
    assert (provider.name, provider.live) == ("outbox", False)
    provider.send(SEND, MIME)
    assert names(made.outbox_dir) == [f"{SEND}.eml"]
    provider.close()


def test_many_threads_and_two_outboxes_write_each_mail_once(tmp_path: Path) -> None:
    outboxes = [Outbox(tmp_path), Outbox(tmp_path)]
    jobs = [(outboxes[turn], f"{send:032x}") for send in range(200) for turn in (0, 1)]
    random.Random(1).shuffle(jobs)
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda job: job[0].send(job[1], MIME), jobs))
    assert {outcome.state for outcome in outcomes} == {State.ACCEPTED}
    assert sum(outcome.detail == "" for outcome in outcomes) == 200
    assert names(tmp_path) == sorted(f"{send:032x}.eml" for send in range(200))


def test_a_living_writers_file_is_left_alone_and_a_dead_ones_is_cleared(tmp_path: Path) -> None:
    alive = Outbox(tmp_path)
    (tmp_path / f".{SEND}.dead.tmp").write_bytes(b"half a ma")
    with alive._written("a" * 32, MIME) as living:
        Outbox(tmp_path).close()
        assert living.read_bytes() == MIME
        assert names(tmp_path) == [living.name]
    assert names(tmp_path) == []


WRITER = """
import os, sys
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from lifecycle.mail.providers.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
mime = b"Subject: x\\r\\n\\r\\n" + b"body of a mail\\r\\n" * 4_000
def send(number):
    state = outbox.send(f"{number:032x}", mime).state
    os.write(1, f"{number} {state}\\n".encode())  # a line is told whole or not at all
with ThreadPoolExecutor(4) as pool:
    list(pool.map(send, range(200)))
"""
WHOLE = len(b"Subject: x\r\n\r\n" + b"body of a mail\r\n" * 4_000)


def test_writers_killed_at_random_moments_leave_each_mail_whole_and_once(tmp_path: Path) -> None:
    dice = random.Random(7)
    accepted: set[str] = set()
    kills = 0
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()  # it has begun
        time.sleep(dice.uniform(0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        said = (first + writer.stdout.read()).splitlines()
        kills += writer.wait() == -signal.SIGKILL
        accepted |= {line.split()[0] for line in said if line.endswith(" accepted")}
        for path in tmp_path.glob("*.eml"):
            assert path.stat().st_size == WHOLE
        there = {path.stem for path in tmp_path.glob("*.eml")}
        assert {f"{int(number):032x}" for number in accepted} <= there
    assert kills > 6
    subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], check=True, capture_output=True)
    assert names(tmp_path) == sorted(f"{number:032x}.eml" for number in range(200))
