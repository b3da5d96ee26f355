"""What follows from messages that came back, in one transaction of the ledger.

A person's answer ends the account's sequence at once; whoever wants out, bounced or complained is
never mailed again. What a message does is written with the message itself, so that reading it once
more, after a crash or from another folder, changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from lifecycle.errors import TriggerError
from lifecycle.ledger import controls, feedback, replies, suppressions
from lifecycle.ledger.feedback import Fact, Kind
from lifecycle.ledger.replies import SOURCE, ReplyKind
from lifecycle.ledger.states import batches
from lifecycle.ledger.tables import enrollments, trigger_versions
from lifecycle.mailbox import reports, wishes
from lifecycle.mailbox.forward import Forwarding
from lifecycle.mailbox.inbound import Inbound
from lifecycle.mailbox.matching import NONE, Match, Matching
from lifecycle.mailbox.understanding import kind_of
from lifecycle.planning import versions
from lifecycle.settings import Settings
from lifecycle.triggers.model import Answer, Step, Trigger

REPLIED = "replied"
"""Why a sequence ended that a person answered."""
LONGEST_TEXT = 10_000


@dataclass(frozen=True)
class Arrived:
    """A message, and where it lies."""

    message: Inbound
    folder: str | None = None
    uid_validity: int | None = None
    uid: int | None = None


class Taking:
    """Takes messages into a ledger, in the caller's transaction."""

    def __init__(self, settings: Settings, ledger: Connection, now: datetime) -> None:
        """`now` is the wall clock (UTC)."""
        self._settings, self._ledger, self._now = settings, ledger, now
        self._matching = Matching(settings, ledger)
        self._erasure_key = settings.privacy.erasure_key.get_secret_value()
        self._forwarding = Forwarding(settings, ledger, now)
        self._trigger = cache(self._read_trigger)
        self._erased: set[str] = set()
        self._ended: list[controls.Sequence] = []
        """Of the batch: whose answers end their sequence, at its end and in its transaction."""
        self._enrolments: dict[controls.Sequence, Row[Any]] = {}
        self._own = {settings.company.from_email.lower(), settings.answer_address.lower()}

    def take(self, arrived: Sequence[Arrived]) -> Counter[ReplyKind]:
        """Write down what is new of some messages, and do what follows; returns how many of each
        kind. What is not about our mails leaves no trace."""
        counts: Counter[ReplyKind] = Counter()
        known = replies.known(self._ledger, [item.message.key for item in arrived])
        senders = sorted({item.message.sender for item in arrived if item.message.sender})
        self._erased = suppressions.erased_among(self._ledger, senders, self._erasure_key)
        self._know_enrolments(self._matching.look_up([item.message for item in arrived]))
        rows, self._ended = [], []
        for item in arrived:
            if item.message.key in known or self._is_our_own(item.message):
                continue
            known.add(item.message.key)
            if row := self._row(item):
                rows.append(row)
                counts[ReplyKind(row["kind"])] += 1
        replies.keep(self._ledger, rows)
        detail = "left the sequence: a person answered"
        controls.end_sequences(self._ledger, self._ended, REPLIED, detail, self._now)
        return counts

    def _is_our_own(self, message: Inbound) -> bool:
        """Mail of this system that came back as it is: a copy, or an answer that loops."""
        return message.sender in self._own and (
            message.header("X-Lifecycle-Send") != ""
            or message.header("Auto-Submitted").lower().startswith("auto-")
        )

    def _row(self, item: Arrived) -> dict[str, Any] | None:
        message = item.message
        kind = kind_of(message, has_token=self._matching.by_token(message) is not None)
        match kind:
            case ReplyKind.BOUNCE | ReplyKind.COMPLAINT:
                match, facts = self._reported(message)
                if not facts:
                    return None
                self._apply(facts)
            case ReplyKind.UNSUBSCRIBE:
                match = self._matching.of(message)
                self._unsubscribe(message, match)
                if match.send is None and not self._is_known(message.sender):
                    kind = ReplyKind.UNMATCHED
            case _:
                match = self._matching.of(message)
                if match is NONE or match.is_for_a_colleague:
                    return None
                if match.send is None:
                    kind = ReplyKind.UNMATCHED
        row = self._described(item, kind, match)
        if kind is ReplyKind.ANSWER and match.send is not None:
            self._answered(message, match, match.send, row)
        return row

    def _described(self, item: Arrived, kind: ReplyKind, match: Match) -> dict[str, Any]:
        message, send = item.message, match.send
        text = None
        if kind in (ReplyKind.ANSWER, ReplyKind.UNMATCHED, ReplyKind.UNSUBSCRIBE):
            text = message.written[:LONGEST_TEXT]
        return_on = None
        if kind is ReplyKind.AUTOMATIC:
            return_on = wishes.return_day(message.text, message.received_at.date())
        sender = message.sender or None
        if sender in self._erased:
            sender, text = suppressions.digest(message.sender, self._erasure_key), None
        is_erased = sender is not None and sender.startswith(suppressions.ERASED)
        return {
            "key": message.key,
            "kind": kind,
            "came_at": message.received_at,
            "read_at": self._now,
            "matched_by": match.by,
            **{name: send and getattr(send, name) for name in _OF_THE_SEND},
            "step": send.step if send is not None and match.is_one_step else None,
            "address": sender,
            "subject": None if is_erased else message.subject,
            "text": text,
            "label": None,
            "return_on": return_on,
            "forward_id": None,
            "settled_at": None,
            "settled_by": None,
            "settled_why": None,
            "folder": item.folder,
            "uid_validity": item.uid_validity,
            "uid": item.uid,
        }

    # Reports and wishes. --------------------------------------------------------------------

    def _reported(self, message: Inbound) -> tuple[Match, list[Fact]]:
        """The facts of a report that are about our mails, and the mail that it is about."""
        match, facts = NONE, []
        for report in reports.complaints(message) or reports.delivery_reports(message):
            send = self._matching.send(report.send_id) if report.send_id else None
            if send is not None:
                match = Match("report", send)
            elif report.address:
                by_address = self._matching.by_address(report.address, message.received_at)
                if by_address is NONE:
                    continue
                match = by_address if match is NONE else match
                send = by_address.send if by_address.is_one_step else None
            else:
                continue
            fact = Fact(
                source=SOURCE,
                kind=report.kind,
                at=message.received_at,
                send_id=send.send_id if send is not None else None,
                address=report.address,
                detail=report.detail,
            )
            facts.append(fact)
        return match, facts

    def _unsubscribe(self, message: Inbound, match: Match) -> None:
        """Suppress who wrote, where we know them, and who got the mail that they answer."""
        addresses = set()
        if self._is_known(message.sender):
            addresses.add(message.sender)
        send_id = None
        if match.send is not None:
            send_id = match.send.send_id
            addresses.discard(match.send.address)
        facts = [
            Fact(SOURCE, Kind.UNSUBSCRIBED, message.received_at, address=address)
            for address in sorted(addresses)
        ]
        if send_id:
            event_id = f"{SOURCE}:{send_id}"
            facts.append(
                Fact(SOURCE, Kind.UNSUBSCRIBED, message.received_at, send_id, event_id=event_id)
            )
        self._apply(facts)

    def _is_known(self, address: str) -> bool:
        return bool(address) and self._matching.ever_mailed(address)

    def _apply(self, facts: Sequence[Fact]) -> None:
        feedback.apply(self._ledger, facts, self._now, erasure_key=self._erasure_key)

    # A person's answer. ----------------------------------------------------------------------

    def _answered(
        self, message: Inbound, match: Match, send: Row[Any], row: dict[str, Any]
    ) -> None:
        """End the sequence, keep the answer that a step asked for, and pass it on."""
        enrolment = self._enrolment_of(send)
        version = enrolment.trigger_version if enrolment is not None else send.trigger_version
        trigger = self._trigger(send.trigger, version)
        step = _step_of(trigger, send.step) if match.is_one_step else None
        answer = _answer(step, row["text"] or "")
        if answer is not None:
            row["label"] = answer.label
        is_inside = enrolment is not None and enrolment.ended_at is None
        if is_inside and (trigger is None or trigger.on_reply == "exit"):
            self._ended.append((send.account_id, send.trigger, send.cycle))
        if answer is not None and answer.then is not None:
            controls.hold_account(
                self._ledger,
                send.account_id,
                until=self._now + answer.then,
                by=SOURCE,
                why=f"answered {answer.label} to {send.trigger}/{send.step}",
            )
            if len((row["text"] or "").split("\n")) == 1:
                # It said all there is to say, and what it asks for was done.
                row |= {
                    "settled_at": self._now,
                    "settled_by": SOURCE,
                    "settled_why": f"on hold for {answer.then.days} days",
                }
                return
        if row["text"] is not None:
            row["forward_id"] = self._forwarding.forward(send, row)

    def _know_enrolments(self, mails: Sequence[Row[Any]]) -> None:
        """Read at once the entries that mails belong to."""
        wanted = sorted({(mail.account_id, mail.trigger, mail.cycle) for mail in mails})
        for batch in batches(wanted):
            query = select(enrollments).where(controls.OF_SEQUENCE.in_(batch))
            for row in self._ledger.execute(query):
                self._enrolments[row.account_id, row.trigger, row.cycle] = row

    def _enrolment_of(self, send: Row[Any]) -> Row[Any] | None:
        """The entry that a mail belongs to."""
        if (send.account_id, send.trigger, send.cycle) not in self._enrolments:
            self._know_enrolments([send])
        return self._enrolments.get((send.account_id, send.trigger, send.cycle))

    def _read_trigger(self, name: str, version: str) -> Trigger | None:
        kept = self._ledger.execute(
            select(trigger_versions).where(
                trigger_versions.c.trigger == name, trigger_versions.c.version == version
            )
        ).first()
        file: Path = self._settings.folder("triggers") / f"{name}.yaml"
        try:
            return versions.read(kept, file) if kept else None
        except TriggerError:
            return None


_OF_THE_SEND = ("send_id", "account_id", "contact_id", "trigger", "cycle")


def _step_of(trigger: Trigger | None, step: str) -> Step | None:
    try:
        return trigger.step(step) if trigger else None
    except KeyError:
        return None


def _answer(step: Step | None, text: str) -> Answer | None:
    """The answer that a step asks for, where the text is one."""
    if step is None or not step.answers:
        return None
    labels = [(digit, answer.label) for digit, answer in step.answers.items()]
    label = wishes.answered_number(text, labels)
    return next((answer for answer in step.answers.values() if answer.label == label), None)
