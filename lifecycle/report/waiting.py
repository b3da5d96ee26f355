"""Why mails that are due must wait, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from lifecycle.document import counted, moment
from lifecycle.errors import Problem

SHOWN = 5

BROKEN = (
    "Nobody enters, nothing of it is mailed, and who is inside waits, until a run finds it mended. "
    "Nothing ended, and the other triggers go on."
)
"""What becomes of a trigger that cannot be used."""


def broken_lines(broken: Mapping[str, Iterable[Problem]]) -> Iterator[str]:
    """For each trigger that cannot be used a sentence that names all that is wrong with it."""
    for name, problems in broken.items():
        yield f"{name} waits: {'; '.join(str(problem) for problem in problems)}"


def waits(no_room: Mapping[str, int]) -> Iterator[str]:
    """Mails to domains that are still to know the sender: a sentence for each of those with the
    most, and one for the rest."""
    most = sorted(no_room.items(), key=lambda one: (-one[1], one[0]))
    for domain, mails in most[:SHOWN]:
        yield (
            f"{counted(mails, 'mail')} to {domain} must wait until tomorrow (UTC): it had as many "
            "as it may get today while it learns to know the sender ([warmup])."
        )
    if rest := most[SHOWN:]:
        mails = sum(count for _, count in rest)
        yield f"So must {counted(mails, 'mail')} to {counted(len(rest), 'other domain')}."


def left_alone(until: datetime, time_zone: str) -> str:
    """Why a delivery ended before its queue did."""
    return (
        f"The provider asked to be left alone until {moment(until, time_zone)}: what is due goes "
        "with the delivery after that."
    )
