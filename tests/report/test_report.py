"""The report of a run, for a machine and for a person."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from lifecycle.errors import GateStopped
from lifecycle.planning.decision import Reason
from lifecycle.report.reasons import WHY
from lifecycle.report.run_report import RunReport, Stop
from lifecycle.report.run_sections import health_matrix
from lifecycle.warehouse import published_marts
from planned import Workspace

AS_OF = datetime(2026, 6, 10, 1, tzinfo=UTC)


def report() -> RunReport:
    return RunReport(
        run_id="20260610-010000-abcd",
        as_of=AS_OF,
        source="files",
        dry_run=False,
        state_dir="/state",
        time_zone="Asia/Tokyo",
        status="done",
        accounts=2,
        gone_rows={"accounts": 1, "contacts": 1_200},
        feed_status="late",
        feed_reason="the newest event is 40 business hours old; 36 are allowed",
        gate={"raw": {"passed": 3, "failed": 0, "warnings": 1}},
        planned=3,
        planned_by_trigger={"win_back": 3},
        accepted=1,
        by_trigger={"win_back": 1},
        withheld={"no_consent": 2},
        waiting=["onboarding waits: the feed is late"],
        remaining_planned=2,
        next_due=datetime(2026, 6, 11, 0, tzinfo=UTC),
        rejected_rows=1,
        rejected_by_table={"contacts": 1},
        rejected_examples=[
            {
                "table": "contacts",
                "file": "contacts.csv",
                "row": 7,
                "column": "email",
                "reason": "not an address",
            }
        ],
        stage_health=[
            {"stage": "mature", "usage_band": "green", "accounts": 1},
            {"stage": "unknown", "usage_band": "unknown", "accounts": 1},
        ],
        warnings=["raw.accounts.mrr: often null"],
        seconds={"pull": 1.25, "gate_raw": 0.5},
    )


def test_rows_set_aside_are_shown_one_of_each_kind_first_and_the_others_are_counted(
    workspace: Workspace,
) -> None:
    workspace.publish()
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute(
            "insert into marts.rejected_rows select 'accounts', 'accounts.csv', i, 'mrr', 'x',"
            " 'no number', '{}', 'A' || i, '2030-01-01' from range(1, 8) t(i)"
        )
        examples = published_marts.rejected_examples(db)
    assert [(example["table"], example["row"]) for example in examples[:2]] == [
        ("accounts", 1),
        ("contacts", 9),
    ]
    assert len(examples) == published_marts.EXAMPLES
    shown = replace(report(), rejected_rows=8, rejected_examples=examples).as_text()
    assert "and 3 more: marts.rejected_rows" in shown
    assert "more: marts.rejected_rows" not in report().as_text()


def test_the_object_of_run_json_has_what_was_promised() -> None:
    answer = json.loads(json.dumps(report().as_json()))
    promised = {
        *("run_id", "as_of", "accounts", "feed_status", "gate", "planned", "accepted"),
        *("withheld", "by_trigger", "rejected_rows", "state_dir", "seconds"),
    }
    assert promised <= answer.keys()
    assert answer["as_of"] == "2026-06-10T01:00:00+00:00"
    assert answer["gate"]["raw"] == {"passed": 3, "failed": 0, "warnings": 1}
    assert answer["stopped"] is None


def test_a_person_reads_what_happened_and_why() -> None:
    text = report().as_text()
    for message in (
        "As of Wed 2026-06-10 10:00 Asia/Tokyo",
        "No longer in the CRM, so not mailed any more: 1 of accounts",
        "LATE: the newest event is 40 business hours old",
        "1 mail accepted by the provider, 3 newly planned, 2 waiting",
        "Thu 2026-06-11 09:00 Asia/Tokyo",
        "the contact gave no consent",
        "onboarding waits: the feed is late",
        "raw.accounts.mrr: often null",
        "1 row not usable: 1 of contacts",
        "contacts.csv",
        "1.8 seconds: pull 1.2, gate raw 0.5",
    ):
        assert message in text


def test_the_matrix_has_a_row_for_the_unknown() -> None:
    rows = health_matrix(report()).rows
    assert rows == (("mature", 1, 0, 0, 0), ("unknown", 0, 0, 0, 1))


def test_every_reason_has_words() -> None:
    assert set(WHY) == {reason.value for reason in Reason}


def test_a_stop_names_gate_and_failure() -> None:
    stopped = report()
    stopped.status, stopped.planned, stopped.accepted = "stopped", 0, 0
    stopped.stopped = Stop.at("gate_raw", GateStopped("raw", ["accounts: half is gone"]))
    text = stopped.as_text()
    assert "accounts: half is gone" in text
    assert "Nothing was planned and nothing was sent" in text
    assert stopped.as_json()["stopped"]["exit_status"] == 3


def test_a_failure_after_planning_does_not_claim_that_nothing_was_sent() -> None:
    failed = report()
    failed.status, failed.stopped = "failed", Stop.at("deliver", OSError("disk full"))
    text = failed.as_text()
    assert "Nothing was" not in text
    assert "nothing is sent twice" in " ".join(text.split())


def test_a_dry_run_does_not_take_the_place_of_the_latest(tmp_path: Path) -> None:
    report().write(tmp_path)
    dry = report()
    dry.run_id, dry.dry_run = "20260610-020000-ffff", True
    dry.write(tmp_path)
    assert json.loads((tmp_path / "latest.json").read_text())["dry_run"] is False
    assert "would be planned" in dry.path(tmp_path).read_text()
    assert not list(tmp_path.glob("*.part"))
