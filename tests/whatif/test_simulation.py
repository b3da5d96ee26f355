"""Past days lived through once more, on marts that a test sets for each day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from company import Company, Marts, utc
from lifecycle.days import days_between, time_of_day
from lifecycle.document import as_text
from lifecycle.errors import ClockError, InputError
from lifecycle.ledger import runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import launches, suppressions
from lifecycle.planning.plan import plan
from lifecycle.settings import Settings
from lifecycle.whatif.simulation import World, ledger_of, replay
from lifecycle.whatif.simulation_report import Simulated, Simulation
from lifecycle.whatif.variant import Variant

MONDAY = utc("2026-06-07 21:00")
"""06:00 in Tokyo."""

WIN_BACK = """
audience: is_dormant
recipients: role = 'admin'
launch: existing
exit_when: not is_dormant
send_window: {days: mon-fri, from: "09:00", to: "17:00"}
steps:
  - {id: check_in, after: 0d}
  - {id: last_call, after: 3d}
"""


@dataclass
class Days:
    """Marts in which, from a day on, accounts are dormant or not."""

    settings: Settings
    dormant: dict[datetime, dict[str, bool]]
    feed: dict[datetime, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = duckdb.connect()
        self.marts = Marts(self.connection)
        self.contacts: list[dict[str, Any]] = []

    def build(self, as_of: datetime) -> None:
        known = max((day for day in self.dormant if day <= as_of), default=None)
        accounts = self.dormant[known] if known else {}
        is_late = self.feed.get(as_of) == "late"
        self.marts.accounts(
            {"account_id": name, "is_dormant": None if is_late else is_so}
            for name, is_so in accounts.items()
        )
        people = [{"contact_id": f"c-{name}", "account_id": name} for name in accounts]
        self.marts.contacts(self.contacts or people)
        self.marts.feed("late" if is_late else "fresh")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    result = Company(tmp_path / "company")
    result.trigger("win_back", WIN_BACK, "check_in", "last_call")
    result.settings.state_dir.mkdir()
    return result


@pytest.fixture
def real(company: Company) -> Iterator[Ledger]:
    with Ledger.open(company.settings.ledger_url) as ledger:
        yield ledger


def live(
    company: Company,
    real: Ledger,
    days: Days,
    count: int,
    tmp_path: Path,
    memory: Any = "empty",
    first: datetime = MONDAY,
) -> Simulation:
    """That many days in a row, a run at 06:00 and deliveries until the next one."""
    with ledger_of(real, tmp_path / "simulated.db", memory) as ledger:
        world = World(Variant.of_working_tree(company.settings), days, ledger, first)
        for number in range(count):
            now = first + timedelta(days=number)
            days.build(now)
            world.live((now + timedelta(hours=9)).date(), now, now + timedelta(days=1))
        return Simulation((Simulated(world.result(), "Asia/Tokyo"),), memory)


def by_day(simulation: Simulation) -> dict[str, int]:
    return {f"{day:%a}": mails for day, mails in simulation.simulated[0].by_day.items()}


def test_mails_leave_on_their_days_in_their_window(company, real, tmp_path) -> None:
    days = Days(company.settings, {MONDAY: {"a1": True, "a2": True}})
    days.dormant[MONDAY + timedelta(days=2)] = {"a1": True, "a2": False}
    simulation = live(company, real, days, 7, tmp_path)
    assert by_day(simulation) == {
        "Mon": 2,
        "Tue": 0,
        "Wed": 0,
        "Thu": 1,
        "Fri": 0,
        "Sat": 0,
        "Sun": 0,
    }
    (first,) = simulation.simulated
    assert {mail.at.hour for mail in first.replay.mails} == {0}, "09:00 in Tokyo"
    assert first.busiest == (date(2026, 6, 8), 2)
    assert (len(first.people), first.repeated) == (2, {"c-a1@example.com": 2})
    assert first.by_trigger == {"win_back": {"mails": 3, "people": 2, "accounts": 2}}


def test_a_mail_that_was_taken_ends_its_sequence_so_that_another_may_begin(
    company, real, tmp_path
) -> None:
    weekly = re.sub(r"  - .id: last_call.*\n", "", WIN_BACK)
    weekly = weekly.replace("launch:", "enter: {every: 2d}\nlaunch:")
    company.trigger("win_back", weekly, "check_in")
    days = Days(company.settings, {MONDAY: {"a1": True}})
    result = by_day(live(company, real, days, 5, tmp_path))
    assert result == {"Mon": 1, "Tue": 0, "Wed": 1, "Thu": 0, "Fri": 1}


def test_a_cap_is_counted_once_however_long_it_holds(company, real, tmp_path) -> None:
    capped = WIN_BACK.replace(
        "launch:", "caps: {contact: 1/7d}\nlate: {after: 9d, do: skip}\nlaunch:"
    )
    company.trigger("win_back", capped, "check_in", "last_call")
    days = Days(company.settings, {MONDAY: {"a1": True}})
    (first,) = live(company, real, days, 7, tmp_path).simulated
    assert first.figures()["capped"] == 1
    assert first.withheld["capped"] == {"mails": 1, "most_a_day": 1}
    assert first.figures()["mails"] == 1
    assert first.repeated == {}


def test_a_mail_planned_and_then_cancelled_is_told(company, real, tmp_path) -> None:
    evening = MONDAY + timedelta(hours=12)  # 18:00: the window opens tomorrow
    days = Days(company.settings, {evening: {"a1": True}})
    days.dormant[evening + timedelta(hours=14)] = {"a1": False}
    with ledger_of(real, tmp_path / "simulated.db", "empty") as ledger:
        world = World(Variant.of_working_tree(company.settings), days, ledger, evening)
        for now in (evening, evening + timedelta(hours=14)):
            days.build(now)
            world.live(now.date(), now, now + timedelta(hours=14))
        answer = world.result()
    assert answer.mails == []
    assert dict(answer.unsent) == {("cancelled", "left the sequence: exit"): 1}


def test_triggers_wait_on_days_with_a_late_feed(company, real, tmp_path) -> None:
    days = Days(company.settings, {MONDAY: {"a1": True}}, {MONDAY: "late"})
    simulation = live(company, real, days, 3, tmp_path)
    assert by_day(simulation) == {"Mon": 0, "Tue": 1, "Wed": 0}
    assert [day.feed_status for day in simulation.simulated[0].replay.days] == [
        "late",
        "fresh",
        "fresh",
    ]


def test_an_empty_ledger_still_knows_who_may_not_be_mailed(company, real, tmp_path) -> None:
    with real.write() as connection:
        connection.execute(
            suppressions.insert().values(
                address="c-a1@example.com", reason="bounced", at=MONDAY, source="test"
            )
        )
    days = Days(company.settings, {MONDAY: {"a1": True, "a2": True}})
    (first,) = live(company, real, days, 1, tmp_path).simulated
    assert first.people == {"c-a2@example.com"}
    assert first.withheld["suppressed"]["mails"] == 1


def run(company: Company, real: Ledger, days: Days, now: datetime) -> None:
    """A real run, whose marts are published."""
    days.build(now)
    with duckdb.connect(company.settings.published_db) as db:
        db.execute("create schema marts")
        for mart in ("account_360", "dim_contacts", "feed_health", "rejected_rows"):
            rows = days.connection.execute(f"from marts.{mart}").to_arrow_table()  # noqa: F841
            db.execute(f"create table marts.{mart} as from rows")
    runs.begin(real, run_id="r1", as_of=now, source="files")
    plan(company.settings, real, run_id="r1", as_of=now)
    runs.finish(real, run_id="r1", status="done", report={})


def test_a_copied_ledger_goes_on_where_it_is_and_stays_as_it_was(company, real, tmp_path) -> None:
    days = Days(company.settings, {MONDAY: {"a1": True}})
    run(company, real, days, MONDAY)
    with real.read() as connection:
        before = connection.execute(launches.select()).all()
    simulation = live(company, real, days, 4, tmp_path, "copy", MONDAY + timedelta(days=1))
    (first,) = simulation.simulated
    # The mail of Monday waits in the copy: nobody delivered it. The second one keeps its distance.
    assert [mail.step for mail in first.replay.mails] == ["check_in", "last_call"]
    with real.read() as connection:
        assert connection.execute(launches.select()).all() == before
        assert len(before) == 1


def test_a_copied_ledger_cannot_go_back(company, real) -> None:
    days = Days(company.settings, {MONDAY: {"a1": True}})
    run(company, real, days, MONDAY)
    with pytest.raises(ClockError, match="--ledger empty"):
        replay(
            company.settings,
            real,
            [Variant.of_working_tree(company.settings)],
            days=[date(2026, 6, 1)],
            at=time(6),
            memory="copy",
        )


def test_two_simulations_are_compared(company, real, tmp_path) -> None:
    days = Days(company.settings, {MONDAY: {"a1": True, "a2": True}})
    (before,) = live(company, real, days, 7, tmp_path / "one").simulated
    company.trigger("win_back", WIN_BACK.replace("3d}", "14d}"), "check_in", "last_call")
    (after,) = live(company, real, days, 7, tmp_path / "two").simulated
    answer = Simulation((before, after), "empty").as_json()["difference"]
    assert (answer["mails"], answer["people"], answer["people_with_repeat_contact"]) == (-2, 0, -2)
    assert answer["by_trigger"] == {"win_back": -2}
    assert (answer["people_only_before"], answer["people_only_after"]) == (0, 0)
    shown = as_text(Simulation((before, after), "empty").as_document(), width=120)
    assert re.search(r"^ +mails +4 +2 +-2$", shown, re.MULTILINE), shown
    assert re.search(r"^ +win_back +4 +2 +-2$", shown, re.MULTILINE), shown


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [("2026-06-10", "2026-06-09", "is before"), ("tomorrow", "2026-06-09", "'tomorrow'")],
)
def test_days_that_are_none_are_refused(first: str, last: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        days_between(first, last)
    with pytest.raises(InputError, match="06:00"):
        time_of_day("six")
    assert len(days_between("2026-02-27", "2026-03-02")) == 4
