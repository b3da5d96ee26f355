"""Formats, addresses, mappings, and data of the real world."""

from __future__ import annotations

import csv
import zipfile
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest

from lifecycle.errors import GateStopped
from lifecycle.sources.contract import TABLES
from lifecycle.sources.mapping import canonical
from sources.delivery import ACCOUNTS, COMPANY, CONTACTS, EVENTS, SURVEYS, World

SHARED = Path(__file__).parents[3] / "shared" / "data"
TABLE_ROWS = {
    "accounts": ACCOUNTS,
    "contacts": CONTACTS,
    "usage_events": [*EVENTS, {**EVENTS[0], "event_id": "E9", "account_id": "A99"}],
    "survey_responses": SURVEYS,
}


def _parquet(world: World, name: str, *, typed: bool) -> None:
    source, target = world.data / f"{name}.csv", world.data / f"{name}.parquet"
    detect = "" if typed else ", all_varchar = true"
    duckdb.execute(f"COPY (FROM read_csv('{source}', header = true{detect})) TO '{target}'")
    source.unlink()


def test_every_format_gives_the_same_tables(make_world: Any) -> None:
    worlds = {name: make_world(name) for name in ("csv", "jsonl", "text", "typed")}
    for world in worlds.values():
        for name, rows in TABLE_ROWS.items():
            world.csv(name, rows)
    for name, rows in TABLE_ROWS.items():
        (worlds["jsonl"].data / f"{name}.csv").unlink()
        worlds["jsonl"].jsonl(name, rows)
        _parquet(worlds["text"], name, typed=False)
        _parquet(worlds["typed"], name, typed=True)
    seen = {}
    for name, world in worlds.items():
        world.pull()
        seen[name] = world.tables()
        rejected = seen[name].pop("rejected_rows")
        assert [(row[0], row[2], row[3], row[7]) for row in rejected] == [
            ("usage_events", 9, "account_id", "E9")
        ]
    assert seen["csv"] == seen["jsonl"] == seen["text"]
    # DuckDB's reader of CSV took the offset for UTC's: the same moments, with a zone.
    assert seen["typed"] == seen["csv"]


@pytest.mark.parametrize("options", [{"delimiter": ";"}, {"delimiter": "\t"}, {"quoting": 1}])
def test_dialects_of_csv(world: World, options: dict[str, Any]) -> None:
    world.csv("accounts", ACCOUNTS, encoding="utf-8-sig", **options)
    assert world.pull().rows["accounts"] == 3


def test_tables_exist_with_every_column_even_without_rows(world: World) -> None:
    world.csv("usage_events", [dict.fromkeys(EVENTS[0], "")][:0] or [EVENTS[0]])
    world.pull()
    for table in TABLES.values():
        columns = {name: kind for name, kind, *_ in world.ask(f"DESCRIBE raw.{table.name}")}
        for column in table.columns:
            assert columns[column.name] == column.kind.sql_type
        assert columns["_loaded_at"] == "TIMESTAMP"


def test_unknown_columns_are_kept_under_readable_names(world: World) -> None:
    world.csv("accounts", [{**row, "会社 規模": "大", "ARR (USD)": "7"} for row in ACCOUNTS])
    world.pull()
    assert world.ask('SELECT DISTINCT "会社_規模", arr_usd_, industry FROM raw.accounts') == [
        ("大", "7", "Retail")
    ]
    assert canonical("property_hs_all-funky-a9384-syntax") == "property_hs_all_funky_a9384_syntax"


def _address(world: World, address: str) -> None:
    world.config(COMPANY.replace('path = "data"', f'path = "{address}"'))


def test_an_address_in_memory(world: World) -> None:
    fs = fsspec.filesystem("memory")
    for path in world.data.iterdir():
        fs.pipe(f"/company/{path.name}", path.read_bytes())
    _address(world, "memory://company")
    try:
        assert world.pull().rows["usage_events"] == 8
        assert world.pull().files_read == 2
        fs.pipe("/company/usage_events.csv", (world.data / "usage_events.csv").read_bytes() + b"E9,A1,2026-06-09,x,\n")  # fmt: skip  # noqa: E501
        assert world.pull().new_rows["usage_events"] == 1
    finally:
        fs.rm("/company", recursive=True)


def test_an_address_in_an_archive(world: World) -> None:
    with zipfile.ZipFile(world.root / "data.zip", "w") as archive:
        for path in world.data.iterdir():
            archive.write(path, path.name)
    _address(world, f"zip://::{world.root / 'data.zip'}")
    assert world.pull().rows == {
        "accounts": 3, "contacts": 3, "usage_events": 8, "survey_responses": 0,
    }  # fmt: skip


