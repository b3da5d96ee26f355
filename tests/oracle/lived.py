"""A drawn company's two weeks, twice: by the real planner and ledger, and by the oracle."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from journey import SIX, Journey, Shared
from oracle.civil import Pace, Place
from oracle.companies import ACCOUNTS, LIVED, PEOPLE, Case, file_of, first_events, people
from oracle.model import Mail, World
from oracle.simulator import Oracle

TOKYO = ZoneInfo("Asia/Tokyo")
VALUES = {"null": None, "true": True, "false": False}
DORMANT = {"silent": True, "active": False, "unknown": None}
AGAIN_AFTER = timedelta(minutes=10)


def real(case: Case, shared: Shared, folder: Path) -> tuple[Journey, list[Mail]]:
    """What left by the real planner and ledger."""
    journey = Journey(
        shared,
        folder,
        {trigger.name: file_of(trigger) for trigger in case.triggers},
        people=people(),
        spread_minutes=case.spread_minutes,
        delivers_by_itself=not case.deliveries,
        people_limit=case.people_limit,
    )
    first = f"{case.begins}  " + ", ".join(first_events())
    script = [f"{at:%Y-%m-%d %H:%M}  {what}" for at, what in _events(case)]
    journey.live("\n".join([first, *script]), until=str(case.begins + timedelta(days=LIVED)))
    mails = [
        Mail(mail.at, mail.send.trigger, mail.send.account_id, mail.send.step, mail.send.address)
        for mail in journey.left
    ]
    return journey, sorted(mails)


def _events(case: Case) -> list[tuple[datetime, str]]:
    deliveries = [(at, "delivery") for at in case.deliveries]
    return sorted([*case.events, *deliveries], key=lambda item: item[0])


class Life:
    """The oracle's two weeks; `delivered` are moments of deliveries beside those it finds."""

    def __init__(self, case: Case, delivered: list[datetime]) -> None:
        self.case, self.delivered = case, sorted(delivered)
        place = {"time_zone": "Asia/Tokyo", "country_code": "JP", "plan": None, "stage": "mature"}
        self.world = World(
            {name: {**place, "is_dormant": False, "ladder_step": None} for name in ACCOUNTS},
            {
                name: {
                    "account_id": account,
                    "role": "admin",
                    "consent_basis": "contract",
                    "email_normalized": f"{name}@example.com",
                    "unsubscribed_at": None,
                }
                for name, account in PEOPLE.items()
            },
        )
        self.oracle = Oracle(
            self.world,
            list(case.triggers),
            Pace(timedelta(minutes=case.spread_minutes), timedelta(minutes=10)),
            Place("Asia/Tokyo", "JP"),
            case.people_limit,
        )
        self.has_runs = self.has_mail = True
        self.now = self._utc(datetime.combine(case.begins, time()))

    @staticmethod
    def _utc(wall: datetime) -> datetime:
        return wall.replace(tzinfo=TOKYO).astimezone(UTC)

    def live(self) -> list[Mail]:
        days = [self.case.begins + timedelta(days=ahead) for ahead in range(LIVED + 1)]
        midnight = datetime.combine(self.case.begins, time())
        acts = [(midnight, what) for what in first_events()]
        acts += _events(self.case)
        acts += [(datetime.combine(day, SIX), "morning") for day in days]
        for wall, what in sorted(acts, key=lambda item: item[0]):
            moment = self._utc(wall)
            self._deliver_until(moment)
            self.now = moment
            self._act(what)
        self._deliver_until(self._utc(datetime.combine(days[-1], time(23, 59))))
        return sorted(self.oracle.mails)

    def _deliver_until(self, moment: datetime) -> None:
        if self.case.deliveries:
            return
        while True:
            known = [at for at in self.delivered if at > self.now]
            planned = [at for at in self.oracle.planned_moments() if at > self.now]
            at = min([*known, *planned], default=moment)
            if at >= moment:
                return
            self.now = at
            self._deliver()

    def _deliver(self) -> None:
        if self.has_mail:
            self.oracle.delivery(self.now)

    def _run(self) -> None:
        self.oracle.run(self.now)
        self._deliver()

    def _act(self, what: str) -> None:
        world = self.world
        match what.split():
            case ["morning"]:
                if self.has_runs:
                    self._run()
            case ["run"]:
                self._run()
            case ["delivery"]:
                self._deliver()
            case ["approve"]:
                self.oracle.approve()
            case ["feed", status]:
                world.feed_is_late = status == "late"
            case [*no, "runs"]:
                self.has_runs = not no
                self._deliver()
            case [*no, "mail"]:
                self.has_mail = not no
                self._deliver()
            case ["pause", name]:
                world.paused.add(name)
            case ["resume", name]:
                world.paused.discard(name)
            case ["hold", name, hours]:
                world.holds[name] = self.now + timedelta(hours=int(hours))
            case _:
                name, _, change = what.rpartition(": ")
                for each in [name] if name else ACCOUNTS:
                    self._change(each, change)

    def _change(self, name: str, what: str) -> None:
        world = self.world
        row = world.accounts.get(name) or world.people[name]
        column, _, value = what.partition(" = ")
        match what:
            case "deleted":
                world.absent.add(name)
            case "back":
                world.absent.discard(name)
            case "unsubscribes":
                row["unsubscribed_at"] = self.now
            case "complains":
                world.suppressed.add(f"{name}@example.com")
            case _ if value:
                row[column] = _value(value)
            case _:
                row["is_dormant"] = DORMANT[what]


def _value(text: str) -> object:
    return int(text) if text.isdigit() else VALUES.get(text, text)
