"""The gate on a real DuckDB file: good data passes each suite, every check finds its fault."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from ruamel.yaml import YAML

from lifecycle.errors import GateStopped, WarehouseError
from lifecycle.settings import CHECKOUT, Settings, load
from lifecycle.warehouse.gate import checkpoint, doors, suites

# A deprecated argument, and the only one there is for a schema with SQLAlchemy addresses.
pytestmark = pytest.mark.filterwarnings("ignore:`schema_name` is deprecated:DeprecationWarning")

TOML = """
[company]
name = "Example"
from_email = "success@example.com"
postal_address = "1 Example Street"
contact = "support@example.com"
"""

RAW = """
create schema raw; create schema context;
create table context.run as
  select timestamp '2026-06-10 01:00' as as_of, timestamp '2026-06-10 01:00' as loaded_at,
    'r1' as run_id;
create table context.event_roles as
  select * from (values ('activity', '*'), ('core', 'report_created'), ('outcome', '*_shared'))
    as roles (role, pattern);
create table context.consent_words as
  select * from (values ('contract', 'consent'), ('withdrawn', 'refusal'), ('hearsay', 'unknown'))
    as words (basis, verdict);
create table context.countries as
  select 'Japan' as name, 'JP' as country_code, 'Asia/Tokyo' as time_zone;
create table raw.accounts as
  select 'a' || i as account_id, 'Account ' || i as name,
    timestamp '2025-01-01' + interval (i) day as created_at, null::timestamp as churned_at,
    'tech' as touch_model, 100.0 * i as mrr, i as seats, 'Japan' as country,
    timestamp '2025-02-01' + interval (i) day as went_live_at, 'smb' as segment, 'pro' as plan,
    'Asia/Tokyo' as time_zone, 'ja' as locale, 'Owner' as owner_name,
    'owner@example.com' as owner_email, null::varchar as purpose, null::varchar as background,
    null::timestamp as renewal_at, null::boolean as is_churned,
    timestamp '2026-06-10 01:00' as _loaded_at
  from range(40) as t (i);
create table raw.contacts as
  select 'c' || i as contact_id, 'a' || i as account_id,
    'person' || i || '@example.com' as email, null::timestamp as unsubscribed_at,
    'Person ' || i as name, 'admin' as role, 'ja' as locale, 'contract' as consent_basis,
    timestamp '2025-03-01' + interval (i) day as consented_at, null::boolean as is_unsubscribed,
    timestamp '2026-06-10 01:00' as _loaded_at
  from range(40) as t (i);
create table raw.usage_events as
  select 'e' || i as event_id, 'a' || i % 40 as account_id,
    timestamp '2026-06-10' - interval (i) hour as occurred_at,
    ['report_created', 'report_shared', 'login'][1 + i % 3] as event_name,
    timestamp '2026-06-10 01:00' as _loaded_at
  from range(2000) as t (i);
create table raw.survey_responses as
  select 'r' || i as response_id, 'a' || i as account_id,
    timestamp '2026-06-01' as responded_at, (i % 11)::double as score,
    timestamp '2026-06-10 01:00' as _loaded_at
  from range(40) as t (i);
create table raw.rejected_rows (table_name varchar, key varchar);
create table raw.delivered_columns (table_name varchar, file varchar, column_name varchar);
"""

MARTS = """
create table marts.feed_health as select 'fresh' as feed_status;
create table marts.account_feed as
  select account_id, 'fresh' as feed_status, null::varchar as reason,
    null::varchar as milestones_unknown_because from raw.accounts;
create table marts.dim_accounts as select account_id, name from raw.accounts;
create table marts.dim_contacts as
  select *, lower(trim(email)) as email_normalized from raw.contacts;
create table marts.fct_account_activity_daily as
  select account_id, occurred_at::date as activity_date, count(*) as events,
    max(occurred_at) as last_active_at
  from raw.usage_events group by all;
create table marts.fct_account_health_daily as
  select account_id, day::date as day, 'fresh' as feed_status,
    80.0 as usage_health, 70.0 as satisfaction_health, false as is_dormant
  from raw.accounts, (values ('2026-06-08'), ('2026-06-10')) as days (day);
