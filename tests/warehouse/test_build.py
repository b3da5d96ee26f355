"""The whole build on a small company: what it makes, what it leaves behind, how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from ruamel.yaml import YAML

from lifecycle.errors import GateStopped, WarehouseError
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.warehouse.build import PROJECT, WAREHOUSE, BuildResult, build
from warehouse.dbt_in_process import build_untested, dbt
from warehouse.raw_company import Company, utc
from warehouse.test_definitions import columns as described

WEDNESDAY = "2026-06-10 01:00"  # ten in the morning in Tokyo


HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"


def account(account_id: str, **columns: object) -> dict[str, object]:
    known = {"name": f"Account {account_id}", "created_at": "2026-01-01", "seats": 10}
    return {"account_id": account_id, **known, "went_live_at": "2026-01-05 03:00", **columns}


def contact(contact_id: str, account_id: str, **columns: object) -> dict[str, object]:
    known = {"email": f" {contact_id}@Example.com", "name": contact_id, "role": "admin"}
    return {"contact_id": contact_id, "account_id": account_id, **known, **columns}


def company_of(folder: Path) -> Company:
    """Two accounts that work every day but Sunday up to the clock, and one that stopped in May."""
    company = Company(folder)
    company.deliver(
        "accounts",
        WEDNESDAY,
        account("busy", time_zone="Asia/Tokyo", mrr=100.0, segment="smb"),
        account("abroad", country="United Kingdom", segment="smb"),
        account("stopped", time_zone="Asia/Tokyo", segment="smb"),
        account("newborn", went_live_at="2026-06-09 00:00"),
        account("unborn", created_at="2026-06-10 01:00:01"),
    )
    company.deliver(
        "contacts", WEDNESDAY, contact("c1", "busy"), contact("c2", "stopped"), contact("c3", "x")
    )
    company.sql(
        """
        insert into raw.usage_events (event_id, account_id, occurred_at, event_name,
            user_id, feature, _loaded_at)
        select account || day, account, day + interval 20 hour, name, 'u' || extract(dow from day),
            'f', timestamp '2026-06-10 01:00'
        from range(timestamp '2026-03-01', timestamp '2026-06-10', interval 1 day) days (day),
            (values ('busy', 'report_shared'), ('abroad', 'login'), ('stopped', 'report_viewed'))
                accounts (account, name)
        where extract(dow from day) <> 0 and not (account = 'stopped' and day > '2026-05-20')
        """
    )
    company.add(
        "survey_responses",
        {"response_id": "s1", "account_id": "busy", "responded_at": "2026-06-01", "score": 9.0},
    )
    company.add(
        "ledger_sends",
        {"send_id": "1", "account_id": "busy", "trigger": "onboarding", "trigger_version": "v"}
        | {"state": "accepted"},
    )
    company.add(
        "ledger_enrollments",
        {"account_id": "busy", "trigger": "onboarding", "cycle": 1, "entered_version": "v"},
    )
    answer = {"account_id": "busy", "trigger": "onboarding", "cycle": 1, "send_id": "1"}
    company.add(
        "ledger_replies",
        {**answer, "key": "r1", "kind": "answer", "came_at": "2026-06-02 10:00", "label": "later"},
        {**answer, "key": "r2", "kind": "answer", "came_at": "2026-06-03 10:00"},
        {**answer, "key": "r3", "kind": "automatic", "came_at": "2026-06-04 10:00", "label": "no"},
    )
    return company


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Company, BuildResult, list[str]]:
    company = company_of(tmp_path_factory.mktemp("built") / "company")
    company.see(WEDNESDAY)
    collected: list[str] = []
    return company, build(company.settings, progress=collected.append), collected


def test_a_build_says_what_it_did_and_leaves_the_file_free(
    built: tuple[Company, BuildResult, list[str]],
) -> None:
    company, result, answer = built
    assert result.models > 30
    assert result.tests > 60
    assert result.warnings == []
    assert "model account_360: success" in answer
    assert WAREHOUSE not in os.environ
    # Another way of opening it would fail while any connection of this process lived.
    duckdb.connect(company.settings.work_db, read_only=True).close()


def test_a_build_writes_nothing_into_the_checkout_and_nothing_to_standard_output(
    built: tuple[Company, BuildResult, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    company, *_ = built
    before = {path for path in PROJECT.rglob("*") if path.is_file()}
    build(company.settings)
    assert {path for path in PROJECT.rglob("*") if path.is_file()} == before
    assert capfd.readouterr().out == ""


def test_every_account_that_exists_has_its_row_and_its_reasons(
    built: tuple[Company, BuildResult, list[str]],
) -> None:
    company, *_ = built
    rows = company.sql(
        "select account_id, stage, course, is_dormant, dormancy_reason, ladder_step,"
        " onboarding_status, usage_band, satisfaction_band, time_zone, time_zone_source"
        " from marts.account_360 order by account_id"
    )
    assert rows == [
        (
            "abroad",
            "adoption",
            "advice",
            False,
            "silent for 1 day; its limit is 7",
            1,
            "missed",
            "green",
            None,
            "Europe/London",
            "country",
        ),
        (
            "busy",
            "mature",
            "success",
            False,
            "silent for 0 days; its limit is 7",
            4,
            "achieved",
            "green",
            "green",
            "Asia/Tokyo",
            "account",
        ),
        (
            "newborn",
            "onboarding",
            "success",
            False,
            "never logged in, 1 day after go-live; 7 are allowed",
            0,
            "on_track",
            "green",
            None,
            "Asia/Tokyo",
            "company",
        ),
        (
            "stopped",
            "adoption",
            "advice",
            True,
            "silent for 20 days; its limit is 7",
            2,
            "missed",
            "yellow",
            None,
            "Asia/Tokyo",
            "account",
        ),
    ]


def test_contacts_of_no_account_are_left_out_and_addresses_are_normalised(
    built: tuple[Company, BuildResult, list[str]],
) -> None:
    company, *_ = built
    assert company.sql(
        "select contact_id, email_normalized from marts.dim_contacts order by 1"
    ) == [
        ("c1", "c1@example.com"),
        ("c2", "c2@example.com"),
    ]


def test_what_the_yaml_says_of_columns_is_so(
    built: tuple[Company, BuildResult, list[str]],
) -> None:
    company, *_ = built
    for table, columns in (("account_360", account_columns()), ("dim_contacts", contact_columns())):
        rows = company.sql(
            "select column_name, lower(data_type) from information_schema.columns"
            f" where table_schema = 'marts' and table_name = '{table}' order by ordinal_position"
        )
        assert rows == [(name, column.data_type) for name, column in columns.items()]


def test_every_column_of_every_model_is_described(
    built: tuple[Company, BuildResult, list[str]],
) -> None:
    company, *_ = built
    rows = company.sql(
        "select table_name, column_name from information_schema.columns"
        " where table_schema in ('staging', 'intermediate', 'marts')"
    )
    assert set(rows) ^ {(model, column) for model, column, _ in described()} == set()


def test_the_thresholds_that_other_tests_assume_are_the_models_own(
    built: tuple[Company, BuildResult, list[str]],
) -> None:
    company, *_ = built
    names = ("measure", "place", "label", "direction", "full_at", "partial_at")
    result = company.sql(f"select {', '.join(names)} from intermediate.int_measure_thresholds")
    assumed = [
        [tuple(row[name] for name in names) for row in given["rows"]]
        for file in PROJECT.glob("models/**/*.yml")
        for test in YAML(typ="safe", pure=True).load(file.read_text("utf-8")).get("unit_tests", [])
        for given in test["given"]
        if given["input"] == "ref('int_measure_thresholds')"
    ]
    assert len(assumed) > 1
    for rows in assumed:
        assert set(rows) <= {
            (*row[:4], *(None if value is None else float(value) for value in row[4:]))
            for row in result
        }


def test_business_rules_hold(built: tuple[Company, BuildResult, list[str]], tmp_path: Path) -> None:
    company, *_ = built
    done = dbt(company.settings, tmp_path / "target", "test", "--select", "test_type:unit")
    failed = [(r.node.name, r.message) for r in done.result.results if r.status != "pass"]
    assert failed == []
    assert len(done.result.results) > 25


def test_the_documentation_can_be_generated(
    built: tuple[Company, BuildResult, list[str]], tmp_path: Path
) -> None:
    company, *_ = built
    done = dbt(company.settings, tmp_path / "target", "docs", "generate")
    assert done.success, done.exception
    catalog = (tmp_path / "target" / "catalog.json").read_text()
    assert "account_360" in catalog


def test_a_late_feed_makes_unknown_what_needs_it_and_a_holiday_is_not_late(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    # Newest event: Wednesday 05:00 in Tokyo. Two business days later it is too old.
    company.see("2026-06-12 01:00")
    build_untested(company.settings)
    feed = company.sql("select feed_status, reason from marts.feed_health")
    assert feed == [("late", "the newest event is 53 business hours old; 36 are allowed")]
    needs_feed = [name for name, column in account_columns().items() if column.needs_feed]
    unknown = ", ".join(f"count({name})" for name in needs_feed)
    assert set(company.sql(f"select {unknown} from marts.account_360")[0]) == {0}
    assert company.sql(
        "select distinct course, satisfaction_band from marts.account_360 where account_id = 'busy'"
    ) == [(None, "green")]
    # Golden Week: from Saturday 2 May to Wednesday 6 May 2026 nobody works in Japan.
    company.sql("delete from raw.usage_events where occurred_at > '2026-05-01'")
    company.see("2026-05-06 14:00")
    build_untested(company.settings, "feed_health")
    assert company.sql("select feed_status from marts.feed_health") == [("fresh",)]


def test_a_feed_that_just_began_makes_no_old_account_dormant(tmp_path: Path) -> None:
    company = Company(tmp_path / "company")
    old = [account(f"a{number}", went_live_at="2020-01-05 03:00") for number in range(4)]
    company.deliver("accounts", WEDNESDAY, *old)
    company.sql(
        """
        insert into raw.usage_events (event_id, account_id, occurred_at, event_name,
            user_id, feature, _loaded_at)
        select account || day, account, day + interval 20 hour, 'login', 'u', 'f', day
        from range(timestamp '2026-06-07', timestamp '2026-06-10', interval 1 day) days (day),
            (values ('a0'), ('a1')) accounts (account)
        """
    )
    company.see(WEDNESDAY)
    build_untested(company.settings)
    assert company.sql(
        "select feed_status, is_dormant, onboarding_status, stage, course, count(*)"
        " from marts.account_360 group by all"
    ) == [("fresh", False, "on_track", "adoption", "success", 4)]
    # The first login, at 20:00 UTC on the 7th, was on the 8th in Tokyo.
    assert company.sql("select dormancy_reason from marts.account_360 where account_id = 'a3'") == [
        ("no login in the 2 days since the usage feed began; 7 are allowed",)
    ]


def test_a_thin_day_is_late(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    # Of Tuesday in Tokyo nothing is left, beside two or three on other Tuesdays, when fewer
    # accounts were live.
    company.sql(
        "delete from raw.usage_events"
        " where occurred_at between '2026-06-08 15:00' and '2026-06-09 15:00'"
    )
    company.see(WEDNESDAY)
    build_untested(company.settings, "feed_health")
    assert company.sql("select feed_status, reason from marts.feed_health") == [
        ("late", "only 0 events on 2026-06-09; the same weekday usually has 4")
    ]


def test_the_crm_is_seen_as_it_was_known(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    same = contact("c2", "stopped", email="C1@example.com")
    company.deliver("contacts", WEDNESDAY, contact("c1", "busy"), same)
    company.see(WEDNESDAY)
    build_untested(company.settings)
    thursday = "2026-06-11 01:00"
    company.deliver(
        "accounts", thursday, account("busy", segment="enterprise"), account("abroad", plan="new")
    )
    left = contact("c1", "busy", unsubscribed_at="2026-06-10 20:00")
    company.deliver("contacts", thursday, left)
    company.see(thursday)
    build_untested(company.settings)
    seen = "select account_id, segment from marts.account_360 order by 1"
    assert company.sql(seen) == [("abroad", None), ("busy", "enterprise")]
    # Back on Wednesday all is as it was, but who has left since stays away.
    company.see(WEDNESDAY, loaded_at=thursday)
    build_untested(company.settings)
    assert [row for row in company.sql(seen) if row[0] in ("busy", "stopped")] == [
        ("busy", "smb"),
        ("stopped", "smb"),
    ]
    left_at = utc("2026-06-10 20:00").replace(tzinfo=None)
    leaving = "contact_id, unsubscribed_at, address_unsubscribed_at"
    assert company.sql(f"select {leaving} from marts.dim_contacts order by 1") == [
        ("c1", left_at, left_at),
        ("c2", None, left_at),  # the same address, at another account
    ]
    # Before the first delivery the oldest version known stands in.
    company.see("2026-06-01 01:00", loaded_at=thursday)
    build_untested(company.settings)
    assert ("stopped", "smb") in company.sql(seen)
    days = "select distinct day from marts.fct_account_health_daily order by 1"
    assert [str(day) for (day,) in company.sql(days)] == ["2026-06-01", "2026-06-10", "2026-06-11"]
    # Wednesday was built twice, and is there once.
    assert company.sql(
        "select count(*) from marts.fct_account_health_daily where day = '2026-06-10'"
    ) == [(4,)]


def test_a_failed_test_stops_at_the_gate_with_sample_rows(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    company.sql("update raw.accounts set name = null where account_id = 'busy'")
    company.see(WEDNESDAY)
    with pytest.raises(GateStopped) as stopped:
        build(company.settings)
    assert stopped.value.door == "models"
    assert [failure.split(":")[0] for failure in stopped.value.failures] == [
        "not_null_account_360_name"
    ]
    assert "account_id=busy, name=None" in stopped.value.failures[0]


def test_a_key_is_never_null_and_never_twice(tmp_path: Path) -> None:
    company = Company(tmp_path / "company")
    company.sql(
        """
        create schema marts;
        create table marts.dim_contacts as
            select * from (values ('a'), ('twice'), ('twice'), (null)) as rows (contact_id);
        create table marts.trigger_effect as
            select * from (values ('a', '1'), ('a', '2'), ('b', '1'), ('b', '1'), ('c', null))
                as rows (trigger_name, trigger_version)
        """
    )
    wanted = [f"{model},test_name:key" for model in ("dim_contacts", "trigger_effect")]
    done = dbt(company.settings, tmp_path / "target", "test", "--select", *wanted)
    assert {result.node.name: result.failures for result in done.result.results} == {
        "key_dim_contacts_contact_id": 2,
        "key_trigger_effect_trigger_name__trigger_version": 2,
    }


def test_an_error_names_the_model_and_is_not_taken_for_bad_data(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    company.sql("alter table raw.survey_responses drop column score")
    company.see(WEDNESDAY)
    with pytest.raises(WarehouseError, match=r"(?s)stg_survey_responses: .*\bscore\b"):
        build(company.settings)


def test_a_held_file_is_reported_as_such(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    company.see(WEDNESDAY)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(company.settings.work_db)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(WarehouseError, match="lock"):
            build(company.settings)
    finally:
        holder.communicate(b"\n")


def test_the_last_answer_that_a_step_asked_for_can_be_asked_about(
    built: tuple[Company, BuildResult, list[str]],
) -> None:
    company = built[0]
    assert company.sql(
        "select account_id, last_answer from marts.account_360 where last_answer is not null"
    ) == [("busy", "later")]
    assert company.sql("select reply_id, answer from marts.fct_replies order by all") == [
        ("r1", "later"),
        ("r2", None),
    ]
