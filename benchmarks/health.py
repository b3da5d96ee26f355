"""Whether the score in force is better than what one could do without it, on real companies.

    .venv/bin/python benchmarks/health.py courses_2013
    .venv/bin/python benchmarks/health.py online_retail
    .venv/bin/python benchmarks/health.py online_retail --consecutive

Loads the folder of ../shared/data into a temporary folder, builds the first day of each month as a
run on it would have, fits the scores half way, and judges every candidate on the days after the
fit: days of silence, equal weights, each score that can be learned, the one that was chosen, and a
boosted model that may cross measures, which the product does not use. Intervals are by paired
bootstrap over accounts. Prints a table; `--json FILE` keeps the figures.

`--consecutive` lives through 60 days in a row with two fits in them, each put in force at once, and
counts the accounts in each band, the changes of band, and the news of a lower band, on the days
after a fit and on all others.

Courses have dated departures. Retail customers have no contract that ends: leaving is ordering
nothing in the 90 days after a snapshot.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path

import numpy as np

from lifecycle import settings as settings_file
from lifecycle.document import Section, as_text, table
from lifecycle.health import candidates, snapshots
from lifecycle.health.bands import shares
from lifecycle.health.candidates import LEARNED, PairedDraws
from lifecycle.health.fit import Fit, fit_scores
from lifecycle.health.measures import ALL_MEASURES
from lifecycle.health.return_chance import Floats
from lifecycle.health.snapshots import Limits, Snapshots
from lifecycle.health.validation import calibration_error, top_decile_lift
from lifecycle.settings import CHECKOUT, Settings
from lifecycle.sources import ledger as ledger_source
from lifecycle.sources.pull import pull
from lifecycle.warehouse import context
from lifecycle.warehouse.build import build, compile_models
from lifecycle.warehouse.daily_marts import DailyMarts

DATA = CHECKOUT.parent / "shared" / "data"
MORNING = clock_time(6, tzinfo=UTC)
WANTED = (
    *(
        "account_360",
        "account_news",
        "feed_health",
        "fct_account_health_daily",
        "fct_account_activity_daily",
    ),
)
CHOSEN, CROSSED = "chosen, as served", "boosted, measures crossed"

COURSES = """
[company]
name = "Open Courses"
from_email = "success@example.com"
postal_address = "1 High Street, London"
contact = "support@example.com"
country = "GB"
time_zone = "Europe/London"
locale = "en"

[source]
kind = "files"
time_zone = "UTC"

[events]
activity = ["page_viewed", "assessment_submitted"]
core = ["page_viewed"]
outcome = ["assessment_submitted"]
"""


@dataclass(frozen=True)
class Company:
    """A data set and how its days are lived through."""

    config: str
    """The lifecycle.toml."""
    first: date
    last: date
    fitted_on: date
    leaves_by_silence: bool
    """Whether leaving is having no activity in the 90 days after, for want of dates."""


COMPANIES = {
    "courses_2013": Company(
        COURSES, date(2013, 2, 1), date(2014, 7, 1), date(2013, 12, 2), leaves_by_silence=False
    ),
    "online_retail": Company(
        (CHECKOUT / "tests" / "end_to_end" / "online_retail.toml").read_text(encoding="utf-8"),
        date(2011, 1, 1),
        date(2011, 12, 9),
        date(2011, 8, 1),
        leaves_by_silence=True,
    ),
}

BY_SILENCE = """
    create or replace view intermediate.int_score_snapshots as
    select * replace (
        not exists (
            select 1 from marts.fct_account_activity_daily as activity
            where activity.account_id = dated.account_id
                and activity.activity_date >= dated.day
                and activity.activity_date < dated.day + interval 90 day
        ) as has_churned
    )
    from intermediate.dated_snapshots as dated
"""


def main() -> None:
    """Live through the days, fit, and judge every candidate on what came after."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("company", choices=COMPANIES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--consecutive", action="store_true", help="60 days with two fits in them")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the warehouse there")
    asked = parser.parse_args()
    source = DATA / asked.company
    if not source.is_dir():
        sys.exit(f"{source} is not there")
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if asked.consecutive:
            columns: tuple[str, ...] = (
                "days",
                "green",
                "yellow",
                "red",
                "changes",
                "news of a fall",
            )
            rows = live_through(COMPANIES[asked.company], source, folder)
        else:
            columns = ("candidate", "AUC", "over silence", "lift", "calibration")
            rows = judge(COMPANIES[asked.company], source, folder)
    print(as_text([Section(asked.company, (table(columns, rows),))], width=100))
    if asked.json:
        asked.json.write_text(json.dumps([list(row) for row in rows], indent=1), encoding="utf-8")