insert into marts.account_360 by name
  select account_id, name, created_at, as_of, 'Asia/Tokyo' as time_zone,
    'company' as time_zone_source, false as is_churned, 'fresh' as feed_status,
    'adoption' as stage, 'success' as course, 'achieved' as onboarding_status,
    timestamp '2026-06-09' as last_active_at, timestamp '2026-01-09' as first_outcome_at,
    1 as days_silent, 14 as dormancy_limit_days, 0.9 as p_return_28d, false as is_dormant,
    2 as ladder_step, 80 as usage_health, 'green' as usage_band, 70 as satisfaction_health,
    'green' as satisfaction_band, 3 as active_users_28d, 0.5 as seats_used_share
  from raw.accounts cross join context.run;
"""


def described_columns(model: str) -> list[dict[str, Any]]:
    """What the mart's own YAML says it has."""
    file = CHECKOUT / "dbt_project" / "models" / "marts" / f"{model}.yml"
    [described] = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["models"]
    columns: list[dict[str, Any]] = described["columns"]
    return columns


@pytest.fixture(scope="module")
def good_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("warehouse") / "good.duckdb"
    columns = ", ".join(f"{c['name']} {c['data_type']}" for c in described_columns("account_360"))
    with duckdb.connect(path) as connection:
        connection.execute(RAW)
        connection.execute("create schema marts")
        connection.execute(f"create table marts.account_360 ({columns})")
        connection.execute(MARTS)
    return path


@pytest.fixture
def settings(tmp_path: Path, good_warehouse: Path) -> Settings:
    # A name with a blank, a dollar and a percent sign, as folders of people have.
    home = tmp_path / "état 100% $HOME"
    home.mkdir()
    (home / "lifecycle.toml").write_text(TOML, encoding="utf-8")
    settings = load(home / "lifecycle.toml")
    settings.state_dir.mkdir(parents=True)
    shutil.copy(good_warehouse, settings.work_db)
    return settings


def change(settings: Settings, *statements: str) -> None:
    with duckdb.connect(settings.work_db) as connection:
        for statement in statements:
            connection.execute(statement)


def look(settings: Settings, door: checkpoint.Door) -> checkpoint.GateResult:
    """What the gate found, whether it let the run through or not."""
    try:
        return checkpoint.check(settings, door)
    except checkpoint.DataRefused as refused:
        return refused.result


def only(settings: Settings, door: checkpoint.Door, table: str) -> None:
    """Leave this suite alone in the company's folder: a check takes a while."""
    folder = settings.root / "expectations" / door
    folder.mkdir(parents=True)
    shutil.copy(CHECKOUT / "expectations" / door / f"{table}.yml", folder)


@pytest.mark.parametrize("door", ["raw", "marts"])
def test_good_data_passes_every_check(settings: Settings, door: checkpoint.Door) -> None:
    result = checkpoint.check(settings, door)
    checks = sum(len(suite.checks) for suite in suites.load(settings, door))
    assert (result.failures, result.warnings, result.infos) == ((), (), ())
    assert result.as_json() == {"passed": checks, "failed": 0, "warnings": 0}
    assert checks > 20


