"""Each limit of drift in expectations/: an ordinary day passes, a fault of its kind does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import duckdb
import pytest

import small_export
from lifecycle.settings import CHECKOUT, Settings, load
from lifecycle.sources.contract import TABLES
from lifecycle.warehouse.gate import drift, drift_story, suites
from lifecycle.warehouse.gate.delivery_digest import digest
from lifecycle.warehouse.gate.drift_within import rows_beyond
from lifecycle.warehouse.gate.suites import Check
from lifecycle.warehouse.published_delivery import keep_delivery

TOML = """
[company]
name = "Example"
from_email = "success@example.com"
postal_address = "1 Example Street"
contact = "support@example.com"
"""

RAW = f"""
create schema raw; create schema context;
create table context.run as select 'r1' as run_id, timestamp '2026-06-10 01:00' as as_of,
  timestamp '2026-06-10 01:00' as loaded_at;
create table raw.accounts as select *, churned_at is not null as is_churned,
  null::varchar as purpose, 'bg ' || mrr as background,
  'gold' as tier, timestamp '2026-06-10 01:00' as _loaded_at from ({small_export.ACCOUNTS});
create table raw.contacts as select *, 'red' as colour,
  unsubscribed_at is not null as is_unsubscribed,
  timestamp '2026-06-10 01:00' as _loaded_at from ({small_export.CONTACTS});
create table raw.usage_events as select *, timestamp '2026-06-10 01:00' as _loaded_at,
  null::varchar as _file
  from ({small_export.EVENTS}) where occurred_at < '2026-06-10 01:00';
create table raw.survey_responses as select 'r' || i as response_id, 'A001' as account_id,
  timestamp '2026-06-01' as responded_at, (i % 11)::double as score, 'nps' as kind,
  timestamp '2026-06-10 01:00' as _loaded_at, null::varchar as _file from range(300) as t (i);
create table raw.delivered_columns as
  select table_name, table_name || '.csv' as file, column_name from duckdb_columns()
  where schema_name = 'raw' and not starts_with(column_name, '_');
create table raw.loaded_files as select * from (values
  ('usage_events', 'usage_events.csv', 'f1', 1000), ('survey_responses', 'surveys.csv', 'f2', 200))
  as files (table_name, file, fingerprint, usable_rows);
create table raw.repeated_ids (table_name varchar, stream varchar, repeats bigint,
  other_content bigint, examples varchar, loaded_at timestamp);
"""
DAY_AFTER = f"""
update context.run
set run_id = 'r2', as_of = '2026-06-11 01:00', loaded_at = '2026-06-11 01:00';
insert into raw.usage_events select *, timestamp '2026-06-11 01:00', null
  from ({small_export.EVENTS}) where occurred_at between '2026-06-10 01:00' and '2026-06-11 01:00';
"""
NEW_EVENTS = "_loaded_at > '2026-06-10 01:00'"
GONE = "delete from raw.delivered_columns where column_name = '{}'"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("company")
    (folder / "lifecycle.toml").write_text(TOML, encoding="utf-8")
    return load(folder / "lifecycle.toml")


@pytest.fixture(scope="module")
def day_after(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("day") / "work.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(RAW)
        keep_delivery(connection)
        connection.execute(DAY_AFTER)
    return path


@pytest.fixture
def work(day_after: Path, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse of the day after a published delivery."""
    shutil.copy(day_after, tmp_path / "work.duckdb")
    with duckdb.connect(str(tmp_path / "work.duckdb")) as connection:
        yield connection


@cache
def limits() -> list[tuple[str, Check]]:
    """Those of the project: the company of these tests has none of its own."""
    loaded = suites.load(Settings.model_construct(root=CHECKOUT), "raw")
    return [(suite.table, check) for suite in loaded for check in suite.checks if check.is_drift]


