"""Companies to pull from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sources.delivery import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[[str], World]:
    def make(name: str) -> World:
        (tmp_path / name).mkdir()
        return World(tmp_path / name)

    return make
