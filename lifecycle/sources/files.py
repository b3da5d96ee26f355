"""The files of a source: which there are, which are new, and a local copy of each.

A source is a local folder or any fsspec address. A table is one file in it
(`accounts.csv`) or a sub-folder of files (`usage_events/2026-06-10.parquet`).
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec

from lifecycle.errors import SourceError, did_you_mean
from lifecycle.settings import Settings, SourceTable
from lifecycle.sources.contract import TABLES, Table

SUFFIXES = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
"""How a file's name ends, and what is in it."""

_VERSION_FIELDS = ("etag", "ETag", "mtime", "LastModified", "last_modified", "Last-Modified")
_MORE_VERSION_FIELDS = ("md5Hash", "Content-MD5", "CRC", "date_time", "created")


@dataclass(frozen=True)
class File:
    """One file of a table."""

    table: Table
    name: str
    """Its path below the source, as messages and `rejected_rows` show it."""
    format: str
    """csv, jsonl or parquet"""
    address: str
    """Its path in its own file system."""
    fingerprint: str
    """Changes when the file or the reading of it changes; empty where nothing can tell."""
    local: Path | None = None
    """Where it can be read from."""
    encoding: str = ""
    """Of CSV; empty: UTF-8."""
    delimiter: str = ""
    """Of CSV; empty: the one that its header has most of."""
    source: str = ""
    """The name of `[sources.<name>]`; empty: `[source]`."""
    most_columns: int = 1_000
    """With more columns, or keys, it is refused: `[source] max_columns`."""


