"""SendGrid's signed Event Webhook.

The signature covers the time of sending and the bytes of the body, so the body is verified before
it is parsed. SendGrid retries for a day when it gets no 2xx. A request up to 48 hours old is
therefore accepted, and accepting one twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from lifecycle.errors import SettingsError
from lifecycle.ledger import feedback
from lifecycle.ledger.feedback import Fact
from lifecycle.ledger.store import Ledger
from lifecycle.mail.providers.sendgrid_feedback import KIND_OF_EVENT, facts_of_events

SIGNATURE: str = EventWebhookHeader.SIGNATURE
TIMESTAMP: str = EventWebhookHeader.TIMESTAMP

OLDEST = timedelta(hours=48)
AHEAD = timedelta(minutes=5)
"""How far SendGrid's clock may be before ours."""
LARGEST_BODY = 8 << 20
"""Bytes; SendGrid sends less than one megabyte."""


class Refused(Exception):
    """The request is not SendGrid's, or cannot be read: an HTTP status and a reason for the log."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Taken:
    """How many events of a request were new, and how many could not be used."""

    new: int
    """Facts that the ledger did not have yet."""
    odd: int
    """Events that cannot be read or name no mail of ours; they are skipped."""


class Webhook:
    """Records the events of one SendGrid account. Without a public key it refuses all of them."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        public_key: str,
        erasure_key: str,
        customers: feedback.Customers | None = None,
    ) -> None:
        """`customers` says whom the CRM knows; of anybody else only what is about our mails is
        kept. Raises SettingsError for a public key that is none."""
        self._ledger = ledger
        self._customers = customers
        self._erasure_key = erasure_key
        self._verifier: EventWebhook | None = None
        if key := "".join(public_key.split()):
            try:
                self._verifier = EventWebhook(key)
            except ValueError as error:
                raise SettingsError(
                    f"feedback.sendgrid_public_key is no public key as SendGrid shows it: {error}"
                ) from None

    def take(self, body: bytes, signature: str, timestamp: str) -> Taken:
        """Record the events of a request, and return counts once they are committed.

        An event that cannot be used does not block the others. Raises Refused.
        """
        now = datetime.now(UTC)
        self._verify(body, signature, timestamp, now)
        try:
            events: Any = json.loads(body)
        except (ValueError, RecursionError):  # brackets without end are no JSON of ours
            raise Refused(400, "not JSON") from None
        if not isinstance(events, list):
            raise Refused(400, "not a list of events")
        facts_by_event = [(event, _facts_of(event)) for event in events]
        facts = [fact for _, event_facts in facts_by_event for fact in event_facts]
        with self._ledger.write() as connection:
            new = feedback.apply(
                connection,
                facts,
                now,
                erasure_key=self._erasure_key,
                customers=self._customers,
            )
        return Taken(
            new,
            odd=sum(
                not event_facts and _is_asked_for(event) for event, event_facts in facts_by_event
            ),
        )

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


def _facts_of(event: Any) -> list[Fact]:
    return [fact for item in facts_of_events([event]) if (fact := feedback.fit(item))]


def _is_asked_for(event: Any) -> bool:
    """Whether an event is of a kind that we use; other kinds are ignored, not counted as odd."""
    kind = event.get("event") if isinstance(event, Mapping) else None
    return not isinstance(kind, str) or kind.strip() in KIND_OF_EVENT