# Door, table, the first words of the check's reason, and a fault that it must find.
FAULTS = [
    (
        "raw",
        "contacts",
        "By its name this column",
        "insert into raw.delivered_columns values ('contacts', 'people.csv', 'email'),"
        " ('contacts', 'people.csv', 'hs_email_optout')",
    ),
    ("raw", "accounts", "An export without a single", "delete from raw.accounts"),
    (
        "raw",
        "accounts",
        "The export must name",
        "update raw.accounts set name = null where mrr = 0",
    ),
    ("raw", "accounts", "Two accounts with one id", "update raw.accounts set account_id = 'a1'"),
    (
        "raw",
        "accounts",
        "Dates far outside",
        "update raw.accounts set created_at = '0001-01-01' where mrr < 500",
    ),
    (
        "raw",
        "accounts",
        "An account that was created after",
        "update raw.accounts set created_at = '2026-07-01' where seats = 3",
    ),
    (
        "raw",
        "accounts",
        "These accounts have no",
        "delete from raw.contacts where contact_id = 'c7'",
    ),
    (
        "raw",
        "accounts",
        "A touch model that triggers",
        "update raw.accounts set touch_model = 'hihg'",
    ),
    ("raw", "accounts", "Revenue and seats below", "update raw.accounts set mrr = -1"),
    ("raw", "accounts", "Revenue is known", "update raw.accounts set mrr = null where seats < 20"),
    (
        "raw",
        "accounts",
        "These names of accounts are so long",
        "update raw.accounts set name = repeat('x', 90) where seats = 3",
    ),
    ("raw", "accounts", "A country that is not", "update raw.accounts set country = 'Jpan'"),
    ("raw", "contacts", "Without contacts", "delete from raw.contacts"),
    ("raw", "contacts", "The export must say", "update raw.contacts set email = null"),
    ("raw", "contacts", "Two contacts with one id", "update raw.contacts set contact_id = 'c1'"),
    (
        "raw",
        "contacts",
        "An address with a blank",
        "update raw.contacts set email = 'a@example.com, b@example.com' where contact_id = 'c1'",
    ),
    ("raw", "contacts", "A contact of an account", "update raw.contacts set account_id = 'nobody'"),
    (
        "raw",
        "contacts",
        "These words of consent_basis",
        "update raw.contacts set consent_basis = 'hearsay' where contact_id = 'c7'",
    ),
    (
        "raw",
        "contacts",
        "A consent that lies in the future",
        "update raw.contacts set consented_at = '2026-06-10 01:01' where contact_id = 'c7'",
    ),
    (
        "raw",
        "contacts",
        "A date of consent without",
        "update raw.contacts set consent_basis = null where contact_id = 'c7'",
    ),
    ("raw", "contacts", "One address belongs", "update raw.contacts set email = 'x@example.com'"),
    ("raw", "usage_events", "An event must say", "update raw.usage_events set occurred_at = null"),
    (
        "raw",
        "usage_events",
        "An event that counts twice",
        "insert into raw.usage_events select * from raw.usage_events where event_id < 'e15'",
    ),
    (
        "raw",
        "usage_events",
        "An event that is later",
        "update raw.usage_events set occurred_at = '2026-06-10 01:01' where event_id = 'e5'",
    ),
    ("raw", "usage_events", "There are no usage events", "delete from raw.usage_events"),
    (
        "raw",
        "usage_events",
        "No event matches",
        "update context.event_roles set pattern = 'report_sahred' where role = 'outcome'",
    ),
    (
        "raw",
        "survey_responses",
        "An answer must say",
        "update raw.survey_responses set score = null",
    ),
    (
        "raw",
        "survey_responses",
        "An answer that counts twice",
        "insert into raw.survey_responses select * from raw.survey_responses limit 1",
    ),
    ("raw", "survey_responses", "Scores are on", "update raw.survey_responses set score = 10.5"),
    (
        "raw",
        "survey_responses",
        "An answer that is later",
        "update raw.survey_responses set responded_at = '2026-07-01'",
    ),
    ("marts", "account_360", "Without accounts", "delete from marts.account_360"),
    (
        "marts",
        "account_360",
        "Planning needs these",
        "update marts.account_360 set time_zone = null",
    ),
    (
        "marts",
        "account_360",
        "An account with two rows",
        "insert into marts.account_360 select * from marts.account_360 limit 1",
    ),
    (
        "marts",
        "account_360",
        "An account was lost",
        "delete from marts.account_360 where account_id = 'a7'",
    ),
    (
        "marts",
        "account_360",
        "Triggers know these stages",
        "update marts.account_360 set stage = 'x'",
    ),
    (
        "marts",
        "account_360",
        "Triggers know these courses",
        "update marts.account_360 set course = ''",
    ),
    (
        "marts",
        "account_360",
        "Triggers know these bands",
        "update marts.account_360 set usage_band = 'amber'",
    ),
    (
        "marts",
        "account_360",
        "Triggers know these onboarding",
        "update marts.account_360 set onboarding_status = 'done'",
    ),
    (
        "marts",
        "account_360",
        "Whether the feed",
        "update marts.account_360 set feed_status = 'unknown'",
    ),
    ("marts", "account_360", "A score is", "update marts.account_360 set usage_health = 101"),
    ("marts", "account_360", "A probability", "update marts.account_360 set p_return_28d = 1.5"),
    ("marts", "account_360", "The ladder", "update marts.account_360 set ladder_step = 5"),
    ("marts", "account_360", "A count that is", "update marts.account_360 set days_silent = -1"),
    (
        "marts",
        "account_360",
        "While the feed is late",
        "update marts.account_360 set feed_status = 'late'",
    ),
    ("marts", "account_360", "With a fresh feed", "update marts.account_360 set stage = null"),
    (
        "marts",
        "account_360",
        "account_360 and account_feed",
        "delete from marts.account_feed where account_id = 'a7'",
    ),
    (
        "marts",
        "account_feed",
        "Of every account",
        "update marts.account_feed set feed_status = null",
    ),
    (
        "marts",
        "account_feed",
        "While the whole feed",
        "update marts.feed_health set feed_status = 'late'",
    ),
    (
        "marts",
        "account_feed",
        "A part of the usage feed",
        "update marts.account_feed set feed_status = 'late', reason = 'only 3 events'",
    ),
    (
        "marts",
        "account_feed",
        "First core events and outcomes",
        "update marts.account_feed set milestones_unknown_because = 'a pattern is lost'",
    ),
    (
        "marts",
        "account_360",
        "Nothing can have happened",
        "update marts.account_360 set last_active_at = '2026-06-10 01:01' where account_id = 'a7'",
    ),
    ("marts", "dim_contacts", "A mail needs", "update marts.dim_contacts set email = null"),
    (
        "marts",
        "dim_contacts",
        "A contact with two rows",
        "insert into marts.dim_contacts select * from marts.dim_contacts limit 1",
    ),
    (
        "marts",
        "dim_contacts",
        "Caps and suppressions",
        "update marts.dim_contacts set email_normalized = 'Person@example.com'",
    ),
    (
        "marts",
        "dim_contacts",
        "A contact must belong",
        "update marts.dim_contacts set account_id = 'nobody' where contact_id = 'c7'",
    ),
    ("marts", "dim_contacts", "Who left", "update raw.contacts set unsubscribed_at = '2026-01-01'"),
    (
        "marts",
        "fct_account_activity_daily",
        "A day of activity",
        "update marts.fct_account_activity_daily set activity_date = null",
    ),
    (
        "marts",
        "fct_account_activity_daily",
        "A day without events",
        "update marts.fct_account_activity_daily set events = 0",
    ),
    (
        "marts",
        "fct_account_activity_daily",
        "A day that counts twice",
        "insert into marts.fct_account_activity_daily from marts.fct_account_activity_daily",
    ),
    (
        "marts",
        "fct_account_activity_daily",
        "Nothing can have happened",
        "update marts.fct_account_activity_daily set last_active_at = '2026-06-10 01:01'",
    ),
    (
        "marts",
        "fct_account_health_daily",
        "A day's health",
        "update marts.fct_account_health_daily set feed_status = null",
    ),
    (
        "marts",
        "fct_account_health_daily",
        "A score is",
        "update marts.fct_account_health_daily set satisfaction_health = -1",
    ),
    (
        "marts",
        "fct_account_health_daily",
        "An account with two rows",
        "insert into marts.fct_account_health_daily from marts.fct_account_health_daily limit 80",
    ),
    (
        "marts",
        "fct_account_health_daily",
        "Far more accounts are dormant",
        "update marts.fct_account_health_daily set is_dormant = true "
        "where day = '2026-06-10' and account_id < 'a2'",
    ),
]


