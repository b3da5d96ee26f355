"""What comes again under its id: told again, corrected, taken out, or the fact of another."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lifecycle.errors import GateStopped, SourceError
from sources.delivery import EVENTS, NOW, World

LATER = NOW + timedelta(days=1)


def _event(number: int, **change: str) -> dict[str, str]:
    return {**EVENTS[0], "event_id": f"E{number}", **change}


def names(world: World) -> dict[str, str]:
    return dict(world.ask("SELECT event_id, event_name FROM raw.usage_events ORDER BY 1"))


def test_a_file_that_comes_again_corrects_what_it_brought(world: World) -> None:
    world.pull()
    corrected = {**EVENTS[3], "event_name": "told_again", "account_id": EVENTS[0]["account_id"]}
    world.csv("usage_events", [*EVENTS[:3], corrected, *EVENTS[4:]])
    result = world.pull(LATER)
    assert result.corrected["usage_events"] == 1
    assert result.new_rows["usage_events"] == 0
    assert result.corrected_accounts in (1, 2)
    assert names(world)[EVENTS[3]["event_id"]] == "told_again"
    [(loaded_at,)] = world.ask(
        "SELECT _loaded_at FROM raw.usage_events WHERE event_name = 'told_again'"
    )
    assert loaded_at == LATER.replace(tzinfo=None), "it is counted again"


def test_a_row_that_is_taken_out_of_a_file_is_gone_and_one_outside_its_time_is_not(
    world: World,
) -> None:
    moments = [f"2026-06-0{day}T01:00:00Z" for day in range(1, 7)]
    rows = [_event(n, occurred_at=moment) for n, moment in enumerate(moments)]
    world.csv("usage_events", rows)
    world.pull()
    world.csv("usage_events", [rows[1], rows[2], *rows[4:]])
    result = world.pull(LATER)
    assert result.corrected["usage_events"] == 1
    assert set(names(world)) == {"E0", "E1", "E2", "E4", "E5"}, "E0 may have moved out of a window"


def test_a_file_that_is_cut_short_takes_nothing_out(world: World) -> None:
    moments = [f"2026-06-0{day}T01:00:00Z" for day in range(1, 7)]
    rows = [_event(n, occurred_at=moment) for n, moment in enumerate(moments)]
    world.csv("usage_events", rows)
    world.pull()
    world.csv("usage_events", [rows[0], rows[5]])
    assert world.pull(LATER).corrected["usage_events"] == 0
    assert len(names(world)) == 6


def test_a_later_file_of_the_same_stream_corrects_an_earlier_one(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    world.csv("usage_events/app-2026-06-01", [_event(1, event_name="first"), _event(2)])
    world.csv("usage_events/app-2026-06-02", [_event(1, event_name="second")])
    world.pull()
    assert names(world)["E1"] == "second"
    world.csv("usage_events/app-2026-06-03", [_event(1, event_name="third")])
    assert world.pull(LATER).corrected["usage_events"] == 1
    assert names(world) == {"E1": "third", "E2": EVENTS[0]["event_name"]}


def test_an_id_of_two_streams_is_set_aside_and_both_places_are_named(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    world.csv("usage_events/app", [_event(1, event_name="first"), _event(2)])
    world.csv("usage_events/web", [_event(1, event_name="second"), _event(2)])
    assert world.pull().rejected["usage_events"] == 1
    assert names(world) == {"E1": "first", "E2": EVENTS[0]["event_name"]}
    [reason] = [row[0] for row in world.ask("SELECT reason FROM raw.rejected_rows")]
    assert reason.startswith('event_id: "E1" means something else in usage_events/app.csv row 1')
    world.csv("usage_events/web", [_event(2, event_name="third"), *EVENTS[4:6]])
    world.pull(LATER)
    assert names(world)["E2"] == EVENTS[0]["event_name"]


def test_two_systems_that_number_by_themselves_stop_until_they_are_declared(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    app = [_event(n, event_name="app") for n in range(10)]
    web = [_event(n, event_name="web") for n in range(10)]
    world.csv("usage_events/app", app)
    world.csv("usage_events/web", web)
    with pytest.raises(GateStopped, match=r"declare each in \[sources\.<name>\]"):
        world.pull()


def test_declared_sources_number_each_by_themselves(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    world.csv("../app/usage_events", [_event(n, event_name="app") for n in range(10)])
    world.csv("../web/usage_events", [_event(n, event_name="web") for n in range(10)])
    toml = (world.root / "lifecycle.toml").read_text()
    folders = {name: world.data.parent / name for name in ("app", "web")}
    for name, folder in folders.items():
        toml += f'[sources.{name}]\nkind = "files"\npath = "{folder}"\n'
    world.config(toml)
    assert world.pull().new_rows["usage_events"] == 20
    result = names(world)
    assert (result["app/E1"], result["web/E1"]) == ("app", "web")
    assert world.pull(LATER).new_rows["usage_events"] == 0


def test_a_declared_source_without_a_file_is_named(world: World) -> None:
    (world.root / "empty").mkdir()
    toml = (world.root / "lifecycle.toml").read_text()
    world.config(f'{toml}[sources.app]\nkind = "files"\npath = "{world.root / "empty"}"\n')
    with pytest.raises(SourceError, match=r"\[sources\.app\]: .*no usage_events\.csv"):
        world.pull()
