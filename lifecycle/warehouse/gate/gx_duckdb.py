"""DuckDB as Great Expectations needs it.

Great Expectations reads the rows of a query after it has closed the connection, which in
DuckDB voids them. Here every cursor is a plain connection of its own that lives until its
rows are read, and nothing is pooled: after `close_cursors` the file is free again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakSet

import duckdb_engine
from sqlalchemy import URL, Connection, pool
from sqlalchemy import types as sql_types
from sqlalchemy.dialects import registry

from lifecycle.duckdb_connection import connect

_cursors: WeakSet[_Cursor] = WeakSet()


def url_of(database: Path) -> str:
    """The SQLAlchemy address of a DuckDB file.

    In hexadecimal, because Great Expectations replaces `$NAME` in addresses and SQLAlchemy
    reads `?` and `%20` in them: a folder may be called anything.
    """
    return f"duckdb+gate:///{str(database).encode().hex()}"


def close_cursors() -> None:
    """Close what was not read to its end, so that other processes can open the file."""
    for cursor in list(_cursors):
        cursor.close()


class _Cursor(duckdb_engine.CursorWrapper):  # type: ignore[misc]
    def __init__(self, connection: _Connection) -> None:
        self._plain = connect(connection.database)
        super().__init__(self._plain, connection)
        _cursors.add(self)

    def close(self) -> None:
        self._plain.close()


class _Connection:
    """What SQLAlchemy takes for a connection: its cursors are the real ones.

    A gate only reads, so there is no transaction to begin or end.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        self.notices: list[str] = []

    def cursor(self) -> _Cursor:
        return _Cursor(self)

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


class _Dialect(duckdb_engine.Dialect):  # type: ignore[misc]
    supports_statement_cache = False

    def connect(self, *args: Any, **params: Any) -> _Connection:
        return _Connection(bytes.fromhex(params["database"]).decode())

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        return pool.NullPool

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        # The inherited way asks PostgreSQL's catalogue for things that DuckDB has not.
        rows = connection.exec_driver_sql(
            "select column_name, data_type, is_nullable from duckdb_columns() "
            "where schema_name = $1 and table_name = $2 order by column_index",
            (schema or "main", table_name),
        )
        return [
            {
                "name": name,
                "type": self.ischema_names.get(str(kind).lower(), sql_types.NullType)(),
                "nullable": nullable,
                "default": None,
            }
            for name, kind, nullable in rows
        ]

    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> dict[str, Any]:
        return {"constrained_columns": [], "name": None}


registry.register("duckdb.gate", __name__, _Dialect.__name__)


UNSUPPORTED = frozenset(
    {
        "expect_column_type_to_be",
        "expect_column_values_to_be_dateutil_parseable",
        "expect_column_values_to_be_in_type_list",
        "expect_column_values_to_be_json_parseable",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_match_json_schema",
        "expect_column_values_to_match_like_pattern",
        "expect_column_values_to_match_like_pattern_list",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_match_strftime_format",
        "expect_column_values_to_not_match_like_pattern",
        "expect_column_values_to_not_match_like_pattern_list",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
    }
)
"""Expectations that Great Expectations cannot push down to DuckDB."""
