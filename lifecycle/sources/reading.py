"""One file → a DuckDB relation: its columns as they are written, its rows numbered.

CSV and JSONL are staged as text, Parquet is read where it lies. Folders below the source that are
called `key=value` can be mapped to columns, on a disk and elsewhere alike; of themselves they are
none: a file's name is a name.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote

import duckdb

from lifecycle.errors import SourceError
from lifecycle.masking import mask_addresses
from lifecycle.sources.files import File

_DELIMITERS = ",;\t|"
_UTF8 = 'it is not UTF-8: save it again as "CSV UTF-8" or "UTF-8"'
_ENCODINGS = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 without its mark",
    "utf-16-be": "UTF-16 without its mark",
    "cp932": "Japanese Excel's own CSV",
    "euc_jp": "Japanese Unix",
    "cp1252": "Western Windows",
    "gb18030": "Chinese",
    "cp949": "Korean",
}
"""What a file that is not UTF-8 may be, in the order in which it is tried."""
LONGEST_LINE = 16 << 20
"""Bytes of a line of CSV or JSON."""
LONGEST_QUOTE = 200
"""Characters that a message quotes of a file, which may be another one than its writer meant."""
_PROPOSED = 4
"""Encodings that a message proposes."""
_NO_WHOLE_PARQUET = ("magic bytes", "too small to be", "read enough bytes", "Invalid Input Error")
_UNFINISHED = "the file ends in the middle of a line: is the export still being written?"


@dataclass(frozen=True)
class Field:
    """One column of a file."""

    header: str
    sql: str
    """The expression that gives its value."""
    type: str
    """The DuckDB type of that expression."""
    is_folder: bool = False
    """Whether it is a folder's name, `day=2026-06-10`: a column only where a mapping names it."""


@dataclass(frozen=True)
class ShortRow:
    """A record of a CSV file with fewer values than its header has columns."""

    row: int
    values: tuple[str, ...]
    width: int
    """Columns of the header."""


@dataclass(frozen=True)
class Incoming:
    """A file, or rows rejected earlier, as something to select from."""

    relation: str
    fields: tuple[Field, ...]
    file: str
    """SQL: the file's name."""
    row: str
    """SQL: which record of the file, from 1."""
    is_empty: bool = False
    """Whether it has no rows and no header, so that nothing can be said of its columns."""
    first_at: str = "NULL::TIMESTAMP"
    """SQL: when the row was first rejected."""
    record: str = "NULL::VARCHAR"
    """SQL: the row as it was rejected then."""
    short: tuple[ShortRow, ...] = ()
    """Rows that end too early: what is missing in them is empty."""


@dataclass(frozen=True)
class BrokenLine:
    """A record that cannot be taken apart into columns."""

    row: int
    reason: str
    text: str
    cells: tuple[str, ...] = ()
    """As far as a line of CSV can be taken apart."""
    is_short: bool = False
    """Whether it just ends too early."""