def test_a_file_under_another_name(world: World) -> None:
    (world.data / "usage_events.csv").rename(world.data / "export-1.csv")
    world.csv("export-2", [{**EVENTS[0], "event_id": "E9"}])
    world.config(COMPANY + '[source.files]\nusage_events = "export-*.csv"\n')
    assert world.pull().rows["usage_events"] == 9


def _copy_with_addresses(source: Path, target: Path, column: str) -> list[dict[str, str]]:
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row[column] = f"contact-{number}@example.com"
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


NO_EVENTS = "event_id,account_id,occurred_at,event_name\n"

HUBSPOT = """
[source.files]
accounts = "company_data.csv"
contacts = "contact_data.csv"
[source.columns.accounts]
account_id = "id"
name = "property_name"
created_at = "property_createdate"
country = "property_country"
[source.columns.contacts]
contact_id = "id"
account_id = "property_company"
email = "property_email"
name = "{property_firstname} {property_lastname}"
"""

SALESFORCE = """
[source.files]
accounts = "sf_account_data.csv"
contacts = "sf_contact_data.csv"
[source.columns.accounts]
account_id = "id"
created_at = "_fivetran_synced"
country = "billing_country"
[source.columns.contacts]
contact_id = "id"
"""


@pytest.mark.parametrize(
    ("folder", "mapping", "accounts", "contacts", "email"),
    [
        ("hubspot", HUBSPOT, "company_data.csv", "contact_data.csv", "property_email"),
        ("salesforce", SALESFORCE, "sf_account_data.csv", "sf_contact_data.csv", "email"),
    ],
)
def test_a_crm_export_works_as_it_is(
    world: World, folder: str, mapping: str, accounts: str, contacts: str, email: str
) -> None:
    export = SHARED / "crm_export_shapes" / folder
    if not export.is_dir():
        pytest.skip(f"{export} is absent: the shapes of real exports were not tried")
    for path in list(world.data.iterdir()):
        path.unlink()
    (world.data / "usage_events.csv").write_text(NO_EVENTS)
    (world.data / accounts).write_bytes((export / accounts).read_bytes())
    (world.data / contacts).write_bytes((export / contacts).read_bytes())
    world.config(COMPANY + mapping)

    # Its addresses are hashes: too many bad rows, or too few to stop a run.
    few = len(list(csv.DictReader((export / contacts).open(encoding="utf-8")))) <= 5
    with nullcontext() if few else pytest.raises(GateStopped, match="contacts: "):
        world.pull()
    assert world.ask("SELECT count(*) FROM raw.contacts") == [(0,)]
    with (export / accounts).open(encoding="utf-8") as file:
        delivered = {row["id"]: row for row in csv.DictReader(file)}
    loaded = dict(world.ask("SELECT account_id, name FROM raw.accounts"))
    for account_id, name in loaded.items():
        row = delivered[account_id]
        assert name == row.get("property_name", row.get("name"))
    rejected = world.ask("SELECT count(*) FROM raw.rejected_rows WHERE table_name = 'accounts'")
    assert len(loaded) + rejected[0][0] == len(delivered)
    assert len(loaded) >= len(delivered) - 1

    rows = _copy_with_addresses(export / contacts, world.data / contacts, email)
    accounts_of = {row.get("property_company") or row.get("account_id") for row in rows}
    known = accounts_of & set(delivered)
    world.config(COMPANY + mapping + "[gate]\nmax_rejected_share = 1\n")
    world.pull()  # the samples leave out most of the contacts' accounts
    reasons = world.ask(
        "SELECT DISTINCT column_name FROM raw.rejected_rows WHERE table_name = 'contacts'"
    )
    assert set(reasons) <= {("account_id",)}
    reply = world.ask("SELECT DISTINCT account_id FROM raw.contacts")
    assert {account_id for (account_id,) in reply} == known


@pytest.mark.long
def test_a_year_of_real_orders(world: World) -> None:
    folder = SHARED / "online_retail"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: a year of real orders was not tried")
    _address(world, str(folder))
    result = world.pull(datetime(2026, 6, 10, tzinfo=UTC))
    assert result.rows == {
        "accounts": 4372, "contacts": 4372, "usage_events": 406829, "survey_responses": 0,
    }  # fmt: skip
    assert not any(result.rejected.values())
    assert world.pull().new_rows["usage_events"] == 0
