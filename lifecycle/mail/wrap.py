"""Lines of a plain-text mail, no wider than a reader's window, broken where a reader would.

Width is counted in display columns: a kanji or kana takes two (East-Asian width).
"""

from __future__ import annotations

import re

from wcwidth import iter_graphemes, width

COLUMNS = 70
NEAR = 24
"""Columns that a line may stay short of its width to end where a phrase does."""

_NOT_FIRST = frozenset(
    "、。，．・：；？！‼⁇゛゜´｀¨々〻ー―…‥％％℃"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ"
    "）〕］｝〉》」』】〙〗〟’”｠» 　,.;:!?)]}%〜～"
)
"""Characters that may not begin a line (kinsoku)."""
_NOT_LAST = frozenset("（〔［｛〈《「『【〘〖〝‘“｟«([{￥＄£＃")
"""Characters that may not end a line."""

_WIDE = (
    r"\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f"
    r"\uff01-\uff60\uffe0-\uffe6\u3000\U00020000-\U0003ffff"
)
_JOINED = r"\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef"  # marks on the character before
_PIECE = re.compile(
    r"(?:https?://|mailto:)[!-~]+"  # an address is never broken
    r"|[ \t]+"
    rf"|[{_WIDE}][{_JOINED}]*"  # a line may be broken on either side of a character
    rf"|(?:(?!https?://|mailto:)[^ \t{_WIDE}])+"  # a word
)
_INDENT = re.compile(r"[ \t\u3000]*(?:[-*・●○■□◆◇※][ \u3000]*|\d{1,2}[.)] +)?")


def wrap(text: str, columns: int = COLUMNS) -> str:
    """The text with its own line breaks kept and longer lines broken at `columns`.

    A word or address that is wider than that stays whole on a line of its own. The lines that
    follow a list item's first stand under its text.
    """
    return "\n".join(part for line in text.split("\n") for part in _broken(line, columns))


def shortened(text: str, columns: int) -> str:
    """The text, or as much of it as fits before an ellipsis; no character is cut in two."""
    if width(text) <= columns:
        return text
    kept, room = "", columns - 1
    for sign in iter_graphemes(text):
        room -= width(sign)
        if room < 0:
            break
        kept += sign
    return kept.rstrip() + "…"


def _broken(line: str, columns: int) -> list[str]:
    line = line.rstrip()
    if width(line) <= columns:
        return [line]
    indent = _INDENT.match(line).group()  # type: ignore[union-attr]  # it matches nothing too
    hanging = " " * width(indent)
    lines: list[str] = []
    units = _units(line[len(indent) :])
    while units:
        fits = _that_fit(units, columns - len(hanging))
        lines.append(((hanging if lines else indent) + "".join(units[:fits])).rstrip())
        units = units[fits:]
    return lines


def _that_fit(units: list[str], columns: int) -> int:
    """How many of the units go on one line: up to a phrase's end where one is near."""
    used, phrase = 0, 0
    for at, unit in enumerate(units):
        if at and used > columns - NEAR and _between_phrases(units[at - 1][-1], unit[0]):
            phrase = at
        if at and used + width(unit.rstrip(" \t")) > columns:
            return phrase or at
        used += width(unit)
    return len(units)


def _between_phrases(before: str, after: str) -> bool:
    """Whether a reader would pause here: at a space or a comma, before a bracket, and where
    particles end and the next word begins (hiragana, then anything else; not after お or ご)."""
    return (
        before in " \t、。，．！？）」』】"
        or after in _NOT_LAST
        or (_is_hiragana(before) and before not in "おご" and not _is_hiragana(after))
    )


def _is_hiragana(char: str) -> bool:
    return "ぁ" <= char <= "ゖ"


def _units(line: str) -> list[str]:
    """What may not be torn apart, each with the spaces that follow it."""
    units: list[str] = []
    for piece in _PIECE.findall(line):
        last = units[-1][-1] if units else ""
        if last and (piece[0] in " \t" or _holds(last, piece[0])):
            units[-1] += piece
        else:
            units.append(piece)
    return units


def _holds(last: str, first: str) -> bool:
    """Whether two characters stand together: kinsoku, and a number with its counter (5日)."""
    if last in " \t":
        return False
    return last in _NOT_LAST or first in _NOT_FIRST or last.isdigit()