def quoted(identifier: str) -> str:
    """An SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def named(path: Path | str) -> str:
    """SQL: a path as a literal that DuckDB takes for a name and never for a pattern."""
    return literal("".join(f"[{sign}]" if sign in "[*?" else sign for sign in str(path)))


def read(
    db: duckdb.DuckDBPyConnection, file: File, scratch: Path
) -> tuple[Incoming, list[BrokenLine]]:
    """Make `file` readable: until the next call, which may use the same place in `scratch`.

    Raises SourceError, naming the file, where it cannot be read at all.
    """
    reader = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}[file.format]
    try:
        incoming, broken = reader(db, file, scratch)
    except EOFError:
        raise SourceError(f"{file.name}: {_UNFINISHED}") from None
    except UnicodeDecodeError:
        raise SourceError(f"{file.name}: {_not_utf8(file)}") from None
    except (duckdb.Error, OSError, zlib.error) as error:
        raise unreadable(file, error) from None
    own = {field.header for field in incoming.fields}
    folders = tuple(folder for folder in _folders(file.name) if folder.header not in own)
    return replace(incoming, fields=incoming.fields + folders), broken


def _refuse_many(file: File, columns: int) -> None:
    """Raise SourceError for a file with more columns than are worth the time they take."""
    if columns > file.most_columns:
        section = f"[sources.{file.source}]" if file.source else "[source]"
        raise SourceError(
            f"{file.name}: it has {columns:,} columns, and {section} max_columns is "
            f"{file.most_columns:,}; leave out what nobody asks about"
        )


def _refuse_long_lines(file: File) -> None:
    """Raise SourceError for a line that DuckDB would leave out without a word, or give up."""
    length, line = 0, 1
    with _bytes(file) as source:
        while block := source.read(1 << 20):
            first = block.find(b"\n")
            length += len(block) if first < 0 else first
            if length > LONGEST_LINE:
                raise SourceError(
                    f"{file.name}, line {line:,}: it is over {LONGEST_LINE >> 20} MB long, more "
                    "than is read of one line; is a file pasted into a cell?"
                )
            if first >= 0:
                line += block.count(b"\n")
                length = len(block) - block.rfind(b"\n") - 1


def unreadable(file: File, error: Exception) -> SourceError:
    """What there is to say of a file that a reader gave up."""
    why = first_line(error)
    if file.format == "parquet" and any(sign in why for sign in _NO_WHOLE_PARQUET):
        why = "it is no whole Parquet file: is the export still being written?"
    return SourceError(f"{file.name}: cannot be read: {why}")


def _folders(name: str) -> Iterator[Field]:
    """What a file's folders below the source say: `day=2026-06-10`."""
    for folder in name.split("/")[:-1]:
        key, sign, value = folder.partition("=")
        if sign and key:
            text = unquote(value)
            is_null = text in ("", "__HIVE_DEFAULT_PARTITION__")
            value = "NULL::VARCHAR" if is_null else literal(text)
            yield Field(unquote(key), value, "VARCHAR", is_folder=True)


def read_records(
    db: duckdb.DuckDBPyConnection, relation: str, *, file: str, row: str, first_at: str
) -> Incoming:
    """Rows kept as JSON in the column `record` of `relation`."""
    keys, fields = _json_fields(db, relation)
    return Incoming(_parsed(relation, keys), fields, file, row, not keys, first_at, "record")


def first_line(error: BaseException) -> str:
    """What went wrong, without the SQL that DuckDB prints below it, and without an address."""
    return shown(str(error).split("\n")[0])


def shown(text: str) -> str:
    """What a message may quote of a file: a head without addresses."""
    masked = mask_addresses(text)
    return masked if len(masked) <= LONGEST_QUOTE else masked[: LONGEST_QUOTE - 1] + "…"


# Parquet. -------------------------------------------------------------------------------


def _read_parquet(
    db: duckdb.DuckDBPyConnection, file: File, scratch: Path
) -> tuple[Incoming, list[BrokenLine]]:
    assert file.local is not None
    relation = (
        f"read_parquet({named(file.local)}, file_row_number = true, hive_partitioning = false)"
    )
    described = db.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    _refuse_many(file, len(described) - 1)
    fields = tuple(
        Field(name, f"decode({quoted(name)})", "VARCHAR")
        if kind == "BLOB"
        else Field(name, quoted(name), kind)
        for name, kind, *_ in described
        if name != "file_row_number"
    )
    _refuse_bytes(db, file, relation, [name for name, kind, *_ in described if kind == "BLOB"])
    return Incoming(relation, fields, literal(file.name), "file_row_number + 1"), []


def _refuse_bytes(
    db: duckdb.DuckDBPyConnection, file: File, relation: str, columns: Sequence[str]
) -> None:
    """Older writers do not mark text as such: it is decoded where it is UTF-8."""
    for column in columns:
        is_text = f"TRY(decode({quoted(column)}))"
        bad = db.execute(
            f"""SELECT file_row_number + 1 FROM {relation}
                WHERE {quoted(column)} IS NOT NULL AND {is_text} IS NULL LIMIT 1"""
        ).fetchone()
        if bad:
            raise SourceError(
                f"{file.name}, row {bad[0]}: the column {column} holds bytes that are no UTF-8 "
                "text; export it as text"
            )


