"""What has become due goes, from the ledger alone."""

from __future__ import annotations

import fcntl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from flows.deliver_due import deliver_due
from lifecycle.ledger import runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, enrollments, messages, send_identity, sends
from lifecycle.mail.message import Message
from lifecycle.settings import Settings, load

CONFIG = str(Path(__file__).parents[2] / "lifecycle.toml")
DUE = datetime(2026, 6, 10, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LIFECYCLE__STATE__DIR", str(tmp_path / "state"))
    return load(CONFIG)


def plan_one(settings: Settings, *, not_before: datetime) -> str:
    """One mail in the queue, as a run of the demo on 2026-06-10 would leave it."""
    send_id = send_identity("A1", "C1", "win_back", "check_in", 1)
    mail = Message(
        send_id=send_id,
        from_name="Sakura Works",
        from_email="success@example.com",
        to_name="佐藤",
        to_email="c1@example.com",
        reply_to=None,
        subject="その後いかがですか",
        body="こんにちは\n",
        date=not_before,
        list_unsubscribe="mailto:success@example.com",
        locale="ja",
        trigger="win_back",
        step="check_in",
    )
    with Ledger.open(settings.ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=DUE, source="demo")
        with ledger.write() as connection:
            shared = {"account_id": "A1", "trigger": "win_back", "cycle": 1, "run_id": "r1"}
            connection.execute(
                insert(enrollments).values(
                    **shared,
                    trigger_version="v",
                    next_version="v",
                    enrolled_at=DUE,
                    time_zone="Asia/Tokyo",
                    time_zone_source="account",
                )
            )
            connection.execute(
                insert(sends).values(
                    **shared,
                    send_id=send_id,
                    contact_id="C1",
                    step="check_in",
                    trigger_version="v",
                    address="c1@example.com",
                    locale="ja",
                    locale_source="company",
                    due_at=DUE,
                    not_before=not_before,
                    closes_at=not_before + timedelta(hours=8),
                    state=State.PLANNED,
                    state_at=DUE,
                )
            )
            connection.execute(insert(messages).values(send_id=send_id, mime=mail.as_bytes()))
        runs.finish(ledger, run_id="r1", status="done", report={})
    return send_id


def test_nothing_is_due_and_nothing_happens(settings: Settings) -> None:
    done = deliver_due.fn(config=CONFIG)
    assert (done["accepted"], done["remaining_planned"], done["next_due"]) == (0, 0, None)


def test_a_mail_waits_for_its_hour_and_goes_once(settings: Settings) -> None:
    plan_one(settings, not_before=DUE + timedelta(hours=3))
    early = deliver_due.fn(config=CONFIG)
    assert (early["accepted"], early["remaining_planned"]) == (0, 1)
    assert early["next_due"] == "2026-06-10T04:00:00+00:00"

    # A daily run is going on meanwhile: it does not stand in the way.
    with (settings.state_dir / "run.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        late = deliver_due.fn(config=CONFIG, as_of="2026-06-10 04:10")
    assert (late["accepted"], late["by_trigger"]) == (1, {"win_back": 1})
    assert deliver_due.fn(config=CONFIG, as_of="2026-06-10 04:20")["accepted"] == 0
    assert len(list(settings.outbox_dir.rglob("*.eml"))) == 1
