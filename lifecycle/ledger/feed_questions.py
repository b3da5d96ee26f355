"""Parts of the usage feed of which less comes than usual, for days: is that normal now?

A person is asked once. A yes has the usual volume be taken from that day on, for good; a no keeps
the part's accounts waiting, and is not asked again before the part has recovered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Row, delete, insert, not_, or_, select, update

from lifecycle.errors import UnknownName, did_you_mean
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import actions, feed_questions

_IS_OPEN = feed_questions.c.is_normal.is_(None)
_IS_NO_YES = or_(_IS_OPEN, not_(feed_questions.c.is_normal))


@dataclass(frozen=True)
class ThinPart:
    """A part of the feed that is thin on each of the last three business days."""

    part: str
    """`all`, or a kind and a part: `segment smb`."""
    since: date
    """The first of these days, on the company's calendar."""
    why: str
    """How much came, and what is usual."""


def ask(
    ledger: Ledger, thin: Sequence[ThinPart], recovered: Collection[str], *, run_id: str
) -> list[ThinPart]:
    """Write down the thin parts that nobody was asked about yet, and return them.

    What was asked of a part that has `recovered` since is forgotten, unless it was answered yes.
    """
    with ledger.write() as connection:
        is_over = feed_questions.c.part.in_(list(recovered))
        connection.execute(delete(feed_questions).where(is_over, _IS_NO_YES))
        asked = set(connection.scalars(select(feed_questions.c.part).where(_IS_NO_YES)))
        query = select(feed_questions.c.part, feed_questions.c.since)
        known = {(row.part, row.since) for row in connection.execute(query)}
        new = [
            part for part in thin if part.part not in asked and (part.part, part.since) not in known
        ]
        if new:
            rows = [{**asdict(part), "run_id": run_id} for part in new]
            connection.execute(insert(feed_questions), rows)
    return new


def waiting(ledger: Ledger) -> list[Row[Any]]:
    """The questions without an answer, as rows of `feed_questions`, in the order of parts."""
    query = select(feed_questions).where(_IS_OPEN).order_by(feed_questions.c.part)
    with ledger.read() as connection:
        return list(connection.execute(query))


def answer(ledger: Ledger, part: str, *, is_normal: bool, by: str, why: str) -> date:
    """Keep a person's answer; returns since when less came. A no may become a yes later.

    Raises UnknownName for a part that nobody was asked about.
    """
    with ledger.write() as connection:
        query = select(feed_questions.c.part, feed_questions.c.since).where(_IS_NO_YES)
        since: dict[str, date] = {row.part: row.since for row in connection.execute(query)}
        if part not in since:
            hint = did_you_mean(part, since) or "`lifecycle status` names those that are asked"
            raise UnknownName(f"nobody is asked about a part {part!r} of the usage feed; {hint}")
        which = feed_questions.c.part == part, feed_questions.c.since == since[part]
        connection.execute(update(feed_questions).where(*which).values(is_normal=is_normal))
        action = "feed normal" if is_normal else "feed not normal"
        at = datetime.now(UTC)
        connection.execute(
            actions.insert().values(at=at, action=action, subject=part, by=by, why=why)
        )
        return since[part]
