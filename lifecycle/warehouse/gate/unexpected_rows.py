"""The expectation `unexpected_rows`: a query, in DuckDB's own SQL, that ought to find nothing.

Great Expectations has one of its own, but it fills in `{braces}` and `:names` in the SQL,
keeps no rows of what it found, or keeps all of them. This one takes the SQL as it stands and
keeps the count and the first few rows.
"""

from __future__ import annotations

from typing import Any, ClassVar

from great_expectations.compatibility import pydantic
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render import LegacyRendererType
from great_expectations.render.components import (
    LegacyDiagnosticRendererType,
    RenderedStringTemplateContent,
    RenderedTableContent,
)
from great_expectations.render.renderer.renderer import renderer

from lifecycle.warehouse.gate.doors import SAMPLE_ROWS


class UnexpectedRowsFound(TableMetricProvider):  # type: ignore[misc]
    """How many rows the query finds, and the first few of them as dicts."""

    metric_name = "unexpected_rows.found"
    value_keys = ("sql",)

    @metric_value(engine=SqlAlchemyExecutionEngine)  # type: ignore[untyped-decorator]
    def _sqlalchemy(
        cls,  # noqa: N805 the decorator makes it a class method
        execution_engine: SqlAlchemyExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> tuple[int, list[dict[str, Any]]]:
        # On lines of its own, so that a comment at the end of the query ends there.
        from_rows = f"from (\n{metric_value_kwargs['sql'].rstrip().rstrip(';')}\n)"
        with execution_engine.get_connection() as connection:
            count = int(connection.exec_driver_sql(f"select count(*) {from_rows}").scalar_one())
            if not count:
                return 0, []
            rows = connection.exec_driver_sql(
                f"select * {from_rows} limit {SAMPLE_ROWS}"
            ).mappings()
            return count, [dict(row) for row in rows]


class UnexpectedRows(BatchExpectation):  # type: ignore[misc]
    """Holds when `sql` finds no row."""

    sql: str = pydantic.Field(description="A query that finds the rows at fault.")

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows.found",)
    success_keys: ClassVar[tuple[str, ...]] = ("sql",)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        count, rows = metrics["unexpected_rows.found"]
        return {
            "success": count == 0,
            "result": {"observed_value": count, "details": {"unexpected_rows": rows}},
        }

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)  # type: ignore[untyped-decorator]
    def _prescriptive_renderer(
        cls, configuration: Any = None, **_: Any
    ) -> list[RenderedStringTemplateContent]:
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template",
                string_template={
                    "template": "no row is found by $sql",
                    "params": {"sql": configuration.kwargs["sql"]},
                    "styling": {"params": {"sql": {"classes": ["sql"]}}},
                },
            )
        ]

    @classmethod
    @renderer(  # type: ignore[untyped-decorator]
        renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_TABLE
    )
    def _diagnostic_unexpected_table_renderer(
        cls, result: Any = None, **_: Any
    ) -> list[RenderedTableContent] | None:
        rows = result.result["details"]["unexpected_rows"]
        if not rows:
            return None
        return [
            RenderedTableContent(
                content_block_type="table",
                header_row=list(rows[0]),
                table=[[str(value) for value in row.values()] for row in rows],
            )
        ]