@pytest.mark.parametrize(("door", "table", "reason", "fault"), FAULTS)
def test_a_planted_fault_is_found(
    settings: Settings, door: checkpoint.Door, table: str, reason: str, fault: str
) -> None:
    only(settings, door, table)
    change(settings, fault)
    [severity] = {
        check.severity
        for suite in suites.load(settings, door)
        for check in suite.checks
        if check.because.startswith(reason)
    }
    result = look(settings, door)
    matches = {"critical": result.failures, "warning": result.warnings, "info": result.infos}
    sentences = [s for s in matches[severity] if s.startswith(f"{door}.{table}") and reason in s]
    assert len(sentences) == 1


def test_every_check_has_a_planted_fault(settings: Settings) -> None:
    """Those of drift have theirs in test_drift_limits.py."""
    for door in ("raw", "marts"):
        for suite in suites.load(settings, door):
            for check in (check for check in suite.checks if not check.is_drift):
                hits = [
                    reason
                    for fault_door, table, reason, _ in FAULTS
                    if (fault_door, table) == (door, suite.table)
                    and check.because.startswith(reason)
                ]
                assert len(hits) == 1, f"{suite.name}: {check.because}"


def test_a_critical_failure_stops_and_names_the_rows(settings: Settings) -> None:
    change(settings, "insert into raw.accounts from raw.accounts where account_id in ('a1', 'a2')")
    with pytest.raises(GateStopped) as stopped:
        checkpoint.check(settings, "raw")
    assert stopped.value.exit_status == 3
    [failure] = stopped.value.failures
    assert failure.startswith("raw.accounts.account_id: Two accounts with one id")
    assert "expect_column_values_to_be_unique: 4 of 42 rows" in failure
    assert "account_id=a1" in failure
    assert "account_id=a2" in failure


