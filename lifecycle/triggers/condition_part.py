"""The checked parts of a condition: what each is made of, and how it is written again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from lifecycle.triggers.columns import Column, Kind


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a condition: what, and what was probably meant."""

    what: str
    hint: str = ""

    def __str__(self) -> str:
        return self.what + (f" ({self.hint})" if self.hint else "")


class ConditionError(ValueError):
    """A text that is not a condition over these columns."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class Rank(IntEnum):
    """How loosely a part holds together: what is looser than it may be stands in parentheses."""

    ATOM = 0
    PREDICATE = 1
    NEGATION = 2
    CONNECTED = 3


LOOSEST_INSIDE = {
    Rank.ATOM: Rank.CONNECTED,  # a function has parentheses of its own
    Rank.PREDICATE: Rank.ATOM,
    Rank.NEGATION: Rank.NEGATION,
    Rank.CONNECTED: Rank.NEGATION,
}


@dataclass(frozen=True)
class Part:
    """A checked part of a condition, as the pieces to write it with."""

    kind: Kind
    pieces: tuple[str | Column | Part, ...]
    parts: tuple[Part, ...] = ()
    """The conditions that this one joins or negates, each with an outcome of its own."""
    rank: Rank = Rank.ATOM
    as_written: tuple[str | Column | Part, ...] = ()
    """The pieces that a person is shown, where SQL says it in another way."""
    literal: str | None = None
    """The value of a text literal."""
    accepted: frozenset[str] = frozenset()
    """All values that it can have, where its column's model says so."""

    @property
    def joins(self) -> str:
        """How it makes one of its parts: and, or, not; empty where it has none."""
        if not self.parts:
            return ""
        word = self.pieces[0] if self.rank is Rank.NEGATION else self.pieces[1]
        assert isinstance(word, str)
        return word.strip()

    def write(
        self, show: Callable[[Column], str], signs: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """The part as SQL, its columns as `show` writes them, its operators as `signs` has them."""
        words = []
        for piece in (signs and self.as_written) or self.pieces:
            if isinstance(piece, Part):
                word = piece.write(show, signs)
                words.append(word if piece.rank <= LOOSEST_INSIDE[self.rank] else f"({word})")
            elif isinstance(piece, Column):
                words.append(show(piece))
            else:
                words.append(signs.get(piece, piece))
        return "".join(words)

    def columns(self) -> Iterator[Column]:
        """Every mention of a column, in order."""
        for piece in self.pieces:
            if isinstance(piece, Part):
                yield from piece.columns()
            elif isinstance(piece, Column):
                yield piece

    def with_parts(self) -> Iterator[Part]:
        """The part and all conditions inside it, outermost first."""
        yield self
        for part in self.parts:
            yield from part.with_parts()


def quoted_text(text: str) -> str:
    """A text literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
