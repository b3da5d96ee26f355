"""What came back to the mailbox about mails of ours, and how far the mailbox was read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, update

from lifecycle.errors import InputError, UnknownName
from lifecycle.ledger import dialect
from lifecycle.ledger.feedback import MAILBOX
from lifecycle.ledger.states import batches, insert
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import actions, mailbox_positions, replies


class ReplyKind(StrEnum):
    """What a message that came back is."""

    ANSWER = "answer"
    """A person wrote it."""
    AUTOMATIC = "automatic"
    """Nobody did: out of office, a receipt."""
    BOUNCE = "bounce"
    """A report of delivery, good or bad."""
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    UNMATCHED = "unmatched"
    """It is about mail of ours, and nobody can tell which: a person looks."""


SOURCE = MAILBOX

ASKS_FOR_A_PERSON = (ReplyKind.ANSWER, ReplyKind.UNMATCHED)


class Position(NamedTuple):
    """How far a folder was read."""

    uid_validity: int
    last_uid: int


def position(ledger: Connection, folder: str) -> Position | None:
    """How far a folder was read; None: never."""
    row = ledger.execute(
        select(mailbox_positions).where(mailbox_positions.c.folder == folder)
    ).first()
    return Position(row.uid_validity, row.last_uid) if row else None


def record_position(ledger: Connection, folder: str, at: Position, now: datetime) -> None:
    """Write down how far a folder was read, in the transaction of what was read."""
    row = {"folder": folder, **at._asdict(), "read_at": now}
    statement = dialect.insert(ledger, mailbox_positions).values(row)
    ledger.execute(
        statement.on_conflict_do_update(
            index_elements=[mailbox_positions.c.folder],
            set_={name: statement.excluded[name] for name in row if name != "folder"},
        )
    )


def known(ledger: Connection, keys: Collection[str]) -> set[str]:
    """Those of the messages that the ledger has."""
    return {
        row.key
        for batch in batches(sorted(keys))
        for row in ledger.execute(select(replies.c.key).where(replies.c.key.in_(batch)))
    }


def keep(ledger: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write down messages that are new."""
    insert(ledger, replies, rows)


def to_flag(ledger: Connection, folder: str, uid_validity: int) -> dict[int, str]:
    """By UID, the messages of a folder that the ledger has, and that still are to be flagged or
    moved."""
    query = select(replies.c.uid, replies.c.key).where(
        replies.c.folder == folder,
        replies.c.uid_validity == uid_validity,
        replies.c.uid.is_not(None),
    )
    return {row.uid: row.key for row in ledger.execute(query)}


def flagged(ledger: Connection, keys: Collection[str]) -> None:
    """Write down that these were flagged, or moved."""
    for batch in batches(sorted(keys)):
        ledger.execute(
            update(replies)
            .where(replies.c.key.in_(batch))
            .values(folder=None, uid=None, uid_validity=None)
        )


def waiting(ledger: Ledger, limit: int | None = None) -> Sequence[Row[Any]]:
    """Answers and unmatched messages that nobody has settled, oldest first."""
    query = (
        select(replies)
        .where(replies.c.settled_at.is_(None), replies.c.kind.in_(ASKS_FOR_A_PERSON))
        .order_by(replies.c.came_at, replies.c.key)
        .limit(limit)
    )
    with ledger.read() as connection:
        return connection.execute(query).all()


def of_account(ledger: Ledger, account_id: str) -> Sequence[Row[Any]]:
    """All that came back about mails to an account, oldest first."""
    query = select(replies).where(replies.c.account_id == account_id).order_by(replies.c.came_at)
    with ledger.read() as connection:
        return connection.execute(query).all()


def settle(ledger: Ledger, key: str, *, by: str, why: str) -> None:
    """Write down that somebody has answered, or looked. `key` may be its beginning.

    Raises UnknownName where no message that waits begins so, InputError where several do.
    """
    now = datetime.now(UTC)
    with ledger.write() as connection:
        open_ = select(replies.c.key).where(
            replies.c.key.startswith(key, autoescape=True), replies.c.settled_at.is_(None)
        )
        keys = list(connection.scalars(open_.limit(2)))
        if not keys:
            raise UnknownName(f"no answer {key!r} waits; `lifecycle answers` lists them")
        if len(keys) > 1:
            raise InputError(f"several answers begin with {key!r}: write more of it")
        connection.execute(
            update(replies)
            .where(replies.c.key == keys[0])
            .values(settled_at=now, settled_by=by, settled_why=why)
        )
        connection.execute(
            actions.insert().values(at=now, action="answered", subject=keys[0], by=by, why=why)
        )
