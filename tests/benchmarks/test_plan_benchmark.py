"""The benchmark of the plan at a tiny size: the planner and bare SQL find the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "plan.py"


@pytest.mark.long
def test_the_plan_and_bare_sql_find_the_same_and_all_that_is_due_is_rendered() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--accounts", "2000", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["entered"], answer["left"]) == (2, 2)
    # Of the thousand inside, two hundred have a step due, and both that leave are among them.
    assert answer["mails"] == 198
    assert answer["cpu_seconds_over_bare"] > 0