def beyond(work: duckdb.DuckDBPyConnection, settings: Settings) -> set[tuple[str, str, str]]:
    """Table, measure and column of each limit that is passed: * for one of all columns."""
    drift.measure(work, settings)
    result = work.execute(f"from {drift.DRIFT}")
    names = [column[0] for column in result.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return {
        place(table, check)
        for table, check in limits()
        if rows_beyond(check.expectation.configuration.kwargs, rows)
    }


def place(table: str, check: Check) -> tuple[str, str, str]:
    limit = check.expectation.configuration.kwargs
    kind = "own" if limit.get("own_columns") else "first" if limit.get("first_delivery") else ""
    return table, f"{kind} {limit['measure']}".strip(), limit.get("column") or "*"


def replaced(table: str, column: str, value: str, where: str = "true") -> str:
    return f"update raw.{table} set {column} = {value} where {where}"


def told_otherwise(table: str, column: str) -> str:
    """A hundred rows of a stream that were replaced by others of the same ids."""
    key = TABLES[table].key
    batch = f"{key} in (select {key} from raw.{table} order by {key} limit 100)"
    return (
        f"update raw.{table} set _file = 'app/1.csv' where {batch};"
        f" create table raw.replaced_{table} as from raw.{table} where {batch};"
        f" update raw.{table} set {column} = 'other' where {batch};"
    )


A, C = "accounts", "contacts"
FAULTS: dict[tuple[str, str, str], str] = {
    (A, "vanished", "*"): "delete from raw.accounts where account_id > 'A056'",
    (
        A,
        "appeared",
        "*",
    ): "insert into raw.accounts select accounts.* replace ('B' || i as account_id)"
    " from raw.accounts, range(51) as t (i) where account_id = 'A001'",
    (A, "gone", "*"): GONE.format("plan"),
    (A, "own gone", "*"): GONE.format("tier"),
    (A, "emptied", "churned_at"): replaced(A, "churned_at", "null", "account_id > 'A057'"),
    (A, "emptied", "is_churned"): replaced(A, "is_churned", "false", "account_id > 'A057'"),
    (A, "emptied", "touch_model"): replaced(A, "touch_model", "null", "account_id > 'A055'"),
    (A, "emptied", "*"): replaced(A, "mrr", "null", "account_id > 'A053'"),
    (A, "own emptied", "*"): replaced(A, "tier", "null", "account_id > 'A020'"),
    (A, "empty", "*"): replaced(A, "mrr", "null", "account_id > 'A040'"),
    (A, "filled", "churned_at"): replaced(A, "churned_at", "'2026-06-10'", "account_id < 'A008'"),
    (A, "filled", "is_churned"): replaced(A, "is_churned", "true", "account_id < 'A008'"),
    (A, "filled", "went_live_at"): "update published_delivery.accounts set went_live_at = null",
    **{
        (A, "changed", column): replaced(A, column, value, "account_id < 'A021'")
        for column, value in {
            "created_at": "created_at - interval 1 day",
            "touch_model": "'low'",
            "name": "name || ' Inc'",
            "went_live_at": "went_live_at + interval 1 day",
            "country": "'DE'",
            "time_zone": "'Europe/Berlin'",
            "locale": "'de'",
            "segment": "'other'",
        }.items()
    },
    (A, "changed", "churned_at"): replaced(A, "churned_at", "churned_at + interval 1 day"),
    **{
        (A, "changed", column): replaced(A, column, value)
        for column, value in {
            "plan": "'new ' || plan",
            "mrr": "mrr + 1",
            "seats": "seats + 1",
            "owner_name": "owner_name || '!'",
            "owner_email": "'x' || owner_email",
            "background": "background || '!'",
            "renewal_at": "renewal_at + interval 1 year",
        }.items()
    },
    (A, "changed", "purpose"): "update published_delivery.accounts set purpose = 'a';"
    "update raw.accounts set purpose = 'b'",
    (A, "one_value", "*"): replaced(A, "segment", "'smb'"),
    (A, "distinct", "*"): replaced(A, "mrr", "seats"),
    (A, "new_values", "touch_model"): replaced(A, "touch_model", "'x'", "account_id < 'A005'"),
    **{
        (A, "new_values", column): replaced(A, column, "'x'", "account_id < 'A021'")
        for column in ("segment", "country", "time_zone", "locale")
    },
    (C, "emptied", "unsubscribed_at"): replaced(
        C, "unsubscribed_at", "null", "contact_id = 'C005'"
    ),
    (C, "emptied", "is_unsubscribed"): replaced(
        C, "is_unsubscribed", "null", "contact_id = 'C005'"
    ),
    (C, "changed", "account_id"): replaced(C, "account_id", "'A001'", "contact_id > 'C117'"),
    (C, "changed", "email"): replaced(C, "email", "'x' || email", "contact_id > 'C117'"),
    (C, "vanished", "*"): "delete from raw.contacts where contact_id > 'C110'",
    (
        C,
        "appeared",
        "*",
    ): "insert into raw.contacts select contacts.* replace ('B' || i as contact_id)"
    " from raw.contacts, range(61) as t (i) where contact_id = 'C001'",
    (C, "gone", "*"): GONE.format("role"),
    (C, "own gone", "*"): GONE.format("colour"),
    (C, "emptied", "*"): replaced(C, "name", "null", "contact_id > 'C110'"),
    (C, "own emptied", "*"): replaced(C, "colour", "null"),
    (C, "empty", "*"): replaced(C, "role", "null", "contact_id > 'C090'"),
    (C, "filled", "unsubscribed_at"): replaced(
        C, "unsubscribed_at", "'2026-06-10'", "contact_id < 'C020'"
    ),
    (C, "filled", "is_unsubscribed"): replaced(C, "is_unsubscribed", "true", "contact_id < 'C020'"),
    **{
        (C, "changed", column): replaced(C, column, value, "contact_id < 'C031'")
        for column, value in {
            "name": "name || ' Jr'",
            "role": "role || '2'",
            "locale": "'ja'",
            "consent_basis": "'opt_in'",
            "consented_at": "consented_at + interval 1 day",
        }.items()
    },
    (C, "one_value", "email"): replaced(C, "email", "'info@x.example.com'", "contact_id < 'C007'"),
    (C, "one_value", "*"): replaced(C, "consented_at", "'2026-06-10'"),
    (C, "distinct", "*"): replaced(C, "name", "role"),
    **{
        (C, "new_values", column): replaced(C, column, "'x'", "contact_id < 'C051'")
        for column in ("role", "locale", "consent_basis")
    },
    ("usage_events", "new_names", "event_name"): replaced(
        "usage_events", "event_name", "'app.' || event_name", NEW_EVENTS
    ),
    ("usage_events", "other_content", "event_id"): told_otherwise("usage_events", "event_name")
    + "insert into raw.repeated_ids values"
    " ('usage_events', 'app/.csv', 150, 100, 'e1', '2026-06-11 01:00'),"
    " ('usage_events', 'web/.csv', 9000, 0, '', '2026-06-11 01:00')",
    ("usage_events", "taken_out", "event_id"): "update raw.usage_events set _file = 'f.csv';"
    " create table raw.replaced_usage_events as from raw.usage_events where hash(event_id) % 2 = 0;"
    " delete from raw.usage_events where hash(event_id) % 2 = 0",
    ("usage_events", "shrunk", "event_id"): "update raw.loaded_files set usable_rows = 400"
    " where table_name = 'usage_events'",
    ("usage_events", "lost_part", "*"): "delete from raw.usage_events"
    " where event_name = 'report_shared' and occurred_at >= '2026-06-10';"
    "insert into raw.usage_events select 'x' || i, 'A001', d - interval 7 day, 'report_shared',"
    " 'u', 'f', d, null from range(200) t(i), (select timestamp '2026-06-10 00:30' as d)",
    ("usage_events", "own lost_part", "*"): "insert into raw.usage_events select 'x' || i || w,"
    " 'A003', timestamp '2026-06-10 02:00' - interval (7 * w) day, 'report_shared', 'u', 'f',"
    " timestamp '2026-06-10 00:30', null from range(100) t(i), range(1, 5) s(w);"
    "delete from raw.usage_events where occurred_at >= '2026-06-10' and account_id in"
    " (select account_id from raw.accounts where segment = 'smb')",
    ("survey_responses", "other_content", "response_id"): told_otherwise(
        "survey_responses", "account_id"
    )
    + "insert into raw.repeated_ids values"
    " ('survey_responses', null, 150, 100, 'r1', '2026-06-11 01:00')",
    (
        "survey_responses",
        "taken_out",
        "response_id",
    ): "update raw.survey_responses set _file = 'f.csv';"
    " create table raw.replaced_survey_responses as from raw.survey_responses"
    " where hash(response_id) % 2 = 0;"
    " delete from raw.survey_responses where hash(response_id) % 2 = 0",
    ("survey_responses", "shrunk", "response_id"): "update raw.loaded_files set usable_rows = 50"
    " where table_name = 'survey_responses'",
}
FIRST = {
    **{
        (A, "first one_value", column): replaced(A, column, "'2026-06-10'")
        for column in ("created_at", "went_live_at", "churned_at")
    },
    (A, "first empty", "touch_model"): replaced(A, "touch_model", "null"),
    (C, "first one_value", "email"): replaced(C, "email", "'info@example.com'"),
    (C, "first one_value", "unsubscribed_at"): replaced(C, "unsubscribed_at", "'2026-06-10'"),
}


def test_an_ordinary_day_is_within_every_limit(work, settings):
    work.execute("insert into raw.accounts select * replace ('A061' as account_id,"
                 " timestamp '2026-06-10' as went_live_at) from raw.accounts"
                 " where account_id = 'A001'")  # fmt: skip
    work.execute(replaced(A, "name", "'Renamed'", "account_id = 'A002'"))
    work.execute(replaced(A, "churned_at", "'2026-06-10'", "account_id = 'A003'"))
    work.execute(replaced(C, "unsubscribed_at", "'2026-06-10'", "contact_id = 'C001'"))
    work.execute(replaced(C, "email", "'new@example.com'", "contact_id = 'C002'"))
    work.execute("delete from raw.contacts where contact_id in ('C003', 'C004')")
    assert beyond(work, settings) == set()


@pytest.mark.parametrize("limit", FAULTS, ids=" ".join)
def test_a_fault_is_beyond_its_limit(work, settings, limit):
    work.execute(FAULTS[limit])
    assert limit in beyond(work, settings)


@pytest.mark.parametrize("limit", FIRST, ids=" ".join)
def test_a_fault_of_a_first_delivery_is_beyond_its_limit(work, settings, limit):
    work.execute("drop schema published_delivery cascade")
    assert beyond(work, settings) == set()
    work.execute(FIRST[limit])
    assert beyond(work, settings) == {limit}


def test_every_limit_has_a_fault():
    assert {place(table, check) for table, check in limits()} == {*FAULTS, *FIRST}


def test_what_a_mended_delivery_says_again_is_no_drift(work, settings):
    """A refused delivery told ids otherwise, and brought new ones that are gone again."""
    work.execute(
        "update raw.usage_events set _file = 'app/1.csv' where _loaded_at <= '2026-06-10 01:00';"
        " create table raw.replaced_usage_events as from raw.usage_events;"
        " insert into raw.replaced_usage_events select * replace ('x' || event_id as event_id,"
        " timestamp '2026-06-10 09:00' as _loaded_at) from raw.usage_events;"
        " insert into raw.repeated_ids values"
        " ('usage_events', 'app/.csv', 9000, 9000, 'e1', '2026-06-10 09:00'),"
        " ('usage_events', 'app/.csv', 9000, 9000, 'e1', '2026-06-11 01:00')"
    )
    assert beyond(work, settings) == set()


def test_who_comes_back_is_no_drift(work, settings):
    """A later consent, and a newer go-live, explain a departure that is gone."""
    work.execute("update raw.contacts set unsubscribed_at = null, is_unsubscribed = false,"
                 " consented_at = '2026-06-10' where contact_id in ('C005', 'C010')")  # fmt: skip
    work.execute("update raw.accounts set churned_at = null, is_churned = false,"
                 " went_live_at = '2026-06-10' where account_id > 'A057'")  # fmt: skip
    assert beyond(work, settings) == set()


def test_a_large_table_is_measured_by_some_of_its_keys(work, settings, monkeypatch):
    monkeypatch.setattr(drift, "SAMPLE", 30)
    work.execute(replaced(C, "email", "'info@x.example.com'"))
    assert {(C, "one_value", "email"), (C, "changed", "email")} <= beyond(work, settings)


def test_what_is_said_names_what_moved_and_masks_addresses(work, settings):
    work.execute(replaced(C, "email", "'x' || email", "contact_id > 'C110'"))
    drift.measure(work, settings)
    rows = work.execute(f"from {drift.DRIFT} where column_name = 'email' and measure = 'changed'")
    names = [column[0] for column in rows.description or ()]
    [row] = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    [text] = drift_story.sentences(work, "It matters.", [row])
    assert text == (
        "raw.contacts.email: It matters. (10 of 120 values of rows that stayed changed, 8.3%; e.g."
        " contact_id=C111: p***@firm56.example.com → x***@firm56.example.com;"
        " contact_id=C112: p***@firm56.example.com → x***@firm56.example.com;"
        " contact_id=C113: p***@firm57.example.com → x***@firm57.example.com)"
    )


def test_a_digest_is_of_the_rows_and_of_what_they_are_held_against(work):
    first = digest(work, C)
    work.execute("create or replace table raw.contacts as select * replace (now()::timestamp as"
                 " _loaded_at) from raw.contacts order by contact_id desc")  # fmt: skip
    assert digest(work, C) == first, "the same rows, loaded again in another order"
    work.execute("update published_delivery.run set run_id = 'other'")
    assert digest(work, C) != first
    work.execute("update published_delivery.run set run_id = 'r1'")
    work.execute(replaced(C, "role", "'x'", "contact_id = 'C001'"))
    assert digest(work, C) != first
