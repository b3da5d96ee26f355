"""What a command leaves in a state folder is read by its owner alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import warm
from commands import CHECKOUT, environment
from lifecycle.private_files import keep_private


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_run_leaves_nothing_that_others_can_read(tmp_path: Path, prefect_api: str) -> None:
    state = tmp_path / "state"
    env = environment(state, PREFECT_API_URL=prefect_api)
    done = warm.lifecycle("run", env=env, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr[-2000:]
    shown = tmp_path / "shown"
    preview = ("preview", "win_back_dormant", "--out", str(shown))
    assert warm.lifecycle(*preview, env=env, cwd=CHECKOUT).returncode == 0
    paths = [state, *state.rglob("*"), shown, *shown.rglob("*")]
    assert len(paths) > 100
    open_to_others = [path for path in paths if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert open_to_others == []


def test_an_open_state_folder_is_closed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    keep_private(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_folder_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    keep_private(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
