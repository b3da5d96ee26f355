"""Checked rows → the tables of the warehouse, by dlt."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from lifecycle.duckdb_connection import SESSION
from lifecycle.errors import WarehouseError
from lifecycle.settings import Settings

# dlt waits minutes for its telemetry where there is no network, and reads this at import.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ.setdefault("RUNTIME__LOG_LEVEL", "CRITICAL")  # every failure is raised as well
os.environ["RESTORE_FROM_DESTINATION"] = "false"  # `land` says all columns itself

import dlt
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials
from dlt.pipeline.exceptions import PipelineStepFailed

RAW = "raw"
"""The schema of what the source delivered."""

PIPELINE = "lifecycle_pull"
_SIGNS = re.compile(r"['=*?\[\]{}]")

_DLT_TYPES: dict[str, dict[str, Any]] = {
    "VARCHAR": {"data_type": "text"},
    "BIGINT": {"data_type": "bigint"},
    "DOUBLE": {"data_type": "double"},
    "BOOLEAN": {"data_type": "bool"},
    "TIMESTAMP": {"data_type": "timestamp", "timezone": False, "precision": 6},
}


@dataclass(frozen=True)
class Landing:
    """Rows for one table, as Parquet files that DuckDB wrote."""

    table: str
    columns: Mapping[str, str]
    """Each column's DuckDB type: VARCHAR, BIGINT, DOUBLE, BOOLEAN or TIMESTAMP (UTC)."""
    files: Sequence[Path]
    row_count: int
    disposition: Literal["append", "replace"] = "replace"


def land(settings: Settings, landings: Sequence[Landing]) -> None:
    """Bring the rows into their raw tables: each table at once, or not at all.

    A process killed in here leaves some tables done and others as they were; called again
    with the same rows, `replace` gives the same tables. Who appends leaves out what is there.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with _plainly_named(settings.state_dir / "dlt") as folder:
        _land(settings, landings, folder)


def _land(settings: Settings, landings: Sequence[Landing], working: Path) -> None:
    # Only the warehouse remembers: what a killed process left half done is thrown away.
    run = dlt.pipeline(
        PIPELINE,
        pipelines_dir=str(working),
        destination=dlt.destinations.duckdb(
            # The default empties the table in one transaction and fills it in another.
            credentials(settings.work_db),
            replace_strategy="insert-from-staging",
        ),
        dataset_name=RAW,
    )
    run.drop()
    # Its usual convention turns every letter outside ASCII into an x.
    schema = dlt.Schema(PIPELINE, {"names": "duck_case"})
    source = dlt.source(lambda: [_resource(landing) for landing in landings], schema=schema)()
    try:
        run.run(source)
    except PipelineStepFailed as error:
        raise WarehouseError(f"{settings.work_db}: the load failed: {_root(error)}") from error
    finally:
        run.drop()  # dlt keeps the files that it loaded, and people's addresses with them


@contextmanager
def _plainly_named(folder: Path) -> Iterator[Path]:
    """The folder, or a temporary one where dlt could not write its name into SQL: it takes a path
    as a pattern, its folders called `key=value` as columns, and an apostrophe as the path's end."""
    if not _SIGNS.search(str(folder)):
        yield folder
        return
    with TemporaryDirectory(prefix="lifecycle-dlt-") as temporary:
        yield Path(temporary)


def credentials(database: Path) -> DuckDbCredentials:
    """Return dlt's way of opening a database, with the settings of all our connections."""
    return DuckDbCredentials(str(database), local_config=dict(SESSION))


def _root(error: BaseException) -> str:
    """What DuckDB said, without the stack traces that dlt wraps around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().split("\n")[0]


def _resource(landing: Landing) -> Any:
    columns = {name: dict(_DLT_TYPES[kind]) for name, kind in landing.columns.items()}

    def rows() -> Iterator[Any]:
        for file in landing.files:
            yield dlt.mark.with_file_import(str(file), "parquet", landing.row_count)

    return dlt.resource(
        rows, name=landing.table, columns=columns, write_disposition=landing.disposition
    )
