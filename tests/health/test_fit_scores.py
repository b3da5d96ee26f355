"""A fit on a warehouse: what it reads, what it keeps, and what it does with too little."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from company import Company
from lifecycle.errors import FitError, WarehouseError
from lifecycle.health import dormancy, return_calibration, return_fit, scorecard
from lifecycle.health.fit import fit_scores
from lifecycle.health.measures import ALL_MEASURES, MEASURES, PEER_MEASURES
from lifecycle.settings import Settings

AS_OF = datetime.fromisoformat("2026-06-10 01:00")


class Warehouse:
    """What a build leaves, as far as a fit reads it: weekly accounts, some of which stop."""

    def __init__(self, folder: Path, *segments: tuple[str | None, int]) -> None:
        self.company = Company(folder)
        self.settings.state_dir.mkdir(parents=True)
        dice = np.random.default_rng(11)
        with self.open() as db:
            for schema in ("context", "intermediate", "marts"):
                db.execute(f"create schema {schema}")
            db.execute("create table context.run as select timestamp '2026-06-10 01:00' as_of")
            db.execute("create table marts.feed_health as select 'fresh' feed_status, '' reason")
            db.execute("create table marts.dim_accounts (account_id varchar, segment varchar)")
            db.execute("create table active (account_id varchar, active_on date)")
            measures = ", ".join(f"{name} double" for name in ALL_MEASURES)
            db.execute(
                "create table intermediate.int_score_snapshots"
                " (account_id varchar, segment varchar, day date, as_of timestamp default"
                " '2026-03-01', score_version varchar, days_silent bigint,"
                f" usage_score_raw double default 50, has_churned boolean, {measures})"
            )
            # The accounts as of the last run, for the bands that a version would give them.
            of_today = ", ".join(f"{name} double" for name in MEASURES)
            ranks = ", ".join(f"{name} double" for name in PEER_MEASURES)
            db.execute(
                f"""
                create table intermediate.int_usage_measures (account_id varchar, {of_today});
                create table intermediate.int_peer_ranks (account_id varchar, {ranks});
                create table intermediate.int_account_health
                    (account_id varchar, usage_band varchar, usage_score_raw double)
                """
            )
            for segment, accounts in segments:
                for number in range(accounts):
                    name = f"{segment}-{number}"
                    db.execute("insert into marts.dim_accounts values (?, ?)", [name, segment])
                    gaps = 1 + dice.poisson(6, dice.geometric(0.05))
                    begins = AS_OF.date() - timedelta(days=int(dice.integers(100, 300)))
                    days = [begins + timedelta(days=int(day)) for day in np.cumsum(gaps)]
                    db.executemany(
                        "insert into active values (?, ?)",
                        [[name, begins]] + [[name, day] for day in days if day <= AS_OF.date()],
                    )
            db.execute(
                """
                create table intermediate.int_account_activity as
                select account_id, coalesce(any_value(segment), '') as segment,
                    count(*) as active_days,
                    date '2026-06-10' - min(active_on) as days_since_first_active,
                    date '2026-06-10' - max(active_on) as days_silent
                from active join marts.dim_accounts using (account_id) group by account_id;
                create table intermediate.int_life_days as
                select account_id, active_on as activity_date from active;
                create table intermediate.int_scoring as select date '2026-06-10' as day;
                create table intermediate.int_silences as
                select account_id, active_on, lead(active_on) over its is not null as has_ended,
                    coalesce(lead(active_on) over its, date '2026-06-10') - active_on as days,
                    true as is_of_last_year
                from active window its as (partition by account_id order by active_on)
                """
            )

    @property
    def settings(self) -> Settings:
        return self.company.settings

    def open(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self.settings.work_db))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.open() as db:
            return db.execute(query).fetchall()


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(tmp_path_factory.mktemp("big"), ("smb", 520), ("large", 90), (None, 5))


def test_all_accounts_together_say_how_they_come_back(big: Warehouse) -> None:
    fit = fit_scores(big.settings)
    assert fit.is_new
    accounts = big.rows(
        "select account_id, active_days - 1, days_since_first_active - days_silent,"
        " days_since_first_active from intermediate.int_account_activity order by 1"
    )
    kept = {
        row[0]: row[1:]
        for row in big.rows(
            "select segment, r, alpha, a, b, accounts, ln_likelihood"
            " from parameters.return_parameters"
        )
    }
    order = return_fit.sample([str(row[0]) for row in accounts])
    common, likelihood = return_fit.fit(*np.array([row[1:] for row in accounts], float)[order].T)
    assert set(kept) == {""}
    assert kept[""][:4] == pytest.approx(tuple(vars(common).values()), rel=1e-6)
    assert kept[""][4:] == (len(accounts), pytest.approx(likelihood, rel=1e-9))


def test_past_silences_correct_the_chance_of_return(big: Warehouse) -> None:
    learned = fit_scores(big.settings).parameters.returns
    assert learned is not None
    assert learned.auc >= learned.silence_auc > 0.5
    assert learned.calibration_error < 0.1
    kept = dict(big.rows("select term, weight from parameters.return_weights"))
    assert kept == pytest.approx(dict(learned.weights))
    assert set(kept) == {"constant", *return_calibration.TERMS}


def test_the_factor_is_that_of_the_gaps_that_ended(big: Warehouse) -> None:
    fit_scores(big.settings)
    gaps = big.rows(
        "select account_id, coalesce(segment, ''), days, active_on + cast(days as integer)"
        " from intermediate.int_silences join marts.dim_accounts using (account_id)"
        " where has_ended"
    )
    account, segment, days, ended = (list(column) for column in zip(*gaps, strict=True))
    expected = dormancy.fit(account, segment, days, np.array(ended, "datetime64[D]"))
    assert big.rows(
        "select factor, alarms_a_year, alive_years from parameters.dormancy_calibration"
    ) == [
        (
            expected.calibration.factor,
            pytest.approx(expected.calibration.false_alarms_per_account_year),
            pytest.approx(expected.calibration.alive_years),
        )
    ]
    assert 0 < expected.calibration.false_alarms_per_account_year <= 0.5
    assert (
        dict(big.rows("select segment, days from parameters.segment_gaps")) == expected.segment_gaps
    )
    assert set(expected.segment_gaps) == {"", "smb", "large"}


def test_the_same_data_is_the_same_version_and_other_data_of_that_clock_a_later_one(
    big: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit_scores(big.settings)
    again = fit_scores(big.settings)
    assert (again.version, again.is_new) == (first.version, False)
    assert first.version.startswith("2026-06-10-01-")
    assert big.rows(
        "select version, fitted_at, has_return, has_evidence from parameters.score_versions"
    ) == [(first.version, AS_OF, True, False)]
    monkeypatch.setenv("LIFECYCLE__DORMANCY__ALARMS_A_YEAR", "2")
    second = fit_scores(big.settings)
    assert second.is_new
    assert second.version.startswith("2026-06-10-02-")
    assert big.rows(
        "select count(*), count(distinct version) from parameters.dormancy_calibration"
    ) == [(2, 2)]
    assert [
        v for (v,) in big.rows("select version from parameters.score_versions order by 1 desc")
    ] == [
        second.version,
        first.version,
    ]


def test_with_too_little_a_version_says_what_it_goes_without(tmp_path: Path) -> None:
    small = Warehouse(tmp_path / "small", ("smb", 12))
    fit = fit_scores(small.settings)
    assert fit.parameters.calibration is not None
    assert small.rows(
        "select has_return, has_evidence, accounts, churned, note from parameters.score_versions"
    ) == [
        (
            False,
            False,
            12,
            0,
            "The chance of return: 12 accounts were ever active; 500 are needed. Health: 0 accounts"
            " left within 90 days of a day in the history; 100 are needed.",
        )
    ]
    assert small.rows("select count(*) from parameters.return_parameters") == [(0,)]


def test_where_nobody_ever_came_back_the_settings_go_on(tmp_path: Path) -> None:
    empty = Warehouse(tmp_path / "empty")
    fit = fit_scores(empty.settings)
    assert fit.parameters.calibration is None
    assert "Dormancy: no account has 3 gaps between active days yet." in fit.parameters.note
    assert empty.rows("select count(*) from parameters.dormancy_calibration") == [(0,)]


def test_points_are_learned_from_the_snapshots_that_a_report_judges_by(tmp_path: Path) -> None:
    there = Warehouse(tmp_path / "history", ("smb", 12))
    # 200 accounts that left after January, 300 that stayed for three months.
    there.rows(
        """
        insert into intermediate.int_score_snapshots by name
        select 'h' || number as account_id, 'hist' as segment, cast(day as date) as day,
            number < 200 as has_churned,
            case when number < 200 then 2.0 else 0.5 end + number / 10000 as recency_share,
            cast(number % 7 as double) as active_days_28
        from range(500) as numbers (number),
            (values ('2026-01-05'), ('2026-02-01'), ('2026-03-11')) as days (day)
        where number >= 200 or day = '2026-01-05'
        """
    )
    fit = fit_scores(there.settings)
    result = fit.parameters.scorecard
    assert result is not None, fit.parameters.note
    assert fit.parameters.churned == 200
    of_recency = [score_bin for score_bin in result.bins if score_bin.measure == "recency_share"]
    assert sum(score_bin.churned for score_bin in of_recency) == 200
    assert sum(score_bin.stayed for score_bin in of_recency) == 300 * 3
    assert result.weights["recency_share"] > 0.5
    kept = there.rows(
        "select measure, count(*), count(above), count(up_to), sum(churned)"
        " from parameters.evidence_bins group by 1 order by 1"
    )
    assert [row[0] for row in kept] == sorted(MEASURES)
    # One bin of each measure is of values that are not known: it has no bounds.
    assert all(row[1] == row[2] + 1 == row[3] + 1 and row[4] == 200 for row in kept)
    base = there.rows("select distinct base_points, base_ln_odds from parameters.evidence_base")
    assert base == [(result.base_points, result.base_ln_odds)]
    assert there.rows("select has_evidence, churned from parameters.score_versions") == [
        (True, 200)
    ]


def test_ninety_nine_that_left_teach_nothing_however_many_months_they_were_seen(
    tmp_path: Path,
) -> None:
    there = Warehouse(tmp_path / "few", ("smb", 12))
    for left, expected in ((scorecard.ENOUGH_CHURNED - 1, False), (scorecard.ENOUGH_CHURNED, True)):
        there.rows("delete from intermediate.int_score_snapshots")
        there.rows(
            "insert into intermediate.int_score_snapshots by name select 'h' || number as"
            " account_id, cast(day as date) as day,"
            f" number % 5 + case when number < {left} then 3 else 0 end as recency_share,"
            f" number < {left} as has_churned"
            " from range(400) as numbers (number), (values ('2025-12-31'), ('2026-01-31'),"
            " ('2026-02-28')) as days (day)"
        )
        fit = fit_scores(there.settings)
        assert (fit.parameters.scorecard is not None) is expected
        assert fit.parameters.churned == left


def test_a_late_feed_is_not_learned_from(tmp_path: Path) -> None:
    late = Warehouse(tmp_path / "late", ("smb", 12))
    late.rows("update marts.feed_health set feed_status = 'late', reason = 'no events for a week'")
    with pytest.raises(FitError, match=r"late \(no events for a week\)"):
        fit_scores(late.settings)
    assert late.rows(
        "select count(*) from information_schema.tables where table_name = 'score_versions'"
    ) == [(0,)]


def test_before_the_first_run_there_is_nothing_to_fit_on(tmp_path: Path) -> None:
    settings = Company(tmp_path / "new").settings
    with pytest.raises(WarehouseError, match="nothing was built yet"):
        fit_scores(settings)
    assert not settings.work_db.exists()


def test_of_a_big_segment_the_same_accounts_are_taken(
    big: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(return_fit, "MOST_ACCOUNTS", 500)
    fit = fit_scores(big.settings)
    assert [lifetime.accounts for lifetime in fit.parameters.lifetimes.values()] == [500]
