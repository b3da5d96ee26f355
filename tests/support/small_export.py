"""A small company: its export as CSV files, a day at a time, that tests spoil, and two triggers."""

from __future__ import annotations

from pathlib import Path

import duckdb

WELCOME = """
audience: days_since_go_live between 0 and 30 and touch_model = 'tech'
recipients: role in ('admin', 'member')
launch: existing
enter: once
steps:
  - {id: hello, after: 0d}
  - {id: second, after: 1d}
"""
WIN_BACK = """
audience: is_dormant and touch_model = 'tech'
recipients: role in ('admin', 'member')
launch: existing
enter: once_per_episode
exit_when: not is_dormant
steps:
  - {id: check_in, after: 0d}
  - {id: last_call, after: 1d}
"""

ACCOUNTS = """
select
  'A' || lpad(i::varchar, 3, '0') as account_id,
  'Firm ' || i || ' Ltd' as name,
  timestamp '2025-01-01' + to_days(i::int) as created_at,
  case
    when i % 10 = 9 and i < 50 then timestamp '2026-06-01' + to_days((i // 10)::int)
    else timestamp '2025-02-01' + to_days(i::int)
  end as went_live_at,
  ['smb', 'mid_market', 'enterprise'][1 + i % 3] as segment,
  ['starter', 'business'][1 + i % 2] as plan,
  100.0 + i as mrr,
  5 + i % 7 as seats,
  case when i % 4 = 0 then 'high' else 'tech' end as touch_model,
  ['JP', 'KR'][1 + i % 2] as country,
  ['Asia/Tokyo', 'Asia/Seoul'][1 + i % 2] as time_zone,
  'en' as locale,
  'Owner ' || i % 5 as owner_name,
  'owner' || i % 5 || '@vendor.example.com' as owner_email,
  timestamp '2027-03-01' + to_days((i % 90)::int) as renewal_at,
  case when i > 50 then timestamp '2026-03-01' + to_days(i::int) end as churned_at
from range(1, 61) as t (i)
"""
CONTACTS = """
select
  'C' || lpad(i::varchar, 3, '0') as contact_id,
  'A' || lpad((1 + (i - 1) // 2)::varchar, 3, '0') as account_id,
  'person' || i || '@firm' || (1 + (i - 1) // 2) || '.example.com' as email,
  'Person Number' || i as name,
  ['admin', 'member'][1 + i % 2] as role,
  'en' as locale,
  'contract' as consent_basis,
  timestamp '2025-03-01' + to_days((i % 200)::int) as consented_at,
  case when i % 5 = 0 then timestamp '2026-01-01' + to_days((i % 50)::int) end as unsubscribed_at
from range(1, 121) as t (i)
"""
# Every fifth account fell silent at the end of April; the others are seen on each weekday.
EVENTS = """
select
  'e' || i || '-' || strftime(day, '%Y%m%d') || '-' || n as event_id,
  'A' || lpad(i::varchar, 3, '0') as account_id,
  day + to_minutes((60 + i + 200 * n)::int) as occurred_at,
  ['dashboard_viewed', 'report_created', 'report_shared'][1 + n] as event_name,
  'u' || i as user_id,
  'reports' as feature
from range(1, 51) as accounts (i),
  range(timestamp '2026-04-01', timestamp '2026-06-12', interval 1 day) as days (day),
  range(3) as several (n)
where dayofweek(day) between 1 and 5 and (i % 5 > 0 or day < timestamp '2026-04-30')
"""
TABLES = {"accounts": ACCOUNTS, "contacts": CONTACTS, "usage_events": EVENTS}


def write(folder: Path, *, until: str, **changes: str) -> None:
    """Replace the export by what was known at a moment (UTC).

    `changes` are queries over the good rows `t`, by table; `all_accounts` and `all_contacts` are
    there too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        for name, query in TABLES.items():
            where = f"where occurred_at < timestamp '{until}'" if name == "usage_events" else ""
            good = f"select * from ({query}) {where}"
            change = changes.get(name, "from t")
            db.execute(
                f"copy (with t as ({good}), all_accounts as ({ACCOUNTS}), all_contacts as"
                f" ({CONTACTS}) select * from ({change}) order by 1)"
                f" to '{folder / name}.csv' (header, timestampformat '%Y-%m-%dT%H:%M:%SZ')"
            )
