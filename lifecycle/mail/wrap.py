"""Lines of a plain-text mail, no wider than a reader's window, broken where a reader would.

Width is counted in display columns: a kanji or kana takes two (East-Asian width).
"""

from __future__ import annotations

import re

from wcwidth import width

COLUMNS = 70

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


def _broken(line: str, columns: int) -> list[str]:
    line = line.rstrip()
    if width(line) <= columns:
        return [line]
    indent = _INDENT.match(line).group()  # type: ignore[union-attr]  # it matches nothing too
    lines, current, used = [], indent, width(indent)
    hanging = " " * used
    for unit in _units(line[len(indent) :]):
        size = width(unit.rstrip(" \t"))
        if used + size > columns and current.strip() and current != indent:
            lines.append(current.rstrip())
            current, used = hanging, len(hanging)
        current += unit
        used += width(unit)
    return [*lines, current.rstrip()]


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
