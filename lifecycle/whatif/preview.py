"""`lifecycle preview`: exactly who would get which mails from a trigger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from lifecycle.authoring.files import read_to_plan
from lifecycle.document import Document, Id, Section, Table, counted, moment, table
from lifecycle.errors import DeliveryError, TriggerError
from lifecycle.ledger.decisions import PlannedSend, Withheld
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.folder import nearest
from lifecycle.mail.message import Message
from lifecycle.mail.preview_mail import SentPreview, check_colleague, send_to_oneself
from lifecycle.planning.decision import Reason
from lifecycle.planning.plan import plan
from lifecycle.planning.plan_result import PlanResult
from lifecycle.report.reasons import WHY
from lifecycle.settings import Settings
from lifecycle.triggers.folder import find
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published
from lifecycle.whatif.later_mails import mails_to_come

MORNING_RUN = timedelta(hours=6)
"""After midnight: when the run of a broadcast's day is."""
ROWS = 50
"""Rows that a person is shown of a long list."""


@dataclass(frozen=True)
class Preview:
    """What the next run would decide for one trigger. Writes nothing."""

    trigger: Trigger
    as_of: datetime
    result: PlanResult
    names: dict[str, str]
    """Account id: name."""
    zones: dict[str, str]
    """Account id: time zone."""
    time_zone: str
    """The company's."""
    goes_on: datetime | None = None
    """Start of a future broadcast's day (UTC); the preview is as of then."""
    other_language: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(reader's language, mail's language): mails that are not in their reader's language."""
    to_come: Sequence[Message] = ()
    """One mail of each step and language that nobody would get now."""
    every_mail: bool = False
    """Whether to show every mail, or one of each step and language."""
    sent_to: str | None = None
    """The address of the colleague to whom the shown mails were sent."""
    sent: Sequence[SentPreview] = ()
    """The results of sending them."""

    @cached_property
    def mails(self) -> list[tuple[Any, Message]]:
        """The planned sends with their mails, first to go first."""
        sends = sorted(
            self.result.decisions.sends, key=lambda send: (send.not_before, send.send_id)
        )
        return [(send, Message.from_bytes(send.mime)) for send in sends]

    @property
    def samples(self) -> list[Message]:
        """The mails whose text is shown: one of each step and language, or all of them."""
        mails = [mail for _, mail in self.mails]
        if not self.every_mail:
            first: dict[tuple[str, str], Message] = {}
            for mail in mails:
                first.setdefault((mail.step, mail.locale), mail)
            mails = list(first.values())
        return [*mails, *self.to_come]

    @property
    def held_out(self) -> list[str]:
        """The accounts that would enter without mails."""
        return [entry.account_id for entry in self.result.decisions.entries if entry.held_out]

    @property
    def withheld(self) -> list[Withheld]:
        """The mails and entries that are withheld for other reasons."""
        withheld = self.result.decisions.withheld
        return [mail for mail in withheld if mail.reason != Reason.HELD_OUT]

    def name(self, account_id: str) -> str:
        """The account's name, or its id where it has none."""
        return self.names.get(account_id) or account_id

    def when(self, account_id: str, at: datetime) -> str:
        """A moment in the account's own time."""
        return moment(at, self.zones.get(account_id, self.time_zone))

    def as_json(self) -> dict[str, Any]:
        """The object of `preview --json`."""
        decisions = self.result.decisions
        return {
            "trigger": self.trigger.name,
            "as_of": self.as_of.isoformat(),
            "goes_on": self.goes_on.isoformat() if self.goes_on else None,
            "entering": [entry.account_id for entry in decisions.entries],
            "leaving": {ending.account_id: ending.reason for ending in decisions.endings},
            "held_out": {account_id: self.names.get(account_id) for account_id in self.held_out},
            "counts": {
                "entering": len(decisions.entries),
                "leaving": len(decisions.endings),
                "held_out": len(self.held_out),
                "mails": len(decisions.sends),
                "accounts_mailed": len({send.account_id for send in decisions.sends}),
                "withheld": {str(reason): n for reason, n in self.result.withheld.items()},
            },
            "waiting": list(self.result.waiting),
            "other_language": [
                {"reads": reads, "gets": gets, "mails": mails}
                for (reads, gets), mails in self.other_language.items()
            ],
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
            "to_come": [
                {
                    "to": mail.to_email,
                    "step": mail.step,
                    "locale": mail.locale,
                    "subject": mail.subject,
                    "body": mail.body,
                }
                for mail in self.to_come
            ],
            "withheld": [dict(vars(mail)) for mail in self.withheld],
            "sent_to": self.sent_to,
            "sent": [asdict(mail) for mail in self.sent],
        }

    def as_document(self) -> Document:
        """The preview for a person."""
        who = (self._who(), self._held_out(), self._withheld())
        sections = [self._summary(), *who, *self._texts(), self._sent()]
        return [section for section in sections if section.parts]

    def _summary(self) -> Section:
        decisions = self.result.decisions
        parts: list[str | Table] = [
            f"{counted(len(decisions.entries), 'account')} would enter, "
            f"{len(decisions.endings):,} would leave, {counted(len(decisions.sends), 'mail')} "
            "would be planned. No customer is mailed by this preview, and the ledger stays as it "
            "is.",
            *self.result.waiting,
        ]
        if self.goes_on:
            parts.insert(
                0,
                f"It goes {moment(self.goes_on, self.time_zone)} at the earliest: until then "
                "nobody gets it. This is who would on that day, if all were as it is now.",
            )
        parts += [
            f"Readers of {reads} get {counted(mails, 'mail')} in {gets}: there is none in {reads}."
            for (reads, gets), mails in self.other_language.items()
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
                self.name(send.account_id),
                Id(send.account_id),
                mail.to_email,
                send.step,
                send.locale,
                self.when(send.account_id, send.not_before),
            )
            for send, mail in self.mails[:ROWS]
        ]
        columns = ("account", "id", "to", "step", "language", "goes at the earliest")
        return Section("Who gets what", (table(columns, rows), *_more(len(self.mails))))

    def _held_out(self) -> Section:
        if not self.held_out:
            return Section("", ())
        introduction = f"{counted(len(self.held_out), 'account')} of those that enter get no mail:"
        rows = [(self.name(account_id), Id(account_id)) for account_id in self.held_out[:ROWS]]
        accounts = table(("account", "id"), rows)
        return Section(
            "Held out, to compare with", (introduction, accounts, *_more(len(self.held_out)))
        )

    def _withheld(self) -> Section:
        withheld = self.withheld
        if not withheld:
            return Section("", ())
        rows = [
            (
                self.name(mail.account_id),
                Id(mail.account_id),
                mail.contact_id or None,
                mail.step or "entry",
                mail.reason,
                mail.detail,
            )
            for mail in withheld[:ROWS]
        ]
        columns = ("account", "id", "contact", "step", "reason", "detail")
        return Section("Who does not", (table(columns, rows), *_more(len(withheld))))

    def _texts(self) -> list[Section]:
        return [
            Section(
                f"{mail.step} ({mail.locale})"
                + (", which nobody would get now: with somebody's data" * (mail in self.to_come)),
                (f"To: {mail.to_name} <{mail.to_email}>\nSubject: {mail.subject}\n\n{mail.body}",),
            )
            for mail in self.samples
        ]

    def _sent(self) -> Section:
        if self.sent_to is None:
            return Section("", ())
        if not self.sent:
            return Section("", (f"There is no mail to show, so none went to {self.sent_to}.",))
        rows = ((mail.subject, mail.locale, mail.state, mail.detail) for mail in self.sent)
        mails = table(("subject", "language", "state", "detail"), rows)
        return Section(f"Sent to {self.sent_to}, marked as a preview", (mails,))

    def send_to(self, settings: Settings, me: str) -> Preview:
        """Send the shown mails to one colleague, and return the preview with the results.

        `me` is of `check_colleague`. Raises as `send_to_oneself` does.
        """
        return replace(self, sent_to=me, sent=send_to_oneself(settings, self.samples, me))

    def check_sent(self) -> None:
        """Raises DeliveryError where the provider did not take a mail to oneself."""
        refused = [mail for mail in self.sent if mail.state is not State.ACCEPTED]
        if refused:
            why = "; ".join(dict.fromkeys(f"{mail.state}: {mail.detail}" for mail in refused))
            raise DeliveryError(f"{len(refused)} of {len(self.sent)} mails were not taken: {why}")


