"""Conditions of one trigger that hold at once, for the accounts of today."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb

from lifecycle.errors import Problem, WarehouseError
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse.connection import connect_published

_COUNTS = """
    select count(*), count(*) filter (where {leaves}), count(*) filter (where {reached})
    from marts.account_360 as a
    where ({audience}) and ({may_be_churned} or coalesce(a.stage <> 'churned', true))
        and ({may_be_high_touch} or coalesce(a.touch_model <> 'high', true))
"""


def overlaps(settings: Settings, triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Audiences whose accounts meet `exit_when` or the goal already; nothing before the first run.

    Such an account does not enter, or its goal measures nothing.
    """
    asked = [trigger for trigger in triggers if trigger.exit_when or trigger.goal]
    if not asked:
        return
    try:
        with connect_published(settings) as warehouse:
            for trigger in asked:
                yield from _overlap(warehouse, trigger)
    except WarehouseError:
        return  # the conditions were checked against the models; these marts are of other ones


def _overlap(warehouse: duckdb.DuckDBPyConnection, trigger: Trigger) -> Iterator[Problem]:
    row = warehouse.execute(
        _COUNTS.format(
            audience=trigger.audience.sql("a"),
            may_be_churned="true" if trigger.include_churned else "false",
            may_be_high_touch="true" if trigger.include_high_touch else "false",
            leaves=trigger.exit_when.sql("a") if trigger.exit_when else "false",
            reached=trigger.goal.when.sql("a") if trigger.goal else "false",
        )
    ).fetchone()
    matching, leaving, reached = row or (0, 0, 0)
    for key, count, so in (
        ("exit_when", leaving, "so they do not enter"),
        ("goal.when", reached, "so for them it measures nothing"),
    ):
        if count:
            what = f"{count} of the {matching} accounts that match the audience today meet it"
            yield trigger.problem(key, f"{what} already, {so}", stops_a_run=False)
