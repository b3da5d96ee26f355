"""Reports by mail about mails of ours: of delivery (RFC 3464) and of complaints (RFC 5965)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser

from lifecycle.ledger.feedback import Kind
from lifecycle.ledger.suppressions import normalized
from lifecycle.mailbox.inbound import Inbound, content

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_ADDRESS = re.compile(r"[^\s<>;,\"]+@[^\s<>;,\"]+")
_OUR_ID = re.compile(r"(?im)^(?:message-id|x-lifecycle-send)\s*:\s*<?([0-9a-f]{32})(?:@|>|\s|$)")
HARD = re.compile(r"5\.1\.(?:1|2|3|6|10)$")
"""RFC 3463 and 7505: the mailbox or its domain does not exist, or has moved for good."""


STATUS_PARTS = frozenset({"message/delivery-status", "message/global-delivery-status"})
FEEDBACK_PART = "message/feedback-report"


@dataclass(frozen=True)
class Report:
    """What a report says of one reader of one mail."""

    kind: Kind
    send_id: str | None
    """Of the mail that it gives back, in part or whole; None: it gives back none of ours."""
    address: str | None
    """Normalised."""
    detail: str


def delivery_reports(message: Inbound) -> list[Report]:
    """What a delivery report says, one item a reader; empty where it is none."""
    failed = message.header("X-Failed-Recipients")
    if not failed and message.kinds.isdisjoint(STATUS_PARTS):
        return []
    reports = []
    send_id = None
    for part in message.parts():
        kind = part.get_content_type()
        if kind in ("message/rfc822", "text/rfc822-headers", "message/global-headers"):
            send_id = send_id or _send_id_in(part)
    for part in message.parts():
        if part.get_content_type() in STATUS_PARTS:
            reports += [
                Report(fact, send_id, address, detail)
                for fields in _blocks(part)
                for fact, address, detail in _of_reader(fields)
            ]
    if not reports and failed:
        # Exim and some others: no report in parts, and no status that says how bad it is.
        send_id = send_id or _send_id_in_text(message.text)
        reports = [
            Report(Kind.BLOCKED, send_id, normalized(address), message.subject)
            for address in _ADDRESS.findall(failed)
        ]
    return reports


def complaints(message: Inbound) -> list[Report]:
    """What a feedback report says: a complaint, or an opt-out; empty where it is none."""
    if FEEDBACK_PART not in message.kinds:
        return []
    kind, address, send_id = None, None, None
    for part in message.parts():
        if part.get_content_type() == FEEDBACK_PART:
            fields = next(_blocks(part), {})
            kind = {"abuse": Kind.COMPLAINED, "fraud": Kind.COMPLAINED}.get(
                fields.get("feedback-type", "").lower(), kind
            )
            if fields.get("feedback-type", "").lower() in ("opt-out", "opt-out-list"):
                kind = Kind.UNSUBSCRIBED
            address = _address(
                fields.get("original-rcpt-to") or fields.get("removal-recipient") or ""
            )
        elif part.get_content_type() in ("message/rfc822", "text/rfc822-headers"):
            send_id = send_id or _send_id_in(part)
    if kind is None or (address is None and send_id is None):
        return []
    return [Report(kind, send_id, address, "a feedback report")]


def is_report(message: Inbound) -> bool:
    """Whether a machine reports something, whatever it is."""
    reported = {"multipart/report", FEEDBACK_PART, *STATUS_PARTS}
    return not message.kinds.isdisjoint(reported)


def _of_reader(fields: Mapping[str, str]) -> Iterator[tuple[Kind, str | None, str]]:
    action = fields.get("action", "").split()[:1]
    status = _STATUS.search(fields.get("status", ""))
    diagnosis = fields.get("diagnostic-code", "")
    # A gateway says 5.0.0 and its diagnosis says more.
    if (found := _STATUS.search(diagnosis)) and (status is None or status[0].endswith(".0.0")):
        status = found
    code = status[0] if status else ""
    address = _address(fields.get("original-recipient", "")) or _address(
        fields.get("final-recipient", "")
    )
    detail = " ".join(f"{code} {diagnosis}".split())
    match action:
        case ["failed"]:
            yield (Kind.BOUNCED if HARD.match(code) else Kind.BLOCKED), address, detail
        case ["delayed"]:
            yield Kind.DEFERRED, address, detail
        case ["delivered"]:
            yield Kind.DELIVERED, address, detail
        case ["relayed"] | ["expanded"]:
            yield Kind.PROCESSED, address, detail


def _blocks(part: Message) -> Iterator[dict[str, str]]:
    """The groups of fields of a report's part, names in small letters."""
    payload = part.get_payload()
    groups: list[Message]
    if isinstance(payload, list):
        groups = [group for group in payload if isinstance(group, Message)]
    else:
        texts = re.split(r"\n\s*\n", content(part) or str(payload))
        groups = [Parser().parsestr(text.strip() + "\n", headersonly=True) for text in texts]
    for group in groups:
        fields = {name.lower(): " ".join(str(value).split()) for name, value in group.items()}
        if fields:
            yield fields


def _address(field: str) -> str | None:
    """The address of `rfc822; who@example.com`, or alone."""
    match = _ADDRESS.search(field.rpartition(";")[2])
    return normalized(match[0]) if match else None


def _send_id_in(part: Message) -> str | None:
    payload = part.get_payload()
    if isinstance(payload, list) and payload and isinstance(payload[0], Message):
        inner = payload[0]
        lines = "\n".join(f"{name}: {value}" for name, value in inner.items())
        return _send_id_in_text(lines)
    return _send_id_in_text(content(part) or str(payload))


def _send_id_in_text(text: str) -> str | None:
    match = _OUR_ID.search(text)
    return match[1] if match else None
