"""A made-up B2B company of any size, in the form that the file source reads.

Its first day is a full delivery; the next day brings new snapshots of accounts and contacts
and one more file each of events and survey answers. The same numbers give the same files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

FIRST = datetime(2026, 6, 9, 1, tzinfo=UTC)
"""The first run looks at the company then: a Tuesday, 10:00 in Tokyo."""
NEXT = FIRST + timedelta(days=1)

SETTINGS = """\
[company]
name = "Sakura Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Chiyoda-ku, Tokyo 100-0005, Japan"
contact = "support@example.com"

[state]
dir = "state"

[source]
kind = "files"
path = "data"
time_zone = "UTC"

[events]
core = ["report_created", "dashboard_viewed"]
outcome = ["report_shared"]

[guard]
people = 10_000_000
"""

COUNTRIES = """
    (0.60, 'JP', 'Asia/Tokyo', 'ja', 0), (0.75, 'US', 'America/Chicago', 'en', 14),
    (0.85, 'GB', NULL, 'en', 8), (0.93, 'DE', 'Europe/Berlin', 'en', 7),
    (0.97, 'AU', NULL, 'en', 0), (1.00, 'SG', 'Asia/Singapore', 'en', 1)"""
"""Cumulated share, country, the zone that the CRM knows, language, start of the day in UTC."""


@dataclass(frozen=True)
class BigCompany:
    """How big it is. `accounts` and `events` are what the files hold after the next day."""

    accounts: int
    events: int
    days: int
    """So far back do events go."""

    def write(self, folder: Path, tell: Callable[[str], None]) -> None:
        """Write lifecycle.toml and data/ as of the first day, and what the next one brings."""
        for name in ("data", "next_day"):
            for table in ("usage_events", "survey_responses"):
                (folder / name / table).mkdir(parents=True)
        (folder / "lifecycle.toml").write_text(SETTINGS, encoding="utf-8")
        scratch = folder / "making.duckdb"
        with duckdb.connect(str(scratch)) as db:
            db.execute("SET enable_progress_bar = false")
            tell(f"making {self.accounts:,} accounts")
            self._make_accounts(db)
            tell(f"making {self.events:,} events")
            self._make_events(db)
            tell("writing files")
            _write_snapshots(db, folder)
            _write_events(db, folder)
            _write_surveys(db, folder)
        scratch.unlink()

    def _make_accounts(self, db: duckdb.DuckDBPyConnection) -> None:
        """Table `made`: an account's life, and which share of all events is its own.

        Days are counted from the first day, the past negative.
        """
        db.execute(
            f"""
            CREATE MACRO chance(item, what) AS hash(hash(item, what)) / 18446744073709551616.0;
            CREATE MACRO below(many, item, what) AS
                floor(many * chance(item, what))::BIGINT;
            CREATE MACRO day(number) AS TIMESTAMP '{FIRST:%Y-%m-%d}' + to_days(number::INTEGER);
            -- Days from a Monday twenty years before, weekends left out, and back again.
            CREATE MACRO workdays(number) AS
                5 * ((number + 7001) // 7) + least((number + 7001) % 7, 5);
            CREATE MACRO day_of(workday) AS day((workday // 5) * 7 + workday % 5 - 7001);
            CREATE TABLE made AS
            WITH lives AS (
                SELECT i, chance(i, 'life') AS c,
                    CASE WHEN i >= {self.accounts - self.accounts // 1000} THEN 'tomorrow'
                         WHEN c < 0.70 THEN 'regular' WHEN c < 0.80 THEN 'silent'
                         WHEN c < 0.86 THEN 'new' WHEN c < 0.90 THEN 'absent'
                         WHEN c < 0.95 THEN 'churned' ELSE 'rare' END AS life
                FROM range({self.accounts}) AS numbers (i)
            ),
            spans AS (
                SELECT i, life,
                    CASE life WHEN 'tomorrow' THEN 0
                              WHEN 'new' THEN -1 - below(60, i, 'age')
                              ELSE -200 - below(900, i, 'age') END AS live_on,
                    CASE life WHEN 'silent' THEN -20 - below(130, i, 'end')
                              WHEN 'churned' THEN -30 - below(150, i, 'end')
                              ELSE 0 END AS ends_on,
                    CASE life WHEN 'absent' THEN 0 WHEN 'tomorrow' THEN 0 WHEN 'rare' THEN 0.15
                        ELSE exp(2 * (chance(i, 'a') + chance(i, 'b') + chance(i, 'c') - 1.5))
                    END AS liveliness
                FROM lives
            ),
            weighed AS (
                SELECT *, greatest(live_on, -{self.days}) AS begins_on,
                    liveliness * greatest(ends_on - begins_on, 0) AS weight
                FROM spans
            )
            SELECT weighed.*, 1 + floor(40 * chance(i, 'seats') ** 3)::BIGINT AS seats,
                places.country, places.time_zone, places.locale, places.morning,
                round({self.events} * sum(weight) OVER (ORDER BY i) / sum(weight) OVER ())::BIGINT
                    AS events_until
            FROM weighed
            ASOF JOIN (SELECT 1 - share AS reached, * FROM (VALUES {COUNTRIES})
                       AS listed (share, country, time_zone, locale, morning)) AS places
                ON 1 - chance(i, 'place') >= places.reached
            """
        )

    def _make_events(self, db: duckdb.DuckDBPyConnection) -> None:
        """Table `made_events`: four events a visit, spread over the account's workdays."""
        db.execute(
            """
            CREATE TABLE made_events AS
            WITH counted AS (
                SELECT *, coalesce(lag(events_until) OVER (ORDER BY i), 0) AS events_before,
                    events_until - events_before AS events
                FROM made
            ),
            numbered AS (
                SELECT *, events_before + unnest(range(events)) AS e,
                    (e - events_before) // 4 AS visit,
                    ceil(events / 4) AS visits
                FROM counted WHERE events > 0
            ),
            dated AS (
                SELECT *, workdays(begins_on) AS begins, workdays(ends_on + 1) - begins AS span,
                    begins + floor(span * ((visit + chance(i, 'phase') + 0.5 * chance(i, visit))
                                           % visits) / visits)::BIGINT AS workday
                FROM numbered
            ),
            working AS (
                SELECT *, day_of(workday) + to_microseconds(
                    ((morning + 9 * chance(e, 'hour')) * 3.6e9)::BIGINT) AS moment
                FROM dated
            )
            SELECT i, e,
                -- Some work at the weekend, which then follows their Friday.
                CASE WHEN isodow(moment) = 5 AND chance(i, workday) < 0.15
                     THEN moment + INTERVAL 1 DAY ELSE moment END AS occurred_at,
                chance(e, 'name') AS c,
                CASE WHEN c < 0.35 THEN 'logged_in' WHEN c < 0.65 THEN 'dashboard_viewed'
                     WHEN c < 0.88 THEN 'report_created'
                     WHEN c < 0.95 AND chance(i, 'shares') < 0.75 THEN 'report_shared'
                     ELSE 'settings_changed' END AS event_name,
                below(least(seats, 8), e, 'user') AS person,
                below(8, e, 'feature') AS feature
            FROM working
            """
        )


def arrive_next_day(folder: Path) -> None:
    """Put what the next day brings among the data."""
    shutil.copytree(folder / "next_day", folder / "data", dirs_exist_ok=True)


def _write_snapshots(db: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Overnight some accounts are new, a few change their plan or leave, a few people go."""
    for name, overnight in (("data", "false"), ("next_day", "true")):
        db.execute(
            f"""
            COPY (
                SELECT 'a' || i AS account_id, 'Company ' || i AS name,
                    day(live_on - 10) AS created_at, day(live_on) AS went_live_at,
                    CASE WHEN seats > 20 THEN 'enterprise' WHEN seats > 5 THEN 'mid' ELSE 'small'
                    END AS segment,
                    CASE WHEN {overnight} AND chance(i, 'change') < 0.002 THEN 'plus'
                         ELSE 'standard' END AS plan,
                    seats * 1200 AS mrr, seats,
                    CASE WHEN chance(i, 'touch') < 0.8 THEN 'tech'
                         WHEN chance(i, 'touch') < 0.95 THEN 'low' ELSE 'high' END AS touch_model,
                    country, time_zone, locale,
                    'Owner ' || i % 40 AS owner_name, 'owner' || i % 40 || '@example.com'
                        AS owner_email,
                    CASE WHEN i % 3 = 0 THEN 'A weekly report for the board' END AS purpose,
                    CASE WHEN i % 5 = 0 THEN 'Had spreadsheets until now' END AS background,
                    day(below(400, i, 'renewal')) AS renewal_at,
                    CASE WHEN life = 'churned' THEN day(ends_on + 20)
                         WHEN {overnight} AND chance(i, 'leave') < 0.0005 THEN day(0)
                    END AS churned_at, NULL AS is_churned, NULL AS has_usage_feed
                FROM made WHERE life <> 'tomorrow' OR {overnight} ORDER BY i
            ) TO '{folder / name / "accounts.csv"}'
            """
        )
        db.execute(
            f"""
            COPY (
                SELECT 'c' || i || '-' || n AS contact_id, 'a' || i AS account_id,
                    'person' || n || '@company' || i || '.example.com' AS email,
                    'Person ' || n AS name,
                    CASE WHEN n = 0 THEN 'owner' WHEN chance(i, n) < 0.25 THEN 'admin'
                         ELSE 'member' END AS role,
                    CASE WHEN n > 0 THEN locale END AS locale,
                    CASE WHEN chance(n, i) < 0.97 THEN 'contract' END AS consent_basis,
                    day(live_on) AS consented_at,
                    CASE WHEN chance(n, i + 1) < 0.03 OR {overnight} AND chance(n, i + 2) < 0.001
                         THEN day(0) END AS unsubscribed_at, NULL AS is_unsubscribed
                FROM (SELECT *, unnest(range(1 + below(4, i, 'people'))) AS n
                      FROM made)
                WHERE life <> 'tomorrow' OR {overnight} ORDER BY i, n
            ) TO '{folder / name / "contacts.csv"}'
            """
        )


def _write_events(db: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """A file a month, and the next day's: with a few that come late, and a few told again."""
    db.execute(
        f"""
        CREATE VIEW told AS SELECT *, chance(e, 'late') AS c_late,
            CASE WHEN occurred_at > TIMESTAMP '{FIRST:%F %T}' THEN 'new'
                 WHEN occurred_at < TIMESTAMP '{FIRST - timedelta(days=3):%F %T}' THEN 'known'
                 WHEN c_late < 0.002 THEN 'new' WHEN c_late < 0.004 THEN 'repeated'
                 ELSE 'known' END AS when_told
        FROM made_events
        """
    )
    columns = """'e' || e AS event_id, 'a' || i AS account_id, occurred_at, event_name,
                 'u' || i || '-' || person AS user_id, 'feature_' || feature AS feature"""
    parts = [
        (
            f"data/usage_events/{month}",
            f"when_told <> 'new' AND strftime(occurred_at, '%Y-%m') = '{month}'",
        )
        for (month,) in db.execute(
            "SELECT DISTINCT strftime(occurred_at, '%Y-%m') FROM told WHERE when_told <> 'new'"
        ).fetchall()
    ]
    parts.append((f"next_day/usage_events/{NEXT:%Y-%m-%d}", "when_told <> 'known'"))
    for path, which in parts:
        db.execute(
            f"COPY (SELECT {columns} FROM told WHERE {which} ORDER BY occurred_at, e)"
            f" TO '{folder / path}.parquet' (FORMAT parquet)"
        )


def _write_surveys(db: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """A third of the accounts answered within the last 300 days."""
    for path, which in (
        ("data/survey_responses/before.csv", "NOT is_new"),
        (f"next_day/survey_responses/{NEXT:%Y-%m-%d}.csv", "is_new"),
    ):
        db.execute(
            f"""
            COPY (
                SELECT 'r' || i AS response_id, 'a' || i AS account_id,
                    CASE WHEN is_new THEN TIMESTAMP '{FIRST:%F %T}' + INTERVAL 1 HOUR
                         ELSE day(-1 - below(300, i, 'answered')) END AS responded_at,
                    floor(11 * chance(i, 'score') ** 0.5) AS score,
                    'c' || i || '-0' AS contact_id, NULL AS feature, NULL AS comment
                FROM (SELECT *, chance(i, 'newly') < 0.003 AS is_new FROM made
                      WHERE life NOT IN ('new', 'absent', 'tomorrow') AND i % 3 = 0)
                WHERE {which} ORDER BY i
            ) TO '{folder / path}'
            """
        )
