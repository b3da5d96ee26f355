"""Prefect keeps to a folder that goes away; dbt forgets each company's warehouse."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before anything imports Prefect: it settles where it lives when it is imported.
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="prefect-"))
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

import pytest

from corruptions.living import Living


@pytest.fixture
def living(tmp_path: Path) -> Callable[..., Living]:
    def make(**options: Any) -> Living:
        return Living(tmp_path / "company", **options)

    return make
