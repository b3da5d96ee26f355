"""SendGrid's signed Event Webhook.

The signature covers the moment of sending and the bytes of the body, so the body is verified
before anything looks into it. SendGrid tries again for a day when it gets no 2xx; a request up
to 48 hours old is therefore taken, and taking one twice changes nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from lifecycle.errors import SettingsError
from lifecycle.ledger import feedback
from lifecycle.ledger.store import Ledger
from lifecycle.mail.providers.sendgrid_feedback import facts_of_events
from lifecycle.settings import Settings

SIGNATURE: str = EventWebhookHeader.SIGNATURE
TIMESTAMP: str = EventWebhookHeader.TIMESTAMP

OLDEST = timedelta(hours=48)
AHEAD = timedelta(minutes=5)
"""How far SendGrid's clock may be before ours."""
LARGEST_BODY = 8 << 20
"""Bytes; SendGrid sends less than one megabyte."""


class Refused(Exception):
    """Not from SendGrid, or not fit to be read: status and a word for the log."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Webhook:
    """Takes the events of one account. Without a public key it takes none."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        """Raises SettingsError for a public key that is none."""
        self._ledger = ledger
        self._erasure_key = settings.privacy.erasure_key.get_secret_value()
        self._verifier: EventWebhook | None = None
        if key := "".join(settings.feedback.sendgrid_public_key.split()):
            try:
                self._verifier = EventWebhook(key)
            except ValueError as error:
                raise SettingsError(
                    f"feedback.sendgrid_public_key is no public key as SendGrid shows it: {error}"
                ) from None

    def take(self, body: bytes, signature: str, timestamp: str) -> int:
        """Keep the events of a request; returns how many were new, once they are committed.

        Raises Refused.
        """
        now = datetime.now(UTC)
        self._verify(body, signature, timestamp, now)
        try:
            events: Any = json.loads(body)
        except ValueError:
            raise Refused(400, "not JSON") from None
        if not isinstance(events, list):
            raise Refused(400, "not a list of events")
        facts = list(facts_of_events(events))
        with self._ledger.write() as connection:
            return feedback.apply(connection, facts, now, erasure_key=self._erasure_key)

    def _verify(self, body: bytes, signature: str, timestamp: str, now: datetime) -> None:
        if self._verifier is None:
            raise Refused(404, "no public key is set")
        try:
            genuine = self._verifier.verify_signature(body.decode(), signature, timestamp)
        except ValueError:  # not UTF-8, or no base64
            genuine = False
        if not genuine:
            raise Refused(403, "bad signature")
        try:
            age = now - datetime.fromtimestamp(int(timestamp), UTC)
        except (ValueError, OverflowError, OSError):
            raise Refused(403, "no moment") from None
        if age > OLDEST:
            raise Refused(403, "too old")
        if age < -AHEAD:
            raise Refused(403, "from the future")