def judge(company: Company, source: Path, folder: Path) -> list[tuple[str, ...]]:
    """The rows of the table, one a candidate."""
    settings = _settings(company, source, folder)
    fitted: Fit | None = None
    with _lived(settings, company, folder) as marts:
        for day in _days(company):
            marts.build(datetime.combine(day, MORNING))
            if day >= company.fitted_on and fitted is None:
                _see_snapshots(marts, settings, company)
                began = time.process_time()
                fitted = fit_scores(marts.settings)
                print(
                    f"{day}: fitted {fitted.version} in {time.process_time() - began:.1f} CPU s; "
                    f"{fitted.parameters.note or 'nothing is missing'}; "
                    f"{fitted.parameters.held_because or 'in force'}; "
                    f"{fitted.parameters.bounds and fitted.parameters.bounds.meaning}",
                    file=sys.stderr,
                )
                for candidate in fitted.parameters.candidates:
                    print(candidate, file=sys.stderr)
        assert fitted is not None
        everything, _ = snapshots.read(marts.connection)
        before = fitted.parameters.fitted_at
        past = everything.where(everything.as_of + np.timedelta64(90, "D") <= np.datetime64(before))
        later = everything.where(everything.as_of >= np.datetime64(before))
        print(_bands(marts), file=sys.stderr)
    return _figures(settings, fitted, past, later)


def _settings(company: Company, source: Path, folder: Path) -> Settings:
    (folder / "lifecycle.toml").write_text(company.config, encoding="utf-8")
    return settings_file.load(
        folder / "lifecycle.toml",
        state={"dir": str(folder / "state")},
        source={"kind": "files", "path": str(source)},
    )


def live_through(company: Company, source: Path, folder: Path) -> list[tuple[str, ...]]:
    """The rows of the table: the days after a fit one by one, and the other days together."""
    settings = _settings(company, source, folder)
    begins = company.fitted_on - timedelta(days=20)
    fits = {company.fitted_on, company.fitted_on + timedelta(days=20)}
    days = [begins + timedelta(days=number) for number in range(60)]
    lived: list[tuple[str, dict[str, float], int, int]] = []
    with _lived(settings, company, folder) as marts:
        for day in (day for day in _days(company) if day < begins):
            marts.build(datetime.combine(day, MORNING))
        _see_snapshots(marts, settings, company)
        for day in days:
            marts.build(datetime.combine(day, MORNING))
            counts = marts.connection.execute(_MOVED).fetchone()
            assert counts is not None
            is_first = day - timedelta(days=1) in fits
            name = f"{day}, a new version" if is_first else "another day"
            lived.append((name, _bands(marts), *counts))
            if day in fits:
                fitted = fit_scores(marts.settings)
                marts.connection.execute(
                    "insert into parameters.accepted_versions"
                    " select ?, as_of, 'benchmark', 'lived through' from context.run",
                    [fitted.version],
                )
    rows = []
    for name in dict.fromkeys(name for name, *_ in lived):
        its = [row for row in lived if row[0] == name]
        least = {band: min(row[1][band] for row in its) for band in ("green", "yellow", "red")}
        rows.append(
            (
                f"{name} ({len(its)})",
                *(f"{share:.1%}" for share in least.values()),
                f"{sum(row[2] for row in its) / len(its):.0f} a day",
                f"{sum(row[3] for row in its) / len(its):.0f} a day",
            )
        )
    return rows


_MOVED = """
    select
        count(case when health.usage_band <> before.usage_band then 1 end) as changes,
        count(case when health.usage_band <> before.usage_band and news.account_id is not null
            then 1 end) as news
    from intermediate.int_account_health as health
    left join intermediate.int_health_before as before using (account_id)
    left join (
        select distinct account_id from marts.account_news
        where kind in ('usage_red', 'usage_yellow')
    ) as news using (account_id)
"""


