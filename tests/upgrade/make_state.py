"""Make the state folder of a version, for test_upgrade.py: once a release, in its own checkout.

    .venv/bin/python tests/upgrade/make_state.py ../a-checkout-of-the-release 0.1.0

The checkout has its own .venv (`make install`). The customers are two in three of the demo
company's, as files, and everything is done by that version's own commands: runs and deliveries on
four business days, the first so early that the second step of its sequences is due on the day after
the last; fitted scores before that one; a suppression, an account on hold. One mail goes to a relay
on 127.0.0.1 that takes it and closes without an answer, so that it is held. <version>.tar.xz,
beside this script, has then

    state/     what an upgrade has to keep: ledger, warehouses, outbox
    exports/   the files of the morning after, with the usage events since the last run

A live provider takes mails of the last 24 hours only, so the last day is the newest that is over.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from faults.fake_smtp import CLOSE, TAKE, FakeSmtp  # noqa: E402 (found by the line before)
from lifecycle.calendar import is_business_day  # noqa: E402

RUNS = (6, 2, 1, 0)
"""Business days before the last."""
EVENTS_FROM = timedelta(days=200)
OF_NO_USE_LATER = ("dbt", "logs", "prefect*", "reports", "data_docs", "run.lock", "*.tmp", "*.pace")
SIGNED = ("--by", "aiko", "--why", "as agreed")
WRITE_DEMO = """
import sys
from datetime import datetime
from pathlib import Path
from lifecycle.sources.demo import write
write(Path(sys.argv[1]), until=datetime.fromisoformat(sys.argv[2]))
"""


class Release:
    """A checkout of the release, its new state folder, and the files that it reads."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.bin = checkout / ".venv" / "bin"
        self.checkout = checkout
        self.state, self.exports = folder / "state", folder / "exports"

    def live(self) -> None:
        """The four days, and what people decided."""
        days = business_days()
        last_run = utc(days[-1], 1)
        self.export(until=utc(days[-1], 15.5), last_run=last_run)
        for day in days:
            if day == days[-1]:
                self.lifecycle("fit-scores")  # in force from this day on
            self.lifecycle("run", "--as-of", utc(day, 1).isoformat())
            if day != days[-1]:  # when the sun has been around the world
                self.lifecycle("deliver", "--as-of", utc(day, 18).isoformat())
        self.hold_a_mail(days[-1])
        with closing(sqlite3.connect(self.state / "ledger.db")) as ledger:
            mails = ledger.execute(
                "select address, account_id from sends where trigger = 'win_back_dormant'"
                " and state = 'accepted' order by send_id"
            ).fetchall()
        (address, _), (_, account) = mails[0], mails[-1]
        self.lifecycle("suppress", address, *SIGNED)
        self.lifecycle("hold", account, "--until", f"{days[-1] + timedelta(days=30)}", *SIGNED)

    def export(self, *, until: datetime, last_run: datetime) -> None:
        """The files: all that was known `until` then. Events after the last run are a file of
        their own, and what was known before them is left out of the archive: it was loaded."""
        demo = self.exports.with_name("demo")
        python = str(self.bin / "python")
        subprocess.run(
            [python, "-c", WRITE_DEMO, str(demo), until.isoformat()], cwd=self.checkout, check=True
        )
        chosen = "cast(substr(account_id, 2) as int) % 3 > 0"
        # Bound values are not taken in a COPY.
        since, split = (moment.replace(tzinfo=None) for moment in (until - EVENTS_FROM, last_run))
        parts = {
            "accounts": chosen,
            "contacts": chosen,
            "survey_responses": chosen,
            "usage_events/loaded": f"{chosen} and occurred_at between '{since}' and '{split}'",
            "usage_events/since": f"{chosen} and occurred_at > '{split}'",
        }
        (self.exports / "usage_events").mkdir(parents=True)
        with duckdb.connect() as database:
            for part, condition in parts.items():
                [source] = demo.glob(f"{part.partition('/')[0]}*")
                database.execute(
                    f"copy (from '{source}' where {condition} order by all)"
                    f" to '{self.exports / part}.parquet' (compression zstd)"
                )

    def hold_a_mail(self, day: date) -> None:
        """Deliver in the morning in New York; the first mail's fate is not known."""
        with FakeSmtp() as relay:
            relay.answer("END", TAKE + CLOSE)
            smtp = {"HOST": "127.0.0.1", "PORT": str(relay.port), "TLS": "none"}
            live = {f"LIFECYCLE__SMTP__{name}": value for name, value in smtp.items()}
            live["LIFECYCLE__DELIVERY__PROVIDER"] = "smtp"
            live["LIFECYCLE__DELIVERY__HOLD_AFTER_HOURS"] = "0.001"
            for hour in (14.5, 14.75):
                self.lifecycle("deliver", "--as-of", utc(day, hour).isoformat(), **live)
            assert relay.taken, "no mail was due"

    def lifecycle(self, *arguments: str, **settings: str) -> dict[str, Any]:
        """One command, run to its end; its answer."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LIFECYCLE", "PREFECT"))
        }
        done = subprocess.run(
            [str(self.bin / "lifecycle"), *arguments, "--json"],
            env={
                **kept,
                "LIFECYCLE_CONFIG": str(self.checkout / "lifecycle.toml"),
                "LIFECYCLE__STATE__DIR": str(self.state),
                "LIFECYCLE__SOURCE__KIND": "files",
                "LIFECYCLE__SOURCE__PATH": str(self.exports),
                **settings,
            },
            cwd=self.state.parent,  # of which dlt keeps the name
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def business_days() -> list[date]:
    """The days of the runs. The last was over in Tokyo half an hour ago."""
    day = (datetime.now(UTC) - timedelta(hours=16)).date()
    days: list[date] = []
    while len(days) <= max(RUNS):
        if is_business_day(day, "JP"):
            days.append(day)
        day -= timedelta(days=1)
    return [days[before] for before in RUNS]


def utc(day: date, hour: float) -> datetime:
    """A moment of a day: 1 is ten in the morning in Tokyo."""
    return datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=hour)


def pack(folder: Path, archive: Path) -> None:
    """The two folders, without what the next command makes anew, and without who packed them."""
    (folder / "exports" / "usage_events" / "loaded.parquet").unlink()
    kept = folder / "kept"
    for name in ("state", "exports"):
        ignored = shutil.ignore_patterns(*OF_NO_USE_LATER)
        shutil.copytree(folder / name, kept / name, ignore=ignored)
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in sorted(kept.rglob("*")):
            tar.add(path, str(path.relative_to(kept)), recursive=False, filter=anonymous)


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without an owner."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main() -> None:
    """Live through the days, and pack what they left."""
    checkout, version = Path(sys.argv[1]).resolve(), sys.argv[2]
    with tempfile.TemporaryDirectory(prefix="lifecycle-upgrade-") as folder:
        Release(checkout, Path(folder)).live()
        pack(Path(folder), HERE / f"{version}.tar.xz")


if __name__ == "__main__":
    main()
