"""Feedback from SendGrid about mails and addresses: its events and its suppression lists.

SendGrid posts events (lifecycle/web). The lists are read every quarter of an hour, so that a lost
event does not lose a suppression.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from lifecycle.errors import DeliveryError
from lifecycle.ledger.feedback import Fact, Kind
from lifecycle.settings import Settings

# Events. ----------------------------------------------------------------------------------

WEBHOOK = "webhook"

KIND_OF_EVENT = {
    "processed": Kind.PROCESSED,
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DEFERRED,
    "bounce": Kind.BOUNCED,
    "dropped": Kind.DROPPED,
    "spamreport": Kind.COMPLAINED,
    "unsubscribe": Kind.UNSUBSCRIBED,
    "group_unsubscribe": Kind.UNSUBSCRIBED,
}
"""Other kinds, such as opens and clicks, are not requested and not stored."""

_DROPPED_FOR = {
    "bounced address": Kind.BOUNCED,
    "spam reporting address": Kind.COMPLAINED,
    "unsubscribed address": Kind.UNSUBSCRIBED,
    "invalid": Kind.INVALID,
}
"""Why SendGrid drops a mail, where that says something of its address."""

_LONGEST_ID = 128


def facts_of_events(events: Iterable[Any]) -> Iterator[Fact]:
    """The facts in the events of one request. Other and unreadable events are skipped: one bad
    event must not block the others."""
    for event in events:
        if isinstance(event, Mapping):
            yield from _facts_of_event(event)


def _facts_of_event(event: Mapping[str, Any]) -> Iterator[Fact]:
    kind, at = KIND_OF_EVENT.get(_text(event, "event")), _moment(event.get("timestamp"))
    if kind is None or at is None:
        return
    reason = _text(event, "reason") or _text(event, "response")
    if kind is Kind.BOUNCED and _is_soft(event):
        kind = Kind.BLOCKED
    send_id, address = _text(event, "send_id") or None, _text(event, "email") or None
    if send_id is None and address is None:
        return
    yield Fact(
        source=WEBHOOK,
        kind=kind,
        at=at,
        send_id=send_id,
        address=address,
        event_id=_text(event, "sg_event_id")[:_LONGEST_ID] or None,
        detail=" ".join(filter(None, (_text(event, "status"), reason))),
    )
    if kind is Kind.DROPPED and (of_address := _DROPPED_FOR.get(reason.lower())):
        # The drop names an earlier fact about the address, not about this mail.
        yield Fact(source=WEBHOOK, kind=of_address, at=at, address=address, detail=reason)


def _is_soft(event: Mapping[str, Any]) -> bool:
    """A bounce may be one of the mail, not of the address: blocked, expired, or status 4.x.x."""
    return _text(event, "type") not in ("", "bounce") or _text(event, "status").startswith("4")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""


def _moment(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


# Lists. -----------------------------------------------------------------------------------

KIND_OF_LIST = {
    "bounces": Kind.BOUNCED,
    "blocks": Kind.BLOCKED,
    "invalid_emails": Kind.INVALID,
    "spam_reports": Kind.COMPLAINED,
    "unsubscribes": Kind.UNSUBSCRIBED,
}
"""The kind of fact that each list means."""

PAGE = 500
"""Entries of one answer: as many as SendGrid gives."""
TRIES = 4
LONGEST_WAIT = 60.0
"""Seconds; who asks for more is asked again in a quarter of an hour."""


class SendGridLists:
    """The suppression lists of one account."""

    def __init__(self, settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raises DeliveryError when the account cannot be used."""
        section = settings.sendgrid
        key = section.api_key.get_secret_value()
        if not key:
            raise DeliveryError(
                "sendgrid.api_key is missing; give it as LIFECYCLE__SENDGRID__API_KEY"
            )
        try:
            trusted = ssl.create_default_context(cafile=section.ca_file)
        except OSError as error:
            raise DeliveryError(f"sendgrid.ca_file: {section.ca_file}: {error}") from None
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=f"{section.base_url}/v3/suppression/",
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
            timeout=httpx.Timeout(
                section.read_timeout_seconds, connect=section.connect_timeout_seconds
            ),
            verify=trusted,
            trust_env=False,
        )

    def read(self, name: str, since: datetime | None, until: datetime) -> Iterator[list[Fact]]:
        """Yield the entries that a list got between two moments (both included), page by page.

        Without `since` it is the whole list. Raises DeliveryError when it cannot be read whole.
        """
        window = {"end_time": int(until.timestamp())}
        if since is not None:
            window["start_time"] = int(since.timestamp())
        offset, before = 0, None
        while True:
            rows = self._get(name, {**window, "limit": PAGE, "offset": offset})
            if rows and rows == before:
                raise DeliveryError(f"SendGrid's {name} cannot be paged: a page came twice")
            yield [fact for row in rows if (fact := _entry(name, row)) is not None]
            if len(rows) < PAGE:
                return
            offset, before = offset + PAGE, rows

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _get(self, name: str, query: Mapping[str, int]) -> list[Any]:
        failure = ""
        for attempt in range(TRIES):
            wait = 2.0**attempt
            try:
                answer = self._client.get(name, params=dict(query))
            except httpx.TransportError as error:
                failure = type(error).__name__
            else:
                if answer.status_code == 200:
                    return _rows(name, answer)
                failure = f"answered {answer.status_code}"
                if answer.status_code == 429:
                    wait = _asked_wait(answer.headers, wait)
                elif answer.status_code < 500:
                    break
            if attempt + 1 < TRIES and wait <= LONGEST_WAIT:
                self._sleep(wait)
            else:
                break
        raise DeliveryError(f"SendGrid's {name} cannot be read: {failure}")


def _rows(name: str, answer: httpx.Response) -> list[Any]:
    try:
        rows = answer.json()
    except ValueError:
        rows = None
    if not isinstance(rows, list):
        raise DeliveryError(f"SendGrid's {name} cannot be read: the answer is no list")
    return rows


def _asked_wait(headers: Mapping[str, str], default: float) -> float:
    """Seconds that a 429 asks for, one at least."""
    try:
        if "Retry-After" in headers:
            return max(1.0, float(headers["Retry-After"]))
        return max(1.0, float(headers["X-RateLimit-Reset"]) - time.time())
    except (KeyError, ValueError):
        return default


def _entry(name: str, row: Any) -> Fact | None:
    if not isinstance(row, Mapping):
        return None
    address, at = _text(row, "email"), _moment(row.get("created"))
    if not address or at is None:
        return None
    kind, status = KIND_OF_LIST[name], _text(row, "status")
    if kind is Kind.BOUNCED and status.startswith("4"):
        kind = Kind.BLOCKED
    return Fact(source=name, kind=kind, at=at, address=address, detail=_text(row, "reason"))
