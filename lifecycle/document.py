"""A page for a person: sections of sentences and tables, for a terminal, a file, or Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from lifecycle.outside_text import for_markdown, for_terminal

Cell = str | int | float | None


class Id(str):
    """A cell that people copy into a command: a table keeps it on one line."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Columns and rows; None shows as a dash, a number stands to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Section:
    """A title over sentences, literal blocks (text with line breaks) and tables."""

    title: str
    parts: tuple[str | Table, ...]
    tone: str = ""
    """Empty, good, bad or warning: the colour of the title on a terminal."""


Document = Sequence[Section]
TONES = {"": "bold", "good": "bold green", "bad": "bold red", "warning": "bold yellow"}


def table(columns: Iterable[str], rows: Iterable[Iterable[Cell]]) -> Table:
    """A table of any iterables."""
    return Table(tuple(columns), tuple(tuple(row) for row in rows))


def moment(value: datetime | None, time_zone: str = "UTC") -> str:
    """A moment as a person reads it: weekday, day and minute, in a zone that is named."""
    if value is None:
        return "–"
    return f"{value.astimezone(ZoneInfo(time_zone)):%a %Y-%m-%d %H:%M} {time_zone}"


def counted(number: int, noun: str) -> str:
    """`1 mail`, `1,200 mails`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def as_rich(document: Document) -> RenderableType:
    """The document for a terminal."""
    parts: list[RenderableType] = []
    for number, section in enumerate(document):
        if number:
            parts.append(Text(""))
        if section.title:
            # Some titles hold a path: whole, it can be copied.
            title = Text(
                for_terminal(section.title), TONES[section.tone], no_wrap=True, overflow="ignore"
            )
            parts.append(title)
        parts += [Padding(_rich_part(part), (0, 0, 0, 2)) for part in section.parts]
    return Group(*parts)


def as_text(document: Document, *, width: int = 80) -> str:
    """The document as plain text of at most `width` display columns; titles stay one line."""
    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None, highlight=False)
    console.print(as_rich(document), crop=False)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n"


def as_markdown(document: Document) -> str:
    """The document as Markdown."""
    lines: list[str] = []
    for section in document:
        title = for_markdown(" ".join(section.title.split("\n")))
        lines += [f"## {title}", ""] if title else []
        for part in section.parts:
            lines += [*_markdown_part(part), ""]
    return "\n".join(lines)


def _show(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:,.1f}" if isinstance(cell, float) else cell


def _is_number(rows: Sequence[Sequence[Cell]], column: int) -> bool:
    values = [row[column] for row in rows if row[column] is not None]
    return bool(values) and all(isinstance(value, int | float) for value in values)


def _rich_part(part: str | Table) -> RenderableType:
    if isinstance(part, str):
        return Text(for_terminal(part))
    rich_table = RichTable(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )
    for number, name in enumerate(part.columns):
        right = _is_number(part.rows, number)
        is_copied = any(isinstance(row[number], Id) for row in part.rows)
        rich_table.add_column(
            name, justify="right" if right else "left", overflow="fold", no_wrap=is_copied
        )
    for row in part.rows:
        rich_table.add_row(*(Text(for_terminal(_show(cell))) for cell in row))
    return rich_table


def _markdown_part(part: str | Table) -> list[str]:
    if isinstance(part, str):
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", part)), default=0))
        return [fence, for_terminal(part), fence] if "\n" in part else [for_markdown(part)]
    rule = ["---:" if _is_number(part.rows, n) else "---" for n in range(len(part.columns))]
    rows = [[_in_a_row(_show(cell)) for cell in row] for row in part.rows]
    return [f"| {' | '.join(row)} |" for row in ([*part.columns], rule, *rows)]


def _in_a_row(text: str) -> str:
    """The text as one cell of a Markdown table."""
    return for_markdown(" ".join(text.split("\n")))


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON can hold it."""
    return {
        str(name): value.isoformat() if isinstance(value, date) else value
        for name, value in row.items()
    }
