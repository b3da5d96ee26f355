"""The benchmark of the gate at a tiny size: drift and plain SQL count the same changed values."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gate.py"


@pytest.mark.long
def test_drift_and_a_plain_join_count_the_same_changed_values() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--accounts", "2000", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["agrees"]
    assert answer["drift_over_pass"] > 0
