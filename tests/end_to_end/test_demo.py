"""`make run` on the built-in company, through the real flow, quiet and killed."""

from __future__ import annotations

import email
import email.policy
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from typer.testing import CliRunner

import warm
from commands import CHECKOUT, PREFECT_CREDENTIAL, environment, run_json
from left_behind import where_it_stands
from lifecycle.cli import app
from lifecycle.report.progress import STAGES


@dataclass(frozen=True)
class Quiet:
    """A first run that nothing disturbed."""

    state: Path
    env: dict[str, str]
    report: dict[str, Any]
    mails: dict[str, bytes]
    """The outbox as it left it: file → mail."""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Quiet:
    state = tmp_path_factory.mktemp("quiet")
    env = environment(state, PREFECT_API_URL=prefect_api)
    report = run_json("run", env=env)
    return Quiet(state, env, report, outbox(state))


def outbox(state: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (state / "outbox").glob("*.eml")}


def test_the_demo_company_gets_its_mails_once_and_can_be_explained(quiet, prefect_api):
    state, env, report = quiet.state, quiet.env, quiet.report
    assert 250 <= report["accounts"] <= 350
    assert report["feed_status"] == "fresh"
    assert set(report["by_trigger"]) == {"_owner_list", "onboarding", "win_back_dormant"}
    assert report["planned"] >= report["accepted"] > 10
    assert set(report["seconds"]) == {
        *("pull", "gate_raw", "build", "gate_marts", "publish", "plan", "deliver")
    }
    for door in ("raw", "marts"):
        assert report["gate"][door]["passed"] > 5
        assert report["gate"][door]["failed"] == 0

    sent = [
        email.message_from_bytes(content, policy=email.policy.default)
        for content in quiet.mails.values()
    ]
    assert len(sent) == report["accepted"]
    assert {mail["Content-Language"] for mail in sent} == {"en", "ja"}
    lists = [mail for mail in sent if mail["X-Lifecycle-Trigger"] == "_owner_list"]
    assert len(lists) == report["owner_lists"]["lists"] == report["by_trigger"]["_owner_list"] > 1
    assert len({mail["To"] for mail in lists}) == len(lists), "one list an owner"
    assert not any(mail["List-Unsubscribe"] for mail in lists)
    for mail in sent:
        if mail in lists:
            continue
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["List-Unsubscribe"].startswith("<mailto:")
        assert mail["Message-ID"].startswith(f"<{mail['X-Lifecycle-Send']}@")
        assert mail.get_content_type() == "text/plain"
        assert "1-2-3 Marunouchi" in mail.get_content()

    left = artifacts(prefect_api, report["run_id"])
    assert set(left) == {
        *("stage-health-matrix", "sends-by-trigger", "withheld-by-reason", "gate-result"),
        "run-report",
    }, "and no failing checks"
    assert {row["trigger"]: row["accepted"] for row in json.loads(left["sends-by-trigger"])} == (
        report["by_trigger"]
    )
    assert "303 accounts" in left["run-report"]

    again = run_json("run", env=env)
    assert (again["planned"], again["accepted"]) == (0, 0)

    # 16:00 in Tokyo is nine in the morning in Berlin and Paris: their mails go from then on.
    later = run_json("deliver", "--as-of", "2026-06-10 16:30 Asia/Tokyo", env=env)
    assert later["accepted"] >= 1
    assert len(outbox(state)) == len(sent) + later["accepted"]

    schedules = {
        schedule["schedule"]: schedule for schedule in run_json("status", env=env)["schedules"]
    }
    assert schedules["daily"]["last_outcome"] == "done"
    assert schedules["every-10-minutes"]["last_outcome"] == "done"
    assert schedules["monthly"]["last_outcome"] is None

    backwards = warm.lifecycle("run", "--as-of", "2026-06-09 01:00", env=env, cwd=CHECKOUT)
    assert backwards.returncode == 2
    assert "before this ledger's newest decision" in backwards.stderr

    erase_a_contact_and_an_owner(state, env)


def artifacts(prefect_api: str, run_id: str) -> dict[str, str]:
    """What a run left on its page in Prefect: key → content."""
    newest = {"sort": "CREATED_DESC"}
    user, _, password = PREFECT_CREDENTIAL.partition(":")
    result = httpx.post(
        f"{prefect_api}/artifacts/filter", json=newest, auth=(user, password), timeout=60
    ).json()
    return {item["key"]: item["data"] for item in result if f"run {run_id}:" in item["description"]}


