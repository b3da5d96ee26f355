"""Random sequences through random troubles: what docs/triggers.md promises of each of them.

`make test` draws a few companies, `make oracle` thousands of them.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from company import Marts
from journey import Journey, Shared
from lifecycle.calendar import holidays_of
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_LEFT, enrollments, recipients, sends, steps, withheld
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.model import Trigger

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
FEW, MANY = 12, int(os.environ.get("ORACLE_CASES", "5000"))

ACCOUNTS = ("a1", "a2", "a3")
PEOPLE = "c1 of a1, c2 of a1, c3 of a2, c4 of a3"
PLACES = {"Asia/Tokyo": "JP", "Europe/Berlin": "DE", "America/New_York": "US"}
BEGINS = datetime(2026, 4, 27, tzinfo=UTC)
"""Golden Week is near, and Ascension Day, and Memorial Day."""
LIVED = 14

STEPS = [
    ("0d", "1d", "2d"),
    ("0d", "2d", "5d"),
    ("0h", "3h", "30h"),
    ("0bd", "1bd", "3bd"),
    ("1d", "1d"),
    ("0d", "6h", "3bd"),
]
WINDOWS = [
    '{days: mon-fri, from: "09:00", to: "17:00"}',
    '{days: mon-sun, from: "08:00", to: "20:00", holidays: none}',
    '{days: [tue, thu], from: "10:00", to: "11:00"}',
    '{days: mon-fri, from: "09:00", to: "09:20"}',
]
CAPS = ["{}", "{contact: 1/1d}", "{contact: 2/7d}", "{account: 1/1d}", "{account: 3/2d}"]
TROUBLES = [
    *("no mail", "no mail", "mail", "mail", "mail", "no runs", "runs", "runs", "run", "run"),
    *(f"{name}: silent" for name in ACCOUNTS),
    *("a1: active", "a2: active", "feed late", "feed fresh", "feed fresh"),
    *("a1: deleted", "a1: back", "a1: back", "a2: deleted", "a2: back"),
    *("c1: deleted", "c1: back", "c1: role = null", "c1: role = admin", "c2: role = admin"),
    *("c3: consent_basis = null", "c3: consent_basis = contract", "c4: unsubscribes"),
    *("c3: email_normalized = other@example.com", "c2: email_normalized = c1@example.com"),
    *("pause t0", "resume t0", "resume t0", "hold a1 30", "hold a3 80"),
    *("a1: ladder_step = 4", "a1: ladder_step = 2"),
    *(
        f"{name}: time_zone = {zone}, {name}: country_code = {country}"
        for name in ("a1", "a2")
        for zone, country in PLACES.items()
    ),
]


@st.composite
def trigger_files(draw: st.DrawFn) -> str:
    lines = [
        "audience: is_dormant",
        "recipients: role = 'admin'",
        "launch: existing",
        f"enter: {draw(st.sampled_from(['once', 'once_per_episode', '{every: 5d}']))}",
        "exit_when: not is_dormant",
        f"priority: {draw(st.integers(0, 3))}",
        f"caps: {draw(st.sampled_from(CAPS))}",
        f"late: {draw(st.sampled_from(['{after: 3d}', '{after: 8h}', '{after: 2d, do: send}']))}",
        f"send_window: {draw(st.sampled_from(WINDOWS))}",
        "steps:",
    ]
    for number, after in enumerate(draw(st.sampled_from(STEPS))):
        when = draw(st.sampled_from(["", "", ", when: ladder_step < 3"]))
        lines.append(f"  - {{id: s{number}, after: {after}{when}}}")
    return "\n".join(lines)


scripts = st.lists(
    st.tuples(st.integers(0, LIVED * 24 * 2), st.sampled_from(TROUBLES)), min_size=4, max_size=30
).map(
    lambda events: "\n".join(
        f"{BEGINS + timedelta(minutes=30 * half):%Y-%m-%d %H:%M}  {what}" for half, what in events
    )
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with duckdb.connect(config={"threads": 1}) as warehouse:
        yield Shared(warehouse, Marts(warehouse), account_columns(), contact_columns())


class Lived:
    """The ledger after the days, and each mail as it left."""

    def __init__(self, journey: Journey) -> None:
        self.triggers = journey.triggers
        self.left = sorted(journey.left, key=lambda mail: mail.at)
        self.until = journey.now
        with Ledger.open(journey.settings.ledger_url) as ledger, ledger.read() as connection:
            self.sends = connection.execute(select(sends)).all()
            self.steps = connection.execute(select(steps)).all()
            self.entries = connection.execute(select(enrollments)).all()
            self.readers = connection.execute(select(recipients)).all()
            self.withheld = connection.execute(select(withheld)).all()


def check_window(lived: Lived) -> None:
    """Each mail left inside the window of the zone that the newest run knew."""
    for mail in lived.left:
        trigger, zone = lived.triggers[mail.send.trigger], mail.send.time_zone
        there = mail.at.astimezone(ZoneInfo(zone))
        window = trigger.send_window
        assert there.weekday() in window.days, mail
        assert window.from_ <= there.time() < window.to, mail
        if window.holidays == "account":
            assert there.date() not in holidays_of(PLACES[zone], there.year), mail
        assert mail.send.due_at <= mail.at
        assert mail.send.expires_at is None or mail.at < mail.send.expires_at


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
                item
                for item in lived.left[: number + 1]
                if getattr(item.send, key) == getattr(mail.send, key)
                and item.at.astimezone(zone).date() >= first
            ]
            assert len(so_far) <= cap.count, [(mail.at, mail.send.step) for mail in so_far]


def check_once(lived: Lived) -> None:
    """No address gets a step of an entry twice."""
    got = [
        (
            mail.send.trigger,
            mail.send.account_id,
            mail.send.cycle,
            mail.send.step,
            mail.send.address,
        )
        for mail in lived.left
    ]
    assert len(got) == len(set(got))


def local_day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def check_order(lived: Lived) -> None:
    """A reader's steps leave in order, and at their distance."""
    by_reader: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for mail in lived.left:
        send = mail.send
        by_reader[send.trigger, send.account_id, send.cycle, send.contact_id].append(mail)
    for (name, *_), mails in by_reader.items():
        trigger: Trigger = lived.triggers[name]
        order = [step.id for step in trigger.steps]
        for before, after in itertools.pairwise(mails):
            first, other = (trigger.step(mail.send.step) for mail in (before, after))
            assert order.index(first.id) < order.index(other.id), (before, after)
            elapsed = after.at - before.at
            if "h" in {item.after.unit for item in (first, other) if item.after.count}:
                if first.after.unit == other.after.unit or not first.after.count:
                    hours = other.after.count - first.after.count
                    assert elapsed >= timedelta(hours=hours), (before.at, after.at)
            elif first.after.unit == other.after.unit:
                zone = after.send.time_zone
                days = (local_day(after.at, zone) - local_day(before.at, zone)).days
                # A zone that was corrected meanwhile may have begun another day.
                moved = before.send.time_zone != zone
                assert days + moved >= other.after.count - first.after.count, (before.at, after.at)


