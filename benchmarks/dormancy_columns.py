"""What the columns of dormancy cost in dbt, beside one bare SQL query for the same columns.

    .venv/bin/python benchmarks/dormancy_columns.py --accounts 1000000 --account-days 20000000 \
        --times 5

Makes accounts and their active days, runs the dbt models from there to account_dormancy, and a
query that somebody wrote by hand; both results must be equal, row by row. Each is measured in a
process of its own, dbt with its project parsed, as in a server that stays up; so many times in
turn, of which the least counts, because what else goes on only ever adds. Exits with 1 when dbt
takes more than 1.3 times the query's processor seconds (held from a million accounts on).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from meter import Cost, Meter

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
AS_OF = datetime(2026, 6, 10, 1, tzinfo=UTC)
PROMISED, PROMISED_FROM = 1.3, 1_000_000
GIVEN = (
    "stg_run_context",
    "stg_holidays",
    "stg_weekends",
    "stg_zone_offsets",
    "stg_score_version",
    "stg_return_parameters",
    "stg_segment_gaps",
    "stg_dormancy_calibration",
)
"""Views that only look at what is in raw."""
MODELS = (
    "int_lives",
    "int_life_days",
    "int_silences",
    "int_account_activity",
    "int_watched_days",
    "int_segment_gaps",
    "int_return_chances",
    "int_account_return_chances",
    "int_working_days",
    "int_dormancy_judged",
)

COLUMNS = (
    "repeat_active_days",
    "active_span_days",
    "age_days",
    "last_active_at",
    "days_silent",
    "dormancy_limit_days",
    "p_return_28d",
    "is_dormant",
    "dormancy_reason",
    "working_days_silent",
)

SETTINGS = """\
[company]
name = "Sakura Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Chiyoda-ku, Tokyo 100-0005, Japan"
contact = "support@example.com"

