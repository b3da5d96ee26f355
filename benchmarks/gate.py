"""What holding a delivery against the last published one costs, beside one SQL pass over both.

    .venv/bin/python benchmarks/gate.py --accounts 1000000

Makes accounts with two contacts each, as they were published and as they are delivered the day
after: one in two hundred is new, gone, or has another value. Then, in this order and in one
process:

pass    a full join of both deliveries by key, which compares every column of every row
drift   all that raw.delivery_drift says of the same tables
checks  the expectations/raw of accounts and contacts, the drift limits among them

Exits with 1 when the drift takes more than twice the pass's processor seconds (held from
a million accounts on), or finds other numbers of changed values.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import duckdb
from meter import Meter

from lifecycle import settings as settings_file
from lifecycle.duckdb_connection import connect
from lifecycle.sources.contract import TABLES
from lifecycle.warehouse.gate import checkpoint, drift
from lifecycle.warehouse.published_delivery import keep_delivery

PROMISED, PROMISED_FROM = 2.0, 1_000_000
SNAPSHOTS = [table for table in TABLES.values() if table.is_snapshot]

TOML = """\
[company]
name = "Sakura Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Chiyoda-ku, Tokyo 100-0005, Japan"
contact = "support@example.com"
"""

RAW = """
create schema raw; create schema context;
create table context.run as select 'published' as run_id, timestamp '2026-06-09 01:00' as as_of,
  timestamp '2026-06-09 01:00' as loaded_at;
create table context.event_roles (role varchar, pattern varchar);
create table context.consent_words (basis varchar, verdict varchar);
create table context.countries (name varchar, country_code varchar, time_zone varchar);
create table raw.rejected_rows (table_name varchar, key varchar);
create table raw.accounts as
select 'A' || lpad(i::varchar, 8, '0') as account_id, 'Firm ' || i as name,
  timestamp '2020-01-01' + to_minutes(i * 3) as created_at,
  timestamp '2020-02-01' + to_minutes(i * 3) as went_live_at,
  ['smb', 'mid_market', 'enterprise'][1 + i % 3] as segment,
  ['starter', 'business'][1 + i % 2] as plan, (i % 1000) * 1.5::double as mrr, i % 50 as seats,
  ['tech', 'high', 'low'][1 + i % 3] as touch_model, ['JP', 'US', 'DE'][1 + i % 3] as country,
  case when i % 9 = 0 then 'Asia/Tokyo' end as time_zone, 'ja' as locale,
  'Owner ' || i % 200 as owner_name, 'owner' || i % 200 || '@example.com' as owner_email,
  'purpose ' || i as purpose, null::varchar as background,
  timestamp '2027-01-01' + to_minutes(i % 500000) as renewal_at,
  case when i % 50 = 0 then timestamp '2025-01-01' end as churned_at,
  null::boolean as is_churned, null::boolean as has_usage_feed,
  timestamp '2026-06-09 01:00' as _loaded_at
from range({accounts}) as t (i);
create table raw.contacts as
select 'C' || lpad(i::varchar, 8, '0') as contact_id,
  'A' || lpad((i // 2)::varchar, 8, '0') as account_id,
  'person' || i || '@firm' || i // 2 || '.example.com' as email, 'Person ' || i as name,
  ['admin', 'user', 'owner'][1 + i % 3] as role, 'ja' as locale, 'contract' as consent_basis,
  timestamp '2021-01-01' + to_minutes(i) as consented_at,
  case when i % 30 = 0 then timestamp '2025-01-01' + to_minutes(i) end as unsubscribed_at,
  null::boolean as is_unsubscribed, timestamp '2026-06-09 01:00' as _loaded_at
from range(2 * {accounts}) as t (i);
create table raw.usage_events (event_id varchar, account_id varchar, occurred_at timestamp,
  event_name varchar, _loaded_at timestamp);
create table raw.survey_responses (response_id varchar, account_id varchar,
  responded_at timestamp, score double, _loaded_at timestamp);
"""

NEXT_DAY = """
update context.run set run_id = 'delivered', as_of = as_of + interval 1 day,
  loaded_at = loaded_at + interval 1 day;
update raw.accounts set name = name || ' Ltd' where hash(account_id) % 200 = 0;
update raw.contacts set role = 'member' where hash(contact_id) % 200 = 1;
update raw.accounts set account_id = 'N' || account_id where hash(account_id) % 200 = 2;
update raw.contacts set contact_id = 'N' || contact_id where hash(contact_id) % 200 = 2;
"""


def make(folder: Path, accounts: int) -> None:
    """The warehouse of the morning after, before its gate."""
    (folder / "lifecycle.toml").write_text(TOML, encoding="utf-8")
    (folder / ".lifecycle").mkdir()
    with connect(folder / ".lifecycle" / "work.duckdb") as work:
        work.execute(RAW.format(accounts=accounts))
        work.execute("begin")
        keep_delivery(work)
        work.execute("commit")
        work.execute(NEXT_DAY)


def one_pass(work: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many values of the keys that stayed differ, by column, from one join a table."""
    differ = {}
    for table in SNAPSHOTS:
        names = [name for name in table.column_names if name != table.key]
        counts = ", ".join(f"count(*) filter (b.{name} <> n.{name})" for name in names)
        row = work.execute(
            f"select {counts} from published_delivery.{table.name} as b"
            f" full join raw.{table.name} as n on b.{table.key} = n.{table.key}"
        ).fetchone()
        assert row is not None
        differ |= {f"{table.name}.{name}": n for name, n in zip(names, row, strict=True)}
    return differ


def changed(work: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The same, as raw.delivery_drift has it."""
    query = f"select table_name || '.' || column_name, moved from {drift.DRIFT}"
    return dict(work.execute(f"{query} where measure = 'changed'").fetchall())


def main() -> int:
    """Measure, print, and say by the exit status whether the promise holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, asked.accounts)
        settings = settings_file.load(folder / "lifecycle.toml")
        with connect(settings.work_db) as work:
            one_pass(work)  # what is in memory after it, both find there
            meter = Meter("pass")
            differ = one_pass(work)
            meter.stage("drift")
            drift.measure(work, settings)
            meter.stage("read")
            agrees = changed(work) == differ
        meter.stage("checks")
        passed = checkpoint.check(settings, "raw").passed
        costs = {cost.stage: cost for cost in meter.stop()}
    ratio = costs["drift"].cpu_seconds / costs["pass"].cpu_seconds
    holds = agrees and (ratio <= PROMISED or asked.accounts < PROMISED_FROM)
    if asked.json:
        print(json.dumps({
            "accounts": asked.accounts, "agrees": agrees, "checks_passed": passed,
            "drift_over_pass": round(ratio, 2),
            "costs": [asdict(costs[name]) for name in ("pass", "drift", "checks")],
        }))  # fmt: skip
    else:
        for cost in (costs["pass"], costs["drift"], costs["checks"]):
            print(f"{cost.stage:8}{cost.seconds:8.1f} s{cost.cpu_seconds:8.1f} CPU s"
                  f"{cost.peak_mb:8.0f} MB")  # fmt: skip
        print(
            f"drift over pass: {ratio:.2f}; promised {PROMISED:g} from {PROMISED_FROM:,} accounts"
        )
        print("the numbers of changed values agree" if agrees else "CHANGED VALUES DIFFER")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
