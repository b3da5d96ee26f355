"""The validation of scores against churn: on a history with known answers, through the command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from shutil import copyfile
from xml.etree import ElementTree

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from commands import environment, lifecycle
from company import TOML, utc
from lifecycle.document import as_text
from lifecycle.evaluation.score_report import ScoreReport, score_report
from lifecycle.health import parameters, score_validation, scorecard
from lifecycle.health.parameters import Parameters
from lifecycle.health.score_validation import Validation
from lifecycle.health.scorecard import Scorecard
from lifecycle.health.validation import auc
from lifecycle.settings import Settings, load
from warehouse.dbt_in_process import dbt

ACCOUNTS = 1_500
SNAPSHOTS = [utc(f"2025-{month:02}-01 01:00").replace(tzinfo=None) for month in (6, 7, 8, 9)]
NOW = utc("2026-01-01 01:00").replace(tzinfo=None)
HALF_WAY = utc("2025-08-01 01:00").replace(tzinfo=None)
"""June and July lie before it, August and September do not."""

MEASURES = tuple(name for name in ("recency_share", "active_days_28", "support_load"))
HISTORY = """
    account_id varchar, day date, as_of timestamp, feed_status varchar, stage varchar,
    score_version varchar, recency_share double, active_days_28 double,
    active_users_share double, features_used_28 double, trend_28 double, outcomes_28 double,
    support_load double, outcomes_total double, days_silent bigint, usage_score_raw double,
    usage_band varchar
