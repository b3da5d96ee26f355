"""Reads the provider's suppression lists into the ledger; safe to repeat at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from lifecycle.errors import DeliveryError
from lifecycle.ledger import feedback
from lifecycle.ledger.store import Ledger
from lifecycle.mail.customers import known_to_the_crm
from lifecycle.mail.providers.sendgrid_feedback import SendGridLists
from lifecycle.settings import Settings

log = logging.getLogger("lifecycle.mail.sync_feedback")

OVERLAP = timedelta(hours=24)
"""How far each reading overlaps the last one: an entry may appear on a list later than its own
time."""


def sync_feedback(
    settings: Settings, ledger: Ledger, *, progress: Callable[[str], None] | None = None
) -> dict[str, int]:
    """Read every list that the provider keeps: new facts by list; empty where it keeps none.

    The first reading takes whole lists. Each page is committed by itself, and a list counts as
    read once all of it is. Raises DeliveryError where one cannot be read, after the others.
    """
    names = feedback.LISTS.get(settings.delivery.provider, ())
    if not names:
        return {}
    lists = SendGridLists(settings)
    try:
        new_facts, failures = {}, []
        for name in names:
            if progress is not None:
                progress(name)
            try:
                new_facts[name] = _read_one(settings, ledger, lists, name)
            except DeliveryError as error:
                failures.append(str(error))
    finally:
        lists.close()
    counts = ", ".join(f"{count} new {name}" for name, count in new_facts.items())
    log.info("feedback: %s", counts or "none was read")
    if failures:
        raise DeliveryError("\n".join(failures))
    return new_facts


def _read_one(settings: Settings, ledger: Ledger, lists: SendGridLists, name: str) -> int:
    now, new = datetime.now(UTC), 0
    with ledger.read() as connection:
        last = feedback.last_syncs(connection).get(name)
    since = None if last is None else last.read_until - OVERLAP
    erasure_key = settings.privacy.erasure_key.get_secret_value()
    for facts in lists.read(name, since, now):
        with ledger.write() as connection:
            new += feedback.apply(
                connection,
                facts,
                datetime.now(UTC),
                erasure_key=erasure_key,
                customers=partial(known_to_the_crm, settings),
            )
    with ledger.write() as connection:
        feedback.record_sync(connection, name, read_until=now, now=datetime.now(UTC))
    return new
