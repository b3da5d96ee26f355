"""The quick way through past days: the same marts as dbt builds day by day."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.errors import WarehouseError
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import metadata
from lifecycle.warehouse.build import PROJECT
from lifecycle.warehouse.daily_marts import READ_BY_PLANNER, DailyMarts
from lifecycle.warehouse.publish import publish
from lifecycle.whatif.diff_report import diff
from lifecycle.whatif.variant import Variant
from warehouse.dbt_in_process import build_untested
from warehouse.raw_company import Company, utc
from warehouse.test_build import account, contact

DAYS = ("2026-12-30 03:00", "2027-01-05 03:00")
"""What dbt builds; on the way is a year's end, and a day on which the feed is late."""
LATE = "2027-01-02 15:00"
COMPARED = (*READ_BY_PLANNER, "account_dormancy", "account_usage_ladder", "int_usage_points")


def company_of(folder: Path) -> Company:
    """Accounts in two time zones; one goes live on the way, one changes, the feed pauses."""
    company = Company(folder)
    people = [contact("c1", "steady"), contact("c2", "fading"), contact("c3", "abroad")]
    mailable = {"consent_basis": "contract", "email": "who@example.com"}
    people = [{**person, **mailable} for person in people]
    here = {"time_zone": "Asia/Tokyo", "segment": "smb"}
    accounts = [
        account("steady", **here),
        account("fading", **here),
        account("abroad", country="United Kingdom", renewal_at="2027-02-20"),
        account("newborn", created_at="2027-01-01", went_live_at="2027-01-02 01:00", **here),
    ]
    company.deliver("accounts", "2026-12-01", *accounts)
    company.deliver("contacts", "2026-12-01", *people)
    company.sql(
        """
        insert into raw.usage_events (event_id, account_id, occurred_at, event_name,
            user_id, feature, _loaded_at)
        select account || day || n, account, day + interval 1 hour + to_minutes(n),
            'report_shared', 'u' || n % 4, 'f' || n % 3, timestamp '2026-12-01'
        from range(timestamp '2026-08-01', timestamp '2027-02-01', interval 1 day) days (day),
            range(6) users (n),
            (values ('steady'), ('fading'), ('abroad'), ('newborn')) accounts (account)
        where not (account = 'fading' and day > '2026-12-14')
            and not (account = 'newborn' and day < '2027-01-04')
            and not day between '2026-12-29 12:00' and '2027-01-03'
        """
    )
    company.add(
        "survey_responses",
        {"response_id": "s1", "account_id": "steady", "responded_at": "2026-12-31", "score": 2.0},
    )
    return company


@dataclass
class Lived:
    """What dbt built day by day; the warehouse is as the last day left it."""

    company: Company
    marts: dict[str, dict[str, list[Any]]]


def schema_of(model: str) -> str:
    return "intermediate" if model.startswith("int_") else "marts"


