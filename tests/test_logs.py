"""The log files of a state folder: what is in them, how they rotate, and what a full disk does."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle import logs
from lifecycle.logs import LogFile, keep_small, write_log

FULL = Path("/dev/full")
"""A disk that is full: it can be opened, and refuses every byte."""


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """Give the root logger its handlers back."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()


def test_ours_are_written_from_info_on_and_of_others_only_warnings(tmp_path: Path) -> None:
    write_log(tmp_path / "logs")
    write_log(tmp_path / "logs")
    logging.getLogger("lifecycle.run").info("run 1: pull begins")
    logging.getLogger("lifecycle.run").debug("a detail")
    logging.getLogger("sqlalchemy.engine").error("no such table")
    logging.getLogger("httpx").info("GET https://example.com/secret")
    lines = (tmp_path / "logs" / "lifecycle.log").read_text().splitlines()
    assert [line.partition("] ")[0].split("[")[0] for line in lines] == [
        f"{lines[0][:24]} INFO lifecycle.run",
        f"{lines[1][:24]} ERROR sqlalchemy.engine",
    ]
    assert lines[0].endswith("run 1: pull begins")
    assert lines[0][23] == "Z"


def test_no_address_is_written_not_even_in_a_traceback(tmp_path: Path) -> None:
    write_log(tmp_path)
    try:
        raise ValueError("duplicate key aiko.sato@example.com\nforged line")
    except ValueError:
        logging.getLogger("lifecycle").exception("mail to %s", "bo@example.com")
    text = (tmp_path / "lifecycle.log").read_text()
    assert "aiko" not in text
    assert "mail to b***@example.com" in text
    assert "Traceback" in text
    assert len([line for line in text.splitlines() if not line.startswith("  ")]) == 1


def test_a_log_is_made_with_its_first_line(tmp_path: Path) -> None:
    write_log(tmp_path / "new" / "logs")
    assert not (tmp_path / "new").exists()
    logging.getLogger("lifecycle").info("x")
    assert (tmp_path / "new" / "logs" / "lifecycle.log").exists()


def test_a_new_state_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_log(tmp_path / name)
        logging.getLogger("lifecycle").info(name)
    assert "two" not in (tmp_path / "one" / "lifecycle.log").read_text()
    assert "two" in (tmp_path / "two" / "lifecycle.log").read_text()


def test_it_rotates_and_two_processes_lose_no_line(tmp_path: Path) -> None:
    program = (
        "import logging, sys; from pathlib import Path; from lifecycle.logs import LogFile\n"
        "handler = LogFile(Path(sys.argv[1]), most_bytes=20_000, kept=50)\n"
        "log = logging.getLogger('lifecycle'); log.setLevel('INFO'); log.addHandler(handler)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for number in range(2_000): log.info('%s line %s', sys.argv[2], number)\n"
    )
    path = tmp_path / "lifecycle.log"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        process.communicate("go\n")
        assert process.returncode == 0
    files = list(tmp_path.glob("lifecycle.log*"))
    assert len(files) > 5
    assert all(file.stat().st_size <= 21_000 for file in files)
    written = [line.partition("]: ")[2] for file in files for line in file.read_text().splitlines()]
    wanted = {f"{name} line {number}" for name in ("one", "two") for number in range(2_000)}
    assert len(written) == len(wanted)
    assert set(written) == wanted


def test_a_full_disk_is_said_once_and_nothing_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lifecycle.log"
    path.symlink_to(FULL)
    write_log(tmp_path)
    for number in range(3):
        logging.getLogger("lifecycle").info("line %s", number)
    output = capsys.readouterr().err
    assert output == (
        f"lifecycle: the log {path} cannot be written: No space left on device. What is under "
        "way goes on; the log has a gap.\n"
    )


def test_a_folder_that_cannot_be_made_is_said_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("a file")
    write_log(tmp_path / "logs")
    logging.getLogger("lifecycle").info("x")
    assert "cannot be written: File exists" in capsys.readouterr().err


def test_the_log_of_a_process_that_goes_on_is_kept_small(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    with path.open("ab", buffering=0) as written_by_another:
        for round_number in range(4):
            written_by_another.write(f"turn {round_number}\n".encode() * 100)
            keep_small(path, most_bytes=500, kept=2)
        written_by_another.write(b"the newest\n")
    assert path.read_text() == "the newest\n"
    assert path.with_name("server.log.1").read_text().startswith("turn 3")
    assert path.with_name("server.log.2").read_text().startswith("turn 2")
    assert not path.with_name("server.log.3").exists()
    keep_small(tmp_path / "none.log")


def test_the_handlers_of_a_log_are_ours(tmp_path: Path) -> None:
    write_log(tmp_path)
    (handler,) = [
        handler for handler in logging.getLogger().handlers if isinstance(handler, LogFile)
    ]
    assert (handler.maxBytes, handler.backupCount) == (logs.MOST_BYTES, logs.KEPT)


def test_a_record_goes_to_the_file_that_has_the_name_now(tmp_path: Path) -> None:
    write_log(tmp_path)
    logging.getLogger("lifecycle").info("before")
    (tmp_path / "lifecycle.log").rename(tmp_path / "lifecycle.log.1")  # another process rotates
    logging.getLogger("lifecycle").info("after")
    assert "after" in (tmp_path / "lifecycle.log").read_text()
    assert "after" not in (tmp_path / "lifecycle.log.1").read_text()
