"""Mails that wait while a domain is still to know the sender, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lifecycle.insight.document import counted

SHOWN = 5


def waits(no_room: Mapping[str, int]) -> Iterator[str]:
    """A sentence for each of the domains with the most mails that wait, and one for the rest."""
    most = sorted(no_room.items(), key=lambda one: (-one[1], one[0]))
    for domain, mails in most[:SHOWN]:
        yield (
            f"{counted(mails, 'mail')} to {domain} must wait until tomorrow (UTC): it had as many "
            "as it may get today while it learns to know the sender ([warmup])."
        )
    if rest := most[SHOWN:]:
        mails = sum(count for _, count in rest)
        yield f"So must {counted(mails, 'mail')} to {counted(len(rest), 'other domain')}."
