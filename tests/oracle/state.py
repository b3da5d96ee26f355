"""What the oracle knows between runs and deliveries, and who reads an entry's mails."""

from __future__ import annotations

from datetime import date, datetime

from oracle.civil import Pace, Place
from oracle.model import Entry, Mail, Missing, Row, Slot, Trigger, World


class State:
    """The company as the newest run knows it, who is inside, and the mails that left."""

    def __init__(
        self,
        world: World,
        triggers: list[Trigger],
        pace: Pace,
        company: Place,
        people_limit: int | None = None,
    ) -> None:
        self.world, self.pace, self.company = world, pace, company
        self.triggers = sorted(triggers, key=lambda item: (-item.priority, item.name))
        self.people_limit = people_limit
        self.entries: list[Entry] = []
        self.mails: list[Mail] = []
        self.accounts: dict[str, Row] = {}
        self.people: dict[str, Row] = {}
        self.places: dict[str, Place] = {}
        self.waiting: set[str] = set()
        self.launched: dict[str, set[str]] = {}
        """By trigger: who matched at its launch, and was not seen outside since."""
        self.outside: set[tuple[str, str]] = set()
        """Trigger and account, seen outside since the last entry."""
        self.run_number = 0
        self.held_runs: set[int] = set()
        self.counted: list[tuple[str, str, date]] = []
        """Address, account and day of the mails that this run planned so far."""
        self.through: list[Entry] = []
        """Who was through with the trigger in question when the run began."""
        self.why: list[str] = []

    def _note(self, now: datetime, entry: Entry, *words: object) -> None:
        text = " ".join(str(word) for word in words)
        self.why.append(f"{now:%m-%d %H:%M} {entry.trigger.name} {entry.account} {text}")

    def _look(self) -> None:
        """What the newest run knows."""
        world = self.world
        self.accounts = {
            name: dict(row) for name, row in world.accounts.items() if name not in world.absent
        }
        self.people = {
            name: dict(row)
            for name, row in world.people.items()
            if name not in world.absent and row["account_id"] in self.accounts
        }
        for name, row in self.accounts.items():
            self.places[name] = Place(row["time_zone"], row["country_code"])

    def _open(self, trigger: Trigger | None = None) -> list[Entry]:
        """Who is inside, by account."""
        result = [
            entry for entry in self.entries if not entry.ended and trigger in (None, entry.trigger)
        ]
        return sorted(result, key=lambda entry: entry.account)

    def _end(self, entry: Entry, reason: str, now: datetime) -> None:
        entry.ended = reason
        self._note(now, entry, "ends:", reason)
        for slot in entry.slots:
            slot.planned = []

    @staticmethod
    def _count(missing: Missing | None, now: datetime) -> Missing:
        if missing is None:
            return Missing(now)
        missing.runs += 1
        return missing

    # Readers. ----------------------------------------------------------------------------

    def _address(self, contact: str) -> str:
        return self.people[contact]["email_normalized"]

    def _left_for_good(self, contact: str) -> bool:
        """Whether somebody of the CRM unsubscribed or complained."""
        address = self._address(contact)
        return address in self.world.suppressed or any(
            row["unsubscribed_at"] is not None
            for row in self.people.values()
            if row["email_normalized"] == address
        )

    def _qualifies(self, contact: str, account: str) -> bool:
        row = self.people.get(contact)
        return (
            row is not None
            and row["account_id"] == account
            and row["role"] == "admin"
            and row["consent_basis"] is not None
        )

    def _candidates(self, account: str) -> list[str]:
        """Who may read now."""
        return [
            contact
            for contact in sorted(self.people)
            if self._qualifies(contact, account) and not self._left_for_good(contact)
        ]

    def _is_gone(self, slot: Slot, entry: Entry) -> bool:
        """Gone at once: unsubscribed, suppressed, at another account, under another id."""
        assert slot.contact
        row = self.people.get(slot.contact)
        if row is not None:
            return row["account_id"] != entry.account or self._left_for_good(slot.contact)
        return any(
            other["email_normalized"] in slot.addresses
            for other in self.people.values()
            if other["account_id"] == entry.account
        )

    def _readers(self, entry: Entry, now: datetime) -> None:
        place = self.places[entry.account]
        for slot in entry.slots:
            if slot.contact is None:
                continue
            if self._is_gone(slot, entry):
                self._vacate(slot, entry, now)
            elif not self._qualifies(slot.contact, entry.account):
                slot.missing = self._count(slot.missing, now)
                if slot.missing.is_over(now, place):
                    self._vacate(slot, entry, now)
            else:
                slot.missing = None
        self._succeed(entry)
        if all(slot.contact is None for slot in entry.slots):
            self._end(entry, "no_reader", now)

    def _vacate(self, slot: Slot, entry: Entry, now: datetime) -> None:
        self._note(now, entry, slot.contact, "is gone")
        entry.were.add(slot.contact or "")
        slot.contact, slot.planned, slot.missing, slot.settled = None, [], None, {}

    def _succeed(self, entry: Entry) -> None:
        """Who meets `recipients` now takes a free place: first whose address it is, then by id."""
        for only_own in (True, False):
            for contact in self._candidates(entry.account):
                address = self._address(contact)
                free = [
                    slot
                    for slot in entry.slots
                    if slot.contact is None and (address in slot.addresses or not only_own)
                ]
                readers = {slot.contact for slot in entry.slots}
                if contact not in readers | entry.were and free:
                    free[0].contact = contact

    def _is_double(self, entry: Entry, slot: Slot) -> bool:
        """Whether an earlier reader of the entry has the same address."""
        if slot.contact not in self.people:
            return False
        addresses = {
            self._address(other.contact)
            for other in entry.slots
            if other.contact in self.people and other.contact < slot.contact  # type: ignore[operator]
        }
        return self._address(slot.contact) in addresses  # type: ignore[arg-type]
