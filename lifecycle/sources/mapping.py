"""From the column names of an export to ours."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from string import Formatter

from lifecycle.errors import SourceError, did_you_mean
from lifecycle.sources.contract import LOADED_AT, Table
from lifecycle.sources.reading import Field, Incoming, literal, shown

_TAKEN = {LOADED_AT, "_file", "_row", "_delivered", "_nth", "_1_file", "_1_row"}


def canonical(header: str) -> str:
    """A header as a column name: lower case, half width, runs of other signs as one underscore."""
    plain = unicodedata.normalize("NFKC", header).strip().casefold()
    return re.sub(r"[\W_]+", "_", plain) or "_"


def arrange(
    incoming: Incoming, table: Table, mapping: Mapping[str, str], file: str
) -> dict[str, Field]:
    """Our column names and where each is found; columns that we do not know keep their name.

    A mapping names a column of the export, or joins several: `"{first_name} {last_name}"`.
    Raises SourceError naming file, column and the nearest name.
    """
    if incoming.is_empty:
        return {}
    by_header = {canonical(field.header): field for field in reversed(incoming.fields)}
    by_header |= {field.header: field for field in reversed(incoming.fields)}
    setting = f"[source.columns.{table.name}]"
    _refuse_twins(incoming, table, mapping, file)
    arranged: dict[str, Field] = {}
    used: set[str] = set()
    for name, theirs in mapping.items():
        if name not in table.column_names:
            hint = did_you_mean(name, table.column_names)
            known = f"columns are {', '.join(table.column_names)}"
            raise SourceError(f"{setting} {name}: no such column of {table.name}; {hint or known}")
        parts = _parts(theirs, by_header)
        if parts is None:
            hint = _nearest(theirs, incoming)
            raise SourceError(f"{file}: no column {theirs!r} ({setting} {name}); {hint}")
        arranged[name] = parts[0] if len(parts) == 1 else _joined(theirs, parts)
        if len(parts) == 1:
            used.add(parts[0].header)

    unmapped = set(table.column_names) - set(arranged)
    for field in incoming.fields:
        name = canonical(field.header)
        if field.is_folder or (field.header in used and name not in unmapped):
            continue
        if name in arranged or name in _TAKEN or name.startswith("_dlt"):
            name = f"original_{name.lstrip('_')}"
        arranged[_unused(name, arranged)] = field

    for column in table.columns:
        if column.required and column.name not in arranged:
            hint = _nearest(column.name, incoming)
            raise SourceError(
                f"{file}: the required column {column.name} is missing; {hint}; "
                f"another name is mapped in {setting}"
            )
    for name in {table.key, "account_id"} & arranged.keys():
        kind = arranged[name].type
        if kind in ("FLOAT", "DOUBLE") or (kind.startswith("DECIMAL") and not kind.endswith(",0)")):
            raise SourceError(
                f"{file}: {name} is a decimal ({kind}): an id such as 12.0 meets no other table's "
                "12; export ids as text or whole numbers"
            )
    ours_first = [name for name in table.column_names if name in arranged]
    return {
        name: arranged[name] for name in [*ours_first, *sorted(set(arranged) - set(ours_first))]
    }


def _refuse_twins(incoming: Incoming, table: Table, mapping: Mapping[str, str], file: str) -> None:
    """Two headers that are one column of ours: nobody knows which one is meant."""
    headers: dict[str, list[str]] = {}
    for field in (field for field in incoming.fields if not field.is_folder):
        headers.setdefault(canonical(field.header), []).append(field.header)
    named = set(mapping.values())
    for name, twins in headers.items():
        is_ours = name in table.column_names and name not in mapping
        is_mapped = any(canonical(theirs) == name and theirs not in twins for theirs in named)
        is_mapped |= any(twins.count(theirs) > 1 for theirs in named)
        free = [header for header in twins if header not in named]
        if (is_ours and len(free) > 1) or (is_mapped and len(twins) > 1):
            both = " and ".join(repr(header) for header in twins[:3])
            raise SourceError(
                f"{file}: the columns {both} are both called {name}; rename one, or say which is "
                f"meant in [source.columns.{table.name}]"
            )


def cleaned(field: Field) -> str:
    """SQL: a field as text, outer spaces removed, empty as null."""
    if field.type == "VARCHAR":
        text = field.sql
    elif field.type.endswith("]") or field.type.startswith(("STRUCT", "MAP", "JSON", "UNION")):
        text = f"to_json({field.sql})::VARCHAR"
    else:
        text = f"CAST({field.sql} AS VARCHAR)"
    return f"nullif(trim({text}), '')"


def _parts(theirs: str, by_header: Mapping[str, Field]) -> list[Field] | None:
    """The fields that a mapping names, with its literal text between them; None if unknown."""
    whole = by_header.get(theirs) or by_header.get(canonical(theirs))
    if whole:
        return [whole]
    if "{" not in theirs:
        return None
    parts: list[Field] = []
    try:
        pieces = list(Formatter().parse(theirs))
    except ValueError:
        return None
    for text, name, *_ in pieces:
        if text:
            parts.append(Field(text, "", ""))
        if name is not None:
            field = by_header.get(name) or by_header.get(canonical(name))
            if field is None:
                return None
            parts.append(field)
    return parts


def _joined(theirs: str, parts: Sequence[Field]) -> Field:
    pieces = [cleaned(part) if part.sql else literal(part.header) for part in parts]
    return Field(theirs, f"concat({', '.join(pieces)})", "VARCHAR")


def _nearest(wanted: str, incoming: Incoming) -> str:
    headers = [field.header for field in incoming.fields]
    near = did_you_mean(wanted, headers)
    return near or shown(f"it has {', '.join(headers[:20])}" + (", …" if headers[20:] else ""))


def _unused(name: str, taken: Mapping[str, Field]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
