"""The ledger → the warehouse: what was sent and who was enrolled, as the models see it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Integer,
    Table,
    create_engine,
    inspect,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from lifecycle.duckdb_connection import connect
from lifecycle.errors import LedgerError, WarehouseError
from lifecycle.ledger.tables import UtcDateTime, enrollments, feed_questions, replies, sends
from lifecycle.settings import Settings
from lifecycle.sources.reading import first_line, named

CONTEXT = "context"
"""The schema of what a run knows besides what the source delivered."""

_BATCH = 50_000

_ARROW_TYPES = {
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "VARCHAR": pa.string(),
}
FEED_QUESTIONS = "ledger_feed_questions"
"""The table with the questions about the usage feed, and their answers."""

_SNAPSHOTS = {
    "ledger_sends": (sends, [column for column in sends.columns if column.name != "address"]),
    "ledger_enrollments": (enrollments, list(enrollments.columns)),
    "ledger_replies": (
        replies,
        [replies.columns[name] for name in ("key", "kind", "came_at", "read_at", "send_id")]
        + [replies.columns[name] for name in ("account_id", "contact_id", "trigger", "step")]
        + [replies.columns[name] for name in ("cycle", "label", "return_on", "settled_at")],
    ),
    FEED_QUESTIONS: (feed_questions, list(feed_questions.columns)),
}


def snapshot(settings: Settings) -> None:
    """Copy the ledger into `context.ledger_sends` (one row per send, without its address),
    `context.ledger_enrollments` (one row per enrolment), `context.ledger_replies` (one row per
    message that came back, without its words and its address) and
    `context.ledger_feed_questions` (one row per question about the usage feed). Times are UTC.

    A ledger that does not exist yet gives empty tables. Raises LedgerError where it cannot be
    read, WarehouseError where the tables cannot be written.
    """
    scratch = settings.state_dir / "ledger_snapshot"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _replace(settings.work_db, _copy(settings, scratch))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace(warehouse: Path, files: Mapping[str, Path]) -> None:
    """Replace both tables in one transaction."""
    try:
        with connect(str(warehouse)) as work:
            work.begin()
            work.execute(f"CREATE SCHEMA IF NOT EXISTS {CONTEXT}")
            for name, file in files.items():
                rows = f"FROM read_parquet({named(file)}, hive_partitioning = false)"
                work.execute(f"CREATE OR REPLACE TABLE {CONTEXT}.{name} AS {rows}")
            work.commit()
    except duckdb.Error as error:
        raise WarehouseError(f"{warehouse}: cannot be written: {first_line(error)}") from error


def _copy(settings: Settings, scratch: Path) -> dict[str, Path]:
    """Write the ledger's tables to Parquet files, by the name of the table."""
    url = make_url(settings.ledger_url)
    is_missing = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
    if is_missing:  # connecting would create it
        return {name: _export(None, name, scratch) for name in _SNAPSHOTS}
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return {name: _export(connection, name, scratch) for name in _SNAPSHOTS}
    except SQLAlchemyError as error:
        raise LedgerError(f"{url.render_as_string()}: cannot be read: {error}") from error
    finally:
        engine.dispose()


def _export(connection: Connection | None, name: str, scratch: Path) -> Path:
    table, columns = _SNAPSHOTS[name]
    path = scratch / f"{name}.parquet"
    schema = pa.schema([(column.name, _arrow_type(column)) for column in columns])
    with pq.ParquetWriter(path, schema) as writer:
        for rows in _batches(connection, table, columns):
            arrays = [
                pa.array(values, field.type)
                for values, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return path


def _batches(connection: Connection | None, table: Table, columns: Sequence[Column[Any]]) -> Any:
    if connection is None or not inspect(connection).has_table(table.name):
        return
    rows = connection.execution_options(yield_per=_BATCH).execute(select(*columns))
    yield from rows.partitions()


def _sql_type(column: Column[Any]) -> str:
    if isinstance(column.type, UtcDateTime | DateTime):
        return "TIMESTAMP"
    if isinstance(column.type, Boolean):
        return "BOOLEAN"
    if isinstance(column.type, Date):
        return "DATE"
    return "BIGINT" if isinstance(column.type, Integer) else "VARCHAR"


def _arrow_type(column: Column[Any]) -> pa.DataType:
    return _ARROW_TYPES[_sql_type(column)]