"""


class World:
    """What became of some accounts, and what had been known of them."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        risk = random.normal(size=ACCOUNTS)
        odds = np.exp(-2 + 1.5 * risk)
        leaves = random.random(ACCOUNTS) < odds / (1 + odds)
        self.churned_at = [
            SNAPSHOTS[int(random.integers(len(SNAPSHOTS)))] + timedelta(days=20) if gone else None
            for gone in leaves
        ]
        self.rows: list[dict[str, object]] = []
        self.known = {name: [] for name in MEASURES}
        self.left: list[bool] = []
        for at in SNAPSHOTS:
            for number in range(ACCOUNTS):
                gone = self.churned_at[number]
                if gone is not None and gone <= at:
                    continue
                seen = {
                    "recency_share": float(risk[number] + random.normal()),
                    "active_days_28": float(-risk[number] + random.normal()),
                    "support_load": float(random.normal()) if number % 3 else None,
                }
                for name, values in self.known.items():
                    values.append(np.nan if seen[name] is None else seen[name])
                self.left.append(gone is not None and gone <= at + timedelta(days=90))
                self.rows.append(
                    {
                        "account_id": f"A{number:04}",
                        "day": at.date(),
                        "as_of": at,
                        "feed_status": "fresh",
                        "stage": "mature",
                        **seen,
                        "days_silent": int(random.integers(60)) if number % 50 else None,
                        "usage_score_raw": float(50 - 20 * seen["recency_share"]),
                        "usage_band": "green",
                    }
                )

    def fitted(self) -> Scorecard:
        return scorecard.fit(self.known, self.left)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def history(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that holds the history, with the models' own views on it."""
    folder = tmp_path_factory.mktemp("history")
    settings = company(folder, "files")
    names = ("account_id", "churned_at")
    accounts = zip((f"A{number:04}" for number in range(ACCOUNTS)), world.churned_at, strict=True)
    with duckdb.connect(settings.work_db) as db:
        db.execute("create schema raw; create schema context; create schema intermediate")
        parameters.ensure(db)
        db.execute(
            "create table context.run as select ?::timestamp as as_of, 7 as dormancy_min_days,"
            " 90 as dormancy_max_days",
            [NOW],
        )
        db.execute(f"create table intermediate.int_health_days_kept ({HISTORY})")
        db.register("rows", pa.Table.from_pylist(world.rows))
        db.execute("insert into intermediate.int_health_days_kept by name select * from rows")
        db.execute(
            "create table intermediate.int_silences (account_id varchar, active_on date,"
            " days smallint, has_ended boolean)"
        )
        changes = [("A0000", 2, "yellow"), ("A0000", 4, "green"), ("A0001", 20, "red")]
        for account_id, day, band in changes:
            at = SNAPSHOTS[0] + timedelta(days=day)
            db.execute(
                "insert into intermediate.int_health_days_kept by name select ? as account_id,"
                " ?::date as day, ? as as_of, 'fresh' as feed_status, ? as usage_band,"
                " null::double as usage_score_raw",
                [account_id, at.date(), at, band],
            )
        them = [dict(zip(names, account, strict=True)) for account in accounts]
        db.register("them", pa.Table.from_pylist(them))
        db.execute(
            "create schema snapshots; create table snapshots.accounts_snapshot as select *,"
            " case when account_id > 'A0700' then 'smb' end as segment,"
            " timestamp '2025-01-01' as dbt_valid_from, timestamp '2025-01-01' as created_at,"
            " null::timestamp as went_live_at, null::timestamp as dbt_valid_to from them"
        )
    done = dbt(settings, folder / "target", "run", "--select", "stg_run_context",
               "int_score_snapshots", "int_band_changes")  # fmt: skip
    assert done.success, done.exception or [node.message for node in done.result]
    return settings.work_db


def company(folder: Path, kind: str) -> Settings:
    folder.mkdir(exist_ok=True)
    toml = folder / "lifecycle.toml"
    toml.write_text(f'{TOML}\n[source]\nkind = "{kind}"\npath = "exports"\n')
    settings = load(toml)
    settings.state_dir.mkdir(exist_ok=True)
    return settings


def fitted(history: Path, folder: Path, *versions: tuple[datetime, Scorecard]) -> Settings:
    """A company of its own with the history, and these versions of the score."""
    settings = company(folder, "files")
    copyfile(history, settings.work_db)
    with duckdb.connect(settings.work_db) as db:
        for fitted_at, version in versions:
            parameters.store(db, Parameters(fitted_at, ACCOUNTS, 200, scorecard=version))
    return settings


@pytest.fixture
def with_versions(history: Path, tmp_path: Path) -> Callable[..., Settings]:
    return partial(fitted, history, tmp_path / "company")


@pytest.fixture(scope="module")
def judged(
    world: World, history: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, Validation]:
    """One version, fitted half way, and what is found of it."""
    settings = fitted(history, tmp_path_factory.mktemp("judged"), (HALF_WAY, world.fitted()))
    result = score_report(settings).validation
    assert result is not None
    return settings, result


def turned(scorecard: Scorecard) -> Scorecard:
    """The same with every bin's points taken for their opposite."""
    return replace(
        scorecard,
        bins=tuple(replace(score_bin, points=-score_bin.points) for score_bin in scorecard.bins),
    )


def test_figures_are_those_of_the_history(
    world: World, judged: tuple[Settings, Validation]
) -> None:
    _, result = judged
    by_day = {(figure.version, figure.day): figure for figure in result.figures}
    name = result.versions[-1]
    assert result.versions == ("equal weights", name)
    assert {day for _, day in by_day} == {None, *(at.date() for at in SNAPSHOTS)}

    days = np.array([row["day"] for row in world.rows])
    left = np.array(world.left)
    chance = world.fitted().p_churn(world.known)
    silent = np.array([np.inf if (d := row["days_silent"]) is None else d for row in world.rows])
    june = days == SNAPSHOTS[0].date()
    first = by_day[name, SNAPSHOTS[0].date()]
    assert (first.accounts, first.churned) == (june.sum(), left[june].sum())
    assert first.auc.value == pytest.approx(auc(chance[june], left[june]))
    assert first.auc.low < first.auc.value < first.auc.high
    of_silence = auc(silent[june], left[june])
    assert first.gain.value == pytest.approx(first.auc.value - of_silence)
    assert first.gain.low > 0, "days of silence were drawn at random"
    assert 0 < first.calibration_error < 0.1
    assert 0 < first.brier < 0.25
    assert first.lift > 1.5
    assert first.is_fitted_on
    # In July's 90 days lie a part of August's: only a snapshot after the fit is new to it.
    assert by_day[name, SNAPSHOTS[1].date()].is_fitted_on
    assert not by_day[name, SNAPSHOTS[2].date()].is_fitted_on

    overall = by_day[name, None]
    unseen = days >= SNAPSHOTS[2].date()
    assert overall.auc.value == pytest.approx(auc(chance[unseen], left[unseen]))
    assert not overall.is_fitted_on, "what it learned from proves nothing where there is other"


def test_the_text_fits_a_terminal_and_says_first_whether_silence_would_do(
    judged: tuple[Settings, Validation],
) -> None:
    _, result = judged
    report = ScoreReport("files", "Asia/Tokyo", result)
    first, *_ = report.as_document()
    assert re.match(
        r"The score \(version \S+\) finds who leaves better than days of silence do: AUC 0\.\d+ ",
        first.parts[0],
    )
    assert report.as_json()["beats_silence"] is True
    text = as_text(report.as_document())
    # A sentence wraps; a table that does not fit would fold its cells.
    assert all(len(line) <= 80 for line in text.splitlines())
    for version in result.versions:
        assert re.search(rf"^  {version}\*? +\d+ of [\d,]+ +0\.\d+ +[+-]0\.\d+ \(", text, re.M)


def test_a_score_that_is_no_better_than_silence_says_so_first(world: World, with_versions) -> None:
    settings = with_versions((HALF_WAY, world.fitted()))
    with duckdb.connect(settings.work_db) as db:
        db.execute(
            "update intermediate.int_health_days_kept set days_silent ="
            " cast(1000 + 100 * recency_share - 100 * active_days_28 as bigint)"
        )
    report = score_report(settings)
    assert "days of silence" in report.as_document()[0].parts[0]
    assert "better than days of silence do" not in report.as_document()[0].parts[0]
    assert report.as_json()["beats_silence"] is False


def test_bands_are_counted_for_the_version_that_was_in_force(
    judged: tuple[Settings, Validation],
) -> None:
    _, result = judged
    june = {
        figure.version: figure for figure in result.figures if figure.day == SNAPSHOTS[0].date()
    }
    equal = june["equal weights"]
    assert equal.band_changes * equal.accounts == pytest.approx(4), "two, each there and back"
    assert equal.reversed_share == pytest.approx(1 / 4), "the other one took ten days"
    assert june[result.versions[-1]].band_changes is None
    assert equal.brier is None, "equal weights tell no chances"


def test_a_version_that_is_worse_than_the_one_before_fails(world: World, with_versions) -> None:
    good = world.fitted()
    settings = with_versions((HALF_WAY, good), (HALF_WAY + timedelta(days=1), turned(good)))
    report = score_report(settings)
    assert re.match(
        r"score version \S+ is worse than \S+ on the same [\d,]+ snapshots of accounts that it "
        r"was not fitted on: its AUC is 0\.\d+ lower \(95 % interval 0\.\d+ to 0\.\d+\)$",
        report.verdict,
    )
    # The one before is no worse than equal weights, and worse only counts for the newest.
    assert [comparison.is_worse for comparison in report.validation.comparisons] == [
        False,
        False,
        True,
        True,
    ]


def test_a_version_that_is_better_or_the_same_passes(world: World, with_versions) -> None:
    good = world.fitted()
    for before, after in ((turned(good), good), (good, replace(good, base_points=51.0))):
        settings = with_versions((HALF_WAY, before), (HALF_WAY + timedelta(days=1), after))
        assert score_report(settings).verdict == ""


def test_a_version_fitted_after_every_outcome_is_still_held_against_the_one_before(
    world: World, with_versions
) -> None:
    good = world.fitted()
    late = NOW - timedelta(days=1)
    settings = with_versions((late, good), (NOW, turned(good)))
    report = score_report(settings)
    assert "not fitted on" not in report.verdict
    assert report.verdict


def test_the_command_leaves_a_page_and_a_picture_and_fails(world: World, with_versions) -> None:
    good = world.fitted()
    settings = with_versions((HALF_WAY, good), (HALF_WAY + timedelta(days=1), turned(good)))
    env = environment(settings.state_dir)
    config = str(settings.root / "lifecycle.toml")
    done = lifecycle("--config", config, "score-report", "--json", env=env)
    assert done.returncode == 1
    answer = [line for line in done.stderr.splitlines() if line.startswith("lifecycle: ")]
    assert len(answer) == 1
    result = json.loads(done.stdout)
    assert result["status"] == "failed"
    assert answer == [f"lifecycle: {result['verdict']}"]
    page = (settings.reports_dir / "score_report.html").read_text(encoding="utf-8")
    assert result["verdict"][1:] in page
    picture = (settings.reports_dir / "score_report.svg").read_text(encoding="utf-8")
    assert picture in page
    assert not re.findall(r'(?:src|href)="http', page), "it needs no other file"
    assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
    with duckdb.connect(settings.work_db) as db:
        kept = db.execute("select version, day, auc from parameters.score_validation").fetchall()
    assert len(kept) == len(result["figures"])


def test_the_demo_company_proves_nothing(tmp_path: Path) -> None:
    settings = company(tmp_path / "company", "demo")
    report = score_report(settings)
    report.write(tmp_path)
    page = (tmp_path / "score_report.html").read_text(encoding="utf-8")
    assert "made from the same rules" in page
    assert "AUC" not in page
    assert not (tmp_path / "score_report.svg").exists()
    assert report.as_json()["figures"] == []
    assert report.verdict == ""


def test_too_few_who_left_claim_nothing(world: World, with_versions) -> None:
    settings = with_versions((HALF_WAY, world.fitted()))
    with duckdb.connect(settings.work_db) as db:
        db.execute(
            "update snapshots.accounts_snapshot set churned_at = null where account_id > 'A0050'"
        )
    report = score_report(settings)
    assert "not enough data yet" in report.as_html()
    assert all(figure.auc is None for figure in report.validation.figures)
    assert report.picture is None
    with duckdb.connect(settings.work_db) as db:
        db.execute("delete from intermediate.int_health_days_kept")
    assert "No stored day is 90 days old yet" in score_report(settings).as_html()


def test_the_same_history_gives_the_same_figures(judged: tuple[Settings, Validation]) -> None:
    settings, result = judged
    with duckdb.connect(settings.work_db) as db:
        assert score_validation.validate_scores(db).figures == result.figures
