"""Shows a condition as a tree: each part with its values, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lifecycle.triggers.condition import Outcome

ANSWER = {True: "yes", False: "no", None: "unknown"}

_JOINED = {"and": "all of:", "or": "any of:", "not": "not:"}
_INDENT = "  "


def tree_as_json(outcome: Outcome | None) -> dict[str, Any] | None:
    """The tree as data: text, holds (null: unknown), joins and parts."""
    if outcome is None:
        return None
    return {
        "text": outcome.text,
        "holds": outcome.holds,
        "joins": outcome.joins,
        "parts": [tree_as_json(part) for part in outcome.parts],
    }


def tree_as_rows(outcome: Outcome, depth: int = 0) -> Iterator[tuple[str, str]]:
    """One row a part, nested parts indented below it: its text with values, and the answer."""
    text = _JOINED[outcome.joins] if outcome.parts else outcome.text
    yield f"{_INDENT * depth}{text}", ANSWER[outcome.holds]
    for part in outcome.parts:
        yield from tree_as_rows(part, depth + 1)
