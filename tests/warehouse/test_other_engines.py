"""Every compiled model put into the words of other engines: what does not go is named.

It is sqlglot's translation that is looked at: nothing runs there.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from sqlglot import ErrorLevel, transpile
from sqlglot.errors import SqlglotError

from lifecycle import settings as settings_module
from lifecycle.warehouse.build import CompiledModel, compile_models
from lifecycle.warehouse.connection import connect_work

ENGINES = ("spark", "databricks", "snowflake", "bigquery", "redshift", "trino")
ORDERED = "'NULLS LAST' translation not supported {}"
DOES_NOT_GO: dict[str, dict[str, set[str]]] = {
    "bigquery": {
        "Named columns are not supported in table alias.": {"int_measure_thresholds"},
        ORDERED.format("for aggregate function GROUP_CONCAT with  sort order"): {
            "int_activity_definition",
            "int_satisfaction_health",
            "int_usage_health",
        },
        ORDERED.format("for aggregate function SUM with  sort order"): {
            "int_company_activity",
            "int_working_days",
        },
        ORDERED.format("in window function SUM"): {"int_return_chances"},
    }
}
"""By engine and complaint: the models that sqlglot cannot put into its words. What orders there is
never null, so that the place of nulls changes no row."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[CompiledModel]:
    """All models as DuckDB reads them, compiled without a warehouse."""
    folder = tmp_path_factory.mktemp("compiled")
    settings = settings_module.load(None, state={"dir": folder})
    with connect_work(settings):
        pass
    return compile_models(settings, ["lifecycle"])


@pytest.mark.parametrize("engine", ENGINES)
def test_what_cannot_be_said_on_an_engine_is_known(
    models: list[CompiledModel], engine: str
) -> None:
    assert len(models) > 60
    complaints = defaultdict[str, set[str]](set)
    for model in models:
        try:
            [translated] = transpile(
                model.query, read="duckdb", write=engine, unsupported_level=ErrorLevel.RAISE
            )
            transpile(translated, read=engine, write=engine)
        except SqlglotError as error:
            complaints[str(error).splitlines()[0]].add(model.name)
    assert dict(complaints) == DOES_NOT_GO.get(engine, {})
