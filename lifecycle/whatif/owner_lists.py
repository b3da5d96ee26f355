"""Shows the list that each account owner gets today, without sending it: `lifecycle owners`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lifecycle.document import Document, Id, Section, Table, counted, moment, table
from lifecycle.ledger import account_history
from lifecycle.ledger.store import Ledger
from lifecycle.mail.message import Message
from lifecycle.planning.owner_lists import OwnerLists, cycle_of, decide_lists
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_published

ROWS = 20
"""How many accounts whose owner has no address are shown to a person."""


@dataclass(frozen=True)
class Owners:
    """The owners' lists of one day: those in the ledger, and those that a run would add now."""

    as_of: datetime
    time_zone: str
    planned: list[tuple[str, Message]]
    """State and mail of the day's lists in the ledger."""
    decided: OwnerLists

    @property
    def new(self) -> list[Message]:
        """The lists that a run would plan now."""
        return [Message.from_bytes(owner_list.send.mime) for owner_list in self.decided.lists]

    def as_json(self) -> dict[str, Any]:
        """The object of `owners --json`."""
        return {
            "as_of": self.as_of.isoformat(),
            "day": self.decided.day.isoformat(),
            "resting": self.decided.resting or None,
            "lists": [
                *(_mail(mail, state) for state, mail in self.planned),
                *(_mail(mail, None) for mail in self.new),
            ],
            "waiting": self.decided.waiting,
            "unreached": [
                {"account_id": entry.account_id, "news": list(entry.news), "why": why}
                for news, why in self.decided.unreached
                for entry in news.entries
            ],
        }

    def as_document(self) -> Document:
        """The lists for a person."""
        parts: list[str | Table] = [
            f"{counted(len(self.planned), 'list')} of today in the ledger, "
            f"{len(self.new):,} would be new. Nothing is written or sent by this."
        ]
        if self.decided.resting:
            parts.append(f"No run sends lists today: {self.decided.resting}.")
        if self.decided.waiting:
            owners = counted(self.decided.waiting, "owner")
            parts.append(f"{owners} had today's list already: what is newer comes with the next.")
        title = f"Lists for account owners as of {moment(self.as_of, self.time_zone)}"
        return [
            Section(title, tuple(parts)),
            *self._unreached(),
            *(_shown(mail, state) for state, mail in self.planned),
            *(_shown(mail, "new") for mail in self.new),
        ]

    def _unreached(self) -> list[Section]:
        unreached = [(entry, why) for news, why in self.decided.unreached for entry in news.entries]
        if not unreached:
            return []
        rows = [
            (entry.account["name"], Id(entry.account_id), ", ".join(entry.news), why)
            for entry, why in unreached[:ROWS]
        ]
        parts: list[str | Table] = [table(("account", "id", "news", "why"), rows)]
        if len(unreached) > ROWS:
            parts.append(f"… and {len(unreached) - ROWS:,} more; --json lists them all.")
        title = f"{counted(len(unreached), 'account')} with news and no owner to tell"
        return [Section(title, tuple(parts), "warning")]


def owners(settings: Settings, ledger: Ledger, *, as_of: datetime) -> Owners:
    """The lists of the day of `as_of`, from the published marts.

    Raises TemplateError, or WarehouseError when nothing was published yet.
    """
    with connect_published(settings) as warehouse, ledger.read() as memory:
        decided = decide_lists(settings, warehouse, memory, as_of=as_of)
    planned = [
        (row.state, Message.from_bytes(row.mime))
        for row in account_history.owner_lists(ledger, cycle_of(decided.day))
    ]
    return Owners(as_of, settings.company.time_zone, planned, decided)


def _mail(mail: Message, state: str | None) -> dict[str, Any]:
    return {
        "to": mail.to_email,
        "name": mail.to_name,
        "state": state,
        "locale": mail.locale,
        "subject": mail.subject,
        "body": mail.body,
    }


def _shown(mail: Message, state: str) -> Section:
    text = f"To: {mail.to_name} <{mail.to_email}>\nSubject: {mail.subject}\n\n{mail.body}"
    return Section(f"{mail.to_email} ({mail.locale}, {state})", (text,))