# CSV. -----------------------------------------------------------------------------------


def _read_csv(
    db: duckdb.DuckDBPyConnection, file: File, scratch: Path
) -> tuple[Incoming, list[BrokenLine]]:
    file = _plain_csv(file, scratch)
    delimiter, header, skipped = _header(file)
    _refuse_many(file, len(header))
    _refuse_long_lines(file)
    if skipped:
        file = _without_first_line(file, scratch)
    columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(len(header)))
    db.execute("DROP TABLE IF EXISTS csv_errors; DROP TABLE IF EXISTS csv_scans")
    staged = scratch / "staged.parquet"  # four times as fast as a table, and as orderly
    assert file.local is not None
    db.execute(
        f"""COPY (SELECT * FROM read_csv(
            {named(file.local)}, auto_detect = false, header = true,
            delim = {literal(delimiter)}, quote = '"', escape = '"', columns = {{{columns}}},
            store_rejects = true, rejects_table = 'csv_errors', rejects_scan = 'csv_scans',
            rejects_limit = 0, hive_partitioning = false)) TO {literal(str(staged))}
            (FORMAT parquet)"""
    )
    rows = f"read_parquet({named(staged)}, file_row_number = true, hive_partitioning = false)"
    bad = _broken_csv(db, file, delimiter)
    short = [
        ShortRow(line.row, line.cells, len(header))
        for line in bad
        if line.is_short and any(cell.strip() for cell in line.cells)
    ]
    if short and not _ends_its_last_line(file):
        last = short[-1]
        is_last = _records(db, rows) + len(bad) == last.row
        if is_last:
            raise SourceError(
                f"{file.name} row {last.row}: {len(last.values)} of {len(header)} columns; "
                f"{_UNFINISHED}"
            )
    fields = tuple(Field(name, f"c{number}", "VARCHAR") for number, name in enumerate(header))
    names = ", ".join(field.sql for field in fields)
    relation = rows
    place = "file_row_number + 1"
    if bad:
        # The reader leaves broken records out: those after them stand lower in the file.
        gaps = ", ".join(f"({line.row - rank}, {rank})" for rank, line in enumerate(bad, 1))
        relation = (
            f"(SELECT {names}, s.file_row_number + 1 + coalesce(g.gap, 0) AS _place FROM {rows} s"
            f" ASOF LEFT JOIN (VALUES {gaps}) g(after, gap) ON s.file_row_number + 1 > g.after"
            f"{_filled(short)})"
        )
        place = "_place"
    # A spreadsheet's leftovers: delimiters and nothing else.
    is_blank = " AND ".join(f"nullif(trim({field.sql}), '') IS NULL" for field in fields)
    relation = f"(FROM {relation} WHERE NOT ({is_blank}))"
    incoming = Incoming(relation, fields, literal(file.name), place, short=tuple(short))
    return incoming, [line for line in bad if not line.is_short]


def _filled(short: Sequence[ShortRow]) -> str:
    """SQL: the rows that end too early, filled up, as a further part of a union."""
    if not short:
        return ""
    width = short[0].width
    records = []
    for row in short:
        cells = [literal(cell) if cell else "NULL" for cell in row.values]
        cells += ["NULL"] * (width - len(cells))
        records.append(f"({', '.join(cells)}, {row.row})")
    casts = ", ".join(f"CAST(v{n} AS VARCHAR)" for n in range(width))
    names = ", ".join(f"v{n}" for n in range(width))
    return f" UNION ALL SELECT {casts}, v_row FROM (VALUES {', '.join(records)}) t({names}, v_row)"


def _records(db: duckdb.DuckDBPyConnection, rows: str) -> int:
    count = db.execute(f"SELECT count(*) FROM {rows}").fetchone()
    return int(count[0]) if count else 0


def _ends_its_last_line(file: File) -> bool:
    last = b""
    with _bytes(file) as source:
        while block := source.read(1 << 20):
            last = block[-1:]
    return last in (b"\n", b"\r")