class Folder:
    """The folder of a source, wherever it lies."""

    def __init__(
        self,
        address: str,
        *,
        names: Mapping[SourceTable, str] | None = None,
        columns: Mapping[SourceTable, Mapping[str, str]] | None = None,
        encodings: Mapping[SourceTable, str] | None = None,
        delimiters: Mapping[SourceTable, str] | None = None,
        follow_links: bool = False,
        most_columns: int = 1_000,
        source: str = "",
    ) -> None:
        """`names`, `columns`, `encodings` and `delimiters` are `[source.files]`,
        `[source.columns.<table>]` and so on."""
        if not address:
            section = f"[sources.{source}]" if source else "[source]"
            raise SourceError(f"{section} path is empty: name the folder that holds the files")
        self.address = address
        self.source = source
        self._names = names or {}
        self._columns = columns or {}
        self._encodings = encodings or {}
        self._delimiters = delimiters or {}
        self._follow_links = follow_links
        self._most_columns = most_columns
        with _told(address):
            self._fs, self._root = fsspec.core.url_to_fs(address)
            self.is_local = "file" in _protocols(self._fs)
            if self.is_local and not os.path.isdir(self._root):
                raise SourceError(f"{address}: no such folder")

    @classmethod
    def of(cls, settings: Settings) -> Folder:
        """The folder that `[source]` names."""
        source = settings.source
        return cls(
            source.path,
            names=source.files,
            columns=source.columns,
            encodings=source.encodings,
            delimiters=source.delimiters,
            follow_links=source.follow_links,
            most_columns=source.max_columns,
        )

    @classmethod
    def more(cls, settings: Settings) -> dict[str, Folder]:
        """The folders of `[sources.<name>]`, by name."""
        return {
            name: cls(
                source.path,
                names=source.files,
                columns=source.columns,
                follow_links=source.follow_links,
                most_columns=source.max_columns,
                source=name,
            )
            for name, source in sorted(settings.sources.items())
        }

    def mapping(self, table: Table) -> Mapping[str, str]:
        """`[source.columns.<table>]`: our column name = the export's."""
        return self._columns.get(table.name, {})

    def growing_files(self) -> dict[SourceTable, list[File]]:
        """The files of each growing table that it has. Raises SourceError where it has none."""
        growing = [table for table in TABLES.values() if not table.is_snapshot]
        with _told(self.address):
            by_table = {table.name: files for table in growing if (files := self._files_of(table))}
        if not by_table:
            missing = "\n".join(self._not_found(table) for table in growing)
            raise SourceError(f"[sources.{self.source}]: {missing}")
        return by_table

    def files(self, optional: Collection[SourceTable] = ()) -> dict[SourceTable, list[File]]:
        """All files of each table, by name. Raises SourceError where a table has none that is not
        among the optional."""
        by_table: dict[SourceTable, list[File]] = {}
        missing: list[str] = []
        with _told(self.address):
            for table in TABLES.values():
                by_table[table.name] = self._files_of(table)
                if table.name in optional and table.name not in self._names:
                    continue
                if not by_table[table.name] and (
                    not table.is_optional or table.name in self._names
                ):
                    missing.append(self._not_found(table))
        if missing:
            raise SourceError("\n".join(missing))
        return by_table

    def supplied(self) -> set[SourceTable]:
        """The tables that it has any file of. Raises SourceError where it cannot be read."""
        with _told(self.address):
            return {table.name for table in TABLES.values() if self._files_of(table)}

    def passed_over(self) -> list[str]:
        """Files in the folders of tables that are not read, by the end of their names."""
        unread: list[str] = []
        with _told(self.address):
            for table in TABLES.values():
                own = self._names.get(table.name) or table.name
                path = self._below(own)
                if any(sign in own for sign in "*?[") or not self._fs.isdir(path):
                    continue
                there = self._walk(path) if self.is_local else self._fs.find(path)
                unread += [
                    self._name(file) for file in there if not (_format(file) or _is_left(file))
                ]
        return sorted(unread)

    def fetch(self, file: File, scratch: Path) -> File:
        """The file where DuckDB can read it: itself, or a copy in `scratch`."""
        if self.is_local:
            return replace(file, local=Path(file.address))
        suffix = next(end for end in SUFFIXES if file.name.lower().endswith(end))
        digest = hashlib.sha256(file.address.encode()).hexdigest()[:16]
        local = scratch / f"{digest}{suffix}"
        with _told(f"{self.address}: {file.name}"):
            self._fs.get_file(file.address, str(local))
        return replace(file, local=local)

    def _files_of(self, table: Table) -> list[File]:
        paths = self._paths(table)
        self._refuse_links_outside(paths)
        return [self._describe(table, path) for path in sorted(paths) if _format(path)]

    def _paths(self, table: Table) -> Sequence[str]:
        own = self._names.get(table.name)
        if own:
            path = self._below(own)
            if _format(path) and self._fs.isfile(path):
                return [path]
            if any(sign in own for sign in "*?["):
                return list(self._fs.glob(self._below(own, glob.escape(self._root))))
            return self._tree(path)
        paths = [
            path for suffix in SUFFIXES if self._fs.isfile(path := self._below(table.name + suffix))
        ]
        if tree := self._tree(self._below(table.name)):
            paths.append(self._below(table.name) + "/")
        if len(paths) > 1:
            names = " and ".join(self._name(path) or f"{table.name}/" for path in paths)
            raise SourceError(
                f"{self.address}: {names} are both there for {table.name}; keep one, or put the "
                f"files into the sub-folder {table.name}/"
            )
        return tree or paths

    def _tree(self, path: str) -> list[str]:
        try:
            if not self._fs.isdir(path):
                return []
            paths = self._walk(path) if self.is_local else self._fs.find(path)
            return [path for path in paths if _format(path)]
        except FileNotFoundError:
            return []

    def _walk(self, folder: str) -> Iterator[str]:
        """The files below a local folder, also behind links to folders; none is walked twice."""
        seen: set[str] = set()
        for path, folders, names in os.walk(folder, followlinks=True):
            real = os.path.realpath(path)
            if real in seen:
                folders.clear()
                continue
            self._refuse_links_outside([path])
            seen.add(real)
            yield from (f"{path}/{name}" for name in names)

    def _refuse_links_outside(self, paths: Iterable[str]) -> None:
        """Raise SourceError for a link that leads out of the source, unless they are followed."""
        if self._follow_links or not self.is_local:
            return
        root = os.path.realpath(self._root)
        for path in paths:
            real = os.path.realpath(path)
            if os.path.commonpath([root, real]) != root:
                section = f"[sources.{self.source}]" if self.source else "[source]"
                raise SourceError(
                    f"{self.address}: {self._name(path)} is, or lies behind, a link that leads out "
                    f"of the folder; put the file there, or set {section} follow_links = true"
                )

    def _describe(self, table: Table, path: str) -> File:
        info = self._fs.info(path)
        version = [info.get(field) for field in _VERSION_FIELDS + _MORE_VERSION_FIELDS]
        facts: list[Any] = [self.address, path, info.get("size"), *version]
        facts.append(sorted(self.mapping(table).items()))
        how = [by_table.get(table.name, "") for by_table in (self._encodings, self._delimiters)]
        if any(how):
            facts.append(how)
        known = any(value is not None for value in version)
        digest = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
        return File(
            table,
            self._name(path),
            _format(path),
            path,
            digest if known else "",
            encoding=self._encodings.get(table.name, ""),
            delimiter=self._delimiters.get(table.name, ""),
            source=self.source,
            most_columns=self._most_columns,
        )

    def _below(self, name: str, root: str | None = None) -> str:
        root = self._root if root is None else root
        return f"{root.rstrip('/')}/{name}" if root else name

    def _name(self, path: str) -> str:
        name = path.removeprefix(self._root).strip("/")
        return f"{self.source}:{name}" if self.source else name

    def _not_found(self, table: Table) -> str:
        own = self._names.get(table.name)
        wanted = own or f"{table.name}.csv, .jsonl or .parquet, and no folder {table.name}/"
        where = f" ([source.files] {table.name})" if own else ""
        message = f"{self.address}: no {wanted}{where}"
        try:
            there = [self._name(str(path)) for path in self._fs.ls(self._root, detail=False)]
        except (OSError, ValueError):  # a server that lists nothing can still hold files
            return message
        hint = did_you_mean(own or f"{table.name}.csv", there)
        listed = f"there is {', '.join(sorted(there)[:12]) or 'nothing'}"
        return f"{message}; {hint or listed}"


def _is_left(path: str) -> bool:
    """Whether a file is what other tools leave while they write."""
    return path.rsplit("/", 1)[-1].startswith((".", "_"))


def _format(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower()
    if _is_left(path):
        return ""
    return next((kind for end, kind in SUFFIXES.items() if name.endswith(end)), "")


def _protocols(fs: Any) -> Iterable[str]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Whatever a file system raises becomes a SourceError that names the place."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:  # each of fsspec's many backends has errors of its own
        detail = str(error) or type(error).__name__
        raise SourceError(f"{place}: cannot be read: {detail}") from error
