"""Reading SendGrid's lists: whole at first, then what is new, each page kept by itself."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from company import Company
from lifecycle.errors import DeliveryError, GateStopped
from lifecycle.ledger import feedback, runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, suppressions
from lifecycle.mail.providers.sendgrid_feedback import KIND_OF_LIST, SendGridLists
from lifecycle.mail.sync_feedback import OVERLAP, sync_feedback
from lifecycle.settings import Settings, load
from sendgrid_lists import KEY, FakeLists, sendgrid_lists
from sent import NOW, put, state_of

WHEN = 1_781_000_000


@pytest.fixture
def lists() -> Iterator[FakeLists]:
    with sendgrid_lists() as fake:
        yield fake


@pytest.fixture
def settings(lists: FakeLists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", "sendgrid")
    monkeypatch.setenv("LIFECYCLE__SENDGRID__API_KEY", KEY)
    monkeypatch.setenv("LIFECYCLE__SENDGRID__BASE_URL", lists.base_url)
    monkeypatch.setenv("LIFECYCLE__STATE__DIR", str(tmp_path / "state"))
    return load(Company(tmp_path / "company").folder / "lifecycle.toml")


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.open(settings.ledger_url) as opened:
        runs.begin(opened, run_id="r1", as_of=NOW, source="files")
        yield opened


def suppressed(ledger: Ledger) -> dict[str, str]:
    with ledger.read() as connection:
        rows = connection.execute(select(suppressions)).all()
    return {row.address: row.reason for row in rows}


def test_each_list_means_what_it_says(settings, ledger, lists):
    put(ledger, 1, State.PLANNED, address="bounced@example.com")
    lists.put("bounces", "Bounced@example.com", WHEN, reason="550 5.1.1 unknown", status="5.1.1")
    lists.put("bounces", "full@example.com", WHEN, reason="452 full", status="4.2.2")
    lists.put("blocks", "blocked@example.com", WHEN, reason="no route", status="4.0.0")
    lists.put("invalid_emails", "invalid@example.com", WHEN, reason="unknown domain")
    lists.put("spam_reports", "spam@example.com", WHEN, ip="10.0.0.1")
    lists.put("unsubscribes", "left@example.com", WHEN)
    result = sync_feedback(settings, ledger)
    assert result == {
        "bounces": 2,
        "blocks": 1,
        "invalid_emails": 1,
        "spam_reports": 1,
        "unsubscribes": 1,
    }
    assert suppressed(ledger) == {
        "bounced@example.com": "bounced",
        "invalid@example.com": "invalid",
        "spam@example.com": "complained",
        "left@example.com": "unsubscribed",
    }
    assert state_of(ledger) == "suppressed"
    feedback.check_fresh(
        ledger, settings.delivery.provider, settings.feedback.max_age, datetime.now(UTC)
    )


def test_the_lists_that_are_read_are_those_that_must_be_fresh():
    assert set(feedback.LISTS["sendgrid"]) == set(KIND_OF_LIST)


@pytest.mark.parametrize("entries", [0, 499, 500, 501, 1234])
def test_a_long_list_is_read_to_its_end(settings, ledger, lists, entries):
    for number in range(entries):
        lists.put("unsubscribes", f"p{number}@example.com", WHEN + number)
    assert sync_feedback(settings, ledger)["unsubscribes"] == entries
    assert len(suppressed(ledger)) == entries
    offsets = [query["offset"] for name, query in lists.asked if name == "unsubscribes"]
    assert offsets == list(range(0, entries + 1, 500))


def test_windows_overlap_and_repetition_is_harmless(settings, ledger, lists):
    now = int(time.time())
    lists.put("bounces", "old@example.com", now - 10 * 86_400)
    lists.put("bounces", "recent@example.com", now - 3600)
    assert sync_feedback(settings, ledger)["bounces"] == 2
    lists.put("bounces", "late@example.com", now - 7200)  # on the list later than its time says
    assert sync_feedback(settings, ledger)["bounces"] == 1
    assert sync_feedback(settings, ledger)["bounces"] == 0
    windows = [query for name, query in lists.asked if name == "bounces"]
    assert "start_time" not in windows[0]
    overlap = int(OVERLAP.total_seconds())
    for before, after in itertools.pairwise(windows):
        assert after["start_time"] == before["end_time"] - overlap
    assert len(suppressed(ledger)) == 3


def test_a_list_that_fails_is_told_and_the_others_are_read(settings, ledger, lists):
    lists.put("unsubscribes", "left@example.com", WHEN)
    lists.troubles = [(403, {}, "{}")]  # for bounces, the first
    with pytest.raises(DeliveryError, match="bounces cannot be read: answered 403"):
        sync_feedback(settings, ledger)
    assert suppressed(ledger) == {"left@example.com": "unsubscribed"}
    with pytest.raises(GateStopped, match="bounces were never read") as stopped:
        feedback.check_fresh(
            ledger, settings.delivery.provider, settings.feedback.max_age, datetime.now(UTC)
        )
    assert len(stopped.value.failures) == 2, "bounces, and what to do"
    sync_feedback(settings, ledger)
    feedback.check_fresh(
        ledger, settings.delivery.provider, settings.feedback.max_age, datetime.now(UTC)
    )


def test_pages_that_came_are_kept_when_the_next_one_fails(settings, ledger, lists):
    for number in range(600):
        lists.put("bounces", f"p{number}@example.com", WHEN + number)
    page = lists.page("bounces", {"end_time": WHEN * 2, "offset": 0, "limit": 500})
    lists.troubles = [(200, {}, json.dumps(page)), (400, {}, "{}")]
    with pytest.raises(DeliveryError, match="bounces"):
        sync_feedback(settings, ledger)
    assert len(suppressed(ledger)) == 500
    assert sync_feedback(settings, ledger)["bounces"] == 100


@pytest.mark.parametrize(
    ("trouble", "waits"),
    [
        ((429, {"Retry-After": "7"}, ""), [7.0]),
        ((429, {"X-RateLimit-Reset": "later"}, ""), [1.0]),
        ((500, {}, ""), [1.0]),
        ((503, {}, ""), [1.0]),
    ],
)
def test_trouble_that_passes_is_waited_for(settings, lists, trouble, waits):
    waited: list[float] = []
    lists.put("bounces", "b@example.com", WHEN)
    lists.troubles = [trouble]
    pages = SendGridLists(settings, sleep=waited.append).read("bounces", None, _now())
    assert [fact.address for page in pages for fact in page] == ["b@example.com"]
    assert waited == waits


@pytest.mark.parametrize(
    ("troubles", "expected", "requests"),
    [
        ([(500, {}, "")] * 9, "answered 500", 4),
        ([(429, {"Retry-After": "3600"}, "")], "answered 429", 1),
        ([(401, {}, "")], "answered 401", 1),
        ([(302, {"Location": "http://127.0.0.1:9/"}, "")], "answered 302", 1),
        ([(200, {}, "<html>")], "the answer is no list", 1),
        ([(200, {}, '{"errors": []}')], "the answer is no list", 1),
    ],
)
def test_trouble_that_stays_is_told(settings, lists, troubles, expected, requests):
    lists.troubles = troubles
    pages = SendGridLists(settings, sleep=lambda _: None).read("bounces", None, _now())
    with pytest.raises(DeliveryError, match=expected) as failure:
        list(pages)
    assert KEY not in str(failure.value)
    assert len(lists.asked) == requests


def test_a_list_that_never_ends_is_told(settings, lists):
    page = json.dumps([{"email": f"p{n}@example.com", "created": WHEN} for n in range(500)])
    lists.troubles = [(200, {}, page)] * 9
    with pytest.raises(DeliveryError, match="a page came twice"):
        list(SendGridLists(settings).read("bounces", None, _now()))
    assert len(lists.asked) == 2


def test_entries_that_cannot_be_read_are_passed_over(settings, lists):
    rows = [None, 7, {}, {"email": "x@example.com"}, {"email": 5, "created": WHEN}]
    rows += [
        {"email": "y@example.com", "created": 10**30},
        {"email": "z@example.com", "created": WHEN},
    ]
    lists.troubles = [(200, {}, json.dumps(rows))]
    pages = SendGridLists(settings).read("bounces", None, _now())
    assert [fact.address for page in pages for fact in page] == ["z@example.com"]


def test_a_server_that_is_not_there_is_told(settings, lists):
    gone = settings.sendgrid.model_copy(update={"base_url": "http://127.0.0.1:9"})
    there = settings.model_copy(update={"sendgrid": gone})
    with pytest.raises(DeliveryError, match="bounces cannot be read: ConnectError"):
        list(SendGridLists(there, sleep=lambda _: None).read("bounces", None, _now()))


def test_without_a_key_nothing_is_asked(settings, ledger, lists, monkeypatch):
    monkeypatch.delenv("LIFECYCLE__SENDGRID__API_KEY")
    bare = load(settings.root / "lifecycle.toml")
    with pytest.raises(DeliveryError, match="LIFECYCLE__SENDGRID__API_KEY"):
        sync_feedback(bare, ledger)
    assert lists.asked == []


def test_a_provider_without_lists_has_nothing_to_read(settings, ledger, lists, monkeypatch):
    monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", "outbox")
    assert sync_feedback(load(settings.root / "lifecycle.toml"), ledger) == {}
    with ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(suppressions)).scalar() == 0


def test_the_command_tells_what_is_new(settings, lists):
    lists.put("unsubscribes", "left@example.com", WHEN)
    config = settings.root / "lifecycle.toml"
    command = [sys.executable, "-m", "lifecycle.cli", "--config", str(config), "sync-feedback"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["new"]["unsubscribes"] == 1
    lists.troubles = [(401, {}, "")]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert "SendGrid's bounces cannot be read: answered 401" in failed.stderr
    assert KEY not in failed.stderr + failed.stdout


def _now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def test_of_other_applications_only_what_stops_our_customers_is_kept(settings, ledger, lists):
    known = {"customer@example.com"}
    put(ledger, 1, State.ACCEPTED, address="mailed@example.com")
    facts = [
        feedback.Fact("webhook", kind, NOW, send_id="0" * 32, address=f"{who}@example.com")
        for who in ("customer", "mailed", "stranger")
        for kind in (feedback.Kind.DELIVERED, feedback.Kind.BOUNCED)
    ]
    with ledger.write() as connection:
        new = feedback.apply(connection, facts, NOW, customers=known.intersection)
    assert new == 1  # one key a mail and moment: the customer's and the mailed one's are one fact
    facts = [replace(fact, send_id=None) for fact in facts]
    with ledger.write() as connection:
        assert feedback.apply(connection, facts, NOW, customers=known.intersection) == 2
    assert suppressed(ledger) == {
        "customer@example.com": "bounced",
        "mailed@example.com": "bounced",
    }
