"""Random triggers, accounts and clocks: what holds whatever CS ops write and the days bring."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from company import Company, Marts, utc
from journey import Journey, Shared
from lifecycle.calendar import holidays_of
from lifecycle.ledger import runs
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import enrollments, send_identity
from lifecycle.planning.plan import decide
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.folder import load_triggers

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Not shrunk: an example takes half a second, and shrinking one takes hundreds."""

AUDIENCES = ["is_dormant", "is_dormant or ladder_step < 3"]
LAUNCHES = ["existing", "existing", "new_only"]
ENTERS = ["once", "once_per_episode", "{every: 3d}"]
CAPS = [
    "{}",
    "{contact: 1/2d}",
    "{contact: 2/7d}",
    "{account: 1/1d}",
    "{contact: 1/3d, account: 2/7d}",
]
DAYS = ["mon-fri", "mon-sun", "[tue, thu]", "[sat, sun]"]
LATE = ["{after: 6h, do: skip}", "{after: 3d, do: skip}", "{after: 1d, do: send}"]
DELAYS = [["0d"], ["0d", "1d", "4d"], ["0h", "20h", "3d"], ["0bd", "2bd"], ["1d", "2bd"]]


@st.composite
def trigger_files(draw: st.DrawFn) -> str:
    first = {
        "audience": draw(st.sampled_from(AUDIENCES)),
        "recipients": "role = 'admin'",
        "launch": draw(st.sampled_from(LAUNCHES)),
        "enter": draw(st.sampled_from(ENTERS)),
        "exit_when": "not is_dormant",
        "priority": draw(st.integers(0, 3)),
        "caps": draw(st.sampled_from(CAPS)),
        "holdout": draw(st.sampled_from(["5%", "40%"])),
        "late": draw(st.sampled_from(LATE)),
    }
    days, opens = draw(st.sampled_from(DAYS)), draw(st.integers(0, 20))
    first["send_window"] = f"{{days: {days}, from: '{opens:02}:00', to: '{opens + 2}:30'}}"
    steps = [
        f"  - {{id: s{number}, after: {delay}}}"
        for number, delay in enumerate(draw(st.sampled_from(DELAYS)))
    ]
    return "\n".join([*(f"{key}: {value}" for key, value in first.items()), "steps:", *steps])


