"""Exactly who would get what from a trigger, before anything goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lifecycle.insight import published
from lifecycle.insight.document import Document, Section, Table, counted, moment, table
from lifecycle.insight.report import WHY
from lifecycle.ledger.store import Ledger
from lifecycle.mail.message import Message
from lifecycle.planning.plan import plan
from lifecycle.planning.result import PlanResult
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger, find, load_triggers
from lifecycle.warehouse.connection import connect_published

ROWS = 50
"""Rows that a person is shown of a long list."""


@dataclass(frozen=True)
class Preview:
    """What the next run would decide for one trigger. Nothing of it is written anywhere."""

    trigger: Trigger
    as_of: datetime
    result: PlanResult
    names: dict[str, str]
    """Account id: name."""
    zones: dict[str, str]
    """Account id: time zone."""
    time_zone: str
    """The company's."""
    every_mail: bool = False
    """Show each mail, not one of each step and language."""

    @property
    def mails(self) -> list[tuple[Any, Message]]:
        """The planned sends with their mails, first to go first."""
        sends = sorted(
            self.result.decisions.sends, key=lambda send: (send.not_before, send.send_id)
        )
        return [(send, Message.from_bytes(send.mime)) for send in sends]

    def as_json(self) -> dict[str, Any]:
        """The object of `preview --json`."""
        made = self.result.decisions
        return {
            "trigger": self.trigger.name,
            "as_of": self.as_of.isoformat(),
            "entering": [entry.account_id for entry in made.entries],
            "leaving": {ending.account_id: ending.reason for ending in made.endings},
            "waiting": list(self.result.waiting),
            "mails": [
                {
                    "send_id": send.send_id,
                    "account_id": send.account_id,
                    "account_name": self.names.get(send.account_id),
                    "contact_id": send.contact_id,
                    "to": mail.to_email,
                    "step": send.step,
                    "locale": send.locale,
                    "not_before": send.not_before.isoformat(),
                    "subject": mail.subject,
                    "body": mail.body,
                }
                for send, mail in self.mails
            ],
            "withheld": [dict(vars(one)) for one in made.withheld],
        }

    def as_document(self) -> Document:
        """The preview for a person."""
        sections = [self._summary(), self._who(), self._withheld(), *self._texts()]
        return [section for section in sections if section.parts]

    def _summary(self) -> Section:
        made = self.result.decisions
        parts: list[str | Table] = [
            f"{counted(len(made.entries), 'account')} would enter, "
            f"{len(made.endings):,} would leave, {counted(len(made.sends), 'mail')} would be "
            "planned. Nothing is written or sent by this preview.",
            *self.result.waiting,
        ]
        if self.result.flood:
            parts.append(
                f"A run of this alone would wait for an approval: {self.result.flood.why}."
            )
        left_out = [
            (str(reason), count, WHY.get(reason, ""))
            for reason, count in self.result.withheld.most_common()
        ]
        if left_out:
            parts.append(table(("withheld", "count", "why"), left_out))
        when = moment(self.as_of, self.time_zone)
        return Section(f"{self.trigger.name} as of {when}", tuple(parts))

    def _who(self) -> Section:
        if not self.mails:
            return Section("", ())
        rows = [
            (
                self.names.get(send.account_id) or send.account_id,
                mail.to_email,
                send.step,
                send.locale,
                moment(send.not_before, self.zones.get(send.account_id, self.time_zone)),
            )
            for send, mail in self.mails[:ROWS]
        ]
        columns = ("account", "to", "step", "language", "goes at the earliest")
        return Section("Who gets what", (table(columns, rows), *_more(len(self.mails))))

    def _withheld(self) -> Section:
        made = self.result.decisions.withheld
        if not made:
            return Section("", ())
        rows = [
            (
                self.names.get(one.account_id) or one.account_id,
                one.contact_id or None,
                one.step or "entry",
                one.reason,
                one.detail,
            )
            for one in made[:ROWS]
        ]
        columns = ("account", "contact", "step", "reason", "detail")
        return Section("Who does not", (table(columns, rows), *_more(len(made))))

    def _texts(self) -> list[Section]:
        seen: Counter[tuple[str, str]] = Counter()
        sections = []
        for send, mail in self.mails:
            seen[send.step, send.locale] += 1
            if self.every_mail or seen[send.step, send.locale] == 1:
                text = (
                    f"To: {mail.to_name} <{mail.to_email}>\nSubject: {mail.subject}\n\n{mail.body}"
                )
                sections.append(Section(f"{send.step} ({send.locale})", (text,)))
        return sections


def preview(
    settings: Settings, ledger: Ledger, name: str, *, as_of: datetime, every_mail: bool = False
) -> Preview:
    """What a run at `as_of` would decide for one trigger, on the marts that are published.

    Raises UnknownName, TriggerError, TemplateError, or WarehouseError when nothing was
    published yet.
    """
    trigger = find(load_triggers(settings), name)
    result = plan(settings, ledger, run_id="preview", as_of=as_of, dry_run=True, only=name)
    made = result.decisions
    ids = {one.account_id for one in made.sends} | {one.account_id for one in made.withheld}
    with connect_published(settings) as warehouse:
        found = published.accounts(warehouse, sorted(ids))
    names = {one["account_id"]: one["name"] for one in found}
    zones = {one["account_id"]: one["time_zone"] for one in found}
    return Preview(trigger, as_of, result, names, zones, settings.company.time_zone, every_mail)


def _more(count: int) -> tuple[str, ...]:
    return (f"… and {count - ROWS:,} more; --json lists them all.",) if count > ROWS else ()
