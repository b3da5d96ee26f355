"""What a plan costs, beside bare SQL that does the same selects and the same join.

    .venv/bin/python benchmarks/plan.py --accounts 1000000

Makes published marts with two contacts an account, ten triggers, and a ledger in which half of
the accounts are inside a trigger, each with a mail accepted before. Then, each in a process of
its own:

bare    reads the ledger's enrolments and, for each trigger, selects who matches, leaves, may
        enter and was seen outside
quiet   the plan of a day on which no step is due
busy    the plan of a day on which a fifth of the enrolments have one: as many mails rendered

The quiet plan must find what the bare SQL finds. Exits with 1 when it takes more than three
times the bare SQL's processor seconds, or the busy one 4 GB (held from a million accounts on).
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from meter import Cost, Meter

QUIET = datetime(2026, 6, 9, 1, tzinfo=UTC)
"""A Tuesday, 10:00 in Tokyo."""
BUSY = QUIET + timedelta(days=1)
ENTERED = QUIET - timedelta(days=6)
PROMISED, PROMISED_MB, PROMISED_FROM = 3.0, 4_000, 1_000_000
TRIGGERS = 10

SETTINGS = """\
[company]
name = "Sakura Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Chiyoda-ku, Tokyo 100-0005, Japan"
contact = "support@example.com"
locale = "en"

[state]
dir = "state"
"""

TRIGGER = """\
audience: segment = 's{number}' and days_silent >= 18 and coalesce(touch_model, 'tech') = 'tech'
recipients: role in ('admin', 'owner')
launch: existing
enter: once_per_episode
exit_when: days_silent < 3
priority: {priority}
caps: {{contact: 2/7d, account: 3/7d}}
steps:
  - {{id: check_in, after: 0d}}
  - {{id: case_study, after: 7d, when: ladder_step < 3}}
  - {{id: last_call, after: 21d}}
"""

MAIL = """\
Subject: {{ account.name }}: a few minutes that pay

Hello {{ contact.name or 'there' }},

{{ account.name }} was last here {{ account.days_silent }} days ago. Others in your place begin
again with one report, shared with one colleague:

https://example.com/reports/new

