"""Sentences that say why due mails wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime

from lifecycle.document import counted, moment
from lifecycle.errors import Problem

SHOWN = 5

BROKEN = (
    "Nobody enters, nothing of it is mailed, and who is inside waits, until a run finds it mended. "
    "Nothing ended, and the other triggers go on."
)
"""What happens while a trigger cannot be used."""


def broken_lines(broken: Mapping[str, Iterable[Problem]]) -> Iterator[str]:
    """For each trigger that cannot be used a sentence that names all that is wrong with it."""
    for name, problems in broken.items():
        yield f"{name} waits: {'; '.join(str(problem) for problem in problems)}"


def question_line(part: str, since: date, why: str) -> str:
    """The question whether it is normal now that less comes of a part of the usage feed."""
    what = "the whole usage feed" if part == "all" else f"the {part}"
    return (
        f"Less has come of {what} since {since}: {why}. Is that normal now? Say once: lifecycle "
        f'normal "{part}" --by NAME --why TEXT, or with --no where it is a fault.'
    )


def waits(no_room: Mapping[str, int]) -> Iterator[str]:
    """Sentences about mails that wait for the domain warm-up: one for each of the domains with the
    most mails, and one for the rest."""
    most = sorted(no_room.items(), key=lambda item: (-item[1], item[0]))
    for domain, mails in most[:SHOWN]:
        yield (
            f"{counted(mails, 'mail')} to {domain} must wait until tomorrow (UTC): it had as many "
            "as it may get today while it learns to know the sender ([warmup])."
        )
    if others := most[SHOWN:]:
        mails = sum(count for _, count in others)
        yield f"So must {counted(mails, 'mail')} to {counted(len(others), 'other domain')}."


def left_alone(until: datetime, time_zone: str) -> str:
    """Why a delivery ended before its queue did."""
    return (
        f"The provider asked for a pause until {moment(until, time_zone)}: what is due goes "
        "with the delivery after that."
    )


def not_sent(dropped: Mapping[str, int]) -> Iterator[str]:
    """Why due mails left the queue without being sent, a sentence each, the most frequent first."""
    for why, mails in sorted(dropped.items(), key=lambda item: (-item[1], item[0])):
        yield f"{counted(mails, 'mail')} not sent, {why}."


def must_decide(held: int) -> str:
    """That a delivery left mails of which nothing proves whether they left."""
    return (
        f"{counted(held, 'mail')} may or may not have left: `lifecycle held` lists what a person "
        "has to decide."
    )
