"""A mail lands in the folder whole and once, however its writers die."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lifecycle.errors import DeliveryError
from lifecycle.ledger.tables import State
from lifecycle.mail.providers import Mail, Outcome, Provider, open_provider
from lifecycle.mail.providers.outbox import Outbox
from lifecycle.settings import Settings

SEND = "0123456789abcdef0123456789abcdef"
FORK = multiprocessing.get_context("fork")
MIME = b"Subject: x\r\n\r\n" + b"body\r\n" * 50


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put(outbox: Provider, send_id: str, mime: bytes) -> Outcome:
    (outcome,) = outbox.send([Mail(send_id, mime)])
    return outcome


def test_a_mail_is_one_file_named_after_its_send(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "state" / "outbox")
    assert put(outbox, SEND, MIME) == Outcome(State.ACCEPTED)
    assert names(outbox.folder) == [f"{SEND}.eml"]
    assert (outbox.folder / f"{SEND}.eml").read_bytes() == MIME
    outbox.close()


def test_the_same_send_never_appears_twice_and_is_never_overwritten(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    put(outbox, SEND, MIME)
    again = put(outbox, SEND, b"other bytes")
    assert again == Outcome(State.ACCEPTED, "was in the outbox already")
    assert names(tmp_path) == [f"{SEND}.eml"]
    assert (tmp_path / f"{SEND}.eml").read_bytes() == MIME


def test_the_folder_is_the_evidence(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    assert outbox.resolve(SEND) is State.QUEUED
    put(outbox, SEND, MIME)
    assert outbox.resolve(SEND) is State.ACCEPTED


def test_a_write_that_fails_is_definitely_not_sent(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    (tmp_path / "away").mkdir()
    outbox.folder = tmp_path / "gone"  # as when somebody removes the folder under a run
    outcome = put(outbox, SEND, MIME)
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
        put(outbox, send_id, MIME)
    with pytest.raises(ValueError, match="is not the id of a send"):
        outbox.resolve(send_id)


def test_the_settings_open_it(tmp_path: Path, company: object) -> None:
    example = company()  # type: ignore[operator]
    assert isinstance(example, Settings)
    provider: Provider = open_provider(example)
    assert (provider.name, provider.live) == ("outbox", False)
    put(provider, SEND, MIME)
    assert names(example.outbox_dir) == [f"{SEND}.eml"]
    provider.close()


def test_many_threads_and_two_outboxes_write_each_mail_once(tmp_path: Path) -> None:
    outboxes = [Outbox(tmp_path), Outbox(tmp_path)]
    jobs = [
        (outboxes[round_number], f"{send:032x}") for send in range(200) for round_number in (0, 1)
    ]
    random.Random(1).shuffle(jobs)
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda job: put(job[0], job[1], MIME), jobs))
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


LONG_MIME = b"Subject: x\r\n\r\n" + b"body of a mail\r\n" * 4_000
SENDS = [f"{number:032x}" for number in range(200)]


def write_all(folder: Path, count: int) -> None:
    """Send every mail, and tell which were accepted, one whole line each."""
    outbox = Outbox(folder)

    def send(send_id: str) -> None:
        if put(outbox, send_id, LONG_MIME).state is State.ACCEPTED:
            os.write(count, f"{send_id}\n".encode())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, SENDS))


def test_writers_killed_at_random_moments_leave_each_mail_whole_and_once(tmp_path: Path) -> None:
    dice = random.Random(7)
    accepted: set[str] = set()
    kills = 0
    for _ in range(20):
        read_end, write_end = os.pipe()
        writer = FORK.Process(target=write_all, args=(tmp_path, write_end))
        writer.start()
        os.close(write_end)
        with open(read_end) as answer:
            accepted.add(answer.readline().strip())  # it has begun
            time.sleep(dice.uniform(0, 0.05))
            writer.kill()
            accepted |= set(answer.read().split())
        writer.join()
        kills += writer.exitcode == -signal.SIGKILL
        there = {path.stem: path.stat().st_size for path in tmp_path.glob("*.eml")}
        assert accepted - {""} <= set(there)
        assert set(there.values()) <= {len(LONG_MIME)}
    assert kills > 10
    Outbox(tmp_path).close()
    assert not list(tmp_path.glob(".*"))  # what the killed ones left is cleared
    with open(os.devnull, "wb") as nowhere:
        write_all(tmp_path, nowhere.fileno())
    assert names(tmp_path) == sorted(f"{send_id}.eml" for send_id in SENDS)
