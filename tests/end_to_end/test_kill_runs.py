"""Kills whole runs and runs them again: the same mails as in one quiet run, each once."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from sqlalchemy import create_engine, text

import warm
from commands import CHECKOUT, environment, run_json

KILLS = 3


def kill_a_run(env: dict[str, str], after: float, output: Path) -> bool:
    """Start a run and end it, with all its children, by force; False if it was done first."""
    run = warm.start_lifecycle("run", env=env, cwd=CHECKOUT, output=output)
    run.join(after)
    if run.exitcode is not None:
        return False
    os.killpg(run.pid, signal.SIGKILL)
    run.join()
    return run.exitcode == -signal.SIGKILL


def mails(state: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (state / "outbox").glob("*.eml")}


def test_killed_runs_end_in_the_same_mails_as_a_quiet_one(tmp_path, prefect_api):
    quiet = environment(tmp_path / "quiet", PREFECT_API_URL=prefect_api)
    began = time.monotonic()
    run_json("run", env=quiet)
    whole = time.monotonic() - began

    killed_env = environment(tmp_path / "killed", PREFECT_API_URL=prefect_api)
    chance = random.Random(20260610)
    # One kill early in the run, one in its middle, one near its end, where mails leave.
    shares = [chance.uniform(0.2, 0.5), chance.uniform(0.5, 0.8), chance.uniform(0.8, 0.98)]
    killed = [kill_a_run(killed_env, share * whole, tmp_path / "output") for share in shares]
    assert killed[0], "the first kill came too late to prove anything"
    run_json("run", env=killed_env)

    assert mails(tmp_path / "killed") == mails(tmp_path / "quiet")
    ledger = create_engine(f"sqlite:///{tmp_path / 'killed' / 'ledger.db'}")
    with ledger.connect() as connection:
        states = dict(
            connection.execute(text("select state, count(*) from sends group by 1")).all()
        )
        twice = connection.execute(
            text(
                "select send_id from send_log where to_state = 'accepted'"
                " group by 1 having count(*) > 1"
            )
        ).all()
    assert set(states) <= {"accepted", "planned"}
    assert states["accepted"] == len(mails(tmp_path / "killed"))
    assert twice == []
