"""fct_account_health_daily over days: smoothed, caught up, read back, and the same when rerun."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from commands import CHECKOUT
from lifecycle.health.fit import fit_scores
from lifecycle.warehouse.score_definition import RULES, definition
from warehouse.dbt_in_process import build_untested, dbt
from warehouse.raw_company import Company
from warehouse.test_build import account

DAY = "select * from marts.fct_account_health_daily where day = ? order by account_id"
PAGE = (CHECKOUT / "docs" / "health.md").read_text(encoding="utf-8")


def company_of(folder: Path) -> Company:
    """`steady` works every day, `fading` until 5 June, `rising` from 10 June on."""
    company = Company(folder)
    company.deliver(
        "accounts",
        "2026-06-01",
        *(account(name, time_zone="Asia/Tokyo") for name in ("steady", "fading", "rising")),
    )
    company.sql(
        """
        insert into raw.usage_events (event_id, account_id, occurred_at, event_name,
            user_id, feature, _loaded_at)
        select account || day, account, day + interval 1 hour, 'report_shared', 'u' || n, 'f' || n,
            timestamp '2026-06-01'
        from range(timestamp '2026-03-01', timestamp '2026-07-01', interval 1 day) days (day),
            range(6) users (n), (values ('steady'), ('fading'), ('rising')) accounts (account)
        where not (account = 'fading' and day > '2026-06-05')
            and not (account = 'rising' and day < '2026-06-10')
        """
    )
    return company


def run(company: Company, *days: int) -> None:
    for day in days:
        company.see(f"2026-06-{day:02} 03:00", loaded_at="2026-06-30 00:00")
        build_untested(company.settings)


def scores(company: Company, account_id: str) -> dict[int, tuple[Any, ...]]:
    rows = company.sql(
        "select day, usage_score_raw, usage_health, usage_band, change_cause"
        " from marts.fct_account_health_daily where account_id = ? order by day",
        [account_id],
    )
    return {day.day: tuple(values) for day, *values in rows}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Company:
    company = company_of(tmp_path_factory.mktemp("lived") / "company")
    run(company, 8, 9, 10, 13)
    return company


def test_each_day_is_smoothed_from_the_day_before_and_a_gap_is_caught_up(lived: Company) -> None:
    days = scores(lived, "fading")
    assert list(days) == [8, 9, 10, 13]
    (before, _), (raw, health) = days[8][:2], days[9][:2]
    assert days[8][1] == before
    assert health == pytest.approx(0.25 * raw + 0.75 * before, abs=1e-5)
    raw, health = days[13][:2]
    assert health == pytest.approx(raw + 0.75**3 * (days[10][1] - raw), abs=1e-5)
    assert days[13][3] == "data"
    assert scores(lived, "steady")[13][3] is None


def test_a_rerun_gives_the_same_day_also_after_a_fit_and_touches_no_other(lived: Company) -> None:
    stored = {day: lived.sql(DAY, [f"2026-06-{day:02}"]) for day in (8, 9, 10, 13)}
    change = "select account_id, usage_change from marts.account_360 order by 1"
    rows = lived.sql(change)
    assert fit_scores(lived.settings).is_new
    for day in (9, 8, 13):
        run(lived, day)
        assert {day: lived.sql(DAY, [f"2026-06-{day:02}"]) for day in stored} == stored
    assert lived.sql(change) == rows


def test_a_full_refresh_keeps_the_history(lived: Company, tmp_path: Path) -> None:
    before = lived.sql("select * from marts.fct_account_health_daily order by day, account_id")
    done = dbt(
        lived.settings, tmp_path / "t", "run", "-s", "fct_account_health_daily", "--full-refresh"
    )
    assert done.success
    after = lived.sql("select * from marts.fct_account_health_daily order by day, account_id")
    assert after == before


def test_what_moved_a_score_is_told_in_a_sentence(lived: Company) -> None:
    values = dict(lived.sql("select account_id, usage_change from marts.account_360"))
    assert values["steady"] is None
    assert re.fullmatch(
        r"usage health went from [\d.]+ \(\w+\) to [\d.]+ \(\w+\) since 2026-06-10: "
        r"silence over its limit went from 0.71 to 1.14",
        values["fading"],
    ), values


def test_the_queries_of_the_page_read_a_day_back_as_it_was_known(lived: Company) -> None:
    queries = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert len(queries) == 3
    on_a_day, latest_by, of_an_account = queries
    assert lived.sql(on_a_day.replace("2026-06-09", "2026-06-10")) != []
    # No run scored the 12th: known then was what the 10th had found.
    rows = lived.sql(latest_by.replace("2026-06-09", "2026-06-12"))
    assert {str(row[1]) for row in rows} == {"2026-06-10"}
    assert len(rows) == 3
    assert len(lived.sql(of_an_account.replace("A0169", "fading"))) == 4


def test_a_late_day_is_null_and_does_not_end_the_smoothing(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    run(company, 8)
    company.sql(
        "create table raw.kept as from raw.usage_events where occurred_at > '2026-06-05 23:00'"
    )
    company.sql("delete from raw.usage_events where occurred_at > '2026-06-05 23:00'")
    run(company, 10)
    company.sql("insert into raw.usage_events from raw.kept")
    run(company, 11)
    days = scores(company, "fading")
    assert days[10] == (None, None, None, None)
    raw, health = days[11][:2]
    assert health == pytest.approx(raw + 0.75**3 * (days[8][1] - raw), abs=1e-5)


def test_learned_points_take_over_from_their_day_on_and_are_named(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    run(company, 8)
    company.sql(
        "insert into parameters.score_versions values"
        " ('v1', '2026-06-08 12:00', false, true, 1000, 100, '')"
    )
    company.sql(
        "insert into parameters.evidence_base values ('v1', 'active_days_28', 1.0, 50, -2.0)"
    )
    company.sql(
        """
        insert into parameters.evidence_bins values
            ('v1', 'active_days_28', '-inf', 24, 50, 50, 1.0, -30),
            ('v1', 'active_days_28', 24, 'inf', 0, 50, -1.0, 10),
            ('v1', 'active_days_28', null, null, 0, 0, 0.0, -1)
        """
    )
    company.sql("insert into parameters.band_bounds values ('v1', 55, 25, 0.1, '')")
    run(company, 9)
    rows = company.sql(
        "select account_id, score_version, usage_score_raw, round(p_churn, 6), change_cause"
        " from marts.fct_account_health_daily where day = '2026-06-09' order by 1"
    )
    # 24 active days are still in the first bin; ln odds of leaving: -2 less points * ln 2 / 20.
    assert rows == [
        ("fading", "v1", 20.0, 0.276822, "weights"),
        ("rising", "v1", 20.0, 0.276822, "weights"),
        ("steady", "v1", 60.0, 0.087339, "weights"),
    ]
    # A step with a label, at once on the version's own scale and in its own bands, and no news.
    asked = "select account_id, usage_health, usage_band from marts.account_360 order by 1"
    assert company.sql(asked) == [
        ("fading", 50.0, "green"),  # 60 the day before by the same points; 20 today
        ("rising", 20.0, "red"),
        ("steady", 60.0, "green"),
    ]
    news = "select account_id, kind from marts.account_news where kind like 'usage%'"
    assert company.sql(news) == []
    assert "score version v1 has its own weights and limits" in str(
        company.sql("select usage_change from marts.account_360")
    )
    run(company, 8)  # the day that was fitted on knows nothing of it
    assert company.sql(
        "select distinct score_version from marts.fct_account_health_daily where day = '2026-06-08'"
    ) == [(None,)]


def test_a_setting_of_the_score_is_part_of_its_definition(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    before = definition(company.settings)
    assert definition(company.settings) == before
    file = company.settings.root / "lifecycle.toml"
    toml = file.read_text()
    file.write_text(toml + "\n[health]\nhysteresis = 6\n")
    assert definition(company.settings) != before
    file.write_text(toml + "\n[delivery]\nlease_seconds = 9\n")
    assert definition(company.settings) == before
    assert all((CHECKOUT / "dbt_project" / file).is_file() for file in RULES)


def test_every_model_that_the_usage_score_is_computed_by_is_part_of_its_definition() -> None:
    elsewhere = {
        # what moved it; satisfaction; what a silence may lead to; whether the feed is there
        "int_points_before",
        *("int_satisfaction_measured", "int_satisfaction_health", "int_return_chances"),
        *("int_account_return_chances", "int_working_days", "int_account_feeds_judged"),
        "int_unwatched_accounts",
    }
    literals_and_words = {"macros/moments.sql", "macros/words.sql"}
    project = CHECKOUT / "dbt_project"
    models = {file.stem: file for file in (project / "models").rglob("*.sql")}
    macros = {
        name: file
        for file in (project / "macros").glob("*.sql")
        for name in re.findall(r"macro (\w+)\(", file.read_text(encoding="utf-8"))
    }
    read, waiting = set[Path](), {models["int_account_health"]}
    while waiting:
        file = waiting.pop()
        read.add(file)
        text = file.read_text(encoding="utf-8")
        named = {models.get(name) for name in re.findall(r"ref\('(\w+)'\)", text)} | {
            macros.get(name) for name in re.findall(r"\b(\w+)\(", text)
        }
        waiting |= {name for name in named if name and name.stem not in elsewhere} - read
    result = {str(file.relative_to(project)) for file in read}
    assert result - literals_and_words == set(RULES)
