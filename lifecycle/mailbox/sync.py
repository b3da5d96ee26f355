"""Reads all that comes back: the provider's lists, and the mailbox; safe to repeat at any time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from lifecycle.errors import DeliveryError
from lifecycle.ledger import commands, feedback, replies
from lifecycle.ledger.replies import SOURCE, Position
from lifecycle.ledger.store import Ledger
from lifecycle.mail.sync_feedback import sync_feedback
from lifecycle.mailbox.reading import Folder
from lifecycle.mailbox.taking import Arrived, Taking
from lifecycle.settings import Settings

log = logging.getLogger("lifecycle.mailbox")

FIRST_DAYS = timedelta(days=30)
"""How far back a folder is read that was never read, or whose numbers are new."""


def sync(
    settings: Settings, ledger: Ledger, *, progress: Callable[[str], None] | None = None
) -> dict[str, int]:
    """Read every list that the provider keeps, and the mailbox where there is one: what was new,
    by list and by kind of message; empty where nothing can be read.

    Raises DeliveryError where something cannot be read, after the rest.
    """
    with commands.recorded(ledger, commands.SYNC_FEEDBACK):
        failures, new = [], {}
        try:
            new = sync_feedback(settings, ledger, progress=progress)
        except DeliveryError as error:
            failures.append(str(error))
        if settings.mailbox.is_read:
            if progress is not None:
                progress("the mailbox")
            try:
                new |= {str(kind): n for kind, n in read_mailbox(settings, ledger).items()}
            except DeliveryError as error:
                failures.append(str(error))
        if failures:
            raise DeliveryError("\n".join(failures))
        return new


def read_mailbox(settings: Settings, ledger: Ledger) -> dict[str, int]:
    """Read what is new in the folder: messages that concern us, by kind, each kind there.

    Each batch is committed by itself, with how far it reaches; then what it took is flagged or
    moved. What a crash leaves unflagged is flagged the next time. Raises DeliveryError.
    """
    counts: Counter[replies.ReplyKind] = Counter()
    folder = Folder(settings.mailbox)
    try:
        _mark(ledger, folder)
        with ledger.read() as connection:
            last = replies.position(connection, folder.name)
        if last is not None and last.uid_validity == folder.uid_validity:
            uids = folder.uids(last.last_uid)
        else:
            uids = folder.uids(0, since=(datetime.now(UTC) - FIRST_DAYS).date())
        reached = last.last_uid if last and last.uid_validity == folder.uid_validity else 0
        for fetched in folder.fetch(uids):
            now = datetime.now(UTC)
            arrived = [
                Arrived(item.message, folder.name, folder.uid_validity, item.uid)
                for item in fetched
            ]
            reached = max([reached, *(item.uid for item in fetched)])
            with ledger.write() as connection:
                counts += Taking(settings, connection, now).take(arrived)
                at = Position(folder.uid_validity, reached)
                replies.record_position(connection, folder.name, at, now)
            _mark(ledger, folder)
        now = datetime.now(UTC)
        with ledger.write() as connection:
            at = Position(folder.uid_validity, max(reached, *uids, 0) if uids else reached)
            replies.record_position(connection, folder.name, at, now)
            feedback.record_sync(connection, SOURCE, read_until=now, now=now)
    finally:
        folder.close()
    log.info(
        "mailbox: %s", ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or "nothing"
    )
    return {str(kind): counts[kind] for kind in replies.ReplyKind}


def _mark(ledger: Ledger, folder: Folder) -> None:
    """Flag or move what the ledger has and nobody flagged yet."""
    with ledger.read() as connection:
        by_uid = replies.to_flag(connection, folder.name, folder.uid_validity)
    if by_uid:
        folder.mark_handled(sorted(by_uid))
        with ledger.write() as connection:
            replies.flagged(connection, list(by_uid.values()))
