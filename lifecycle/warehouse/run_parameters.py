"""The run's parameters: the one row of `context.run`.

The YAML of stg_run_context describes each column once: its type, its meaning, and the setting that
it is read from (`meta: {setting: feed.max_age_hours}`). A column without a setting is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml

from lifecycle.errors import WarehouseError
from lifecycle.settings import Settings
from lifecycle.warehouse.score_definition import PROJECT, definition

FILE = "models/staging/stg_run_context.yml"


@dataclass(frozen=True)
class Parameter:
    """A column of `context.run`."""

    name: str
    data_type: str
    setting: str
    """The setting's section and key; empty where the run gives the value."""


@cache
def parameters(project: Path = PROJECT) -> tuple[Parameter, ...]:
    """The columns of `context.run` in order."""
    text = (project / FILE).read_text(encoding="utf-8")
    [model] = yaml.load(text, yaml.CSafeLoader)["models"]
    return tuple(
        Parameter(
            column["name"],
            column["data_type"],
            column.get("config", {}).get("meta", {}).get("setting", ""),
        )
        for column in model["columns"]
    )


def run_columns(project: Path = PROJECT) -> str:
    """The columns of `context.run` as `create table` takes them."""
    return ", ".join(f"{column.name} {column.data_type}" for column in parameters(project))


def run_row(given: dict[str, Any], settings: Settings, project: Path = PROJECT) -> tuple[Any, ...]:
    """The row of `context.run`: what the run gives, and `thresholds` for the rest.

    Raises WarehouseError for a column of which nobody knows the value, as in the project of a
    version that had no such list.
    """
    values = {**dict(thresholds(settings, project)), **given}
    if unknown := [column.name for column in parameters(project) if column.name not in values]:
        raise WarehouseError(f"{project / FILE}: no setting is named for {', '.join(unknown)}")
    return tuple(values[column.name] for column in parameters(project))


def thresholds(settings: Settings, project: Path = PROJECT) -> tuple[tuple[str, Any], ...]:
    """Name and value of all that models read of the settings: equal values give equal marts."""
    read = tuple(
        (column.name, attrgetter(column.setting)(settings))
        for column in parameters(project)
        if column.setting
    )
    return (*read, ("health_definition", definition(settings, project)))