def _figures(
    settings: Settings, fitted: Fit, past: Snapshots, later: Snapshots
) -> list[tuple[str, ...]]:
    """Each candidate, fitted on `past`, on `later`."""
    calibrated = fitted.parameters.calibration
    limit = settings.dormancy
    limits = calibrated and Limits(
        calibrated.factor, fitted.parameters.segment_gaps, limit.min_days, limit.max_days
    )
    past, later = past.under(limits or None), later.under(limits or None)
    risks: dict[str, Floats] = {
        candidates.SILENCE: later.days_silent,
        "as stored": -later.raw_score,
    }
    chances: dict[str, Floats] = {}
    for name, (measures, fit) in LEARNED.items():
        card = fit({measure: past.measures[measure] for measure in measures}, past.churned)
        chances[name] = card.p_churn({measure: later.measures[measure] for measure in card.weights})
    card = fitted.parameters.scorecard
    if card is not None:
        chances[CHOSEN] = card.p_churn({name: later.measures[name] for name in card.weights})
    chances[CROSSED] = _crossed(past, later)
    risks |= chances
    draws = PairedDraws(risks, later.churned, account=later.account, resamples=500)
    print(
        f"{len(past.churned):,} snapshots of which {past.churned.mean():.1%} left, then "
        f"{len(later.churned):,} of which {later.churned.mean():.1%} left",
        file=sys.stderr,
    )
    rows = []
    for name, risk in risks.items():
        gain = draws.difference(name, candidates.SILENCE)
        error = f"{calibration_error(chances[name], later.churned):.3f}" if name in chances else "–"
        rows.append(
            (
                name,
                f"{draws.auc[name]:.3f}",
                f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})",
                f"{top_decile_lift(risk, later.churned):.2f}",
                error,
            )
        )
    return rows


def _crossed(past: Snapshots, later: Snapshots) -> Floats:
    """The chances by a boosted model without the product's bounds: what could be had at most."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Scikit-learn cannot bin a column in which nothing differs.
    names = [
        name
        for name in ALL_MEASURES
        if len(np.unique(past.measures[name][~np.isnan(past.measures[name])])) > 1
    ]

    def columns(rows: Snapshots) -> Floats:
        return np.column_stack([rows.measures[name] for name in names])

    model = HistGradientBoostingClassifier(
        max_iter=200, learning_rate=0.05, max_leaf_nodes=16, min_samples_leaf=100, random_state=0
    )
    model.fit(columns(past), past.churned)
    return np.asarray(model.predict_proba(columns(later))[:, 1], np.float64)


def _days(company: Company) -> Iterator[date]:
    """The first day of each month, the day of the fit and the last one."""
    month = company.first
    days = {company.fitted_on, company.last}
    while month <= company.last:
        days.add(month)
        month = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    yield from sorted(days)


def _bands(marts: DailyMarts) -> dict[str, float]:
    bands = marts.connection.execute(
        "select usage_band from intermediate.int_account_health where usage_band is not null"
    ).fetchnumpy()["usage_band"]
    return shares(np.asarray(bands, str))


@contextmanager
def _lived(settings: Settings, company: Company, folder: Path) -> Iterator[DailyMarts]:
    """The warehouse with all data loaded, before the first day is built."""
    last = datetime.combine(company.last, MORNING)
    pull(settings, loaded_at=last)
    ledger_source.snapshot(settings)
    begin = datetime.combine(company.first, MORNING)
    context.write(settings, run_id="benchmark", as_of=begin, loaded_at=last)
    build(settings)
    with DailyMarts.open(settings, folder / "lived", wanted=WANTED) as marts:
        yield marts


def _see_snapshots(marts: DailyMarts, settings: Settings, company: Company) -> None:
    """Create the views that a fit reads, which no daily mart needs."""
    names = ("int_score_snapshots", "int_band_changes")
    models = {model.name: model for model in compile_models(settings, list(names))}
    snapshots_view, changes = (models[name] for name in names)
    create = "create or replace view {} as {}"
    marts.connection.execute(create.format(changes.relation, changes.query))
    if company.leaves_by_silence:
        dated = "intermediate.dated_snapshots"
        marts.connection.execute(create.format(dated, snapshots_view.query))
        marts.connection.execute(BY_SILENCE)
    else:
        marts.connection.execute(create.format(snapshots_view.relation, snapshots_view.query))


if __name__ == "__main__":
    main()
