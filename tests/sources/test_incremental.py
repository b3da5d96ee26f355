"""A second pull reads what is new; what arrives late or twice counts once."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import warm
from sources.delivery import ACCOUNTS, CONTACTS, EVENTS, NOW, SURVEYS, World, pull_telling


def _event(number: int, **change: str) -> dict[str, str]:
    return {**EVENTS[0], "event_id": f"E{number}", **change}


def test_an_unchanged_file_is_not_read_again(world: World) -> None:
    shutil.move(world.data / "usage_events.csv", world.data / "kept.csv")
    world.csv("usage_events/2026-06-01", EVENTS[:4])
    world.csv("usage_events/2026-06-02", EVENTS[4:])
    assert world.pull().files_read == 4
    assert world.pull().files_read == 2  # the two snapshots

    world.csv("usage_events/2026-06-03", [_event(20)])
    result = world.pull()
    assert result.files_read == 3
    assert result.new_rows["usage_events"] == 1

    world.csv("usage_events/2026-06-02", [*EVENTS[4:], _event(21)])  # it grew
    result = world.pull()
    assert result.files_read == 3
    assert result.new_rows["usage_events"] == 1
    assert result.rows["usage_events"] == 10


def test_another_mapping_reads_everything_again(world: World) -> None:
    world.pull()
    toml = (world.root / "lifecycle.toml").read_text()
    world.config(toml + '[source.columns.usage_events]\nfeature = "event_name"\n')
    assert world.pull().files_read == 3
    assert world.pull().files_read == 2


def test_an_event_that_arrives_twice_counts_once(world: World) -> None:
    world.csv("usage_events", [*EVENTS, EVENTS[0]])
    result = world.pull()
    assert (result.rows["usage_events"], result.rejected["usage_events"]) == (8, 0)
    loaded = world.ask("SELECT * FROM raw.usage_events ORDER BY ALL")

    world.csv("usage_events", [*EVENTS, EVENTS[5]])
    assert world.pull(NOW + timedelta(days=1)).new_rows["usage_events"] == 0
    assert world.ask("SELECT * FROM raw.usage_events ORDER BY ALL") == loaded


def test_an_event_waits_until_its_account_is_known(world: World) -> None:
    world.csv("usage_events", [*EVENTS, _event(9, account_id="A9", feature="wait")])
    assert world.pull().rejected["usage_events"] == 1
    set_aside = world.ask("SELECT loaded_at, record FROM raw.rejected_rows")

    later = world.pull(NOW + timedelta(days=1))
    assert later.rejected["usage_events"] == 0  # nothing new was rejected
    assert world.ask("SELECT loaded_at, record FROM raw.rejected_rows") == set_aside

    world.csv("accounts", [*ACCOUNTS, {**ACCOUNTS[0], "account_id": "A9"}])
    assert world.pull(NOW + timedelta(days=2)).new_rows["usage_events"] == 1
    assert world.rejected() == []
    assert world.ask("SELECT feature FROM raw.usage_events WHERE account_id = 'A9'") == [("wait",)]


def test_an_account_that_was_rejected_or_has_gone_is_still_known(world: World) -> None:
    world.csv("accounts", [*ACCOUNTS, {**ACCOUNTS[0], "account_id": "A9", "created_at": "x"}])
    world.csv("usage_events", [*EVENTS, _event(9, account_id="A9")])
    result = world.pull()
    assert (result.rejected["accounts"], result.rejected["usage_events"]) == (1, 0)

    world.csv("accounts", ACCOUNTS[:2])
    world.csv("usage_events", [*EVENTS, _event(9, account_id="A9"), _event(10, account_id="A3")])
    result = world.pull()
    assert result.rows["accounts"] == 2
    assert result.rejected == dict.fromkeys(result.rejected, 0)


def test_an_event_from_the_future_is_admitted_when_its_time_has_come(world: World) -> None:
    world.csv("usage_events", [*EVENTS, _event(9, occurred_at="2026-06-10T02:00:00Z")])
    assert world.pull().rejected["usage_events"] == 1
    assert world.pull(NOW + timedelta(hours=2)).new_rows["usage_events"] == 1
    assert world.rejected() == []


def test_a_mended_row_leaves_rejected_rows(world: World) -> None:
    world.csv("usage_events", [*EVENTS, _event(9, occurred_at="soon")])
    world.csv("survey_responses", [*SURVEYS, {**SURVEYS[0], "response_id": "R2", "score": "12"}])
    world.pull()
    assert len(world.rejected()) == 2
    world.csv("usage_events", [*EVENTS, _event(9)])  # the same file, mended
    (world.data / "survey_responses.csv").unlink()
    world.csv("survey_responses/more", [{**SURVEYS[0], "response_id": "R2"}])  # another file
    result = world.pull()
    assert world.rejected() == []
    assert (result.rows["usage_events"], result.rows["survey_responses"]) == (9, 2)


def test_snapshots_are_replaced_whole(world: World) -> None:
    world.pull()
    world.csv("accounts", [{**ACCOUNTS[1], "plan": "team"}])
    world.csv("contacts", CONTACTS[1:2])
    result = world.pull(NOW + timedelta(days=1))
    assert (result.rows["accounts"], result.new_rows["accounts"]) == (1, 0)
    assert result.gone_rows == {"accounts": len(ACCOUNTS) - 1, "contacts": len(CONTACTS) - 1}
    assert world.ask(
        "SELECT account_id, plan, industry, _loaded_at::DATE::VARCHAR FROM raw.accounts"
    ) == [("A2", "team", "Retail", "2026-06-11")]


def test_a_row_that_was_set_aside_has_not_gone(world: World) -> None:
    assert world.pull().gone_rows == {"accounts": 0, "contacts": 0}
    world.csv("accounts", [{**ACCOUNTS[0], "created_at": "soon"}, *ACCOUNTS[1:]])
    result = world.pull(NOW + timedelta(days=1))
    assert (result.rejected["accounts"], result.gone_rows["accounts"]) == (1, 0)


@dataclass(frozen=True)
class Delivered:
    """A company that was pulled once and has delivered more since; the second pull's tables."""

    root: Path
    tables: dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    root = tmp_path_factory.mktemp("delivered")
    world = World(root)
    world.pull()
    world.csv("accounts", [*ACCOUNTS, {**ACCOUNTS[0], "account_id": "A9"}])
    many = [_event(n, account_id=f"A{1 + n % 3}") for n in range(100, 30_000)]
    world.csv("usage_events", [*EVENTS, *many, _event(9, account_id="A77")])
    whole = shutil.copytree(root, tmp_path_factory.mktemp("whole"), dirs_exist_ok=True)
    World(whole, is_new=False).pull()
    return Delivered(root, World(whole, is_new=False).tables())


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("loading", 0.0),
        pytest.param("loading", 0.4, marks=pytest.mark.long),
        pytest.param("recording", 0.0, marks=pytest.mark.long),
        ("recording", 0.02),
    ],
)
def test_a_pull_killed_while_loading_is_completed_by_the_next(
    delivered: Delivered, tmp_path: Path, moment: str, seconds: float
) -> None:
    world = World(shutil.copytree(delivered.root, tmp_path, dirs_exist_ok=True), is_new=False)
    answer, tell = warm.forks.Pipe(duplex=False)
    config = str(world.root / "lifecycle.toml")
    pulling = warm.start(pull_telling, config, tell, imported=("sources.delivery",))
    tell.close()
    while not answer.recv().startswith(moment):
        pass
    time.sleep(seconds)
    pulling.kill()
    pulling.join()
    answer.close()

    world.pull()
    assert world.tables() == delivered.tables
    assert len(delivered.tables["usage_events"]) == 8 + 29_900
    assert world.pull().files_read == 2