def test_warnings_and_infos_let_the_run_through(settings: Settings) -> None:
    change(
        settings,
        "update raw.accounts set touch_model = 'hihg' where account_id = 'a3'",
        "update raw.accounts set country = 'Jpan' where account_id = 'a4'",
    )
    result = checkpoint.check(settings, "raw")
    assert result.as_json()["failed"] == 0
    assert result.as_json()["warnings"] == 1
    [warning], [info] = result.warnings, result.infos
    assert "1 of 40 rows, e.g. account_id=a3, touch_model=hihg" in warning
    assert "1 row, e.g. country=Jpan, accounts=1" in info


def test_at_most_five_rows_are_shown(settings: Settings) -> None:
    change(settings, "delete from raw.contacts where contact_id > 'c3'")
    result = look(settings, "raw")
    [warning] = result.warnings
    assert warning.count("account_id=") == doors.SAMPLE_ROWS


def test_a_suite_of_which_every_check_waits_is_no_error(settings: Settings) -> None:
    own_suite(
        settings,
        """
expectations:
  - expect: unexpected_rows
    needs: snapshots.another
    severity: critical
    because: It waits.
    sql: select 1
""",
    )
    result = checkpoint.check(settings, "raw")
    assert (result.passed, len(result.infos)) == (0, 1)


def test_an_account_of_which_no_use_or_no_milestone_is_known_needs_no_stage(
    settings: Settings,
) -> None:
    only(settings, "marts", "account_360")
    change(
        settings,
        "update marts.account_360 set stage = null, onboarding_status = null"
        " where account_id in ('a1', 'a2')",
        "update marts.account_360 set is_dormant = null where account_id = 'a1'",
        "update marts.account_feed set milestones_unknown_because = 'a pattern is lost'"
        " where account_id = 'a2'",
    )
    checkpoint.check(settings, "marts")
    change(settings, "update marts.account_feed set milestones_unknown_because = null")
    [failure] = look(settings, "marts").failures
    assert "unexpected_rows: 1 row, e.g. account_id=a2" in failure


def test_a_late_feed_leaves_nothing_known_that_needs_it(settings: Settings) -> None:
    only(settings, "marts", "account_360")
    needy = [
        column
        for column in described_columns("account_360")
        if column.get("config", {}).get("meta", {}).get("needs") == "usage_feed"
    ]
    unknown = ", ".join(f"{column['name']} = null" for column in needy)
    change(
        settings,
        f"update marts.account_360 set feed_status = 'late', {unknown}",
        "update marts.account_360 set stage = 'renewal' where account_id = 'a1'",
        "update marts.account_feed set feed_status = 'late'",
    )
    checkpoint.check(settings, "marts")
    # Every one of these columns is looked at: each is known for one account, and all are named.
    guesses = {"varchar": "'red'", "timestamp": "timestamp '2026-01-01'", "boolean": "false"}
    for column in needy:
        value = {"stage": "'mature'", "course": "'success'", "onboarding_status": "'on_track'"}
        guess = value.get(column["name"]) or guesses.get(column["data_type"], "1")
        change(
            settings,
            f"update marts.account_360 set {column['name']} = {guess} "
            f"where account_id = 'a{2 + needy.index(column)}'",
        )
    [failure] = look(settings, "marts").failures
    assert f"unexpected_rows: {len(needy)} rows" in failure


