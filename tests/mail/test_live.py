"""What a provider whose mail leaves this machine asks for, before anything is done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from company import Company
from lifecycle.errors import ClockError, GateStopped, InputError
from lifecycle.ledger.store import Ledger
from lifecycle.mail.deliver import check_live


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        yield opened


def settings(tmp_path, monkeypatch, provider: str, source: str = "files"):
    monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", provider)
    monkeypatch.setenv("LIFECYCLE__SOURCE__KIND", source)
    monkeypatch.setenv("LIFECYCLE__SENDGRID__API_KEY", "SG.not-a-real-key")
    return Company(tmp_path / "company").settings


def test_the_demo_company_is_never_mailed(tmp_path, monkeypatch, ledger):
    with pytest.raises(InputError, match="demo company must not be mailed"):
        check_live(settings(tmp_path, monkeypatch, "sendgrid", "demo"), ledger, datetime.now(UTC))


def test_nobody_is_mailed_about_the_past(tmp_path, monkeypatch, ledger):
    yesterday = datetime.now(UTC) - timedelta(hours=25)
    with pytest.raises(ClockError, match="more than a day ago"):
        check_live(settings(tmp_path, monkeypatch, "sendgrid"), ledger, yesterday)


def test_nobody_is_mailed_while_unsubscribes_are_not_heard_of(tmp_path, monkeypatch, ledger):
    with pytest.raises(GateStopped, match="sync-feedback"):
        check_live(settings(tmp_path, monkeypatch, "sendgrid"), ledger, datetime.now(UTC))


def test_the_outbox_may_replay_anything(tmp_path, monkeypatch, ledger):
    long_ago = datetime(2011, 12, 9, tzinfo=UTC)
    check_live(settings(tmp_path, monkeypatch, "outbox", "demo"), ledger, long_ago)
