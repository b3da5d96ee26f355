"""The expectation `drift_within`: a delivery that moved no further from the last published one
than a share and a number of rows.

    - expect: drift_within
      measure: changed           # one of lifecycle/warehouse/gate/drift.py
      column: [email, account_id]   # none: every column of the contract that the table has
      max_share: 0.02            # of what the measure counts; more than this
      min_rows: 3                # and at least so many rows are too much
      severity: critical
      because: …

A limit is a share and a number, so that one row does not stop a small company.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

from lifecycle.warehouse.gate.drift import DRIFT, MEASURES

_ARGUMENTS = (
    *("table", "measure", "column", "max_share", "min_rows"),
    *("except_columns", "own_columns", "asked_by_a_trigger", "first_delivery"),
)


class DriftFound(TableMetricProvider):  # type: ignore[misc]
    """The rows of `raw.delivery_drift` that are beyond a limit, as dicts, the furthest first."""

    metric_name = "drift_within.found"
    value_keys = _ARGUMENTS

    @metric_value(engine=SqlAlchemyExecutionEngine)  # type: ignore[untyped-decorator]
    def _sqlalchemy(
        cls,  # noqa: N805 the decorator makes it a class method
        execution_engine: SqlAlchemyExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> list[dict[str, Any]]:
        asked = metric_value_kwargs
        with execution_engine.get_connection() as connection:
            rows = connection.exec_driver_sql(
                f"select * from {DRIFT} order by share desc, moved desc, column_name, detail"
            ).mappings()
            return rows_beyond(asked, [dict(row) for row in rows])


def rows_beyond(limit: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Those rows of `raw.delivery_drift` that are beyond a limit: an expectation's arguments."""
    return [row for row in rows if _is_beyond(limit, row)]


def _is_beyond(limit: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a row is one that the limit is about, and beyond it."""
    if row["table_name"] != limit["table"] or row["measure"] != limit["measure"]:
        return False
    if limit.get("column") is not None:
        is_meant = row["column_name"] == limit["column"]
    else:
        is_meant = row["is_ours"] != bool(limit.get("own_columns"))
        is_meant = is_meant and row["column_name"] not in (limit.get("except_columns") or ())
    if limit.get("asked_by_a_trigger"):
        is_meant = is_meant and row["is_asked"]
    is_meant = is_meant and row["is_first"] == bool(limit.get("first_delivery"))
    is_far = row["share"] > limit["max_share"] and row["moved"] >= limit["min_rows"]
    return bool(is_meant and is_far)


class DriftWithin(BatchExpectation):  # type: ignore[misc]
    """Holds when nothing that it is about moved further than its limit."""

    table: str = pydantic.Field(description="Filled in by the suite: the table that it guards.")
    measure: str = pydantic.Field(description="What is measured.")
    column: str | None = pydantic.Field(default=None, description="None: all of the contract.")
    max_share: float = pydantic.Field(ge=0, description="More than this is too much.")
    min_rows: int = pydantic.Field(ge=1, description="Fewer rows are never too much.")
    except_columns: list[str] | None = pydantic.Field(
        default=None, description="Without a column: those that it is not about."
    )
    own_columns: bool = pydantic.Field(
        default=False, description="About the columns beside those of the contract."
    )
    asked_by_a_trigger: bool = pydantic.Field(
        default=False, description="Only about columns that a trigger names."
    )
    first_delivery: bool = pydantic.Field(
        default=False, description="Only where there is nothing to compare with."
    )

    metric_dependencies: ClassVar[tuple[str, ...]] = ("drift_within.found",)
    success_keys: ClassVar[tuple[str, ...]] = _ARGUMENTS
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    @pydantic.validator("measure")  # type: ignore[untyped-decorator]
    def _is_measured(cls, value: str) -> str:  # noqa: N805 a class method by pydantic's own rule
        if value not in MEASURES:
            raise ValueError(f"is none of {', '.join(MEASURES)}")
        return value

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        rows = metrics["drift_within.found"]
        return {
            "success": not rows,
            "result": {"observed_value": len(rows), "details": {"drift": rows}},
        }

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)  # type: ignore[untyped-decorator]
    def _prescriptive_renderer(
        cls, configuration: Any = None, **_: Any
    ) -> list[RenderedStringTemplateContent]:
        limit = configuration.kwargs
        columns = limit.get("column") or "every column"
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template",
                string_template={
                    "template": "$measure of $columns: at most $share, from $rows rows on",
                    "params": {
                        "measure": limit["measure"],
                        "columns": columns,
                        "share": f"{limit['max_share']:.1%}",
                        "rows": str(limit["min_rows"]),
                    },
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
        rows = result.result["details"]["drift"]
        if not rows:
            return None
        names = ("column_name", "measure", "detail", "value_before", "value_now", "moved")
        return [
            RenderedTableContent(
                content_block_type="table",
                header_row=list(names),
                table=[[str(row[name]) for name in names] for row in rows],
            )
        ]
