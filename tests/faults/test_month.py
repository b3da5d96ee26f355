"""A month of four runs and 144 deliveries a day, with each trouble of a bad day once."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

# Before anything imports Prefect: it settles where it lives when it is imported.
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="prefect-"))
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

import pytest
from sqlalchemy import select

from faults.month import TOKYO, Month, at
from lifecycle.ledger.tables import enrollments, sends
from lifecycle.triggers.folder import load_triggers
from oracle.promises import Departure, Lived, check_promises

BERLIN = ZoneInfo("Europe/Berlin")


def script() -> dict[datetime, Any]:
    """What happens before which moment."""
    happens: dict[datetime, Any] = {}

    def then(day: str, clock: str, act: Any) -> None:
        assert at(day, clock) not in happens
        happens[at(day, clock)] = act

    def enter(*numbers: int) -> Any:
        return lambda month: [month.account(number, segment="course") for number in numbers]

    then("04-20", "05:00", enter(*range(1, 11)))
    for number, day in enumerate(("21", "22", "23", "24", "27", "28", "30")):
        then(f"04-{day}", "05:10", enter(11 + number))
    # The provider is down for a day.
    then("04-21", "00:10", lambda month: month.break_provider())
    then("04-21", "23:00", lambda month: month.mend_provider())
    # The trigger is paused, and resumed between two runs.
    then("04-22", "08:00", lambda month: month.pause("course"))
    then("04-23", "10:00", lambda month: month.resume("course"))
    # An account is on hold.
    then("04-24", "07:00", lambda month: month.hold("A1", at("04-27")))
    # The CRM corrects a time zone, loses an account for a run, an address and a role.
    berlin = {"time_zone": "Europe/Berlin", "country": "DE"}
    then("04-27", "11:00", lambda month: month.account(12, **berlin))
    then("04-28", "05:20", lambda month: month.absent.add("A13"))
    then("04-28", "07:00", lambda month: month.absent.discard("A13"))
    then("04-27", "17:00", lambda month: month.contact(14, email="new@firm14.example.com"))
    then("04-30", "17:00", lambda month: month.contact(1, role="user"))
    then("04-30", "17:10", lambda month: month.contact(41, role="admin"))
    # A short window, a weekly step under a weekly cap, and a trigger of higher priority.
    then("04-20", "05:30", lambda month: [month.account(n, plan="short") for n in range(21, 25)])
    then("04-20", "05:40", lambda month: [month.account(n, plan="weekly") for n in range(25, 29)])
    then("04-27", "05:30", lambda month: month.account(25, purpose="urgent"))
    # The usage feed is late from the middle of a week on, some accounts are silent for good.
    then("04-20", "05:50", lambda month: month.silent.update({"A31", "A32", "A33"}))
    then("05-07", "11:00", lambda month: setattr(month, "feed_until", month.now))
    then("05-14", "05:00", lambda month: setattr(month, "feed_until", None))
    # One churns and comes back, one leaves.
    then("05-08", "05:00", lambda month: month.account(15, churned_at="2026-05-07T00:00:00Z"))
    then("05-11", "05:00", lambda month: month.account(16, plan="cancelled"))
    # The broadcast reaches more people than its budget; somebody approves it a day late.
    then("05-13", "10:00", lambda month: month.approve())
    return happens


@pytest.mark.long
def test_a_month_of_bad_days(tmp_path: Path) -> None:
    days = int(os.environ.get("MONTH_DAYS", "30"))
    month = Month(tmp_path / "company", script())
    month.live(days)
    settings = month.living.settings
    with month.living.ledger() as ledger, ledger.read() as connection:
        rows = connection.execute(select(sends).order_by(sends.c.accepted_at)).all()
        entries = connection.execute(select(enrollments)).all()
    left = [Departure(row, row.accepted_at) for row in rows if row.accepted_at is not None]
    triggers = {trigger.name: trigger for trigger in load_triggers(settings)}
    places = {"Asia/Tokyo": "JP", "Europe/Berlin": "DE"}
    check_promises(Lived(triggers, left, settings.ledger_url, places))
    expected = ("guard.people", "the outbox cannot be used")
    assert [stop for stop in month.stops if not any(word in stop for word in expected)] == []

    def mails(account: str, trigger: str) -> list[tuple[str, str]]:
        """Step and Tokyo's day of each mail."""
        return [
            (mail.send.step, f"{mail.at.astimezone(TOKYO):%m-%d}")
            for mail in left
            if (mail.send.account_id, mail.send.trigger) == (account, trigger)
        ]

    def between(first: datetime, last: datetime, trigger: str) -> int:
        return sum(first <= mail.at < last and mail.send.trigger == trigger for mail in left)

    # Monday's mails left, Tuesday's wait for the provider, those of the pause for its end.
    assert mails("A2", "course")[0] == ("s0", "04-20")
    assert between(at("04-21", "00:10"), at("04-21", "23:00"), "course") == 0
    assert any("outbox" in refusal for refusal in month.refusals)
    assert between(at("04-22", "08:00"), at("04-23", "10:00"), "course") == 0
    if days < 30:
        return
    assert mails("A2", "course")[1][1] >= "04-22"
    for number in (2, 3, 4, 11, 14, 17):
        assert [step for step, _ in mails(f"A{number}", "course")][-1] == "s4", number
    # Nothing to the account on hold.
    held = [mail for mail in left if mail.send.account_id == "A1"]
    assert not any(at("04-24", "07:00") <= mail.at < at("04-27") for mail in held)
    # Berlin's mails leave at Berlin's hours, the others' at Tokyo's; nobody's on a holiday.
    for mail in left:
        is_berlin = mail.send.account_id == "A12" and mail.at >= at("04-27", "12:00")
        there = mail.at.astimezone(BERLIN if is_berlin else TOKYO)
        assert time(9) <= there.time() < time(17), mail
    assert between(at("04-29"), at("04-30"), "course") == 0
    assert {mail.send.address for mail in left if mail.send.account_id == "A14"} == {
        "person14@firm14.example.com",
        "new@firm14.example.com",
    }
    # Whose role went is succeeded, and no step came twice.
    course = [mail.send for mail in held if mail.send.trigger == "course"]
    assert course[-1].contact_id == "C1b"
    # The short window loses nobody; the cap holds, the higher trigger takes the place.
    for number in range(21, 25):
        assert len(mails(f"A{number}", "short")) >= 8
    assert [day for _, day in mails("A26", "weekly")] == ["04-20", "04-27", "05-07"]
    assert mails("A25", "urgent") == [("s0", "04-27")]
    assert mails("A25", "weekly")[0] == ("s0", "04-20")
    assert "04-27" not in [day for _, day in mails("A25", "weekly")]
    # Nobody is woken up by a late feed.
    assert {mail.send.account_id for mail in left if mail.send.trigger == "win_back"} == {
        "A31",
        "A32",
        "A33",
    }
    assert between(at("05-11"), at("05-14"), "win_back") == 0
    ends = {(row.account_id, row.trigger): row.end_reason for row in entries}
    assert ends["A15", "course"] == "churned"
    assert ends["A16", "course"] == "exit"
    # The broadcast left a day late, to all.
    news = [mail for mail in left if mail.send.trigger == "news"]
    assert len(news) >= 39
    assert {mail.at.astimezone(TOKYO).date().day for mail in news} <= {13, 14}
    assert datetime.now(UTC) > max(mail.at for mail in left)