[state]
dir = "state"
"""

BARE = Path(__file__).with_name("dormancy_columns.sql")


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = _arguments()
    if asked.measure:
        costs = {"dbt": _dbt, "bare": _bare}[asked.measure](asked.folder)
        (asked.folder / f"{asked.measure}.json").write_text(json.dumps([asdict(c) for c in costs]))
        return
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as temporary:
        folder = Path(temporary)
        _make(folder, asked.accounts, asked.account_days)
        costs = [
            {which: _alone(which, folder) for which in ("dbt", "bare")} for _ in range(asked.times)
        ]
        rows = _compare(folder)
    dbt, bare = (
        min((cost[which] for cost in costs), key=lambda cost: cost.cpu_seconds)
        for which in ("dbt", "bare")
    )
    times = dbt.cpu_seconds / bare.cpu_seconds
    result = {
        "accounts": asked.accounts,
        "account_days": asked.account_days,
        "rows": rows,
        "dbt": asdict(dbt),
        "bare": asdict(bare),
        "cpu_seconds_over_bare": times,
        "seconds_over_bare": dbt.seconds / bare.seconds,
        "peak_mb_over_bare": dbt.peak_mb / bare.peak_mb,
    }
    if asked.json:
        print(json.dumps(result))
    else:
        _show(result)
    if times > PROMISED and asked.accounts >= PROMISED_FROM:
        sys.exit(f"{times:.2f} times the bare query is more than promised ({PROMISED})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--account-days", type=int, default=400_000, help="default: %(default)s")
    parser.add_argument("--times", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--measure", choices=["dbt", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _make(folder: Path, accounts: int, account_days: int) -> None:
    """A warehouse with what the models read, and a version of the parameters."""
    from lifecycle import settings as settings_file
    from lifecycle.warehouse import context

    (folder / "lifecycle.toml").write_text(SETTINGS, encoding="utf-8")
    settings = settings_file.load(folder / "lifecycle.toml")
    settings.state_dir.mkdir()
    print(f"making {accounts:,} accounts …", file=sys.stderr, flush=True)
    with duckdb.connect(str(settings.work_db)) as db:
        db.execute(
            f"""
            SET enable_progress_bar = false;
            CREATE SCHEMA raw; CREATE SCHEMA intermediate;
            CREATE TABLE raw.accounts AS
                SELECT country, NULL::VARCHAR AS time_zone, TIMESTAMP '2023-01-01' AS created_at,
                    NULL::TIMESTAMP AS went_live_at, NULL::TIMESTAMP AS renewal_at
                FROM (VALUES ('JP'), ('US'), ('GB'), ('DE')) AS countries (country);
            CREATE TABLE raw.contacts (consent_basis VARCHAR);
            CREATE TABLE raw.usage_events (occurred_at TIMESTAMP);
            CREATE MACRO chance(item, what) AS hash(hash(item, what)) / 18446744073709551616.0;
            -- A life of 30 to 700 days; who was active often is so regularly.
            CREATE TABLE lives AS
                SELECT i, 'a' || i AS account_id,
                    30 + floor(670 * chance(i, 'age'))::BIGINT AS age,
                    CASE WHEN chance(i, 'left') < 0.3 THEN chance(i, 'end') ELSE 1 END AS lived,
                    exp(1.5 * (chance(i, 'a') + chance(i, 'b') + chance(i, 'c') - 1.5)) AS weight
                FROM range({accounts}) AS numbers (i);
            CREATE TABLE intermediate.int_accounts_located AS
                SELECT account_id, age + 5 AS days_since_go_live, DATE '2026-06-10' AS as_of_day,
                    DATE '2026-06-10' - (age + 5)::INTEGER AS went_live_on,
                    CASE WHEN chance(i, 'segment') < 0.05 THEN NULL
                        ELSE ['small', 'mid', 'enterprise', 'new'][1 + i % 4] END AS segment,
                    [NULL, 'JP', 'US', 'GB', 'DE'][1 + i % 5] AS country_code,
                    'Asia/Tokyo' AS time_zone, false AS is_churned
                FROM lives;
            -- One row an account and day, spread evenly over its life but for some chance.
            CREATE TABLE intermediate.int_account_days_counted AS
                WITH counted AS (
                    SELECT *, floor(age * lived) + 1 AS span,
                        least(floor(age * lived) + 1,
                            1 + round({account_days} * weight / sum(weight) OVER ())) AS many
                    FROM lives WHERE chance(i, 'never') > 0.03
                ),
                visits AS (SELECT *, unnest(range(many::BIGINT)) AS visit FROM counted),
                dated AS (
                    SELECT account_id, i, visit, DATE '2026-06-10' - (age - floor(
                        span * (visit + 0.9 * chance(i, visit)) / many))::INTEGER AS activity_date
                    FROM visits
                )
                SELECT account_id, activity_date,
                    1 + (visit % 3)::BIGINT AS events, (visit % 3)::BIGINT AS core_events,
                    (visit % 9 = 0)::BIGINT AS outcome_events,
                    activity_date + INTERVAL 9 HOUR AS first_active_at,
                    activity_date + INTERVAL 17 HOUR AS last_active_at,
                    CASE WHEN visit % 3 > 0 THEN activity_date + INTERVAL 10 HOUR END
                        AS first_core_at,
                    CASE WHEN visit % 9 = 0 THEN activity_date + INTERVAL 11 HOUR END
                        AS first_outcome_at
                FROM dated
                ORDER BY activity_date, hash(i);
            DROP TABLE lives;
            CREATE TABLE intermediate.int_account_feeds_judged AS
                SELECT account_id, 'fresh' AS feed_status FROM intermediate.int_accounts_located;
            -- Nobody left and came back, and every account's use is delivered.
            CREATE SCHEMA snapshots;
            CREATE TABLE snapshots.accounts_snapshot (account_id VARCHAR, churned_at TIMESTAMP,
                is_churned BOOLEAN, dbt_valid_from TIMESTAMP, dbt_valid_to TIMESTAMP);
            CREATE TABLE intermediate.int_unwatched_accounts (account_id VARCHAR, said_by VARCHAR);
            """
        )
    context.write(settings, run_id="benchmark", as_of=AS_OF, loaded_at=AS_OF)
    with duckdb.connect(str(settings.work_db)) as db:
        db.execute(
            """
            INSERT INTO parameters.score_versions VALUES
                ('v', TIMESTAMP '2026-06-01', true, false, 20000, 0, '');
            INSERT INTO parameters.return_parameters VALUES
                ('v', '', 0.6, 9, 0.3, 1.1, 20000, 0), ('v', 'small', 0.5, 7, 0.4, 1, 20000, 0),
                ('v', 'mid', 0.9, 9, 0.2, 1.3, 20000, 0);
            INSERT INTO parameters.segment_gaps VALUES ('v', 'small', 12), ('v', 'mid', 9.5);
            INSERT INTO parameters.dormancy_calibration VALUES ('v', 1.8, 0.5, 1000);
            """
        )


def _dbt(folder: Path) -> list[Cost]:
    """Run the models, the project being parsed and the views being there."""
    from dbt.cli.main import dbtRunner

    os.environ["LIFECYCLE_WAREHOUSE"] = str(folder / "state" / "work.duckdb")
    places = ("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--quiet")
    places += ("--target-path", str(folder / "target"), "--log-path", str(folder / "logs"))
    manifest = dbtRunner().invoke(["parse", *places]).result
    dbt = dbtRunner(manifest=manifest)
    for models in (GIVEN, MODELS):
        meter = Meter("models")
        done = dbt.invoke(["run", "--select", *models, *places])
        costs = meter.stop()
        if not done.success:
            sys.exit(str(done.exception or [node.message for node in done.result.results]))
    return costs


def _bare(folder: Path) -> list[Cost]:
    with duckdb.connect(str(folder / "state" / "work.duckdb")) as db:
        meter = Meter("query")
        db.execute(BARE.read_text(encoding="utf-8"))
        return meter.stop()


def _alone(which: str, folder: Path) -> Cost:
    print(f"{which} …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--measure", which, "--folder", str(folder)]
    if status := subprocess.run(command, stdout=sys.stderr).returncode:
        sys.exit(status)
    (cost,) = json.loads((folder / f"{which}.json").read_text(encoding="utf-8"))
    return Cost(**cost)


def _compare(folder: Path) -> int:
    """The number of rows; chances of return may differ in the last digits."""
    with duckdb.connect(str(folder / "state" / "work.duckdb")) as db:
        exact = ", ".join(name for name in COLUMNS if name != "p_return_28d")
        columns = f"account_id, p_return_28d AS p, row({exact}) AS other"
        row = db.execute(
            f"""
            SELECT count(*), count(*) FILTER (
                ours.other IS DISTINCT FROM theirs.other
                OR (ours.p IS NULL) <> (theirs.p IS NULL) OR abs(ours.p - theirs.p) > 1e-12
            )
            FROM (SELECT {columns} FROM intermediate.int_dormancy_judged) AS ours
            FULL JOIN (SELECT {columns} FROM bare_dormancy) AS theirs USING (account_id)
            """
        ).fetchone()
        assert row is not None
        rows, odd = row
    if odd or not rows:
        sys.exit(f"the bare query's rows are not the models': {odd:,} of {rows:,} differ")
    return int(rows)


def _show(values: dict[str, object]) -> None:
    print(f"{values['accounts']:,} accounts, {values['account_days']:,} account-days")
    for which in ("dbt", "bare"):
        cost = values[which]
        assert isinstance(cost, dict)
        print(
            f"{which:5} {cost['seconds']:6.1f} s, {cost['cpu_seconds']:6.1f} CPU s, "
            f"{cost['peak_mb']:6,.0f} MB"
        )
    print(f"dbt over bare, CPU seconds: {values['cpu_seconds_over_bare']:.2f} (at most {PROMISED})")
    print(f"dbt over bare, seconds: {values['seconds_over_bare']:.2f}")
    print(f"dbt over bare, peak memory: {values['peak_mb_over_bare']:.2f}")


if __name__ == "__main__":
    main()
