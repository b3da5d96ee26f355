"""Leaving by a link: who asked, and that no mail goes to them any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from lifecycle.ledger import feedback
from lifecycle.ledger.feedback import Fact, Kind
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import feedback as facts
from lifecycle.ledger.tables import sends
from lifecycle.mail.unsubscribe import Links
from lifecycle.settings import Settings

LINK = "link"


@dataclass(frozen=True)
class Leaver:
    """The reader of one mail."""

    send_id: str
    locale: str
    """Of the mail."""
    has_left: bool


class Leaving:
    """The way out that the links of our mails lead to."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._links = Links(settings.unsubscribe.keys)
        self._erasure_key = settings.privacy.erasure_key.get_secret_value()
        self._ledger = ledger

    def who(self, token: str) -> Leaver | None:
        """The reader whom a link was made for, or None. Changes nothing."""
        send_id = self._links.send_id(token)
        if send_id is None:
            return None
        left = select(facts.c.key).where(
            facts.c.send_id == send_id, facts.c.kind == Kind.UNSUBSCRIBED
        )
        with self._ledger.read() as connection:
            locale = connection.execute(
                select(sends.c.locale).where(sends.c.send_id == send_id)
            ).scalar()
            if locale is None:
                return None
            return Leaver(send_id, locale, connection.execute(left).first() is not None)

    def leave(self, reader: Leaver) -> None:
        """Never mail the reader's address again; what is planned or queued stops with it."""
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
