"""One clear message for each kind of bad input, at its place; the rest proceeds."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lifecycle.errors import GateStopped, SourceError
from lifecycle.sources.mapping import canonical
from lifecycle.sources.reading import literal
from sources.delivery import ACCOUNTS, COMPANY, CONTACTS, EVENTS, NOW, SURVEYS, World

BAD_ROWS = [
    ("accounts", {"created_at": "30/12/2020"}, "created_at",
     'created_at: "30/12/2020" cannot be used; expected an ISO 8601 time'),
    ("accounts", {"created_at": "infinity"}, "created_at", "created_at: \"infinity\" cannot"),
    ("accounts", {"name": "  "}, "name", "name: required, and empty"),
    ("accounts", {"account_id": ""}, "account_id", "account_id: required, and empty"),
    ("accounts", {"account_id": "A1"}, "account_id",
     'account_id: "A1" stands already in accounts.csv row 1; the first one counts'),
    ("contacts", {"email": "a@b.c, evil@x.y"}, "email",
     'email: "a@b.c, evil@x.y" is not one e-mail address'),
    ("contacts", {"email": "a@example.com\nBcc: evil@example.com"}, "email",
     r'email: "a@example.com\nBcc: evil@example.com" holds a line break'),
    ("contacts", {"email": "a@example.com\n"}, "email", r'email: "a@example.com\n" holds a line'),
    ("contacts", {"email": "d41d8cd98f00b204e9800998ecf8427e"}, "email", "is not one e-mail"),
    ("contacts", {"email": "a..b@example.com"}, "email", "is not one e-mail address"),
    ("contacts", {"email": "a@host.invalid"}, "email", "is not one e-mail address"),
    ("contacts", {"contact_id": "C1"}, "contact_id",
     'contact_id: "C1" stands already in contacts.csv row 1; the first one counts'),
    ("contacts", {"account_id": "A99"}, "account_id",
     'account_id: "A99" is no account of this delivery or an earlier one'),
    ("usage_events", {"account_id": "A99"}, "account_id",
     "is no account of this delivery or an earlier one; the row is tried again at every pull"),
    ("usage_events", {"occurred_at": "2026-06-10T01:00:01Z"}, "occurred_at",
     'occurred_at: "2026-06-10T01:00:01Z" lies in the future: the clock says 2026-06-10 01:00:00'),
    ("usage_events", {"event_name": ""}, "event_name", "event_name: required, and empty"),
    ("survey_responses", {"score": "11"}, "score", 'score: "11" cannot be used; expected a number'),
    ("survey_responses", {"score": "good"}, "score", 'score: "good" cannot be used'),
]  # fmt: skip

BAD_CELLS = [
    ("accounts", {"renewal_at": "2026-13-01"}, "renewal_at", 'renewal_at: "2026-13-01" cannot'),
    ("accounts", {"time_zone": "Asia/Tokio"}, "time_zone",
     'time_zone: "Asia/Tokio" is no time zone; did you mean "Asia/Tokyo"?'),
    ("accounts", {"touch_model": "teck"}, "touch_model",
     'touch_model: "teck" is no touch model; did you mean "tech"?'),
    ("accounts", {"locale": "日本語"}, "locale", 'locale: "日本語" is no locale; expected a lang'),
    ("accounts", {"seats": "-1"}, "seats", 'seats: "-1" cannot be used; expected a whole number'),
    ("accounts", {"seats": "1.5"}, "seats", 'seats: "1.5" cannot be used; expected a whole number'),
    ("accounts", {"mrr": "1,200"}, "mrr", 'mrr: "1,200" cannot be used; expected a number'),
    ("accounts", {"owner_email": "nobody"}, "owner_email", 'owner_email: "nobody" is not one'),
    ("accounts", {"mrr": "¥30,000"}, "mrr", 'mrr: "¥30,000" cannot be used; expected a number'),
    ("accounts", {"churned_at": "soon"}, "churned_at",
     "the time at which they left, or yes or no; no mail goes to the account until it is mended"),
    ("contacts", {"consented_at": "soon"}, "consented_at", 'consented_at: "soon" cannot be used'),
    ("contacts", {"unsubscribed_at": "31/05/2026"}, "unsubscribed_at",
     'unsubscribed_at: "31/05/2026" cannot be used; expected the time at which they left, or yes'
     " or no; it counts as having left"),
]  # fmt: skip

GOOD = {
    "accounts": ACCOUNTS,
    "contacts": CONTACTS,
    "usage_events": EVENTS,
    "survey_responses": SURVEYS,
}


@pytest.fixture(scope="module")
def one_pull(tmp_path_factory: pytest.TempPathFactory) -> World:
    """All bad rows in one delivery, after the good ones."""
    world = World(tmp_path_factory.mktemp("company"))
    world.config(COMPANY + "[gate]\nmax_rejected_share = 1\nmax_rejected_cells_share = 1\n")
    cells = Counter(table for table, *_ in BAD_CELLS)
    for table, good in GOOD.items():
        bad = [_bad(table, change) for name, change, *_ in BAD_ROWS + BAD_CELLS if name == table]
        world.csv(table, [*good, *bad])
    result = world.pull()
    assert result.rows == {table: len(good) + cells[table] for table, good in GOOD.items()}
    assert sum(result.rejected.values()) == len(BAD_ROWS)
    return world


def _bad(table: str, change: dict[str, Any]) -> dict[str, Any]:
    good = GOOD[table][0]
    return {**good, next(iter(good)): f"NEW {change}", **change}


@pytest.mark.parametrize(("table", "change", "column", "reason"), BAD_ROWS)
def test_a_bad_row_is_set_aside_and_the_rest_proceeds(
    one_pull: World, table: str, change: dict[str, Any], column: str, reason: str
) -> None:
    places = [change for name, change, *_ in BAD_ROWS if name == table]
    row = len(GOOD[table]) + 1 + places.index(change)
    [(file, where, why, record)] = one_pull.ask(
        f"SELECT file, column_name, reason, record FROM raw.rejected_rows"
        f" WHERE table_name = '{table}' AND row_number = {row}"
    )
    assert (file, where) == (f"{table}.csv", column)
    assert reason in why
    kept = json.loads(record)
    for name, value in change.items():
        assert (kept[canonical(name)] or "") == str(value).strip(" ")


@pytest.mark.parametrize(("table", "change", "column", "reason"), BAD_CELLS)
def test_a_bad_optional_value_is_empty_and_its_row_stays(
    one_pull: World, table: str, change: dict[str, Any], column: str, reason: str
) -> None:
    named = next(iter(GOOD[table][0]))
    quoted = literal(_bad(table, change)[named])
    [(file, where, value, why)] = one_pull.ask(
        f"SELECT file, column_name, value, reason FROM raw.rejected_cells WHERE key = {quoted}"
    )
    assert (file, where, value) == (f"{table}.csv", column, change[column])
    assert reason in why
    [(kept,)] = one_pull.ask(f"SELECT {column} FROM raw.{table} WHERE {named} = {quoted}")
    assert kept is None


def test_a_single_bad_row_does_not_stop_a_run(world: World) -> None:
    world.csv("contacts", [*CONTACTS[:2], {**CONTACTS[2], "email": "nobody@"}])
    result = world.pull()
    assert (result.rows["contacts"], result.rejected["contacts"]) == (2, 1)


def test_a_time_is_the_sources_unless_it_says_otherwise(world: World) -> None:
    world.config(COMPANY + '[source.time_zones]\nusage_events = "UTC"\n')
    times = {
        "2026-06-01T09:00:00+09:00": "2026-06-01 00:00:00",
        "2026-06-01 3:15:52": "2026-06-01 03:15:52",
        "2026-06-01": "2026-06-01 00:00:00",
        "2026-06-01T03:15:52.25Z": "2026-06-01 03:15:52.25",
        "2026-05-31 20:00:00-05:30": "2026-06-01 01:30:00",
    }
    world.csv("usage_events", [{**EVENTS[0], "event_id": t, "occurred_at": t} for t in times])
    world.pull()
    assert dict(world.ask("SELECT event_id, occurred_at::VARCHAR FROM raw.usage_events")) == times


def test_the_row_number_counts_records_not_lines(world: World) -> None:
    path = world.csv("contacts", [{**CONTACTS[0], "name": "two\nlines"}, *CONTACTS[1:]])
    text = path.read_text(encoding="utf-8")
    bad = "C8,A1,a,b,c,d,e,f\n" + "C9,A1,nobody,admin,,\n" * 5
    path.write_text(text + bad, encoding="utf-8")
    with pytest.raises(GateStopped) as stopped:
        world.pull()
    places = [(row[2], row[3]) for row in world.rejected()]
    assert places == [(4, None), *((n, "email") for n in range(5, 10))]
    assert "contacts: 6 of 9 rows were rejected" in str(stopped.value)
    assert "allows: contacts.csv row 4: " in str(stopped.value)
    assert "All of them: raw.rejected_rows in work.duckdb" in str(stopped.value)


def test_a_stop_shows_a_row_of_each_wrong_column_first(world: World) -> None:
    bad = [{**CONTACTS[0], "contact_id": f"X{n}", "email": "nobody@"} for n in range(6)]
    world.csv("contacts", [*bad, {**CONTACTS[1], "account_id": "A99"}])
    with pytest.raises(GateStopped) as stopped:
        world.pull()
    text = str(stopped.value)
    places = [text.index(f"contacts.csv row {row}: ") for row in (1, 7, 2)]
    assert places == sorted(places)
    assert "in a spreadsheet with a header it is one further" in text


def test_a_line_that_is_no_json_is_set_aside(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    path = world.jsonl("usage_events", EVENTS)
    path.write_text(
        "\ufeff" + path.read_text(encoding="utf-8") + '{"event_id": \n', encoding="utf-8"
    )
    assert world.pull().rows["usage_events"] == len(EVENTS)
    [(_, file, row, column, reason)] = world.rejected()
    assert (file, row, column) == ("usage_events.jsonl", 9, None)
    assert reason == "the line is not one JSON object"


def test_too_many_bad_rows_stop_the_run_until_they_are_mended(world: World) -> None:
    broken = [{**row, "email": "nobody@"} for row in CONTACTS * 2]
    world.csv("contacts", broken)
    for _ in range(2):
        with pytest.raises(GateStopped) as stopped:
            world.pull()
        assert stopped.value.exit_status == 3
        assert stopped.value.door == "raw"
        assert "contacts: 6 of 6 rows" in str(stopped.value)
        assert "contacts.csv row 1" in str(stopped.value)
    world.csv("contacts", CONTACTS)
    assert world.pull().rows["contacts"] == 3
    assert world.rejected() == []


def test_a_file_the_gate_stopped_is_read_again(world: World) -> None:
    world.csv("usage_events", [{**row, "event_name": ""} for row in EVENTS[:6]] + EVENTS[6:])
    for _ in range(2):
        with pytest.raises(GateStopped):
            world.pull()
    assert world.ask("SELECT count(*) FROM raw.usage_events") == [(2,)]


def test_a_message_holds_no_whole_address(world: World) -> None:
    wrong = [{**row, "email": "jane.doe@example.com, x@y.z"} for row in CONTACTS * 2]
    world.csv("contacts", wrong)
    with pytest.raises(GateStopped) as stopped:
        world.pull()
    assert "jane.doe" not in str(stopped.value)
    assert "j***@example.com" in str(stopped.value)


# Files that cannot be used at all: nothing of the load is applied. ----------------------


def _utf16(world: World) -> None:
    world.csv("accounts", ACCOUNTS, encoding="utf-16")


def _shift_jis(world: World) -> None:
    world.csv("accounts", ACCOUNTS, encoding="cp932")


def _missing_file(world: World) -> None:
    (world.data / "contacts.csv").rename(world.data / "contact.csv")


def _missing_column(world: World) -> None:
    world.csv("usage_events", [{("ocurred_at" if k == "occurred_at" else k): v for k, v in row.items()} for row in EVENTS])  # fmt: skip  # noqa: E501


def _corrupt_parquet(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    (world.data / "usage_events.parquet").write_bytes(b"PAR1 no, not really PAR1")


def _corrupt_gzip(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    (world.data / "usage_events.csv.gz").write_bytes(b"\x1f\x8b\x08 no, not really")


def _open_quote(world: World) -> None:
    with (world.data / "usage_events.csv").open("a", encoding="utf-8") as file:
        file.write('E10,A1,2026-06-01,"report_created,\nE11,A1,2026-06-01,x,\n')


def _empty(world: World) -> None:
    (world.data / "usage_events.csv").write_bytes(b"")


def _json_array(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    (world.data / "usage_events.jsonl").write_text('[{"event_id": "E1"},\n{"event_id": "E2"}]\n')


def _twice(world: World) -> None:
    world.jsonl("usage_events", EVENTS)


def _misspelt_target(world: World) -> None:
    world.config((world.root / "lifecycle.toml").read_text() + '[source.columns.accounts]\nname = "nane"\n')  # fmt: skip  # noqa: E501


def _misspelt_column(world: World) -> None:
    world.config((world.root / "lifecycle.toml").read_text() + '[source.columns.accounts]\nnmae = "name"\n')  # fmt: skip  # noqa: E501


def _no_folder(world: World) -> None:
    world.config(COMPANY.replace('path = "data"', 'path = "nowhere"'))


@pytest.fixture(scope="module")
def pulled_once(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("company"))
    world.pull()
    return world


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (_utf16, ["accounts.csv", "not UTF-8"]),
        (_shift_jis, ["accounts.csv", "not UTF-8", "CSV UTF-8"]),
        (_missing_file, ["no contacts.csv", 'did you mean "contact.csv"?']),
        (_missing_column, ["usage_events.csv", "occurred_at is missing", '"ocurred_at"']),
        (_corrupt_parquet, ["usage_events.parquet: cannot be read"]),
        (_corrupt_gzip, ["usage_events.csv.gz: cannot be read"]),
        (_open_quote, ["usage_events.csv, row 9", "never closed"]),
        (_empty, ["usage_events.csv", "empty"]),
        (_json_array, ["usage_events.jsonl", "one object a line"]),
        (_twice, ["usage_events.csv and usage_events.jsonl are both there"]),
        (_misspelt_target, ["accounts.csv", "no column 'nane'", 'did you mean "name"?']),
        (_misspelt_column, ["nmae", "no such column of accounts", 'did you mean "name"?']),
        (_no_folder, ["nowhere", "no such folder"]),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    pulled_once: World, tmp_path: Path, break_it: Any, words: list[str]
) -> None:
    shutil.copytree(pulled_once.root, tmp_path / "copy")
    world = World(tmp_path / "copy", is_new=False)
    before = world.tables()
    world.csv("accounts", [*ACCOUNTS, {**ACCOUNTS[0], "account_id": "A4"}])
    break_it(world)
    with pytest.raises(SourceError) as refused:
        world.pull(NOW + timedelta(days=1))
    assert refused.value.exit_status == 2
    for word in words:
        assert word in str(refused.value)
    assert world.tables() == before
