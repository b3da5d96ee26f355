"""Whether less of a part of the feed is normal now is asked once, and the answer is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import select

from company import utc
from lifecycle.errors import UnknownName
from lifecycle.ledger import feed_questions, runs
from lifecycle.ledger.feed_questions import ThinPart
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import actions

SMB = ThinPart("segment smb", date(2026, 6, 8), "3 events, usual are 120")
LATER = ThinPart("segment smb", date(2026, 6, 9), "4 events, usual are 120")
ALL = ThinPart("all", date(2026, 6, 9), "30 events, usual are 500")
AIKO = {"by": "aiko", "why": "a product was sold"}


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        runs.begin(opened, run_id="r1", as_of=utc("2026-06-11 01:00"), source="files")
        yield opened


def asked(ledger: Ledger, *thin: ThinPart, recovered: tuple[str, ...] = ()) -> list[ThinPart]:
    return feed_questions.ask(ledger, thin, recovered, run_id="r1")


def waiting(ledger: Ledger) -> list[str]:
    return [row.part for row in feed_questions.waiting(ledger)]


def test_a_part_is_asked_about_once(ledger: Ledger) -> None:
    assert asked(ledger, SMB) == [SMB]
    assert asked(ledger, LATER, ALL) == [ALL], "the same fault goes on"
    assert waiting(ledger) == ["all", "segment smb"]


def test_a_part_that_recovered_may_be_asked_about_again(ledger: Ledger) -> None:
    asked(ledger, SMB)
    assert asked(ledger, recovered=("segment smb",)) == []
    assert waiting(ledger) == []
    assert asked(ledger, LATER) == [LATER]


def test_a_yes_is_kept_and_another_change_is_asked_about(ledger: Ledger) -> None:
    asked(ledger, SMB)
    since = feed_questions.answer(ledger, "segment smb", is_normal=True, **AIKO)
    assert since == SMB.since
    assert waiting(ledger) == []
    assert asked(ledger, SMB, recovered=("segment smb",)) == []
    assert asked(ledger, LATER) == [LATER]
    with ledger.read() as connection:
        [action] = connection.execute(select(actions)).all()
    assert (action.action, action.subject, action.by) == ("feed normal", "segment smb", "aiko")


def test_a_no_is_not_asked_again_and_may_become_a_yes(ledger: Ledger) -> None:
    asked(ledger, SMB)
    feed_questions.answer(ledger, "segment smb", is_normal=False, **AIKO)
    assert asked(ledger, LATER) == []
    assert waiting(ledger) == []
    assert feed_questions.answer(ledger, "segment smb", is_normal=True, **AIKO) == SMB.since


def test_nobody_answers_what_was_not_asked(ledger: Ledger) -> None:
    asked(ledger, SMB)
    with pytest.raises(UnknownName, match='did you mean "segment smb"'):
        feed_questions.answer(ledger, "segment sbm", is_normal=True, **AIKO)