def preview(
    settings: Settings, ledger: Ledger, name: str, *, as_of: datetime, every_mail: bool = False
) -> Preview:
    """What a run at `as_of` would decide for one trigger, on the published marts.

    For a future broadcast: what a run at six on its day would decide. Raises UnknownName,
    TriggerError with all that is wrong where the trigger or its mails cannot be used, or
    WarehouseError when nothing was published yet.
    """
    files = read_to_plan(settings)
    if name in files.broken:
        raise TriggerError(files.broken[name])
    trigger = find(files.usable, name)
    begins = trigger.begins(settings.company.time_zone)
    goes_on = begins if begins and begins > as_of else None
    result = plan(
        settings,
        ledger,
        run_id="preview",
        as_of=goes_on + MORNING_RUN if goes_on else as_of,
        dry_run=True,
        only=name,
        files=files,
    )
    decisions = result.decisions
    ids = {
        account.account_id
        for group in (decisions.sends, decisions.withheld, decisions.entries)
        for account in group
    }
    with connect_published(settings) as warehouse:
        accounts = published_marts.accounts(warehouse, sorted(ids))
        languages = published_marts.languages(
            warehouse, [send.contact_id for send in decisions.sends]
        )
        mails_now = {(send.step, send.locale) for send in decisions.sends}
        to_come = mails_to_come(settings, warehouse, trigger, without=mails_now, as_of=as_of)
    names = {account["account_id"]: account["name"] for account in accounts}
    zones = {account["account_id"]: account["time_zone"] for account in accounts}
    return Preview(
        trigger,
        as_of,
        result,
        names,
        zones,
        settings.company.time_zone,
        goes_on,
        Counter() if trigger.locale else _other_language(decisions.sends, languages),
        to_come,
        every_mail,
    )


def _other_language(
    mails: Iterable[PlannedSend], languages: Mapping[str, str]
) -> Counter[tuple[str, str]]:
    """How many mails are not in the language of the contact that they go to."""
    return Counter(
        (reads, mail.locale)
        for mail in mails
        if (reads := languages.get(mail.contact_id)) and nearest(reads, [mail.locale]) is None
    )


def colleague(settings: Settings, ledger: Ledger, address: str) -> str:
    """The address of one of our own people, as `check_colleague` has it."""
    with connect_published(settings) as warehouse:
        return check_colleague(settings, ledger, warehouse, address)


def _more(count: int) -> tuple[str, ...]:
    return (f"… and {count - ROWS:,} more; --json lists them all.",) if count > ROWS else ()
