"""What docs/triggers.md promises whatever happens, as checks of a ledger that lived through it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Row, select

from lifecycle.calendar import holidays_of
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_LEFT, enrollments, sends, steps, withheld
from lifecycle.triggers.model import Trigger


class Departure(NamedTuple):
    """A mail that left: its row of `sends`, and when."""

    send: Row[Any]
    at: datetime


class Lived:
    """The ledger after the days, and each mail as it left; `places` has each zone's country."""

    def __init__(
        self,
        triggers: Mapping[str, Trigger],
        left: Iterable[Departure],
        ledger_url: str,
        places: Mapping[str, str],
    ) -> None:
        self.triggers, self.places = triggers, places
        self.left = sorted(left, key=lambda mail: mail.at)
        with Ledger.open(ledger_url) as ledger, ledger.read() as connection:
            self.sends = connection.execute(select(sends)).all()
            self.steps = connection.execute(select(steps)).all()
            self.entries = connection.execute(select(enrollments)).all()
            self.withheld = connection.execute(select(withheld)).all()


def check_promises(lived: Lived) -> None:
    """Raise AssertionError for the first promise that was broken."""
    check_window(lived)
    check_caps(lived)
    check_once(lived)
    check_order(lived)
    check_nothing_is_lost(lived)


def check_window(lived: Lived) -> None:
    """Each mail left inside its window, between the moments that the ledger gives it."""
    for mail in lived.left:
        trigger, zone = lived.triggers[mail.send.trigger], mail.send.time_zone
        there, window = mail.at.astimezone(ZoneInfo(zone)), trigger.send_window
        if trigger.at is None:
            assert there.weekday() in window.days, mail
            assert window.from_ <= there.time() < window.to, mail
            if window.holidays != "none":
                country = lived.places[zone] if window.holidays == "account" else window.holidays
                assert there.date() not in holidays_of(country, there.year), mail
        assert mail.send.due_at <= mail.at, mail
        assert mail.send.expires_at is None or mail.at < mail.send.expires_at, mail


def check_caps(lived: Lived) -> None:
    """No calendar days hold more mails than a cap allows."""
    for number, mail in enumerate(lived.left):
        caps = lived.triggers[mail.send.trigger].caps
        for cap, key in ((caps.contact, "address"), (caps.account, "account_id")):
            if cap is None:
                continue
            zone = ZoneInfo(mail.send.time_zone)
            first = mail.at.astimezone(zone).date() - timedelta(days=cap.days - 1)
            so_far = [
                (other.at, other.send.step)
                for other in lived.left[: number + 1]
                if getattr(other.send, key) == getattr(mail.send, key)
                and other.at.astimezone(zone).date() >= first
            ]
            assert len(so_far) <= cap.count, so_far


def check_once(lived: Lived) -> None:
    """No address gets a step of an entry twice."""
    got = [
        (send.trigger, send.account_id, send.cycle, send.step, send.address)
        for send, _ in lived.left
    ]
    assert len(got) == len(set(got)), got


def local_day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def check_order(lived: Lived) -> None:
    """A reader's steps leave in order, and at their distance."""
    by_reader: defaultdict[tuple[Any, ...], list[Departure]] = defaultdict(list)
    for mail in lived.left:
        send = mail.send
        by_reader[send.trigger, send.account_id, send.cycle, send.contact_id].append(mail)
    for (name, *_), mails in by_reader.items():
        trigger = lived.triggers[name]
        order = [step.id for step in trigger.steps]
        for before, after in itertools.pairwise(mails):
            earlier, later = (trigger.step(mail.send.step) for mail in (before, after))
            assert order.index(earlier.id) < order.index(later.id), (before, after)
            elapsed = after.at - before.at
            if "h" in {step.after.unit for step in (earlier, later) if step.after.count}:
                if earlier.after.unit == later.after.unit or not earlier.after.count:
                    hours = later.after.count - earlier.after.count
                    assert elapsed >= timedelta(hours=hours), (before.at, after.at)
            elif earlier.after.unit == later.after.unit:
                zone = after.send.time_zone
                days = (local_day(after.at, zone) - local_day(before.at, zone)).days
                # A zone that was corrected meanwhile may have begun another day.
                moved = before.send.time_zone != zone
                assert days + moved >= later.after.count - earlier.after.count, (before, after)


def check_nothing_is_lost(lived: Lived) -> None:
    """A step that did not leave is decided against, still to come, or its sequence ended early."""
    fates = {(row.trigger, row.account_id, row.cycle, row.step): row for row in lived.steps}
    reasons = {(row.trigger, row.account_id, row.step) for row in lived.withheld}
    mails: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for send in lived.sends:
        mails[send.trigger, send.account_id, send.cycle, send.step].append(send)
    for entry in lived.entries:
        if entry.end_reason not in (None, "completed"):
            continue
        for step in lived.triggers[entry.trigger].steps:
            key = (entry.trigger, entry.account_id, entry.cycle, step.id)
            fate = fates.get(key)
            for send in mails[key]:
                # Whatever stopped a mail is written down beside it.
                assert send.state in ("accepted", *NOT_LEFT) or send.detail, send
                assert entry.end_reason is None or send.state not in NOT_LEFT, send
            if fate is None:
                assert entry.end_reason is None or (*key[:2], step.id) in reasons, (entry, step.id)
            elif fate.fate == "skipped":
                assert fate.reason
            else:
                assert mails[key], (entry, step.id)