def test_addresses_are_masked_in_sentences_and_on_the_page(settings: Settings) -> None:
    change(
        settings,
        "update raw.contacts set email = 'jo.doe@example.com,x' where contact_id = 'c1'",
        "update raw.contacts set contact_id = 'jane.roe@example.com' where contact_id < 'c12'",
    )
    result = look(settings, "raw")
    page = result.data_docs.read_text(encoding="utf-8")
    assert any("j***@example.com" in failure for failure in result.failures)
    for text in (*result.failures, page):
        assert "jo.doe@" not in text
        assert "jane.roe@" not in text


def test_the_page_is_readable_alone_and_runs_nothing_from_the_data(settings: Settings) -> None:
    change(
        settings,
        "update raw.accounts set touch_model = '<script>alert(1)</script>'",
        "update raw.accounts set name = '<b>bold</b>' where account_id = 'a7'",
        "delete from raw.contacts where contact_id = 'c7'",
    )
    result = checkpoint.check(settings, "raw")
    page = result.data_docs.read_text(encoding="utf-8")
    assert result.data_docs == settings.reports_dir / "data_docs" / "raw.html"
    assert "<script" not in page
    assert "<b>" not in page
    assert "http" not in page
    assert "values must belong to this set" in page
    assert "A touch model that triggers do not know" in page
    change(settings, "update raw.accounts set touch_model = 'tech'")
    assert "alert(1)" not in checkpoint.check(settings, "raw").data_docs.read_text(encoding="utf-8")


def own_suite(settings: Settings, text: str) -> None:
    folder = settings.root / "expectations" / "raw"
    folder.mkdir(parents=True)
    (folder / "accounts.yml").write_text(text, encoding="utf-8")


def test_sql_is_taken_as_it_stands(settings: Settings) -> None:
    own_suite(
        settings,
        """
key: account_id
expectations:
  - expect: unexpected_rows
    severity: warning
    because: Braces, colons, per cent signs and comments are SQL.
    sql: |
      select account_id, {'at': '12:30 :x %s'} as odd from raw.accounts
      where account_id like 'a%' and account_id[1:3] = 'a1' and length(account_id) = 2 -- a comment
""",
    )
    [warning] = checkpoint.check(settings, "raw").warnings
    assert "1 row, e.g. account_id=a1, odd=at=12:30 :x %s" in warning


def test_an_sql_error_is_not_bad_data(settings: Settings) -> None:
    own_suite(
        settings,
        """
expectations:
  - expect: unexpected_rows
    severity: critical
    because: It asks for what there is not.
    sql: select nothing_like_it from raw.accounts
""",
    )
    with pytest.raises(WarehouseError, match="nothing_like_it") as failed:
        checkpoint.check(settings, "raw")
    assert "accounts.yml:3: unexpected_rows on raw.accounts could not be run" in str(failed.value)
    assert "SELECT" not in str(failed.value)
    assert failed.value.exit_status == 1


def test_a_comparison_that_the_database_refuses_is_not_bad_data(settings: Settings) -> None:
    own_suite(
        settings,
        """
expectations:
  - expect: expect_column_values_to_be_between
    column: account_id
    min_value: 7
    severity: critical
    because: Text is not a number.
""",
    )
    with pytest.raises(WarehouseError, match=r"accounts\.yml:3"):
        checkpoint.check(settings, "raw")


HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
TOUCH = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('create table touched (i int)')"


def test_a_locked_warehouse_is_not_bad_data(settings: Settings) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, settings.work_db],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdin
        other.stdout.readline()
        try:
            with pytest.raises(WarehouseError, match="in use by another process"):
                checkpoint.check(settings, "raw")
        finally:
            other.stdin.close()


@pytest.mark.parametrize("ending", ["passed", "refused", "failed"])
def test_the_warehouse_is_free_afterwards(settings: Settings, ending: str) -> None:
    if ending == "refused":
        change(settings, "update raw.accounts set name = null")
    if ending == "failed":
        change(settings, "drop table context.event_roles")
    try:
        checkpoint.check(settings, "raw")
    except (GateStopped, WarehouseError) as error:
        held = error  # an error that is kept keeps its frames: they must not keep the file
        assert held
    subprocess.run([sys.executable, "-c", TOUCH, settings.work_db], check=True)
    duckdb.connect(settings.work_db, read_only=True).close()
