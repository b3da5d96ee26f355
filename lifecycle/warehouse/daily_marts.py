"""Builds the marts of one day after the other, as a run on each day would, without dbt.

dbt says once what the models are; then their SQL is executed for each day in a copy of
`work.duckdb`, untested, and only of the models that a planner's marts are made of. It is the SQL
of a full refresh, which asks the warehouse nothing while it is compiled: so it holds for every
day. The history of the days before is the one memory that models have, and each day enters it as it
is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from lifecycle.errors import WarehouseError
from lifecycle.settings import Settings
from lifecycle.warehouse import context
from lifecycle.warehouse.build import CompiledModel, compile_models
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_days import ensure_history, is_built, keep_built_day
from lifecycle.warehouse.sandbox import copy_work
from lifecycle.warehouse.score_definition import PROJECT

READ_BY_PLANNER = (
    *("account_360", "dim_contacts", "account_feed", "feed_health"),
    "fct_account_health_daily",
    *("rejected_rows", "rejected_cells"),
)


class DailyMarts:
    """A warehouse whose marts are as of the last built day. Days only go forward.

    `connection` is to the copy, whose folder is the state folder of `settings`.
    """

    def __init__(
        self,
        settings: Settings,
        models: list[CompiledModel],
        connection: duckdb.DuckDBPyConnection,
        loaded_at: datetime,
        project: Path,
    ) -> None:
        self.settings = settings
        self.connection = connection
        self._models = models
        self._loaded_at = loaded_at
        self._project = project
        self._year: int | None = None

    @classmethod
    @contextmanager
    def open(
        cls,
        settings: Settings,
        folder: Path,
        *,
        wanted: Sequence[str] = READ_BY_PLANNER,
        begins: bool = False,
        project: Path = PROJECT,
    ) -> Iterator[DailyMarts]:
        """Copy the warehouse into an empty folder, and compile the wanted models of a dbt project,
        and all that these read. Where no run has built anything, the history `begins` empty.

        Raises WarehouseError when no run has loaded anything yet, or built anything and nothing
        begins, or a model cannot be compiled.
        """
        copy, loaded_at = copy_work(settings, folder)
        with connect_work(copy) as connection:
            # Each day is built anew, and a day that was lost is built again.
            connection.execute("set wal_autocheckpoint = '1GB'")
            ensure_history(connection, project)
            if not begins and not is_built(connection):
                problem = "no models were built yet; `lifecycle run --dry-run` does it"
                raise WarehouseError(f"{settings.work_db}: {problem}")
            models = _compile(copy, connection, wanted, project)
            _forget_built(connection)
            yield cls(copy, models, connection, loaded_at, project)

    def build(self, as_of: datetime) -> None:
        """Build the marts as of a moment (aware). Raises WarehouseError."""
        if as_of.year != self._year:
            clock = {"as_of": as_of, "loaded_at": self._loaded_at}
            context.write(self.settings, run_id="daily", **clock, project=self._project)
        self.connection.execute("begin")
        context.move_clock(self.connection, as_of)
        for model in self._models:
            # A view is SQL text: it is the same on every day.
            if model.materialized != "view" or self._year is None:
                self._make(model)
        keep_built_day(self.connection)
        self.connection.execute("commit")
        self._year = as_of.year

    def _make(self, model: CompiledModel) -> None:
        kind = "view" if model.materialized == "view" else "table"
        try:
            self.connection.execute(f"create or replace {kind} {model.relation} as {model.query}")
        except duckdb.Error as error:
            raise WarehouseError(f"{model.name}: {error}") from error


def _compile(
    copy: Settings,
    connection: duckdb.DuckDBPyConnection,
    wanted: Sequence[str],
    project: Path,
) -> list[CompiledModel]:
    """Compile against an empty warehouse."""
    state = copy.state.model_copy(update={"dir": copy.state_dir / "compiled"})
    empty = copy.model_copy(update={"state": state})
    with connect_work(empty):
        pass
    models = compile_models(empty, wanted, project=project)
    for schema in {model.relation.split(".")[-2] for model in models}:
        connection.execute(f"create schema if not exists {schema}")
    return models


def _forget_built(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the relations of another set of models, so that a view may replace a table."""
    for kind, listed in (("view", "duckdb_views()"), ("table", "duckdb_tables()")):
        query = f"""
            select format('"{{}}"."{{}}"', schema_name, {kind}_name) from {listed}
            where schema_name in ('staging', 'intermediate', 'marts')
        """
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"drop {kind} if exists {name} cascade")
