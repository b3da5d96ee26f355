"""Files that are cut short, or written in a way of their own: nothing crashes, all is said."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import GateStopped, SourceError
from sources.delivery import ACCOUNTS, COMPANY, CONTACTS, EVENTS, NOW, World

HEAD = "contact_id,account_id,email,name,role,consent_basis"


def contacts(world: World, *lines: str, end: str = "\n") -> None:
    text = "\n".join([HEAD, *lines]) + end
    (world.data / "contacts.csv").write_text(text, encoding="utf-8", newline="")


LINES = [f"C{n},A{n},person{n}@example.com,Person {n},admin,contract" for n in (1, 2, 3)]


def names(world: World) -> list[tuple[Any, ...]]:
    return world.ask("SELECT contact_id, email, consent_basis FROM raw.contacts ORDER BY ALL")


def test_a_file_that_ends_in_the_middle_of_a_line_stops(world: World) -> None:
    contacts(world, *LINES[:2], "C3,A3,person3@exam", end="")
    with pytest.raises(SourceError) as stopped:
        world.pull()
    assert str(stopped.value) == (
        "contacts.csv row 3: 3 of 6 columns; the file ends in the middle of a line: is the export "
        "still being written?"
    )


@pytest.mark.parametrize("line", ['C3,A3,person3@example.com,"Per', "C3,A3"])
def test_it_shows_no_address(world: World, line: str) -> None:
    contacts(world, *LINES[:2], line, end="")
    with pytest.raises(SourceError, match="row 3") as stopped:
        world.pull()
    assert "person3" not in str(stopped.value)


def test_a_line_cut_short_is_filled_and_counted(world: World) -> None:
    contacts(world, LINES[0], "C2,A2,person2@example.com", LINES[2], "C9,A1")
    result = world.pull()
    assert names(world) == [
        ("C1", "person1@example.com", "contract"),
        ("C2", "person2@example.com", None),
        ("C3", "person3@example.com", "contract"),
    ]
    assert (result.rejected["contacts"], result.rejected_cells["contacts"]) == (1, 2)
    assert world.ask("SELECT row_number, column_name, reason FROM raw.rejected_cells LIMIT 1") == [
        (2, "name", "the row has 3 of 6 columns; from name on they are empty")
    ]


def test_a_second_pull_after_a_broken_line_does_not_crash(world: World) -> None:
    contacts(world, *LINES, "C4,A1,jane@example.com,Doe, Jane,admin,contract")
    world.csv("usage_events", EVENTS)
    with (world.data / "usage_events.csv").open("a") as file:
        file.write("E9,A1,2026-06-01,a,b,c,d,e\n")
    world.pull()
    world.pull()
    assert len(world.rejected()) == 2


@pytest.mark.parametrize("blank", [",,,,,", " , ,,,,", ",,", ",,,,,\n,,,,,"])
def test_rows_of_delimiters_only_are_passed_over(world: World, blank: str) -> None:
    contacts(world, *LINES[:2], blank, LINES[2], blank)
    result = world.pull()
    assert (result.rows["contacts"], result.rejected["contacts"]) == (3, 0)
    assert result.rejected_cells["contacts"] == 0


@pytest.mark.parametrize("ends", [("\r\n", "\n"), ("\n", "\r\n")])
def test_line_ends_may_be_mixed(world: World, ends: tuple[str, str]) -> None:
    lines = [HEAD, *LINES]
    text = "".join(line + ends[n % 2] for n, line in enumerate(lines))
    (world.data / "contacts.csv").write_text(text, newline="")
    assert world.pull().rows["contacts"] == 3


def test_excels_own_line_names_the_delimiter(world: World) -> None:
    text = "\n".join(["sep=;", HEAD.replace(",", ";"), *(line.replace(",", ";") for line in LINES)])
    (world.data / "contacts.csv").write_text(text + "\nC4;A9;x@example.com;;;\n")
    assert world.pull().rows["contacts"] == 3
    assert [row[2] for row in world.rejected()] == [4]


def test_an_encoding_is_proposed_and_can_be_declared(world: World) -> None:
    world.csv("accounts", ACCOUNTS, encoding="cp932")
    with pytest.raises(SourceError) as stopped:
        world.pull()
    assert '[source.encodings] accounts = "cp932"' in str(stopped.value)
    world.config(COMPANY + '[source.encodings]\naccounts = "cp932"\n')
    world.pull()
    assert world.ask("SELECT name FROM raw.accounts ORDER BY 1 LIMIT 1") == [("会社 1",)]


def test_a_delimiter_can_be_declared(world: World) -> None:
    path = world.data / "contacts.csv"
    path.write_text("\n".join(line.replace(",", "^") for line in [HEAD, *LINES]) + "\n")
    world.config(COMPANY + '[source.delimiters]\ncontacts = "^"\n')
    assert world.pull().rows["contacts"] == 3


def test_two_headers_that_are_one_column_are_refused(world: World) -> None:
    world.csv("contacts", [{**contact, "Email ": "other@example.com"} for contact in CONTACTS])
    with pytest.raises(SourceError, match="'email' and 'Email' are both called email"):
        world.pull()
    world.config(COMPANY + '[source.columns.contacts]\nemail = "email"\n')
    world.pull()
    assert names(world)[0][1] == "person1@example.com"


def test_a_file_name_is_no_pattern(world: World) -> None:
    (world.data / "contacts.csv").unlink()
    world.csv("contacts/a", [{**CONTACTS[0], "manager": "boss@example.com"}])
    other = {"manager": "boss2@example.com", **CONTACTS[1]}
    world.csv("contacts/[a]", [other])
    world.csv("contacts/*", [CONTACTS[2]])
    world.pull()
    assert world.ask("SELECT contact_id, email FROM raw.contacts ORDER BY 1") == [
        (f"C{n}", f"person{n}@example.com") for n in (1, 2, 3)
    ]


def test_a_folder_name_is_no_pattern(tmp_path: Path) -> None:
    root = tmp_path / "day=2 [new]*"
    root.mkdir()
    world = World(root)
    files = '[source.files]\nusage_events = "usage*.csv"\n'
    world.config(f'{COMPANY}{files}[state]\ndir = "{tmp_path / "state"}"\n')
    assert world.pull().rows["usage_events"] == len(EVENTS)
    assert world.ask("SELECT * FROM raw.accounts WHERE country IS NOT NULL") == []


def test_folders_below_the_source_can_be_mapped_and_those_above_cannot(tmp_path: Path) -> None:
    root = tmp_path / "country=DE"
    root.mkdir()
    world = World(root)
    mapped = '[source.columns.usage_events]\nfeature = "feature"\n'
    world.config(f'{COMPANY}{mapped}[state]\ndir = "{tmp_path / "state"}"\n')
    table = pa.Table.from_pylist([{**account, "country": "JP"} for account in ACCOUNTS])
    (world.data / "accounts.csv").unlink()
    pq.write_table(table, world.data / "accounts.parquet")
    (world.data / "usage_events.csv").unlink()
    for place, feature in ((1, "charts"), (2, "a%20b"), (3, "__HIVE_DEFAULT_PARTITION__")):
        rows = [{**EVENTS[place], "feature": None}]
        rows = [{key: row[key] for key in row if key != "feature"} for row in rows]
        world.csv(f"usage_events/feature={feature}/part", rows)
    world.pull()
    assert world.ask("SELECT DISTINCT country FROM raw.accounts") == [("JP",)]
    assert world.ask("SELECT feature FROM raw.usage_events ORDER BY event_id") == [
        ("charts",),
        ("a b",),
        (None,),
    ]


def test_links_to_folders_are_followed(world: World, tmp_path: Path) -> None:
    (world.data / "usage_events.csv").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    world.csv("usage_events/b", EVENTS[:3]).rename(elsewhere / "a.csv")
    world.csv("usage_events/b", EVENTS[3:])
    world.config(COMPANY.replace("[source]", "[source]\nfollow_links = true"))
    (world.data / "usage_events" / "june").symlink_to(elsewhere)
    (elsewhere / "again").symlink_to(world.data / "usage_events")
    assert world.pull().rows["usage_events"] == len(EVENTS)


def as_parquet(world: World, rows: list[dict[str, Any]], name: str = "accounts") -> Path:
    (world.data / f"{name}.csv").unlink()
    path = world.data / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_text_that_parquet_holds_as_bytes_is_decoded(world: World) -> None:
    as_parquet(world, [{**account, "name": account["name"].encode()} for account in ACCOUNTS])
    world.pull()
    assert world.ask("SELECT name FROM raw.accounts ORDER BY 1 LIMIT 1") == [("会社 1",)]


def test_bytes_that_are_no_text_are_refused(world: World) -> None:
    as_parquet(world, [{**ACCOUNTS[0], "name": b"\xe6\x9d"}])
    with pytest.raises(SourceError, match=r"accounts.parquet, row 1: the column name holds bytes"):
        world.pull()


def test_ids_that_are_decimals_are_named(world: World) -> None:
    as_parquet(
        world, [{**account, "account_id": float(n)} for n, account in enumerate(ACCOUNTS, 1)]
    )
    with pytest.raises(SourceError, match=r"account_id is a decimal.*whole numbers"):
        world.pull()


def test_a_decimal_id_in_text_is_named(world: World) -> None:
    world.csv(
        "accounts", [{**account, "account_id": str(n)} for n, account in enumerate(ACCOUNTS, 1)]
    )
    world.csv("contacts", [{**CONTACTS[0], "account_id": "1.0"}])
    world.csv("usage_events", [{**EVENTS[0], "account_id": "1"}])
    world.pull()
    [(*_, reason)] = world.rejected()
    assert "export ids as text or whole numbers" in reason


@pytest.mark.parametrize("kind", ["parquet", "csv.gz", "jsonl"])
def test_a_file_that_is_cut_says_so(world: World, kind: str) -> None:
    path = world.data / f"usage_events.{kind}"
    text = (world.data / "usage_events.csv").read_bytes()
    if kind == "parquet":
        path = as_parquet(world, EVENTS, "usage_events")
        whole = path.read_bytes()
    elif kind == "jsonl":
        whole = world.jsonl("usage_events", EVENTS).read_bytes()
    else:
        whole = gzip.compress(text)
    (world.data / "usage_events.csv").unlink(missing_ok=True)
    path.write_bytes(whole[: len(whole) - 12])
    with pytest.raises(SourceError, match="is the export still being written"):
        world.pull()


def test_five_bad_rows_or_values_stop_no_run_and_six_do(world: World) -> None:
    def deliver(rows: int, values: int) -> None:
        bad = [{**CONTACTS[0], "contact_id": f"X{n}", "email": "nobody"} for n in range(rows)]
        odd = [{**CONTACTS[0], "contact_id": f"Y{n}", "locale": "日本語"} for n in range(values)]
        world.csv("contacts", [*CONTACTS, *bad, *odd])

    deliver(5, 5)
    result = world.pull()
    assert (result.rejected["contacts"], result.rejected_cells["contacts"]) == (5, 5)
    deliver(6, 0)
    with pytest.raises(GateStopped, match="max_rejected_share"):
        world.pull(NOW)
    deliver(0, 6)
    with pytest.raises(GateStopped, match="max_rejected_cells_share"):
        world.pull(NOW)
    world.config(COMPANY + "[gate]\nmax_rejected_cells_share = 0.9\n")
    world.pull(NOW)


def test_a_word_for_nothing_is_nothing(world: World) -> None:
    odd = {
        "mrr": "NULL",
        "owner_email": "-",
        "country": "ｎ／ａ",
        "time_zone": "なし",
        "plan": "nan",
    }
    world.csv("accounts", [{**ACCOUNTS[0], **odd}, *ACCOUNTS[1:]])
    assert world.pull().rejected_cells["accounts"] == 0
    [row] = world.ask(f"SELECT {', '.join(odd)} FROM raw.accounts WHERE account_id = 'A1'")
    assert row == (None,) * 5
    world.config(COMPANY.replace('path = "data"', 'path = "data"\nnothing = ["keine"]'))
    world.csv("accounts", [{**ACCOUNTS[0], "plan": "Keine"}, {**ACCOUNTS[1], "plan": "nan"}])
    world.csv("contacts", CONTACTS[:2])
    world.pull()
    assert world.ask("SELECT plan FROM raw.accounts ORDER BY account_id") == [(None,), ("nan",)]


TEXT = "\n".join([HEAD, *LINES]) + "\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.replace("Person 1", "田中"), "cp932"),
        (TEXT.replace("Person 1", "田中 太郎"), "euc_jp"),
        (TEXT.replace("Person 1", "Müller"), "cp1252"),
        (TEXT, "utf-16"),
        (TEXT, "utf-16-le"),
        (TEXT, "utf-16-be"),
        (TEXT.replace("Person 1", "김철수"), "cp949"),
    ],
)
def test_every_encoding_that_it_may_be_is_proposed_and_read(
    world: World, content: str, encoding: str
) -> None:
    (world.data / "contacts.csv").write_bytes(content.encode(encoding))
    with pytest.raises(SourceError, match=rf"it reads as .*\b{encoding} \("):
        world.pull()
    world.config(f'{COMPANY}[source.encodings]\ncontacts = "{encoding}"\n')
    assert world.pull().rows["contacts"] == 3


def test_a_sign_that_is_cut_in_two_is_no_other_encoding(world: World) -> None:
    (world.data / "contacts.csv").write_bytes((TEXT + "C4,A1,x@example.com,田").encode()[:-1])
    with pytest.raises(SourceError, match="is the export still being written") as stopped:
        world.pull()
    assert "cp932" not in str(stopped.value)


@pytest.mark.parametrize("line", ["SEP=;", "sep = ;", '"sep=;"'])
def test_excels_own_line_is_read_however_it_is_written(world: World, line: str) -> None:
    text = "\r\n".join([line, *(item.replace(",", ";") for item in [HEAD, *LINES])])
    (world.data / "contacts.csv").write_text(text + "\r\n", encoding="utf-8-sig", newline="")
    assert world.pull().rows["contacts"] == 3


@pytest.mark.parametrize("part", ["nothing", "its middle", "its first half"])
def test_parquet_of_which_a_part_is_there_says_so(world: World, part: str) -> None:
    rows = [{**EVENTS[0], "event_id": f"E{n}", "feature": str(n * n)} for n in range(5_000)]
    path = as_parquet(world, rows, "usage_events")
    whole = path.read_bytes()
    half = len(whole) // 2
    left = {
        "nothing": b"",
        "its middle": whole[:half] + whole[-4_000:],
        "its first half": whole[:half],
    }
    path.write_bytes(left[part])
    with pytest.raises(SourceError, match="is the export still being written") as stopped:
        world.pull()
    assert str(world.root) not in str(stopped.value)


def test_headers_of_full_width_are_the_same_columns(world: World) -> None:
    (world.data / "contacts.csv").write_text(TEXT.replace("email", "ｅｍａｉｌ"), encoding="utf-8")
    assert world.pull().rows["contacts"] == 3
    (world.data / "contacts.csv").write_text(
        TEXT.replace("email", "email,Ｅｍａｉｌ", 1).replace("@example.com", "@example.com,x"),
        encoding="utf-8",
    )
    with pytest.raises(SourceError, match="are both called email"):
        world.pull()


@pytest.mark.parametrize(
    ("theirs", "ours"), [("1", "1.0"), ("1.0", "1"), ("1E+05", "100000"), ("1.5E+05", "150000")]
)
def test_ids_that_a_spreadsheet_changed_are_named(world: World, theirs: str, ours: str) -> None:
    world.csv("accounts", [{**ACCOUNTS[0], "account_id": ours}])
    world.csv("usage_events", [{**EVENTS[0], "account_id": ours}])
    world.csv("contacts", [{**CONTACTS[0], "account_id": theirs}])
    world.pull()
    [(*_, reason)] = world.rejected()
    assert "export ids as text or whole numbers" in reason


def test_files_that_are_not_read_are_named(world: World) -> None:
    (world.data / "usage_events.csv").unlink()
    world.csv("usage_events/b", EVENTS)
    for name in ("june", "July.xlsx", "_SUCCESS", ".b.csv.crc"):
        (world.data / "usage_events" / name).write_text("../elsewhere")
    result = world.pull()
    assert result.passed_over == ("usage_events/July.xlsx", "usage_events/june")
