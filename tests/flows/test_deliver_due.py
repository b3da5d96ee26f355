"""What has become due goes, from the ledger alone."""

from __future__ import annotations

import fcntl

import pytest

from flows.deliver_due import deliver_due
from planned import Workspace


@pytest.fixture
def config(workspace: Workspace) -> str:
    return str(workspace.company.folder / "lifecycle.toml")


def test_nothing_is_due_and_nothing_happens(workspace: Workspace, config: str) -> None:
    done = deliver_due.fn(config=config)
    assert (done["accepted"], done["remaining_planned"], done["next_due"]) == (0, 0, None)


def test_a_mail_waits_for_its_hour_and_goes_once(workspace: Workspace, config: str) -> None:
    workspace.publish()
    workspace.run()
    early = deliver_due.fn(config=config)
    assert (early["accepted"], early["remaining_planned"]) == (0, 1)
    assert early["next_due"] == "2026-06-08T00:00:00+00:00"

    # A daily run is going on meanwhile: it does not stand in the way.
    with (workspace.settings.state_dir / "run.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        late = deliver_due.fn(config=config, as_of="2026-06-08 00:10")
    assert (late["accepted"], late["by_trigger"]) == (1, {"win_back": 1})
    assert deliver_due.fn(config=config, as_of="2026-06-08 00:20")["accepted"] == 0
    assert len(list(workspace.settings.outbox_dir.rglob("*.eml"))) == 1