ACCOUNTS = ("a1", "a2", "a3", "a4")
PEOPLE = "c1 of a1, c2 of a1, c3 of a2, c4 of a3, c5 of a4"
SHARED_ADDRESS = "c3: email = c1@example.com, c3: email_normalized = c1@example.com"
EVENTS = [
    *(f"{name}: {what}" for name in ACCOUNTS for what in ("silent", "silent", "active", "unknown")),
    *(f"{name}: ladder_step = {step}" for name in ACCOUNTS for step in (2, 4)),
    *("run", "run", "no runs", "runs", "no mail", "mail", "c4: unsubscribes"),
]
"""What may happen."""
scripts = st.lists(
    st.tuples(st.integers(0, 8 * 24 * 4), st.sampled_from(EVENTS)), min_size=3, max_size=25
).map(
    lambda events: "\n".join(
        f"{utc('2026-03-25') + timedelta(minutes=15 * quarter):%Y-%m-%d %H:%M}  {what}"
        for quarter, what in events
    )
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with duckdb.connect(config={"threads": 1}) as warehouse:
        yield Shared(warehouse, Marts(warehouse), account_columns(), contact_columns())


@pytest.fixture(scope="module")
def sent() -> Iterator[list[int]]:
    """Mails that left in each example: where none ever leaves, nothing can be wrong with them."""
    sent: list[int] = []
    yield sent
    assert sum(sent) > len(sent), sent


Life = tuple[list[str], str, str, float]
"""Trigger files, a script, zone and country, the spread in minutes."""
lives: st.SearchStrategy[Life] = st.tuples(
    st.lists(trigger_files(), min_size=1, max_size=3),
    scripts,
    st.sampled_from(["Europe/Berlin DE", "America/New_York US", "Australia/Sydney AU"]),
    st.sampled_from([0.0, 45.0]),
)


@settings(max_examples=6, suppress_health_check=list(HealthCheck), phases=QUICK)
@given(lives)
def test_whatever_is_written_and_whatever_happens(
    shared: Shared, sent: list[int], tmp_path_factory: pytest.TempPathFactory, life: Life
) -> None:
    live(shared, sent, tmp_path_factory.mktemp("random"), life)


@pytest.mark.long
@settings(max_examples=100, suppress_health_check=list(HealthCheck), phases=QUICK)
@given(lives)
def test_it_is_so_a_hundred_times(
    shared: Shared, sent: list[int], tmp_path_factory: pytest.TempPathFactory, life: Life
) -> None:
    live(shared, sent, tmp_path_factory.mktemp("random"), life)


def live(shared: Shared, sent: list[int], folder: Path, life: Life) -> None:
    files, script, where, spread = life
    triggers = {f"t{number}": text for number, text in enumerate(files)}
    journey = Journey(
        shared, folder / "company", triggers, where=where, people=PEOPLE, spread_minutes=spread
    )
    begins = f"2026-03-25  silent, {SHARED_ADDRESS}\n"
    journey.live(begins + script, until="2026-04-03")
    zone, country = where.split()
    with journey.ledger.read() as connection:
        entered = {
            (row.account_id, row.trigger, row.cycle): row
            for row in connection.execute(select(enrollments))
        }
    sent.append(len(journey.left))
    identities = set()
    for number, mail in enumerate(journey.left):
        send, trigger = mail.send, journey.triggers[mail.send.trigger]
        who = (send.account_id, send.contact_id, send.trigger, send.step, send.cycle)
        entry = entered[send.account_id, send.trigger, send.cycle]
        # One identity, one mail.
        assert send.send_id == send_identity(*who)
        identities.add(who)
        # The window is kept, and no mail is sooner than due or later than of use.
        there = mail.at.astimezone(ZoneInfo(zone))
        assert trigger.send_window.opens_on(there.date(), country)
        assert trigger.send_window.from_ <= there.time() < trigger.send_window.to
        assert there.date() not in holidays_of(country, there.year)
        assert send.due_at <= mail.at
        assert send.expires_at is None or mail.at < send.expires_at
        # Nothing after an exit, and nothing to those held out.
        assert mail.active_at is None or entry.enrolled_at >= mail.active_at
        assert not trigger.holds_out(send.account_id)
        # Caps count every mail of all triggers.
        for cap, key in ((trigger.caps.contact, "address"), (trigger.caps.account, "account_id")):
            if cap is None:
                continue
            first_day = there.date() - timedelta(days=cap.days - 1)
            so_far = [
                mail
                for mail in journey.left[: number + 1]
                if mail.at.astimezone(ZoneInfo(zone)).date() >= first_day
                and getattr(mail.send, key) == getattr(send, key)
            ]
            assert len(so_far) <= cap.count
    assert len(identities) == len(journey.left)


# The same inputs, in another order. -----------------------------------------------------------


def the_world(folder: Path, rng: random.Random | None) -> Company:
    """Three triggers that compete for the same people, their files written in any order."""
    company = Company(folder)
    files = [
        ("rescue", "is_dormant", 50, "{contact: 1/7d}"),
        ("nudge", "is_dormant", 50, "{contact: 2/7d, account: 2/7d}"),
        ("tips", "ladder_step < 3", 20, "{account: 3/7d}"),
    ]
    if rng:
        rng.shuffle(files)
    for name, audience, priority, caps in files:
        text = (
            f"audience: {audience}\nrecipients: role = 'admin'\nlaunch: existing\n"
            f"priority: {priority}\ncaps: {caps}\nholdout: 10%\n"
            "steps:\n  - {id: one, after: 0d}\n  - {id: two, after: 1d}\n"
        )
        company.trigger(name, text, "one", "two")
    return company


@settings(max_examples=4, suppress_health_check=list(HealthCheck), phases=QUICK)
@given(st.integers(0, 2**32))
def test_the_order_of_accounts_contacts_and_files_changes_nothing(
    shared: Shared, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    plans = []
    for rng in (None, random.Random(seed)):
        company = the_world(tmp_path_factory.mktemp("order") / "company", rng)
        accounts = [
            {"account_id": f"a{n}", "is_dormant": n % 3 > 0, "ladder_step": n % 5}
            for n in range(30)
        ]
        contacts = [
            {
                "contact_id": f"c{n}",
                "account_id": f"a{n % 30}",
                "email": f"p{n % 17}@example.com",
            }
            for n in range(60)
        ]
        with Ledger.open(company.settings.ledger_url) as ledger:
            collected = []
            for number, at in enumerate(("2026-06-10 01:00", "2026-06-11 01:00")):
                triggers = load_triggers(company.settings)
                if rng:
                    rng.shuffle(accounts)
                    rng.shuffle(contacts)
                    rng.shuffle(triggers)
                shared.marts.feed("fresh")
                shared.marts.accounts(accounts)
                shared.marts.contacts(contacts)
                with ledger.read() as known:
                    result = decide(
                        company.settings, shared.warehouse, known, triggers, as_of=utc(at)
                    )
                runs.begin(ledger, run_id=f"r{number}", as_of=utc(at), source="files")
                with ledger.write() as connection:
                    record(connection, result.decisions, run_id=f"r{number}", at=utc(at))
                collected.append(result)
        assert any(result.withheld["capped"] for result in collected), "nothing competes"
        plans.append(collected)
    assert plans[0] == plans[1]
