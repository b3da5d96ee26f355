"""What a whole run does with bad input: one clear message, the right status, nothing half done."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

import warm
from commands import CHECKOUT, environment, run_json
from company import Company
from lifecycle.cli import app
from lifecycle.errors import Problems, TriggerError
from lifecycle.sources import demo
from lifecycle.sources.demo_clock import DEMO_CLOCK

AS_OF = ("--as-of", "2026-06-10 01:00")
MISSPELT = """
description: Wake whoever fell silent
audience: is_dormnt
recipients: role = 'admin'
launch: existing
steps: [{id: hello, after: 0d}]
"""


@pytest.fixture(scope="module")
def demo_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.write(tmp_path_factory.mktemp("demo"), until=DEMO_CLOCK)


class Export:
    """The demo company as an export whose accounts somebody spoils."""

    def __init__(self, folder: Path, demo_files: Path, prefect_api: str) -> None:
        self.folder, self.state = folder / "export", folder / "state"
        self.folder.mkdir()
        for path in demo_files.glob("*.parquet"):
            if path.stem != "accounts":
                shutil.copyfile(path, self.folder / path.name)
        self._accounts = f"select * from '{demo_files / 'accounts.parquet'}' order by account_id"
        self.env = environment(
            self.state,
            LIFECYCLE__SOURCE__KIND="files",
            LIFECYCLE__SOURCE__PATH=str(self.folder),
            PREFECT_API_URL=prefect_api,
        )

    def accounts(self, change: str) -> None:
        """Write accounts.csv as an SQL expression over the good rows `a` has it."""
        duckdb.connect().execute(
            f"copy (with a as ({self._accounts}) {change}) to '{self.folder}/accounts.csv'"
        )

    def mails(self) -> int:
        return len(list((self.state / "outbox").glob("*.eml")))


@pytest.fixture
def export(tmp_path: Path, demo_files: Path, prefect_api: str) -> Export:
    return Export(tmp_path, demo_files, prefect_api)


def test_what_stops_a_run_before_its_first_stage_is_told_and_stays_known(
    export: Export, tmp_path: Path
) -> None:
    company = Company(tmp_path / "company")
    (company.folder / "email_templates" / "_footer.en.txt").write_text("{{ compny.name }}\n")
    answer = {}
    for status, provider, config in (
        (3, "sendgrid", CHECKOUT / "lifecycle.toml"),
        (2, "outbox", company.folder / "lifecycle.toml"),
    ):
        env = {**export.env, "LIFECYCLE__DELIVERY__PROVIDER": provider}
        answer[status] = run_json("--config", str(config), "run", env=env, status=status)
        assert answer[status]["stopped"]["exit_status"] == status
        assert answer[status]["stopped"]["stage"] == "begin"
        assert (answer[status]["planned"], answer[status]["accepted"]) == (0, 0)
        latest = json.loads((export.state / "reports" / "latest.json").read_text(encoding="utf-8"))
        assert latest == answer[status]
    assert answer[3]["stopped"]["door"] == "feedback"
    assert "_footer.en.txt:1: nothing is called compny" in answer[2]["stopped"]["message"]
    assert not (export.state / "work.duckdb").exists(), "no stage began"

    seen = " ".join(CliRunner().invoke(app, ["status"], env=export.env).stdout.split())
    assert "stopped" in seen
    assert "bounces were never read from the provider" in seen
    assert "compny" in seen


def test_a_missing_column_ends_the_run_before_anything_is_applied(export: Export) -> None:
    export.accounts("select * exclude (name), name as nmae from a")
    done = warm.lifecycle("run", *AS_OF, env=export.env, cwd=CHECKOUT)
    assert done.returncode == 2
    assert "accounts.csv" in done.stderr
    assert "name" in done.stderr
    assert "nmae" in done.stderr, "what was probably meant"
    assert "Traceback" not in done.stderr
    work = export.state / "work.duckdb"
    if work.exists():
        with duckdb.connect(str(work)) as warehouse:
            tables = "select count(*) from information_schema.tables where table_name = 'accounts'"
            assert warehouse.execute(tables).fetchone() == (0,)
    assert export.mails() == 0


def test_too_many_bad_rows_stop_the_run_and_one_bad_row_or_trigger_does_not(
    export: Export, tmp_path: Path
) -> None:
    spoiled = "select * replace (case when account_id {which} then 'soon' else created_at::varchar"
    spoiled += " end as created_at) from a"
    export.accounts(spoiled.format(which="<= 'A0010'"))
    stopped = run_json("run", *AS_OF, env=export.env, status=3)
    assert stopped["stopped"]["door"] == "raw"
    assert (stopped["planned"], stopped["accepted"], export.mails()) == (0, 0, 0)
    latest = (export.state / "reports" / "latest.txt").read_text(encoding="utf-8")
    assert "accounts.csv" in latest
    assert "soon" in latest

    export.accounts(spoiled.format(which="= 'A0010'"))
    config = with_a_trigger_that_cannot_be_used(tmp_path / "company")
    report = run_json("--config", str(config), "run", *AS_OF, env=export.env)
    one_trigger_waits(export, config, report)
    assert report["rejected_rows"] == 1
    assert report["warnings"] == [], "its contacts are no strangers"
    assert report["accepted"] == export.mails() > 10
    with duckdb.connect(str(export.state / "published.duckdb"), read_only=True) as published:
        row = published.execute(
            "select file, row_number, column_name, key from marts.rejected_rows"
        ).fetchall()
        accounts = published.execute("select count(*) from marts.account_360").fetchone()
    assert len(row) == 1
    assert row[0][0].endswith("accounts.csv")
    assert row[0][2:] == ("created_at", "A0010")
    assert accounts == (report["accounts"],)

    half_of_the_accounts_vanish(export)


def with_a_trigger_that_cannot_be_used(folder: Path) -> Path:
    """The project's own company, and a third trigger that is misspelt."""
    company = Company(folder)
    for name in ("triggers", "email_templates"):
        shutil.copytree(CHECKOUT / name, folder / name, dirs_exist_ok=True)
    config = folder / "lifecycle.toml"
    shutil.copy(CHECKOUT / "lifecycle.toml", config)
    company.trigger("wake", MISSPELT, "hello")
    (folder / "email_templates" / "wake" / "hello.ja.txt").write_text("Subject: x\n\nx\n")
    return config