def _plain_csv(file: File, scratch: Path) -> File:
    """The file in UTF-8 and with one kind of line end: itself, or a copy in `scratch`."""
    if file.encoding.lower() not in ("", "utf-8", "utf8", "utf-8-sig"):
        copy = scratch / "utf8.csv"
        with _text(file) as source, copy.open("w", encoding="utf-8", newline="") as target:
            while text := source.read(1 << 20):
                target.write(text.removeprefix("\ufeff"))
        file = replace(file, local=copy, encoding="")
    if _has_mixed_line_ends(file):
        copy = scratch / "one_line_end.csv"
        with _bytes(file) as source, copy.open("wb") as target:
            rest = b""
            while block := source.read(1 << 20):
                block = rest + block
                rest = b"\r" if block.endswith(b"\r") else b""
                target.write(block[: len(block) - len(rest)].replace(b"\r\n", b"\n"))
            target.write(rest)
        file = replace(file, local=copy)
    return file


def _without_first_line(file: File, scratch: Path) -> File:
    """A copy in `scratch` without Excel's own line; DuckDB would read its quotes."""
    copy = scratch / "without_first_line.csv"
    with _bytes(file) as source, copy.open("wb") as target:
        source.readline()
        while block := source.read(1 << 20):
            target.write(block)
    return replace(file, local=copy)


def _has_mixed_line_ends(file: File) -> bool:
    both, alone, last = 0, 0, b""
    with _bytes(file) as source:
        while block := source.read(1 << 20):
            pairs = block.count(b"\r\n") + (last == b"\r" and block[:1] == b"\n")
            both += pairs
            alone += block.count(b"\n") - pairs
            last = block[-1:]
            if both and alone:
                return True
    return False


def _header(file: File) -> tuple[str, list[str], int]:
    """The delimiter, the header, and how many lines stand before it (`sep=;`, as Excel writes)."""
    with _text(file) as lines:
        try:
            first = lines.readline()
            skipped, delimiter = 0, file.delimiter
            if "\0" in first:  # every second byte of UTF-16
                raise SourceError(f"{file.name}: {_not_utf8(file)}")
            if declared := re.fullmatch(r'(?i)"?sep\s?=\s?(.)"?[;,\t]*', first.strip("\r\n")):
                skipped, delimiter = 1, delimiter or declared[1]
                first = lines.readline()
            if not first.strip():
                raise SourceError(f"{file.name}: it is empty; the first line must name the columns")
            delimiter = delimiter or max(_DELIMITERS, key=first.count)
            lines.seek(0)
            for _ in range(skipped):
                lines.readline()
            header = next(csv.reader(lines, delimiter=delimiter, strict=True))
        except UnicodeError:
            raise SourceError(f"{file.name}: {_not_utf8(file)}") from None
        except csv.Error as error:
            raise SourceError(f"{file.name}: its header cannot be read: {error}") from None
    names = [name.strip() or f"column_{number}" for number, name in enumerate(header, start=1)]
    return delimiter, names, skipped


def _not_utf8(file: File) -> str:
    """What to do about a file that is not UTF-8: what else it reads as."""
    if file.encoding:
        return f"it is not {file.encoding}, as [source.encodings] {file.table.name} says"
    with _bytes(file) as source:
        start = source.read(1 << 20)
    if len(start) < 1 << 20 and _reads_as("utf-8", start):
        return _UNFINISHED  # its last sign is cut in two
    read_as = [encoding for encoding in _ENCODINGS if _reads_as(encoding, start)][:_PROPOSED]
    if not read_as:
        return _UTF8
    named_so = " or ".join(f"{encoding} ({_ENCODINGS[encoding]})" for encoding in read_as)
    setting = f'[source.encodings] {file.table.name} = "{read_as[0]}"'
    return f"{_UTF8}; it reads as {named_so}: or declare {setting}"


