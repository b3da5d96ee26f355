"""Looks for words in all that a state folder holds: every table, every mail, every file."""

from __future__ import annotations

import email
import email.policy
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb


def where_it_stands(state: Path, *words: str) -> set[str]:
    """The tables and files that hold one of the words, whatever its case."""
    wanted = [word.lower() for word in words]
    return {place for place, text in _texts(state) if any(w in text.lower() for w in wanted)}


def _texts(state: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(path for path in state.rglob("*") if path.is_file()):
        place, content = str(path.relative_to(state)), path.read_bytes()
        yield place, content.decode("utf-8", errors="replace")
        if path.suffix == ".eml":
            yield place, _mail(content)
        elif path.suffix == ".duckdb":
            with closing(duckdb.connect(str(path), read_only=True)) as warehouse:
                for schema, table in warehouse.execute(
                    "select schema_name, table_name from duckdb_tables()"
                ).fetchall():
                    rows = warehouse.execute(f'select t::varchar from "{schema}"."{table}" t')
                    yield f"{place}: {schema}.{table}", "\n".join(row[0] for row in rows.fetchall())
        elif content.startswith(b"SQLite format 3"):
            with closing(sqlite3.connect(path)) as database:
                tables = database.execute("select name from sqlite_master where type = 'table'")
                for (table,) in tables.fetchall():
                    for row in database.execute(f'select * from "{table}"'):
                        yield f"{place}: {table}", "\n".join(map(_cell, row))


def _cell(value: object) -> str:
    return _mail(value) if isinstance(value, bytes) else str(value)


def _mail(content: bytes) -> str:
    read = email.message_from_bytes(content, policy=email.policy.default)
    if read.get_content_type() != "text/plain":
        return ""
    return "\n".join([*(str(value) for value in read.values()), str(read.get_content())])
