"""What was not published does not count: the history after a run that was refused or killed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lifecycle.errors import NothingPublished
from lifecycle.evaluation.score_report import score_report
from lifecycle.health.fit import fit_scores
from lifecycle.warehouse.connection import connect_published, connect_work
from lifecycle.warehouse.publish import publish
from lifecycle.warehouse.published_days import begin_day
from lifecycle.warehouse.sandbox import copy_work
from warehouse.raw_company import Company

HISTORY = "select day, usage_band from marts.fct_account_health_daily order by day"
KEPT = "select day, usage_band from history.account_health_daily order by day"


class Runs:
    """A company's runs, each of which stores the band of one account."""

    def __init__(self, folder: Path) -> None:
        self.company = Company(folder)
        self.settings = self.company.settings
        self.company.see("2026-06-09 21:00")

    def refused(self, day: int, band: str) -> str:
        """A run that ends before it publishes; its id."""
        run_id = f"{day}-{band}"
        begin_day(self.settings, run_id=run_id)
        for statement in (
            "create schema if not exists intermediate",
            "create schema if not exists marts",
            "create or replace table intermediate.int_accounts_scored as"
            f" select '2026-06-{day}'::date as day, '{band}' as usage_band",
            """
            create or replace view marts.fct_account_health_daily as
            select day, usage_band from history.account_health_daily
            where day not in (select day from intermediate.int_accounts_scored)
            union all select day, usage_band from intermediate.int_accounts_scored
            """,
        ):
            self.company.sql(statement)
        return run_id

    def good(self, day: int, band: str) -> None:
        publish(self.settings, run_id=self.refused(day, band))

    def published(self) -> dict[int, str]:
        with connect_published(self.settings) as published:
            return {day.day: band for day, band in published.execute(HISTORY).fetchall()}

    def known(self) -> dict[int, str]:
        """What a run would find when it begins."""
        begin_day(self.settings, run_id="next")
        return {day.day: band for day, band in self.company.sql(KEPT)}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "company")


def test_a_refused_day_is_no_day_for_the_next_run(runs: Runs) -> None:
    runs.good(10, "green")
    runs.refused(11, "red")
    runs.refused(11, "yellow")
    runs.good(12, "green")
    assert runs.published() == {10: "green", 12: "green"}
    assert runs.known() == {10: "green", 12: "green"}


def test_a_refused_rerun_leaves_the_day_as_it_was_published(runs: Runs) -> None:
    for day in (10, 11, 12):
        runs.good(day, "green")
    runs.refused(10, "red")
    runs.refused(11, "red")
    assert runs.known() == {10: "green", 11: "green", 12: "green"}
    runs.good(11, "yellow")
    assert runs.published() == {10: "green", 11: "yellow", 12: "green"}


def test_where_the_first_run_was_refused_there_is_no_history(runs: Runs) -> None:
    runs.refused(10, "red")
    assert runs.known() == {}
    runs.good(11, "green")
    assert runs.published() == {11: "green"}


def test_a_history_without_a_column_gets_it_and_it_is_unknown(runs: Runs) -> None:
    runs.good(10, "green")
    runs.company.sql("alter table history.account_health_daily drop column course")
    assert runs.known() == {10: "green"}
    assert runs.company.sql("select course from history.account_health_daily") == [(None,)]


EARLIER = """
    drop schema history cascade;
    create schema marts;
    create table marts.fct_account_health_daily as
    from (values ('2026-06-10'::date, 'green'), ('2026-06-11', 'red'), ('2026-06-12', 'green'))
        as days (day, usage_band);
"""
REFUSED = """
    create schema unpublished;
    create table unpublished.run as
    select 'r' as run_id, '2026-06-10'::date as first_day, '2026-06-12'::date as last_day;
"""
REPLACED = """
    create table unpublished.history as
    from marts.fct_account_health_daily where day <> '2026-06-11';
"""


@pytest.mark.parametrize(
    ("left", "days"),
    [
        (EARLIER, {10: "green", 11: "red", 12: "green"}),
        (EARLIER + REFUSED + REPLACED, {10: "green", 12: "green"}),
        (EARLIER + REFUSED, {}),
    ],
)
def test_the_history_of_an_earlier_version_is_taken_over_once(
    runs: Runs, left: str, days: dict[int, str]
) -> None:
    runs.company.sql(left)
    assert runs.known() == days
    runs.company.sql("delete from history.account_health_daily where day = '2026-06-12'")
    assert 12 not in runs.known()


def test_a_run_killed_right_after_it_published_has_published(runs: Runs, tmp_path: Path) -> None:
    runs.good(10, "green")
    run_id = runs.refused(11, "red")
    as_killed = shutil.copy(runs.settings.work_db, tmp_path)
    publish(runs.settings, run_id=run_id)
    shutil.copy(as_killed, runs.settings.work_db)
    assert runs.known() == {10: "green", 11: "red"}


def test_a_warehouse_that_is_taken_elsewhere_alone_has_its_history(runs: Runs) -> None:
    runs.good(10, "green")
    runs.settings.published_db.unlink()
    assert runs.known() == {10: "green"}


def test_a_copy_to_try_something_in_knows_only_what_was_published(
    runs: Runs, tmp_path: Path
) -> None:
    runs.good(10, "green")
    runs.refused(11, "red")
    copied, _ = copy_work(runs.settings, tmp_path / "copy")
    with connect_work(copied) as copy:
        assert [day.day for day, _ in copy.execute(KEPT).fetchall()] == [10]
    assert len(runs.company.sql(HISTORY)) == 2, "the original stays as it is"


def test_scores_are_neither_fitted_nor_judged_on_what_was_refused(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE__SOURCE__KIND", "files")
    monkeypatch.setenv("LIFECYCLE__SOURCE__PATH", "exports")
    runs.good(10, "green")
    runs.refused(11, "red")
    for ask in (fit_scores, score_report):
        with pytest.raises(NothingPublished, match=r"run 11-red .*lifecycle status"):
            ask(runs.company.settings)
