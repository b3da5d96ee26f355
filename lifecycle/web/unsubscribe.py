"""Unsubscribing by a link: from the token of a mail to a suppression in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from lifecycle.ledger import feedback
from lifecycle.ledger.feedback import Fact, Kind
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import feedback as facts
from lifecycle.ledger.tables import sends
from lifecycle.mail.unsubscribe import Links

LINK = "link"


@dataclass(frozen=True)
class Reader:
    """The reader of one mail."""

    send_id: str
    locale: str
    """Of the mail."""
    is_unsubscribed: bool


class Unsubscribing:
    """Unsubscribes the readers of our mails by the tokens of their links."""

    def __init__(self, ledger: Ledger, *, keys: Sequence[str], erasure_key: str) -> None:
        self._links = Links(keys)
        self._erasure_key = erasure_key
        self._ledger = ledger

    def reader_of(self, token: str) -> Reader | None:
        """The reader of the mail that the token belongs to, or None. Changes nothing."""
        send_id = self._links.send_id(token)
        if send_id is None:
            return None
        unsubscribed = select(facts.c.key).where(
            facts.c.send_id == send_id, facts.c.kind == Kind.UNSUBSCRIBED
        )
        with self._ledger.read() as connection:
            locale = connection.execute(
                select(sends.c.locale).where(sends.c.send_id == send_id)
            ).scalar()
            if locale is None:
                return None
            return Reader(send_id, locale, connection.execute(unsubscribed).first() is not None)

    def unsubscribe(self, reader: Reader) -> None:
        """Suppress the reader's address, and stop the mails that are planned or queued for it."""
        now = datetime.now(UTC)
        fact = Fact(
            source=LINK,
            kind=Kind.UNSUBSCRIBED,
            at=now,
            send_id=reader.send_id,
            event_id=f"{LINK}:{reader.send_id}",  # a second click is the same fact
        )
        with self._ledger.write() as connection:
            feedback.apply(connection, [fact], now, erasure_key=self._erasure_key)
