"""Words that people write for yes, for no and for nothing, and the SQL that recognises them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from lifecycle.sources.reading import literal

NO = (
    *("false", "f", "no", "n", "0", "0.0", "off", "nein", "non", "いいえ", "いえ", "偽"),
    *("0000-00-00", "0000-00-00 00:00:00", "0000-00-00t00:00:00z"),
)
"""That somebody has not left: what a CRM writes into a column of yes and no."""

YES = (
    *("true", "t", "yes", "y", "1", "1.0", "on", "x", "✓", "✔", "○", "ja", "oui", "si", "sí"),
    *("はい", "真", "済", "有", "退会", "退会済み", "解約", "解約済み", "配信停止", "配信停止済み"),
    *("unsubscribed", "unsubscribe", "opted out", "opted-out", "opt-out", "opt out", "optout"),
    *("churned", "cancelled", "canceled", "left"),
)
"""That somebody has left."""

_BLANKS = "' \t\r\n\u00a0\u3000'"


def normalised(word: str) -> str:
    """The form that words are compared in: no case, no full width, single inner blanks."""
    return " ".join(unicodedata.normalize("NFKC", word).casefold().split())


def as_written(words: Iterable[str]) -> list[str]:
    """Every form in which SQL meets the words after `compared`: as they are, and in full width."""
    forms: set[str] = set()
    for word in words:
        plain = normalised(word)
        forms |= {plain, word.strip().lower(), plain.translate(_WIDE)}
    return sorted(forms - {""})


_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


def compared(text: str) -> str:
    """SQL: a text in the form that `is_one_of` compares."""
    return f"lower(trim({text}, {_BLANKS}))"


def is_one_of(text: str, words: Iterable[str]) -> str:
    """SQL: whether a text is one of the words, in whatever case or width; null for null."""
    listed = ", ".join(map(literal, as_written(words)))
    return f"{compared(text)} IN ({listed})" if listed else "false"
