"""A disk that is full while the ledger is written: one clear message, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import environment, lifecycle


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk, so none is filled")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_nothing_is_lost(small_disk: Path) -> None:
    env = environment(small_disk / "state")
    before = lifecycle("suppress", "ann@example.com", "--by", "bo", "--why", "asked", env=env)
    assert before.returncode == 0, before.stderr
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(4096))
        except OSError:
            pass
    full = lifecycle("suppress", "cyd@example.com", "--by", "bo", "--why", "asked", env=env)
    assert full.returncode == 1
    assert f"the disk of {small_disk / 'state'} is full" in full.stderr
    assert "free space, and run the command again" in full.stderr
    assert "Traceback (most" not in full.stderr
    filler.unlink()
    again = lifecycle("suppress", "cyd@example.com", "--by", "bo", "--why", "asked", env=env)
    assert again.returncode == 0, again.stderr
    status = lifecycle("status", "--json", env=env)
    assert status.returncode == 0, status.stderr
    assert '"manual": 2' in status.stdout, status.stdout
