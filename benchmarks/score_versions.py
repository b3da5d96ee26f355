"""Whether a newer score version is any better than the one before, on a year of real orders.

    .venv/bin/python benchmarks/score_versions.py

Loads ../shared/data/online_retail (4,372 accounts, 406,829 events) into a temporary folder, lives
through its days as `simulate` does, fits the scores on two of them, and judges both versions as
`lifecycle score-report` does. Exits with 1 where the newer one is worse.

These customers have no contract that ends, so what is foretold here is that they order nothing in
the 90 days after a snapshot. All else is the code that runs on anybody's data: the measures, the
fit, the points, the report.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, date, datetime, time
from pathlib import Path

from lifecycle import settings as settings_file
from lifecycle.days import days_between
from lifecycle.document import as_text
from lifecycle.evaluation.score_report import ScoreReport
from lifecycle.health import score_validation
from lifecycle.health.fit import fit_scores
from lifecycle.health.measures import MEASURES
from lifecycle.health.score_validation import Validation
from lifecycle.settings import CHECKOUT, Settings
from lifecycle.sources import ledger as ledger_source
from lifecycle.sources.pull import pull
from lifecycle.warehouse import context
from lifecycle.warehouse.build import build, compile_models
from lifecycle.warehouse.daily_marts import DailyMarts

RETAIL = CHECKOUT.parent / "shared" / "data" / "online_retail"
CONFIG = CHECKOUT / "tests" / "end_to_end" / "online_retail.toml"
LAST = datetime(2011, 12, 9, 13, tzinfo=UTC)
MORNING = time(6, tzinfo=UTC)
FITTED_ON = (date(2011, 6, 1), date(2011, 8, 1))
"""The first learns from snapshots of three months, the second from those of five."""

SNAPSHOTS = f"""
    create or replace view intermediate.int_score_snapshots as
    select
        health.account_id, accounts.segment, health.day, health.as_of, health.score_version,
        {", ".join(f"health.{name}" for name in MEASURES)},
        health.days_silent, health.usage_score_raw,
        not exists (
            select 1 from marts.fct_account_activity_daily as activity
            where activity.account_id = health.account_id
                and activity.activity_date >= health.day
                and activity.activity_date < health.day + interval 90 day
        ) as has_churned
    from marts.fct_account_health_daily as health
    inner join marts.dim_accounts as accounts using (account_id)
    cross join context.run as run_context
    where health.usage_score_raw is not null
        and health.day in (
            select min(day) from marts.fct_account_health_daily
            where feed_status = 'fresh' and usage_score_raw is not null
            group by date_trunc('month', day)
        )
        and health.as_of + interval 90 day <= run_context.as_of
"""
"""The model of this name, but for what counts as leaving."""


def main() -> None:
    """Live through the days, fit, and print the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--every", type=int, default=7, help="build one day in so many; default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    if not RETAIL.is_dir():
        sys.exit(f"{RETAIL} is not there")
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as folder:
        settings = settings_file.load(
            CONFIG, state={"dir": folder}, source={"kind": "files", "path": str(RETAIL)}
        )
        result = _live(settings, Path(folder), asked.every)
    report = ScoreReport("files", settings.company.time_zone, result)
    print(
        json.dumps(report.as_json(), default=str) if asked.json else as_text(report.as_document())
    )
    if report.verdict:
        sys.exit(report.verdict)


def _live(settings: Settings, folder: Path, every: int) -> Validation:
    days = list(days_between("2011-01-01", f"{LAST:%Y-%m-%d}"))
    begin = datetime.combine(days[0], MORNING)
    pull(settings, loaded_at=LAST)
    ledger_source.snapshot(settings)
    context.write(settings, run_id="benchmark", as_of=begin, loaded_at=LAST)
    build(settings)
    (changes,) = (
        model
        for model in compile_models(settings, ["int_band_changes"])
        if model.name == "int_band_changes"
    )
    with DailyMarts.open(settings, folder / "lived") as marts:
        for number, day in enumerate(days):
            if number % every and day.day != 1 and day != days[-1]:
                continue
            marts.build(datetime.combine(day, MORNING))
            if number == 0:
                marts.connection.execute(SNAPSHOTS)
                marts.connection.execute(f"create view {changes.relation} as {changes.query}")
            if day in FITTED_ON:
                fit = fit_scores(marts.settings)
                print(f"fitted {fit.version}: {fit.parameters.note or 'all'}", file=sys.stderr)
        return score_validation.validate_scores(marts.connection)


if __name__ == "__main__":
    main()
