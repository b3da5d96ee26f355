"""Sample rows for templates: a value of every column's type, and the same row with its nulls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from lifecycle.mail.sandbox import Values
from lifecycle.settings import Company
from lifecycle.triggers.columns import Column, Columns, Kind

_SAMPLES: dict[Kind, Any] = {
    Kind.BOOLEAN: True,
    Kind.DATE: date(2026, 6, 10),
    Kind.TIMESTAMP: datetime(2026, 6, 10, 1, 30),  # noqa: DTZ001 (UTC, as the warehouse has it)
    Kind.OTHER: ["one", "two"],
}
_TEXTS = {
    "time_zone": "Asia/Tokyo",
    "email": "person@example.com",
    "email_normalized": "person@example.com",
    "owner_email": "owner@example.com",
}


def sample(columns: Columns) -> dict[str, Any]:
    """One row in which every column has a value of its type."""
    return {name: _value(column) for name, column in columns.items()}


def empty(columns: Columns, known: Iterable[str] = ()) -> dict[str, Any]:
    """The same row, null in every column that can be null and is not among `known`."""
    kept = set(known)
    return {
        name: value if columns[name].never_null or name in kept else None
        for name, value in sample(columns).items()
    }


def mail_values(
    account: Mapping[str, Any], contact: Mapping[str, Any], company: Company
) -> dict[str, Any]:
    """What a mail to a customer, or its footer, may name."""
    return {
        "account": Values("account", account),
        "contact": Values("contact", contact),
        "company": Values("company", company.model_dump()),
        "unsubscribe_url": "https://example.com/unsubscribe",
    }


def _value(column: Column) -> Any:
    match column.kind:
        case Kind.NUMBER:
            is_whole = "int" in column.data_type.lower()
            return 7919 if is_whole else 7919.25
        case Kind.TEXT:
            listed = sorted(column.accepted_values)
            return _TEXTS.get(column.name) or (listed[0] if listed else column.name)
        case kind:
            return _SAMPLES[kind]
