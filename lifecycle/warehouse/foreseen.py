"""The tables and columns that a run's warehouse will have, told from files before there is any."""

from __future__ import annotations

from collections.abc import Sequence

from ruamel.yaml import YAML

from lifecycle.errors import SourceError
from lifecycle.health.definition import PROJECT
from lifecycle.settings import Settings
from lifecycle.sources.contract import LOADED_AT, TABLES
from lifecycle.sources.exported import exported_columns
from lifecycle.triggers.columns import read_columns
from lifecycle.warehouse.suites import Suite, check_columns

MODELS = PROJECT / "models"


def check_suites(settings: Settings, suites: Sequence[Suite]) -> None:
    """Refuse suites that speak of what a run's warehouse would not have.

    Tables that the run itself writes into `raw` are left to it, and so is a column beyond the
    contract while the export that may bring it cannot be read.
    Raises SuiteError with the nearest name, TriggerError if a model's YAML cannot be read.
    """
    exported = {f"raw.{name}": name for name in TABLES}
    columns = {name: {*TABLES[table].column_names, LOADED_AT} for name, table in exported.items()}
    guarded = {suite.name for suite in suites}
    for file in (MODELS / "marts").glob("*.yml"):  # all are named, only these are read
        name = f"marts.{file.stem}"
        columns[name] = set(read_columns(file)) if name in guarded else set()
    tables_of_a_run = _sources() - columns.keys()
    settled = []
    for suite in suites:
        if suite.name in tables_of_a_run:
            continue
        if settings.source.kind == "files" and suite.name in exported:
            named = {column for _, column in suite.named_columns}
            try:
                if not named <= columns[suite.name]:
                    columns[suite.name] |= exported_columns(settings, exported[suite.name])
            except SourceError:
                continue  # the run itself says what is wrong with its source
        settled.append(suite)
    check_columns(settled, columns)


def _sources() -> set[str]:
    """All tables of `raw`, as the models declare them."""
    declared = YAML(typ="safe", pure=True).load(MODELS / "staging" / "sources.yml")
    tables = next(one["tables"] for one in declared["sources"] if one["name"] == "raw")
    return {f"raw.{table['name']}" for table in tables}
