"""The ledger as the models see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, insert

from lifecycle.ledger.tables import enrollments, metadata, runs, sends
from lifecycle.sources.ledger import snapshot
from sources.delivery import World

AT = datetime(2026, 6, 10, 1, 0, tzinfo=UTC)


def test_a_ledger_that_does_not_exist_gives_empty_tables_and_stays_absent(world: World) -> None:
    snapshot(world.settings)
    assert world.ask("SELECT count(*) FROM raw.ledger_sends") == [(0,)]
    assert world.ask("SELECT count(*) FROM raw.ledger_enrollments") == [(0,)]
    assert not (world.settings.state_dir / "ledger.db").exists()


def test_an_empty_ledger_gives_empty_tables(world: World) -> None:
    world.settings.state_dir.mkdir()
    Path(world.settings.state_dir / "ledger.db").touch()
    snapshot(world.settings)
    assert world.ask("SELECT count(*) FROM raw.ledger_sends") == [(0,)]


def test_sends_come_without_their_address(world: World) -> None:
    world.settings.state_dir.mkdir()
    engine = create_engine(world.settings.ledger_url)
    metadata.create_all(engine)
    send = {
        "account_id": "A1", "contact_id": "C1", "trigger": "onboarding", "step": "welcome",
        "cycle": 1, "trigger_version": "v", "run_id": "r", "address": "a@example.com",
        "locale": "ja", "locale_source": "contact", "due_at": AT, "not_before": AT,
        "state": "accepted", "state_at": AT, "accepted_at": AT + timedelta(seconds=1),
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(
            insert(runs).values(run_id="r", as_of=AT, started_at=AT, status="done", source="demo")
        )
        connection.execute(
            insert(enrollments).values(
                account_id="A1", trigger="onboarding", cycle=1, trigger_version="v",
                enrolled_at=AT, run_id="r", time_zone="Asia/Tokyo", time_zone_source="account",
            )
        )  # fmt: skip
        connection.execute(insert(sends), [{**send, "send_id": f"{n:032}"} for n in range(3)])
    for _ in range(2):  # a snapshot replaces the one before
        snapshot(world.settings)
        assert world.ask(
            "SELECT count(*), any_value(state), max(accepted_at)::VARCHAR, count(expires_at)"
            " FROM raw.ledger_sends"
        ) == [(3, "accepted", "2026-06-10 01:00:01", 0)]
    columns = [name for name, *_ in world.ask("DESCRIBE raw.ledger_sends")]
    assert columns == [column.name for column in sends.columns if column.name != "address"]
    assert world.ask("SELECT enrolled_at::VARCHAR FROM raw.ledger_enrollments") == [
        ("2026-06-10 01:00:00",)
    ]