It takes five minutes. Just answer this mail if something stands in the way.
"""

FOOTER = "{{ company.name }}, {{ company.postal_address }}\nLeave: {{ unsubscribe_url }}\n"

FILLED = {
    "account_id": "'a' || i",
    "name": "'Example ' || i || ' Ltd'",
    "segment": f"'s' || (i % {TRIGGERS})",
    "plan": "['trial', 'team', 'enterprise'][1 + i % 3]",
    "touch_model": "'tech'",
    "time_zone": "'Asia/Tokyo'",
    "time_zone_source": "'account'",
    "country_code": "'JP'",
    "stage": "'mature'",
    "feed_status": "'fresh'",
    "is_churned": "false",
    "locale": "'en'",
    "owner_name": "'Mei Kondo'",
    "owner_email": "'mei.kondo@example.com'",
    "purpose": "'Weekly reports for ' || i || ' shops'",
    "dormancy_reason": "'silent for longer than its limit'",
    "usage_reasons": "'active on ' || i % 28 || ' of 28 days'",
    # The second half of each hundred is inside a trigger; a few of them are back, a few of the
    # others have just fallen silent.
    "days_silent": "CASE WHEN i % 1000 = 550 THEN 1 WHEN i % 100 >= 50 THEN 30"
    " WHEN i % 1000 = 7 THEN 20 ELSE 5 END",
    "ladder_step": "i % 3",
}
"""Columns of account_360 that are not null, of account number i."""


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = _arguments()
    if asked.measure:
        cost, result = {"bare": _bare, "quiet": _quiet, "busy": _busy}[asked.measure](asked.folder)
        answer = {"cost": asdict(cost), "found": result}
        (asked.folder / f"{asked.measure}.json").write_text(json.dumps(answer))
        return
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as temporary:
        folder = Path(temporary)
        _make(folder, asked.accounts)
        answer = {which: _alone(which, folder) for which in ("bare", "quiet", "busy")}
    costs = {which: Cost(**item["cost"]) for which, item in answer.items()}
    entered, left = answer["bare"]["found"]["entered"], answer["bare"]["found"]["left"]
    for which in ("quiet", "busy"):
        result = answer[which]["found"]
        if (result["entered"], result["left"]) != (entered, left):
            sys.exit(f"the {which} plan finds {result}, bare SQL {answer['bare']['found']}")
    mails = answer["busy"]["found"]["mails"] - answer["quiet"]["found"]["mails"]
    times = costs["quiet"].cpu_seconds / costs["bare"].cpu_seconds
    report = {
        "accounts": asked.accounts,
        "entered": entered,
        "left": left,
        "mails": mails,
        **{which: asdict(cost) for which, cost in costs.items()},
        "cpu_seconds_over_bare": times,
        "mails_a_cpu_second": mails / (costs["busy"].cpu_seconds - costs["quiet"].cpu_seconds),
        "peak_mb": costs["busy"].peak_mb,
    }
    if asked.json:
        print(json.dumps(report))
    else:
        _show(report, costs)
    if asked.accounts >= PROMISED_FROM:
        if times > PROMISED:
            sys.exit(f"{times:.2f} times bare SQL is more than promised ({PROMISED})")
        if costs["busy"].peak_mb > PROMISED_MB:
            sys.exit(f"{costs['busy'].peak_mb:,.0f} MB are more than promised ({PROMISED_MB:,})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--measure", choices=["bare", "quiet", "busy"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


# A big company. --------------------------------------------------------------------------


def _make(folder: Path, accounts: int) -> None:
    print(f"making {accounts:,} accounts …", file=sys.stderr, flush=True)
    (folder / "lifecycle.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "triggers").mkdir()
    mails = folder / "email_templates"
    mails.mkdir()
    (mails / "_footer.en.txt").write_text(FOOTER)
    for number in range(TRIGGERS):
        text = TRIGGER.format(number=number, priority=10 * number)
        (folder / "triggers" / f"t{number}.yaml").write_text(text)
        (mails / f"t{number}").mkdir()
        for step in ("check_in", "case_study", "last_call"):
            (mails / f"t{number}" / f"{step}.en.txt").write_text(MAIL)
    settings = _settings(folder)
    settings.state_dir.mkdir()
    _make_marts(settings.published_db, accounts)
    _make_ledger(folder, accounts)


def _make_marts(path: Path, accounts: int) -> None:
    from lifecycle.triggers.columns import account_columns, contact_columns

    people = {
        "contact_id": "'c' || i || '-' || k",
        "account_id": "'a' || i",
        "email": "'p' || i || '-' || k || '@example.com'",
        "email_normalized": "'p' || i || '-' || k || '@example.com'",
        "name": "'Aiko Sato'",
        "role": "['admin', 'user'][k]",
        "consent_basis": "'contract'",
    }
    rows = f"FROM range({accounts}) AS accounts (i)"
    with duckdb.connect(path) as db:
        db.execute("SET enable_progress_bar = false; CREATE SCHEMA marts")
        for table, filled, columns, source in (
            ("account_360", FILLED, account_columns(), rows),
            ("dim_contacts", people, contact_columns(), f"{rows}, range(1, 3) AS two (k)"),
        ):
            chosen = ", ".join(
                f"CAST({filled.get(column.name, 'NULL')} AS {column.data_type}) AS {column.name}"
                for column in columns.values()
            )
            db.execute(f"CREATE TABLE marts.{table} AS SELECT {chosen} {source} ORDER BY hash(i)")
        db.execute(
            "CREATE TABLE marts.feed_health AS SELECT 'fresh' AS feed_status, '' AS reason;"
            "CREATE TABLE marts.rejected_rows"
            " (table_name VARCHAR, key VARCHAR, column_name VARCHAR, reason VARCHAR)"
        )


def _make_ledger(folder: Path, accounts: int) -> None:
    """Half of the accounts inside, a fifth of these with a step due on the busy day."""
    from lifecycle.ledger import runs
    from lifecycle.ledger.store import Ledger
    from lifecycle.ledger.tables import send_identity
    from lifecycle.triggers.folder import load_triggers

    settings = _settings(folder)
    with Ledger.open(settings.ledger_url) as ledger:
        runs.begin(ledger, run_id="r1", as_of=ENTERED, source="files")
    versions = [
        trigger.version for trigger in sorted(load_triggers(settings), key=lambda item: item.name)
    ]
    inside = [i for i in range(accounts) if i % 100 >= 50]
    due, later = (f"{BUSY + timedelta(days=ahead):%Y-%m-%d %H:%M:%S.%f}" for ahead in (0, 9))
    entered = f"{BUSY - timedelta(days=7):%Y-%m-%d %H:%M:%S.%f}"
    late_entry = f"{BUSY + timedelta(days=9) - timedelta(days=21):%Y-%m-%d %H:%M:%S.%f}"
    db = sqlite3.connect(settings.state_dir / "ledger.db")
    keys = [(f"a{i}", f"t{i % TRIGGERS}", 1) for i in inside]
    is_due = [i // 100 % 5 == 0 for i in inside]

    def fill(table: str, **columns: list[object]) -> None:
        marks = ", ".join("?" for _ in columns)
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        db.executemany(statement, zip(*columns.values(), strict=True))

    def same(value: object) -> list[object]:
        return [value] * len(inside)

    accounts_, triggers, cycles = (list(column) for column in zip(*keys, strict=True))
    key = {"account_id": accounts_, "trigger": triggers, "cycle": cycles}
    began: list[object] = [entered if due else late_entry for due in is_due]
    version: list[object] = [versions[i % TRIGGERS] for i in inside]
    fill(
        "enrollments",
        **key,
        entered_version=version,
        trigger_version=version,
        enrolled_at=began,
        run_id=same("r1"),
        time_zone=same("Asia/Tokyo"),
        time_zone_source=same("account"),
        country=same("JP"),
        next_at=[due if item else later for item in is_due],
        held_out=same(0),
    )
    contacts: list[object] = [f"c{i}-1" for i in inside]
    fill("recipients", **key, contact_id=contacts)
    first = ["check_in"] * len(inside)
    fill(
        "steps",
        **key,
        step=first,
        fate=same("planned"),
        decided_at=began,
        due_at=began,
        not_before=began,
    )
    second = [at for at, due in enumerate(is_due) if not due]
    fill(
        "steps",
        **{name: [values[at] for at in second] for name, values in key.items()},
        step=["case_study"] * len(second),
        fate=["skipped"] * len(second),
        decided_at=[late_entry] * len(second),
        due_at=[late_entry] * len(second),
    )
    fill(
        "sends",
        send_id=[
            send_identity(f"a{i}", f"c{i}-1", f"t{i % TRIGGERS}", "check_in", 1) for i in inside
        ],
        **key,
        contact_id=contacts,
        step=first,
        trigger_version=version,
        run_id=same("r1"),
        address=[f"p{i}-1@example.com" for i in inside],
        domain=same("example.com"),
        locale=same("en"),
        locale_source=same("company"),
        priority=same(50),
        due_at=began,
        not_before=began,
        closes_at=began,
        state=same("accepted"),
        state_at=began,
        attempts=same(1),
        accepted_at=began,
    )
    fill_launches = (
        "INSERT INTO launches (trigger, launched_at, mode, run_id) VALUES (?, ?, ?, 'r1')"
    )
    db.executemany(fill_launches, [(f"t{n}", entered, "existing") for n in range(TRIGGERS)])
    db.commit()
    db.close()


def _settings(folder: Path):  # type: ignore[no-untyped-def]
    from lifecycle import settings as settings_file

    return settings_file.load(folder / "lifecycle.toml")


# The three. ------------------------------------------------------------------------------

Found = dict[str, int]


def _warm() -> None:
    """PyArrow imports pandas with its first array: a second that is no part of either."""
    pa.array(["a"])


def _plan(folder: Path, now: datetime) -> tuple[Cost, Found]:
    from lifecycle.ledger.store import Ledger
    from lifecycle.planning.plan import decide
    from lifecycle.triggers.folder import load_triggers
    from lifecycle.warehouse.connection import connect_published

    settings = _settings(folder)
    triggers = load_triggers(settings)
    with Ledger.open(settings.ledger_url) as ledger:
        _warm()
        meter = Meter("plan")
        with connect_published(settings) as warehouse, ledger.read() as known:
            result = decide(settings, warehouse, known, triggers, as_of=now)
        (cost,) = meter.stop()
    created = result.decisions
    return cost, {
        "entered": len(created.entries),
        "left": len(created.endings),
        "mails": len(created.sends),
    }


def _quiet(folder: Path) -> tuple[Cost, Found]:
    return _plan(folder, QUIET - timedelta(hours=1))


def _busy(folder: Path) -> tuple[Cost, Found]:
    return _plan(folder, BUSY)


def _bare(folder: Path) -> tuple[Cost, Found]:
    """What an SQL console would be asked, trigger by trigger."""
    settings = _settings(folder)
    entered = left = 0
    _warm()
    meter = Meter("bare SQL")
    ledger = sqlite3.connect(settings.state_dir / "ledger.db")
    with duckdb.connect(settings.published_db, read_only=True) as db:
        for number in range(TRIGGERS):
            rows = ledger.execute(
                "SELECT account_id, max(cycle), ended_at, seen_false_at FROM enrollments"
                " WHERE trigger = ? GROUP BY account_id",
                [f"t{number}"],
            ).fetchall()
            names = ("account_id", "cycle", "ended_at", "seen_false_at")
            kinds = (pa.string(), pa.int64(), pa.string(), pa.string())
            columns = [
                pa.array(values, kind)
                for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)
            ]
            db.register("inside", pa.table(dict(zip(names, columns, strict=True))))
            member = (
                f"segment = 's{number}' AND days_silent >= 18"
                " AND coalesce(touch_model, 'tech') = 'tech' AND stage <> 'churned'"
            )
            entered += len(
                db.execute(
                    f"SELECT account_id FROM marts.account_360 LEFT JOIN inside USING (account_id)"
                    f" WHERE {member} AND (cycle IS NULL"
                    " OR (ended_at IS NOT NULL AND seen_false_at IS NOT NULL))"
                ).fetchall()
            )
            left += len(
                db.execute(
                    "SELECT account_id, cycle FROM inside LEFT JOIN marts.account_360 a"
                    " USING (account_id) WHERE ended_at IS NULL AND"
                    " (a.stage IS NULL OR a.stage = 'churned' OR a.days_silent < 3)"
                ).fetchall()
            )
            db.execute(
                "SELECT account_id FROM inside JOIN marts.account_360 USING (account_id)"
                f" WHERE NOT ({member}) AND seen_false_at IS NULL"
            ).fetchall()
    ledger.close()
    (cost,) = meter.stop()
    return cost, {"entered": entered, "left": left, "mails": 0}


def _alone(which: str, folder: Path) -> dict[str, dict[str, float]]:
    print(f"{which} …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--measure", which, "--folder", str(folder)]
    if status := subprocess.run(command, stdout=sys.stderr).returncode:
        sys.exit(status)
    answer: dict[str, dict[str, float]] = json.loads((folder / f"{which}.json").read_text())
    return answer


def _show(report: dict[str, object], costs: dict[str, Cost]) -> None:
    print(
        f"{report['accounts']:,} accounts, {TRIGGERS} triggers:"
        f" {report['entered']:,} enter, {report['left']:,} leave"
    )
    for which, cost in costs.items():
        print(
            f"{which:5} {cost.seconds:6.1f} s, {cost.cpu_seconds:6.1f} CPU s,"
            f" {cost.peak_mb:6,.0f} MB"
        )
    print(f"quiet plan over bare SQL, CPU seconds: {report['cpu_seconds_over_bare']:.2f}")
    print(f"{report['mails']:,} mails more, {report['mails_a_cpu_second']:,.0f} a CPU second")


if __name__ == "__main__":
    main()
