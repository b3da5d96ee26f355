"""Prefect's API dies during a run: the run goes on to its end, says so, and ends with it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from commands import COMMAND, environment


@pytest.mark.long
def test_a_run_outlives_the_api_that_it_started(tmp_path: Path) -> None:
    with subprocess.Popen(
        [str(COMMAND), "run", "--as-of", "2026-06-10 10:00 Asia/Tokyo", "--json"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        printed = []
        for line in run.stderr:
            printed.append(line)
            if "building the models" in line:
                break
        (api,) = [
            child
            for child in psutil.Process(run.pid).children()
            if "flows.api" in " ".join(child.cmdline())
        ]
        api.send_signal(signal.SIGKILL)
        answer, rest = run.communicate(timeout=600)
    printed.append(rest)
    text = "".join(printed)
    assert run.returncode == 0, text
    assert '"status": "done"' in answer
    assert "Prefect's API ended during the command" in text
    assert "The run itself is whole" in text
    assert "Event(" not in text, "events that nobody hears are not printed"
    assert "Error logging to API" not in text
    assert "Traceback" not in text