def check_nothing_is_lost(lived: Lived) -> None:
    """A step that did not leave is decided against, still to come, or its sequence ended early."""
    fates = {(row.trigger, row.account_id, row.cycle, row.step): row for row in lived.steps}
    answer = {(row.trigger, row.account_id, row.step) for row in lived.withheld}
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
                assert entry.end_reason is None or (*key[:2], step.id) in answer, (entry, step.id)
            elif fate.fate == "skipped":
                assert fate.reason
            else:
                assert mails[key], (entry, step.id)


def holds(shared: Shared, folder: Any, files: list[str], script: str, spread: float) -> int:
    """Live through a script and check all promises; returns how many mails left."""
    triggers = {f"t{number}": text for number, text in enumerate(files)}
    journey = Journey(shared, folder, triggers, people=PEOPLE, spread_minutes=spread)
    begins = f"{BEGINS:%Y-%m-%d}  silent, ladder_step = 2, c2: role = user\n"
    until = (BEGINS + timedelta(days=LIVED)).date()
    journey.live(begins + script, until=str(until))
    lived = Lived(journey)
    check_window(lived)
    check_caps(lived)
    check_once(lived)
    check_order(lived)
    check_nothing_is_lost(lived)
    return len(lived.left)


PROMISES = given(
    st.lists(trigger_files(), min_size=1, max_size=2), scripts, st.sampled_from([0.0, 30.0])
)


@pytest.fixture(scope="module")
def sent() -> Iterator[list[int]]:
    """Mails that left in each case: where none ever leaves, nothing can be wrong with them."""
    sent: list[int] = []
    yield sent
    assert sum(sent) > 2 * len(sent), sent


@settings(max_examples=FEW, suppress_health_check=list(HealthCheck), phases=QUICK)
@PROMISES
def test_whatever_goes_wrong_the_document_holds(
    shared: Shared,
    sent: list[int],
    tmp_path_factory: pytest.TempPathFactory,
    files: list[str],
    script: str,
    spread: float,
) -> None:
    folder = tmp_path_factory.mktemp("oracle") / "company"
    sent.append(holds(shared, folder, files, script, spread))


@pytest.mark.long
@settings(max_examples=MANY, suppress_health_check=list(HealthCheck), phases=QUICK)
@PROMISES
def test_it_holds_thousands_of_times(
    shared: Shared,
    sent: list[int],
    tmp_path_factory: pytest.TempPathFactory,
    files: list[str],
    script: str,
    spread: float,
) -> None:
    folder = tmp_path_factory.mktemp("oracle") / "company"
    sent.append(holds(shared, folder, files, script, spread))