def _reads_as(encoding: str, start: bytes) -> bool:
    """Whether the beginning of a file is text in an encoding; its last sign may be cut in two."""
    has_mark = start[:2] in (b"\xff\xfe", b"\xfe\xff")
    if encoding == "utf-16" and not has_mark:
        return False
    zeros = {"utf-16-le": start[1:80:2], "utf-16-be": start[:80:2]}
    if (pairs := zeros.get(encoding)) is not None:
        return not has_mark and pairs.count(0) > len(pairs) / 2
    if encoding != "utf-16" and b"\0" in start[:80]:
        return False
    try:
        start.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 4 and len(start) > 4
    return True


def _broken_csv(db: duckdb.DuckDBPyConnection, file: File, delimiter: str) -> list[BrokenLine]:
    errors = db.execute(
        """SELECT line - 1, arg_min(error_type::VARCHAR, byte_position),
                  arg_min(error_message, byte_position), any_value(csv_line)
           FROM csv_errors GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    broken = []
    for row, kind, message, text in errors:
        record = (text or "").strip("\r\n")
        if kind == "INVALID ENCODING":
            raise SourceError(f"{file.name}, row {row}: {_not_utf8(file)}")
        if kind == "UNQUOTED VALUE" and "\n" in record:
            raise SourceError(
                f"{file.name}, row {row}: a quote is opened and never closed, so nothing after "
                f"it can be read: {mask_addresses(record.splitlines()[0][:80])}"
            )
        if kind == "UNQUOTED VALUE" and not _ends_its_last_line(file):
            raise SourceError(f"{file.name}, row {row}: {_UNFINISHED}")
        cells = _cells(record, delimiter)
        broken.append(
            BrokenLine(
                row,
                f"the line cannot be read: {message}",
                record,
                cells,
                is_short=kind == "MISSING COLUMNS" and bool(cells),
            )
        )
    return broken


def _cells(record: str, delimiter: str) -> tuple[str, ...]:
    try:
        return tuple(next(csv.reader([record], delimiter=delimiter), ()))
    except csv.Error:
        return ()


# JSONL. ---------------------------------------------------------------------------------


def _read_jsonl(
    db: duckdb.DuckDBPyConnection, file: File, scratch: Path
) -> tuple[Incoming, list[BrokenLine]]:
    _refuse_long_lines(file)
    path = _without_bom(file, scratch)
    staged = scratch / "staged.parquet"
    db.execute(
        f"""COPY (
            SELECT CASE WHEN json_type(json) = 'OBJECT' THEN json::VARCHAR END AS record
            FROM read_json_objects({named(path)}, format = 'newline_delimited',
                                   ignore_errors = true, hive_partitioning = false)
            ) TO {literal(str(staged))} (FORMAT parquet)"""
    )
    rows = f"read_parquet({named(staged)}, file_row_number = true, hive_partitioning = false)"
    bad = db.execute(
        f"SELECT file_row_number + 1 FROM {rows} WHERE record IS NULL ORDER BY 1"
    ).fetchall()
    keys, fields = _json_fields(db, rows)
    _refuse_many(file, len(keys))
    broken = _broken_json(file, [row for (row,) in bad])
    is_cut = bool(broken) and _records(db, rows) == broken[-1].row
    if is_cut and broken[-1].text.startswith("{") and not _ends_its_last_line(file):
        raise SourceError(f"{file.name} row {broken[-1].row}: {_UNFINISHED}")
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
    broken: list[BrokenLine] = []
    with _text(file, newline="\n") as lines:
        try:
            records = (line for line in lines if line.strip())
            broken.extend(
                BrokenLine(row, "the line is not one JSON object", line.strip())
                for row, line in enumerate(records, start=1)
                if row in wanted
            )
        except UnicodeDecodeError:
            raise SourceError(f"{file.name}: {_UTF8}") from None
    return broken


def _json_fields(
    db: duckdb.DuckDBPyConnection, relation: str
) -> tuple[list[str], tuple[Field, ...]]:
    json_keys = db.execute(
        f"SELECT DISTINCT unnest(json_keys(record)) AS k FROM {relation} ORDER BY k"
    )
    keys = [key for (key,) in json_keys.fetchall()]
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
    encoding = file.encoding or "utf-8-sig"
    return io.TextIOWrapper(_bytes(file), encoding=encoding, newline=newline)
