"""Which addresses belong to somebody that the CRM knows."""

from __future__ import annotations

from collections.abc import Collection

from lifecycle.settings import Settings
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published


def known_to_the_crm(settings: Settings, addresses: Collection[str]) -> set[str] | None:
    """Those of some addresses (normalised) that a contact or an owner of the last published run
    has. None before the first one: anybody may be a customer."""
    if not settings.published_db.exists():
        return None
    with connect_published(settings) as warehouse:
        return published_marts.known_addresses(warehouse, addresses)