def one_trigger_waits(export: Export, config: Path, report: dict[str, Any]) -> None:
    """It is named wherever somebody looks; the others were mailed."""
    assert (report["status"], list(report["broken"])) == ("done", ["wake"])
    assert set(report["by_trigger"]) >= {"onboarding", "win_back_dormant"}
    answer = "triggers/wake.yaml:3: audience: account_360 has no column 'is_dormnt'"
    latest = (export.state / "reports" / "latest.txt").read_text(encoding="utf-8")
    pages = {"report": latest}
    for command in (["status"], ["explain", "A0002"]):
        done = CliRunner().invoke(app, ["--config", str(config), *command], env=export.env)
        assert done.exit_code == 0
        pages[command[0]] = done.stdout
    for page in pages.values():
        assert answer in " ".join(page.split())
    checked = CliRunner().invoke(app, ["--config", str(config), "validate"], env=export.env)
    assert isinstance(checked.exception, TriggerError | Problems)
    assert checked.exception.exit_status == 2
    due = run_json("--config", str(config), "deliver", env=export.env)
    assert due["accepted"] == 0


def half_of_the_accounts_vanish(export: Export) -> None:
    """The run is refused, and all stays as the good one before it left it."""
    marts, mails = export.state / "published.duckdb", export.mails()
    good = hashlib.sha256(marts.read_bytes()).hexdigest()
    with duckdb.connect(str(export.state / "work.duckdb")) as work:
        marked = "select 1 from duckdb_tables() where schema_name = 'unpublished'"
        assert work.execute(marked).fetchall() == []
    export.accounts("select * from a where account_id not similar to '.*[02468]'")
    refused = run_json("run", *AS_OF, env=export.env, status=3)
    stopped = refused["stopped"]
    assert (stopped["stage"], stopped["door"]) == ("gate_raw", "raw")
    vanished, *_ = (
        failure for failure in stopped["failures"] if failure.startswith("raw.accounts.")
    )
    assert vanished.startswith("raw.accounts.account_id: Accounts vanished at once")
    assert "150 of 302 accounts vanished, 49.7%: 302 before, 152 now" in vanished
    assert "e.g. account_id=A0002; account_id=A0004; account_id=A0006" in vanished
    assert (refused["planned"], refused["accepted"]) == (0, 0)
    assert hashlib.sha256(marts.read_bytes()).hexdigest() == good
    assert export.mails() == mails
    with duckdb.connect(str(export.state / "work.duckdb")) as work:
        unpublished = work.execute("select run_id from unpublished.run").fetchall()
    assert unpublished == [(refused["run_id"],)]
