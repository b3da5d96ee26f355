"""/metrics and /healthz on the internal listener, over real HTTP and a real ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from lifecycle.ledger import feedback
from lifecycle.ledger.commands import DELIVER, FIT_SCORES
from lifecycle.ledger.tables import State
from lifecycle.ledger.tables import feedback as facts
from planned import Workspace, workspace
from sent import put, put_all, send, statements
from served import answering_internally
from watched import MINUTE, all_ran, publish_today, ran

__all__ = ["workspace"]
Samples = dict[str, float]


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    config = workspace.company.folder / "lifecycle.toml"
    config.write_text(config.read_text() + '[source]\nkind = "files"\npath = "data"\n')
    workspace.settings = workspace.company.settings
    with answering_internally(workspace.settings, workspace.ledger) as client:
        yield client


def scrape(client: httpx.Client) -> Samples:
    """Each sample by its name and the value of its label."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    result: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.name.startswith("lifecycle_")
        assert family.documentation
        for sample in family.samples:
            result[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return result


def test_a_folder_in_which_nothing_ever_ran_gives_metrics(client: httpx.Client) -> None:
    seen = scrape(client)
    assert seen["lifecycle_published"] == 0
    assert "lifecycle_published_age_seconds" not in seen
    assert seen["lifecycle_sends held"] == 0
    assert "lifecycle_complaint_ratio" not in seen
    assert seen["lifecycle_schedule_overdue daily"] == 0
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/docs").status_code == 404


def test_the_metrics_say_what_the_ledger_and_the_published_file_say(
    workspace: Workspace, client: httpx.Client
) -> None:
    publish_today(workspace)
    all_ran(workspace.ledger, {DELIVER: 2 * 60 * MINUTE, FIT_SCORES: 10 * MINUTE})
    ran(workspace.ledger, FIT_SCORES, MINUTE, "failed")
    ran(workspace.ledger, DELIVER, MINUTE, None)
    now = datetime.now(UTC)
    put_all(workspace.ledger, list(range(200)), State.ACCEPTED, accepted_at=now - MINUTE)
    put(workspace.ledger, 1000, State.ACCEPTED, accepted_at=now - timedelta(days=2))
    put(workspace.ledger, 1001, State.HELD)
    put(
        workspace.ledger,
        1002,
        State.QUEUED,
        not_before=now - 10 * MINUTE,
        closes_at=now + 60 * MINUTE,
    )
    complaint = {"kind": "complained", "at": now - MINUTE, "received_at": now, "source": "webhook"}
    with workspace.ledger.write() as connection:
        connection.execute(insert(facts), [{"key": "1", "send_id": send(1), **complaint}])
    seen = scrape(client)
    near = {
        "lifecycle_published_age_seconds": (now - workspace.as_of).total_seconds(),
        "lifecycle_schedule_last_success_age_seconds daily": 60,
        "lifecycle_schedule_last_success_age_seconds every-10-minutes": 7200,
        "lifecycle_schedule_last_success_age_seconds monthly": 600,
        "lifecycle_oldest_due_mail_age_seconds": 600,
    }
    for name, seconds in near.items():
        assert seconds - 1 <= seen[name] <= seconds + 300, name
    exact = {
        "lifecycle_published": 1,
        "lifecycle_feed_late": 0,
        "lifecycle_schedule_overdue daily": 0,
        "lifecycle_schedule_overdue every-10-minutes": 1,
        "lifecycle_schedule_max_age_seconds daily": 86400 + 1800,
        "lifecycle_sends accepted": 201,
        "lifecycle_sends held": 1,
        "lifecycle_due_mails": 1,
        "lifecycle_mails_last_day accepted": 200,
        "lifecycle_mails_last_day complained": 1,
        "lifecycle_complaint_ratio": 1 / 200,
        "lifecycle_complaint_ratio_limit warn": 0.001,
        "lifecycle_complaint_ratio_limit alarm": 0.003,
        "lifecycle_bounce_ratio": 0,
        "lifecycle_withheld_mails no_consent": 4,
        "lifecycle_run_stage_seconds build": 2.5,
    }
    assert {name: seen[name] for name in exact} == exact
    with statements(workspace.ledger) as executed:
        scrape(client)
    assert len(executed) < 30, "a scrape grows with what it scrapes"


def test_a_scrape_survives_the_published_file_being_replaced(
    workspace: Workspace, client: httpx.Client
) -> None:
    publish_today(workspace)
    first = scrape(client)["lifecycle_published_age_seconds"]
    file = workspace.settings.published_db
    whole = file.read_bytes()
    file.write_bytes(whole[:5000])
    os.utime(file, ns=(1, 1))
    broken = scrape(client)
    assert broken["lifecycle_published"] == 1
    assert broken["lifecycle_published_age_seconds"] >= first, "what it was, only older"
    file.unlink()
    assert scrape(client)["lifecycle_published_age_seconds"] >= first
    workspace.as_of -= timedelta(days=3)
    workspace.publish()
    assert scrape(client)["lifecycle_published_age_seconds"] > 3 * 86400


def test_feedback_that_was_never_read_is_infinitely_old(
    workspace: Workspace, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("feedback_age" in name for name in scrape(client)), "the outbox keeps no lists"
    monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", "sendgrid")
    now = datetime.now(UTC)
    with workspace.ledger.write() as connection:
        feedback.record_sync(connection, "bounces", read_until=now, now=now - 90 * MINUTE)
    with answering_internally(workspace.company.settings, workspace.ledger) as live:
        seen = scrape(live)
    assert 5400 <= seen["lifecycle_feedback_age_seconds bounces"] < 6000
    assert seen["lifecycle_feedback_age_seconds spam_reports"] == float("inf")
    assert seen["lifecycle_feedback_max_age_seconds"] == 7200


def test_no_address_is_in_what_is_scraped(workspace: Workspace, client: httpx.Client) -> None:
    publish_today(workspace)
    put(workspace.ledger, 1, State.ACCEPTED, address="taro.yamada@example.com")
    ran(workspace.ledger, DELIVER, MINUTE, "failed", why="t***@example.com was refused")
    answer = client.get("/metrics").text
    assert "@" not in answer
    assert "example.com" not in answer


def test_a_ledger_that_does_not_answer_is_503_and_no_empty_scrape(
    workspace: Workspace, client: httpx.Client, tmp_path: Path
) -> None:
    with workspace.ledger.write() as connection:
        connection.exec_driver_sql("drop table recording")
    answer = client.get("/metrics")
    assert (answer.status_code, answer.text) == (503, "the ledger does not answer\n")
    assert client.get("/healthz").status_code == 200