def rows(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """Every row of the compared marts, by mart; no late day of the history."""
    result = {
        mart: connection.execute(f"from {schema_of(mart)}.{mart} order by all").fetchall()
        for mart in COMPARED
    }
    health = "from marts.fct_account_health_daily where feed_status = 'fresh' order by all"
    return {**result, "fct_account_health_daily": connection.execute(health).fetchall()}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    folder = tmp_path_factory.mktemp("lived")
    company = company_of(folder / "company")
    marts = {}
    for number, day in enumerate(DAYS):
        company.see(day, loaded_at=day)
        if number == 1:  # another version of an account, known from the second day's load on
            company.sql("update raw.accounts set plan = 'pro' where account_id = 'steady'")
        build_untested(company.settings)
        with duckdb.connect(str(company.settings.work_db)) as connection:
            marts[day] = rows(connection)
    publish(company.settings, run_id="last")
    return Lived(company, marts)


def test_each_day_equals_what_dbt_builds_for_it(lived: Lived, tmp_path: Path) -> None:
    settings, wanted = lived.company.settings, (*COMPARED, "fct_account_health_daily")
    with DailyMarts.open(settings, tmp_path / "copy", wanted=wanted) as daily:
        daily.connection.execute("delete from history.account_health_daily")
        for day in (DAYS[0], LATE, DAYS[1]):
            daily.build(utc(day))
            result = rows(daily.connection)
            if day == LATE:
                assert result["feed_health"][0][0] == "late"
                continue
            for mart, expected in lived.marts[day].items():
                assert result[mart] == expected, f"{mart} of {day}"
    last = {row[0]: row for row in lived.marts[DAYS[-1]]["account_360"]}
    assert set(last) == {"steady", "fading", "abroad", "newborn"}


def state_of(company: Company) -> dict[str, Any]:
    """All that a simulation must leave as it is: files by content, tables by row count."""
    files = {
        path.name: sha256(path.read_bytes()).hexdigest()
        for path in company.settings.state_dir.glob("*.duckdb")
    }
    with Ledger.open(company.settings.ledger_url) as ledger, ledger.read() as connection:
        counts = {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in metadata.sorted_tables
        }
    names = sorted(path.name for path in company.settings.state_dir.iterdir())
    # Where copies stand while a command runs: nothing of them is left.
    temporary = company.settings.state_dir / "temporary"
    assert not temporary.exists() or not any(temporary.iterdir())
    folders = [name for name in names if name != "temporary"]
    return {"files": files, "counts": counts, "folders": folders}


def test_the_command_shows_the_days_and_changes_nothing(lived: Lived, tmp_path: Path) -> None:
    company = lived.company
    changed = tmp_path / "triggers"
    shutil.copytree(company.settings.folder("triggers"), changed)
    file = changed / "win_back_dormant.yaml"
    file.write_text(file.read_text().replace("is_dormant and", "is_dormant and seats > 99 and"))
    state_of(company)  # opening the ledger makes it
    before = state_of(company)
    config = str(company.settings.root / "lifecycle.toml")
    asked = ("simulate", "--from", "2026-12-20", "--to", "2027-01-06", "--triggers", str(changed))
    done = CliRunner().invoke(app, ["--config", config, *asked, "--json"])
    assert done.exit_code == 0, done.stderr
    assert state_of(company) == before
    answer = json.loads(done.stdout)
    here, there = answer["simulations"]
    assert answer["days"] == len(here["days"]) == 18
    assert {day["feed_status"] for day in here["days"]} == {"fresh", "late"}
    assert here["mails"] == sum(day["mails"] for day in here["days"]) > 0
    assert here["by_trigger"]["win_back_dormant"]["mails"] > 0
    assert there["by_trigger"]["win_back_dormant"]["mails"] == 0
    difference = answer["difference"]
    assert difference["mails"] == there["mails"] - here["mails"] < 0
    assert "@" not in done.stdout
    assert "2027-01-06, 18 of 18" in done.stderr


@pytest.mark.long
def test_a_diff_of_other_models_builds_both_sides(lived: Lived, tmp_path: Path) -> None:
    settings = lived.company.settings
    before = state_of(lived.company)
    project = tmp_path / "dbt_project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    model = project / "models" / "intermediate" / "activity" / "int_dormancy_judged.sql"
    sql = model.read_text()
    assert "is_over_limit and not is_over_holidays as is_dormant" in sql
    model.write_text(sql.replace("is_over_limit and not is_over_holidays as is", "false as is"))
    old = Variant.read("old models", settings, project=project)
    with Ledger.open(settings.ledger_url) as ledger:
        comparison = diff(settings, ledger, old, Variant.of_working_tree(settings))
    assert comparison.rebuilt
    assert comparison.models == ["models/intermediate/activity/int_dormancy_judged.sql"]
    assert comparison.problems == []
    answer = {trigger.name: trigger for trigger in comparison.triggers}["win_back_dormant"]
    assert (answer.state, answer.matched) == ("same", 0)
    assert answer.comes_to_match == ["fading"]
    assert (
        "Models that differ: models/intermediate/activity/int_dormancy_judged.sql."
        in comparison.as_markdown()
    )
    assert state_of(lived.company) == before


def test_without_data_it_is_said_what_to_do(tmp_path: Path) -> None:
    company = Company(tmp_path / "company")
    with (
        pytest.raises(WarehouseError, match="lifecycle run --dry-run"),
        DailyMarts.open(company.settings, tmp_path / "copy"),
    ):
        pass
