"""The scores are fitted once a month, by a flow and a command that say the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from company import Company
from flows.fit_scores import fit_scores
from lifecycle.cli import app
from lifecycle.errors import AlreadyRunning, UnknownName
from lifecycle.state_lock import only_one
from warehouse.dbt_in_process import build_untested
from warehouse.raw_company import Company as RawCompany
from warehouse.test_build import WEDNESDAY, company_of


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> RawCompany:
    """A company after a build, with three accounts that were ever active."""
    company = company_of(tmp_path_factory.mktemp("fitted") / "company")
    company.see(WEDNESDAY)
    build_untested(company.settings)
    return company


def test_the_flow_and_the_command_fit_the_same_version(built: RawCompany) -> None:
    config = str(built.settings.root / "lifecycle.toml")
    answer = fit_scores.fn(config=config)
    assert answer["version"].startswith("2026-06-10-01-")
    assert answer["is_new"]
    assert answer["accounts"] == 3
    assert "3 accounts were ever active; 500 are needed" in answer["note"]
    assert answer["calibration"]["factor"] > 0

    shown = CliRunner().invoke(app, ["--config", config, "fit-scores", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout) == {**answer, "is_new": False}
    page = " ".join(CliRunner().invoke(app, ["--config", config, "fit-scores"]).stdout.split())
    assert answer["version"] in page
    assert f"Factor {answer['calibration']['factor']:g}" in page
    assert "There was this version already." in page
    assert "Missing for want of data" in page


def test_the_next_build_goes_by_what_was_fitted_and_its_own_day_does_not(
    built: RawCompany,
) -> None:
    answer = fit_scores.fn(config=str(built.settings.root / "lifecycle.toml"))
    # As if a version had been fitted on many accounts.
    version = answer["version"]
    built.sql("update parameters.score_versions set has_return = true")
    built.sql("update parameters.dormancy_calibration set factor = 30")
    built.sql(
        f"insert into parameters.return_parameters values ('{version}', '', 1, 10, 1, 1, 900, 0)"
    )
    asked = (
        "select account_id, dormancy_limit_days, is_dormant, p_return_28d is not null"
        " from marts.account_dormancy where days_silent is not null order by 1"
    )
    built.see("2026-06-11 01:00")
    build_untested(built.settings, "account_dormancy")
    assert built.sql(asked) == [
        ("abroad", 60, False, True),
        ("busy", 60, False, True),
        ("stopped", 60, False, True),
    ]
    of_a_life_table = "select count(*) > 0 from intermediate.int_return_chances"
    assert built.sql(of_a_life_table) == [(False,)]
    # The day that it was fitted on went by what it had.
    built.see(WEDNESDAY)
    build_untested(built.settings, "account_dormancy")
    assert built.sql(asked)[2] == ("stopped", 7, True, True)
    assert built.sql(of_a_life_table) == [(True,)]


def test_a_person_puts_a_held_version_in_force_with_a_name_and_a_reason(
    built: RawCompany,
) -> None:
    config = str(built.settings.root / "lifecycle.toml")
    version = fit_scores.fn(config=config)["version"]
    accept = ["--config", config, "fit-scores", "--accept", version]
    done = CliRunner().invoke(app, [*accept, "--by", "mori"])
    assert done.exit_code == 2
    assert "--accept VERSION, --by WHO and --why TEXT go together" in " ".join(
        done.output.replace("│", " ").split()
    )
    unknown = CliRunner().invoke(
        app, [*accept[:-1], "2020-01-01", "--by", "mori", "--why", "the new prices"]
    )
    assert isinstance(unknown.exception, UnknownName)
    assert f"no score version 2020-01-01; the newest are: {version}" in str(unknown.exception)

    done = CliRunner().invoke(app, [*accept, "--by", "mori", "--why", "the new prices"])
    assert done.exit_code == 0, done.output
    assert f"{version} is in force from the next day on (mori: the new prices)." in " ".join(
        done.output.split()
    )
    clock = built.sql("select as_of from context.run")[0][0]
    assert built.sql("select * from parameters.accepted_versions") == [
        (version, clock, "mori", "the new prices")
    ]


def test_it_waits_for_no_run(tmp_path: Path) -> None:
    company = Company(tmp_path / "company")
    with only_one(company.settings.state_dir), pytest.raises(AlreadyRunning):
        fit_scores.fn(config=str(company.folder / "lifecycle.toml"))


def test_it_is_scheduled_on_the_first_of_the_month_before_the_daily_run() -> None:
    deployments = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())
    (mine,) = [
        deployment
        for deployment in deployments["deployments"]
        if deployment["entrypoint"] == "flows/fit_scores.py:fit_scores"
    ]
    assert mine["schedules"][0]["cron"] == "0 4 1 * *"
