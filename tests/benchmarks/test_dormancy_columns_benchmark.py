"""The benchmark of dormancy's columns at a tiny size: dbt and a query by hand say the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "dormancy_columns.py"


@pytest.mark.long
def test_dbt_and_the_query_make_the_same_rows() -> None:
    sizes = ("--accounts", "3000", "--account-days", "60000")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *sizes, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rows"] == 3_000
    assert answer["cpu_seconds_over_bare"] > 0
