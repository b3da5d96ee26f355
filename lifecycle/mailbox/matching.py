"""Whose mail a message answers: by reference, by a token, or by its sender; never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from lifecycle.ledger.states import batches
from lifecycle.ledger.tables import MAILED, UtcDateTime, sends
from lifecycle.mail.answer_token import AnswerTokens, Named, token_keys
from lifecycle.mailbox.inbound import Inbound
from lifecycle.settings import Settings
from lifecycle.template_names import OWNER_LIST

_OURS = re.compile(r"<([0-9a-f]{32})@([^<>@]+)>")
_SEND_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
"""In the subject of an unsubscribe of the mails of version 0.1."""


@dataclass(frozen=True)
class Match:
    """The mail that a message answers."""

    by: str
    """reference, token, sender, report; several or none, where there is none to name."""
    send: Row[Any] | None = None
    is_one_step: bool = True
    """Whether it is certain which mail of the sequence it is."""

    @property
    def is_for_a_colleague(self) -> bool:
        """Whether it answers what went to an account's owner."""
        return self.send is not None and self.send.trigger == OWNER_LIST


NONE, SEVERAL = Match("none"), Match("several")


class Matching:
    """Looks mails up in a ledger, in the caller's transaction."""

    def __init__(self, settings: Settings, ledger: Connection) -> None:
        self._ledger = ledger
        self._domains = {
            address.rpartition("@")[2].lower()
            for address in (settings.company.from_email, settings.answer_address)
        }
        self._tokens = AnswerTokens(token_keys(settings))
        self._span = timedelta(days=settings.mailbox.match_days)
        self._referenced: dict[str, Row[Any]] = {}

    def look_up(self, messages: Sequence[Inbound]) -> list[Row[Any]]:
        """Read at once the mails that the messages refer to; returns them."""
        ids = {
            ours[1]
            for message in messages
            for message_id in message.answered_ids
            if (ours := _OURS.fullmatch(message_id)) and ours[2].lower() in self._domains
        }
        for batch in batches(sorted(ids)):
            for row in self._ledger.execute(select(sends).where(sends.c.send_id.in_(batch))):
                self._referenced[row.send_id] = row
        return list(self._referenced.values())

    def of(self, message: Inbound) -> Match:
        """The mail that a message answers."""
        for message_id in message.answered_ids:
            ours = _OURS.fullmatch(message_id)
            if ours and ours[2].lower() in self._domains and (send := self.send(ours[1])):
                return Match("reference", send)
        if send := self.by_token(message):
            return Match("token", send)
        return self.by_address(message.sender, message.received_at)

    def send(self, send_id: str) -> Row[Any] | None:
        """The mail of that id."""
        return self._referenced.get(send_id) or self._one(sends.c.send_id == send_id)

    def by_token(self, message: Inbound) -> Row[Any] | None:
        """The mail that a token names, in an address to which the message went or in its
        subject."""
        addresses = message.addresses("To", "Cc", "Delivered-To", "X-Original-To")
        tags = [local.partition("+")[2] for local, _, _ in (a.partition("@") for a in addresses)]
        for text in (*tags, message.subject):
            if (named := self._tokens.read(text)) and (send := self._named(named, message)):
                return send
        for send_id in _SEND_ID.findall(message.subject):
            send = self.send(send_id)
            if send is not None and send.address == message.sender:
                return send
        return None

    def _named(self, named: Named, message: Inbound) -> Row[Any] | None:
        # A range of the key's own index: the ids that begin so.
        send = self._one(sends.c.send_id >= named.prefix, sends.c.send_id < named.prefix + "g" * 12)
        if send is None or named.is_signed or send.address == message.sender:
            return send
        return None

    def ever_mailed(self, address: str) -> bool:
        """Whether a mail to a customer ever went to an address, or was planned for it."""
        theirs = sends.c.address == address, sends.c.trigger != OWNER_LIST
        return (
            self._ledger.execute(select(sends.c.send_id).where(*theirs).limit(1)).first()
            is not None
        )

    def by_address(self, address: str, at: datetime) -> Match:
        """The newest of the mails to an address of the last days, where all of them are of one
        sequence of one account."""
        if not address:
            return NONE
        left_at = func.coalesce(sends.c.accepted_at, sends.c.state_at, type_=UtcDateTime)
        query = (
            select(sends)
            .where(
                sends.c.address == address,
                sends.c.state.in_(MAILED),
                sends.c.trigger != OWNER_LIST,
                left_at > at - self._span,
                left_at <= at + timedelta(hours=1),  # clocks differ
            )
            .order_by(left_at.desc(), sends.c.send_id)
        )
        rows: Sequence[Row[Any]] = self._ledger.execute(query).all()
        if not rows:
            return NONE
        if len({(row.account_id, row.trigger, row.cycle) for row in rows}) > 1:
            return SEVERAL
        return Match("sender", rows[0], is_one_step=len(rows) == 1)

    def _one(self, *which: ColumnElement[bool]) -> Row[Any] | None:
        rows = self._ledger.execute(select(sends).where(*which).limit(2)).all()
        return rows[0] if len(rows) == 1 else None
