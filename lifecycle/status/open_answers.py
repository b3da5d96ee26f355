"""Answers and messages that wait for a person: `lifecycle answers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lifecycle.document import Document, Id, Section, counted, moment, table
from lifecycle.ledger import replies
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings

SHORT = 8
"""Digits of a key that a person types."""


@dataclass(frozen=True)
class OpenAnswers:
    """What came back and waits for a person, oldest first."""

    answers: list[dict[str, Any]]
    """answer, kind, came_at, account_id, trigger, step, label, text, matched_by, is_forwarded."""
    time_zone: str

    def as_json(self) -> dict[str, Any]:
        """The object of `answers --json`."""
        return {"answers": self.answers}

    def as_document(self) -> Document:
        """The list for a person."""
        if not self.answers:
            return [Section("No answer waits for a person.", (), "good")]
        rows = (
            (
                Id(answer["answer"]),
                moment(answer["came_at"], self.time_zone),
                answer["account_id"] or answer["kind"],
                f"{answer['trigger']}/{answer['step'] or '…'}" if answer["trigger"] else "–",
                answer["label"] or "",
                " ".join((answer["text"] or "").split())[:60],
            )
            for answer in self.answers
        )
        title = f"{counted(len(self.answers), 'message')} to answer or to look at"
        columns = ("answer", "came", "account", "mail", "label", "says")
        ask = "When it is done: lifecycle answered ANSWER --by NAME --why TEXT"
        return [Section(title, (table(columns, rows), ask), "warning")]


def open_answers(settings: Settings, ledger: Ledger, limit: int | None = None) -> OpenAnswers:
    """Read what waits."""
    return OpenAnswers(
        [
            {
                "answer": row.key[:SHORT],
                "is_forwarded": row.forward_id is not None,
                **{name: getattr(row, name) for name in _SHOWN},
            }
            for row in replies.waiting(ledger, limit)
        ],
        settings.company.time_zone,
    )


_SHOWN = ("kind", "came_at", "account_id", "trigger", "step", "label", "text", "matched_by")
