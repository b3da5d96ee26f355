"""The ledger as the models see it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Integer, String, Table, Text, create_engine, insert

from lifecycle.ledger.tables import UtcDateTime, enrollments, metadata, runs, sends
from lifecycle.sources.ledger import snapshot
from sources.delivery import World

AT = datetime(2026, 6, 10, 1, 0, tzinfo=UTC)


def _row(table: Table, **values: Any) -> dict[str, Any]:
    """A row with something in every column that must hold something."""
    something: dict[type, Any] = {
        UtcDateTime: AT,
        Boolean: True,
        Integer: 1,
        String: "x",
        Text: "x",
    }
    required = {
        column.name: something[type(column.type)] for column in table.columns if not column.nullable
    }
    return required | values


def test_a_ledger_that_does_not_exist_gives_empty_tables_and_stays_absent(world: World) -> None:
    snapshot(world.settings)
    assert world.ask("SELECT count(*) FROM context.ledger_sends") == [(0,)]
    assert world.ask("SELECT count(*) FROM context.ledger_enrollments") == [(0,)]
    assert world.ask("SELECT count(*) FROM context.ledger_replies") == [(0,)]
    assert not (world.settings.state_dir / "ledger.db").exists()


def test_an_empty_ledger_gives_empty_tables(world: World) -> None:
    world.settings.state_dir.mkdir()
    Path(world.settings.state_dir / "ledger.db").touch()
    snapshot(world.settings)
    assert world.ask("SELECT count(*) FROM context.ledger_sends") == [(0,)]


def test_sends_come_without_their_address(world: World) -> None:
    world.settings.state_dir.mkdir()
    engine = create_engine(world.settings.ledger_url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(runs), _row(runs, run_id="r"))
        connection.execute(insert(enrollments), _row(enrollments, run_id="r"))
        connection.execute(
            insert(sends),
            [_row(sends, run_id="r", send_id=f"{n:032}", state="accepted") for n in range(3)],
        )
    for _ in range(2):  # a snapshot replaces the one before
        snapshot(world.settings)
        assert world.ask(
            "SELECT count(*), any_value(state), max(due_at)::VARCHAR, count(expires_at)"
            " FROM context.ledger_sends"
        ) == [(3, "accepted", "2026-06-10 01:00:00", 0)]
    columns = [name for name, *_ in world.ask("DESCRIBE context.ledger_sends")]
    assert columns == [column.name for column in sends.columns if column.name != "address"]
    assert world.ask("SELECT enrolled_at::VARCHAR FROM context.ledger_enrollments") == [
        ("2026-06-10 01:00:00",)
    ]