def erase_a_contact_and_an_owner(state: Path, env: dict[str, str]) -> None:
    """Both are nowhere afterwards, and nobody else is gone with them."""
    with duckdb.connect(str(state / "work.duckdb"), read_only=True) as work:
        contact_id, address, name = work.execute(
            """
            select contact_id, email, name from raw.contacts
            join raw.survey_responses using (contact_id)
            join context.ledger_sends using (contact_id)
            where comment is not null
            and name in (select name from raw.contacts group by 1 having count(*) = 1) order by 1
            """
        ).fetchall()[0]
        owner, called = work.execute(
            """
            select owner_email, owner_name from raw.accounts
            join context.ledger_sends using (account_id)
            where owner_name not in (select name from raw.contacts) order by 1
            """
        ).fetchall()[0]
        counts = "select (select count(*) from raw.survey_responses), count(*) from raw.accounts"
        before = work.execute(counts).fetchone()
        score = "select avg(satisfaction_health) from marts.account_360"
        health = work.execute(score).fetchone()
    assert where_it_stands(state, address, name, owner, called) >= {
        *("work.duckdb: snapshots.contacts_snapshot", "work.duckdb: snapshots.accounts_snapshot"),
        *("published.duckdb: marts.dim_contacts", "published.duckdb: marts.account_360"),
        *("ledger.db: messages", "ledger.db: sends"),
    }
    key = {"LIFECYCLE__PRIVACY__ERASURE_KEY": "0123456789abcdef0123456789abcdef"}
    gone = {}
    for item in (address, owner):
        asked = ["erase", item.upper(), "--by", "support", "--json"]
        done = CliRunner().invoke(app, asked, env={**env, **key})
        assert done.exit_code == 0, done.exception
        gone[item] = json.loads(done.stdout)
        assert gone[item]["rows"] > 0
    assert gone[owner]["mails"] > gone[address]["mails"] >= 1
    assert where_it_stands(state, address, name, owner, called) == set()
    with duckdb.connect(str(state / "work.duckdb"), read_only=True) as work:
        assert work.execute(counts).fetchone() == before
        assert work.execute(score).fetchone() == health
        theirs = "select count(*) from raw.survey_responses where contact_id = ?"
        assert work.execute(theirs, [contact_id]).fetchone() == (0,)


@pytest.mark.long
def test_killed_runs_end_in_the_same_mails_as_a_quiet_one(quiet, tmp_path, prefect_api):
    state, chance = tmp_path / "state", random.Random(20260610)
    env = environment(state, PREFECT_API_URL=prefect_api)
    batch = chance.randint(1, len(quiet.mails) // 2)
    for stage, got_there in (
        ("build", lambda: True),
        ("plan", lambda: True),
        ("deliver", lambda: len(outbox(state)) >= batch),
    ):
        kill_a_run(env, tmp_path / stage, stage, got_there, chance.uniform(0, 0.1))
    assert len(outbox(state)) >= batch
    run_json("run", env=env)

    assert outbox(state) == quiet.mails
    with closing(sqlite3.connect(state / "ledger.db")) as ledger:
        states = dict(ledger.execute("select state, count(*) from sends group by 1"))
        twice = ledger.execute(
            "select send_id from send_log where to_state = 'accepted'"
            " group by 1 having count(*) > 1"
        ).fetchall()
        runs = ledger.execute("select status from runs order by started_at").fetchall()
    assert set(states) <= {"accepted", "planned"}
    assert states["accepted"] == len(quiet.mails)
    assert twice == []
    assert runs == [("failed",), ("failed",), ("failed",), ("done",)]


def kill_a_run(
    env: dict[str, str], output: Path, stage: str, got_there: Callable[[], bool], more: float
) -> None:
    """Start a run, and end it by force, with all its children: once it says that a stage began,
    and it `got_there`, and some seconds `more`."""
    run = warm.start_lifecycle("run", env=env, cwd=CHECKOUT, output=output)
    message = output.with_suffix(".2")
    line = f"{STAGES[stage]} …"
    while run.exitcode is None and not (
        message.exists() and line in message.read_text(encoding="utf-8") and got_there()
    ):
        time.sleep(0.002)
    time.sleep(more)
    assert run.exitcode is None, f"it ended before it could be killed:\n{message.read_text()}"
    os.killpg(run.pid, signal.SIGKILL)
    run.join()
    assert run.exitcode == -signal.SIGKILL


@pytest.mark.long
def test_a_launch_admits_only_who_came_to_match_since_its_day(tmp_path, prefect_api):
    company = tmp_path / "company"
    for name in ("triggers", "email_templates"):
        shutil.copytree(CHECKOUT / name, company / name)
    shutil.copy(CHECKOUT / "lifecycle.toml", company)
    trigger = company / "triggers" / "win_back_dormant.yaml"
    text = trigger.read_text(encoding="utf-8")
    trigger.write_text(text.replace("launch: existing", "launch: {existing_since: 2026-05-25}"))

    state = tmp_path / "state"
    env = environment(state, PREFECT_API_URL=prefect_api)
    report = run_json("--config", str(company / "lifecycle.toml"), "run", env=env)
    assert report["withheld"]["matched_before_launch"] > 10
    with sqlite3.connect(state / "ledger.db") as ledger:
        entered = ledger.execute(
            "select account_id from enrollments where trigger = 'win_back_dormant'"
        ).fetchall()
    with duckdb.connect(str(state / "published.duckdb"), read_only=True) as published:
        since = dict(
            published.execute(
                "select account_id, coalesce(days_silent, days_since_go_live) - dormancy_limit_days"
                " from marts.account_360"
            ).fetchall()
        )
    assert entered
    assert all(since[account] <= 17 for (account,) in entered), "dormant before the day"
    assert not list(state.glob("as-of-*")), "the marts of that day are gone again"
