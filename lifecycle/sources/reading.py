"""One file → a DuckDB relation: its columns as they are written, its rows numbered.

CSV and JSONL are staged as text, Parquet is read where it lies.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import duckdb

from lifecycle.errors import SourceError
from lifecycle.sources.files import File

_DELIMITERS = ",;\t|"
_UTF8 = 'it is not UTF-8: save it again as "CSV UTF-8" or "UTF-8"'


@dataclass(frozen=True)
class Field:
    """One column of a file."""

    header: str
    sql: str
    """The expression that gives its value."""
    type: str
    """The DuckDB type of that expression."""


@dataclass(frozen=True)
class Incoming:
    """A file, or rows set aside earlier, as something to select from."""

    relation: str
    fields: tuple[Field, ...]
    file: str
    """SQL: the file's name."""
    row: str
    """SQL: which record of the file, from 1."""
    is_empty: bool = False
    """Whether it has no rows and no header, so that nothing can be said of its columns."""
    first_at: str = "NULL::TIMESTAMP"
    """SQL: when the row was set aside first."""
    record: str = "NULL::VARCHAR"
    """SQL: the row as it was set aside then."""


@dataclass(frozen=True)
class BrokenLine:
    """A record that cannot be taken apart into columns."""

    row: int
    reason: str
    text: str


def quoted(identifier: str) -> str:
    """An SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def read(
    db: duckdb.DuckDBPyConnection, file: File, scratch: Path
) -> tuple[Incoming, list[BrokenLine]]:
    """Make `file` readable: until the next call, which may use the same place in `scratch`.

    Raises SourceError, naming the file, where it cannot be read at all.
    """
    reader = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}[file.format]
    try:
        return reader(db, file, scratch)
    except (duckdb.Error, OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{file.name}: cannot be read: {first_line(error)}") from None


def read_records(
    db: duckdb.DuckDBPyConnection, relation: str, *, file: str, row: str, first_at: str
) -> Incoming:
    """Rows kept as JSON in the column `record` of `relation`."""
    keys, fields = _json_fields(db, relation)
    return Incoming(_parsed(relation, keys), fields, file, row, not keys, first_at, "record")


def first_line(error: BaseException) -> str:
    """What went wrong, without the SQL that DuckDB prints below it."""
    return str(error).split("\n")[0]


# Parquet. -------------------------------------------------------------------------------


def _read_parquet(
    db: duckdb.DuckDBPyConnection, file: File, scratch: Path
) -> tuple[Incoming, list[BrokenLine]]:
    relation = f"read_parquet({literal(str(file.local))}, file_row_number = true)"
    described = db.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    fields = [Field(name, quoted(name), kind) for name, kind, *_ in described]
    return (
        Incoming(
            relation,
            tuple(field for field in fields if field.header != "file_row_number"),
            literal(file.name),
            "file_row_number + 1",
        ),
        [],
    )


# CSV. -----------------------------------------------------------------------------------


def _read_csv(
    db: duckdb.DuckDBPyConnection, file: File, scratch: Path
) -> tuple[Incoming, list[BrokenLine]]:
    delimiter, header = _header(file)
    columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(len(header)))
    db.execute("DROP TABLE IF EXISTS csv_errors; DROP TABLE IF EXISTS csv_scans")
    staged = scratch / "staged.parquet"  # four times as fast as a table, and as orderly
    db.execute(
        f"""COPY (SELECT * FROM read_csv(
            {literal(str(file.local))}, auto_detect = false, header = true,
            delim = {literal(delimiter)}, quote = '"', escape = '"', columns = {{{columns}}},
            store_rejects = true, rejects_table = 'csv_errors', rejects_scan = 'csv_scans',
            rejects_limit = 0)) TO {literal(str(staged))} (FORMAT parquet)"""
    )
    rows = f"read_parquet({literal(str(staged))}, file_row_number = true)"
    broken = _broken_csv(db, file)
    fields = tuple(Field(name, f"c{number}", "VARCHAR") for number, name in enumerate(header))
    if not broken:
        return Incoming(rows, fields, literal(file.name), "file_row_number + 1"), []
    # The reader leaves broken records out: those after them stand lower in the file.
    gaps = ", ".join(f"({line.row - rank}, {rank})" for rank, line in enumerate(broken, 1))
    relation = (
        f"(SELECT s.*, s.file_row_number + 1 + coalesce(g.gap, 0) AS _place FROM {rows} s"
        f" ASOF LEFT JOIN (VALUES {gaps}) g(after, gap) ON s.file_row_number + 1 > g.after)"
    )
    return Incoming(relation, fields, literal(file.name), "_place"), broken


def _header(file: File) -> tuple[str, list[str]]:
    with _text(file) as lines:
        try:
            first = lines.readline()
            if not first.strip():
                raise SourceError(f"{file.name}: it is empty; the first line must name the columns")
            delimiter = max(_DELIMITERS, key=first.count)
            lines.seek(0)
            header = next(csv.reader(lines, delimiter=delimiter, strict=True))
        except UnicodeDecodeError:
            raise SourceError(f"{file.name}: {_UTF8}") from None
        except csv.Error as error:
            raise SourceError(f"{file.name}: its header cannot be read: {error}") from None
    return delimiter, [
        name.strip() or f"column_{number}" for number, name in enumerate(header, start=1)
    ]


def _broken_csv(db: duckdb.DuckDBPyConnection, file: File) -> list[BrokenLine]:
    errors = db.execute(
        """SELECT line - 1, arg_min(error_type::VARCHAR, byte_position),
                  arg_min(error_message, byte_position), any_value(csv_line)
           FROM csv_errors GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    broken = []
    for row, kind, message, text in errors:
        record = (text or "").strip("\r\n")
        if kind == "INVALID ENCODING":
            raise SourceError(f"{file.name}, row {row}: {_UTF8}")
        if kind == "UNQUOTED VALUE" and "\n" in record:
            raise SourceError(
                f"{file.name}, row {row}: a quote is opened and never closed, so nothing after "
                f"it can be read: {record.splitlines()[0][:80]}"
            )
        broken.append(BrokenLine(row, f"the line cannot be read: {message}", record))
    return broken


