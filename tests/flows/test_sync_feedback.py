"""Feedback is read every quarter of an hour, by a flow that can be run at any time."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from company import Company
from flows.sync_feedback import sync_feedback
from lifecycle.errors import DeliveryError
from lifecycle.ledger import account_history
from lifecycle.ledger.store import Ledger
from lifecycle.settings import load
from sendgrid_lists import KEY, sendgrid_lists


def test_the_flow_reads_the_lists_into_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(Company(tmp_path / "company").folder / "lifecycle.toml")
    monkeypatch.setenv("LIFECYCLE__STATE__DIR", str(tmp_path / "state"))
    assert sync_feedback.fn(config=config) == {}, "the outbox keeps no lists"
    with sendgrid_lists() as lists:
        monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", "sendgrid")
        monkeypatch.setenv("LIFECYCLE__SENDGRID__API_KEY", KEY)
        monkeypatch.setenv("LIFECYCLE__SENDGRID__BASE_URL", lists.base_url)
        lists.put("spam_reports", "spam@example.com", 1_781_000_000)
        assert sync_feedback.fn(config=config)["spam_reports"] == 1
        assert sync_feedback.fn(config=config)["spam_reports"] == 0
        lists.troubles = [(403, {}, "{}")]
        with pytest.raises(DeliveryError):
            sync_feedback.fn(config=config)
    with Ledger.open(load(config).ledger_url) as ledger:
        assert account_history.suppressed_by_reason(ledger) == {"complained": 1}


def test_it_is_scheduled_every_fifteen_minutes() -> None:
    deployments = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())
    (mine,) = [
        deployment
        for deployment in deployments["deployments"]
        if deployment["entrypoint"] == "flows/sync_feedback.py:sync_feedback"
    ]
    assert mine["schedules"][0]["cron"].split()[0] == "5-59/15"