# JSONL. ---------------------------------------------------------------------------------


def _read_jsonl(
    db: duckdb.DuckDBPyConnection, file: File, scratch: Path
) -> tuple[Incoming, list[BrokenLine]]:
    path = _without_bom(file, scratch)
    staged = scratch / "staged.parquet"
    db.execute(
        f"""COPY (
            SELECT CASE WHEN json_type(json) = 'OBJECT' THEN json::VARCHAR END AS record
            FROM read_json_objects({literal(str(path))}, format = 'newline_delimited',
                                   ignore_errors = true)
            ) TO {literal(str(staged))} (FORMAT parquet)"""
    )
    rows = f"read_parquet({literal(str(staged))}, file_row_number = true)"
    bad = db.execute(
        f"SELECT file_row_number + 1 FROM {rows} WHERE record IS NULL ORDER BY 1"
    ).fetchall()
    keys, fields = _json_fields(db, rows)
    broken = _broken_json(file, [row for (row,) in bad])
    if broken and not keys and broken[0].text.startswith("["):
        raise SourceError(f"{file.name}: it is one JSON array; write one object a line")
    objects = f"(FROM {rows} WHERE record IS NOT NULL)"
    incoming = Incoming(
        _parsed(objects, keys), fields, literal(file.name), "file_row_number + 1", not keys
    )
    return incoming, broken


def _broken_json(file: File, rows: Sequence[int]) -> list[BrokenLine]:
    if not rows:
        return []
    wanted = set(rows)
    found: list[BrokenLine] = []
    with _text(file, newline="\n") as lines:
        try:
            records = (line for line in lines if line.strip())
            found.extend(
                BrokenLine(row, "the line is not one JSON object", line.strip())
                for row, line in enumerate(records, start=1)
                if row in wanted
            )
        except UnicodeDecodeError:
            raise SourceError(f"{file.name}: {_UTF8}") from None
    return found


def _json_fields(
    db: duckdb.DuckDBPyConnection, relation: str
) -> tuple[list[str], tuple[Field, ...]]:
    found = db.execute(f"SELECT DISTINCT unnest(json_keys(record)) AS k FROM {relation} ORDER BY k")
    keys = [key for (key,) in found.fetchall()]
    return keys, tuple(
        Field(key, f"_values[{number}]", "VARCHAR") for number, key in enumerate(keys, start=1)
    )


def _parsed(relation: str, keys: Sequence[str]) -> str:
    """All values of a record from one parse: a list whose n-th element is the n-th key's."""
    pointers = ", ".join(literal("/" + key.replace("~", "~0").replace("/", "~1")) for key in keys)
    values = f"json_extract_string(record, [{pointers}]::VARCHAR[])"
    return f"(SELECT *, {values} AS _values FROM {relation})"


def _without_bom(file: File, scratch: Path) -> Path:
    """DuckDB takes a byte order mark for a broken first line."""
    assert file.local is not None
    with _bytes(file) as source:
        if source.read(3) != b"\xef\xbb\xbf":
            return file.local
        copy = scratch / "without_bom.jsonl"
        with copy.open("wb") as target:
            while block := source.read(1 << 20):
                target.write(block)
    return copy


def _bytes(file: File) -> BinaryIO:
    assert file.local is not None
    if file.local.suffix == ".gz":
        return cast(BinaryIO, gzip.open(file.local, "rb"))
    return file.local.open("rb")


def _text(file: File, newline: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(_bytes(file), encoding="utf-8-sig", newline=newline)
