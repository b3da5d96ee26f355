"""The columns that a trigger may ask about, as the models' own YAML describes them.

No warehouse is needed: a trigger can be checked before the first run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from lifecycle.errors import Problem, TriggerError
from lifecycle.settings import CHECKOUT

MARTS = CHECKOUT / "dbt_project" / "models" / "marts"
USAGE_FEED = "usage_feed"
"""What a column needs that is unknown while usage events are late."""

MILESTONES = "milestones"
"""What a column hangs on that is unknown while no event matches a pattern of [events] any more."""


class Kind(StrEnum):
    """What a value is, as far as comparing it goes."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    OTHER = "other"
    """A list or a struct: a condition may only ask whether it is null."""


_KINDS = {
    Kind.NUMBER: r"(u?(tiny|small|big|huge)?int(eger)?\d?|double( precision)?|float\d?|real"
    r"|decimal|numeric)(\(.*\))?",
    Kind.TEXT: r"(varchar|text|string|char|character varying|bpchar)(\(\d+\))?",
    Kind.BOOLEAN: r"bool(ean)?",
    Kind.DATE: r"date",
    Kind.TIMESTAMP: r"timestamp( without time zone)?|datetime",
}


def kind_of(data_type: str) -> Kind:
    """The kind of an SQL data type such as `BIGINT` or `varchar`."""
    name = data_type.strip().lower()
    return next((kind for kind, types in _KINDS.items() if re.fullmatch(types, name)), Kind.OTHER)


@dataclass(frozen=True)
class Column:
    """One column of a model."""

    name: str
    data_type: str
    needs: frozenset[str] = frozenset()
    """Without which it is null: the usage feed, or a table of the source."""
    needs_milestones: bool = False
    """Null while first core events and outcomes are unknown."""
    description: str = ""
    accepted_values: frozenset[str] = frozenset()
    """All values it can have, where its model's tests say so."""
    never_null: bool = False
    """Whether its model's tests say that it always has a value."""
    counts_days: Literal["", "since", "until"] = ""
    """Whether it counts days since something or until something: with each day it is one more, or
    one less."""

    @property
    def needs_feed(self) -> bool:
        """Null while the usage feed is late."""
        return USAGE_FEED in self.needs

    @property
    def kind(self) -> Kind:
        """What may be compared with it."""
        return kind_of(self.data_type)


class Columns(Mapping[str, Column]):
    """The columns of one model, by name."""

    def __init__(self, model: str, columns: list[Column]) -> None:
        self.model = model
        self._columns = {column.name: column for column in columns}

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def account_columns(folder: Path = MARTS) -> Columns:
    """What `audience`, `exit_when` and `when` may ask about. Raises TriggerError."""
    return read_columns(folder / "account_360.yml")


def contact_columns(folder: Path = MARTS) -> Columns:
    """What `recipients` may ask about. Raises TriggerError."""
    return read_columns(folder / "dim_contacts.yml")


def read_columns(path: Path) -> Columns:
    """The columns of the model that a dbt YAML file is named after.

    Raises TriggerError if the file cannot be read, lacks the model, or a column's data type.
    """
    try:
        written = path.stat()
        return _columns_of(path, written.st_mtime_ns, written.st_size)
    except OSError as error:
        raise TriggerError([Problem(_named(path), None, f"cannot be read: {error}")]) from None


def _named(path: Path) -> str:
    return f"models/{path.parent.name}/{path.name}"


@lru_cache(maxsize=64)
def _columns_of(path: Path, modified_at: int, size: int) -> Columns:
    """Read once as it is now: parsing it takes longer than checking all triggers against it."""
    name = _named(path)
    try:
        # As dbt reads it, with the parser in C.
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise TriggerError([Problem(name, None, f"cannot be read: {error}")]) from None
    models = content.get("models", []) if isinstance(content, dict) else []
    model = next((model for model in models if model.get("name") == path.stem), None)
    if model is None:
        raise TriggerError([Problem(name, None, f"does not describe the model {path.stem}")])
    untyped = [str(item["name"]) for item in model.get("columns", []) if "data_type" not in item]
    if untyped:
        raise TriggerError([Problem(name, None, f"no data_type for {', '.join(untyped)}")])
    return Columns(path.stem, [_column(item) for item in model.get("columns", [])])


def _column(item: dict[str, Any]) -> Column:
    meta = {**item.get("meta", {}), **item.get("config", {}).get("meta", {})}
    needs = meta.get("needs") or []
    counts = meta.get("counts_days")
    return Column(
        name=str(item["name"]),
        data_type=str(item["data_type"]),
        needs=frozenset([needs] if isinstance(needs, str) else needs),
        needs_milestones=meta.get("hangs_on") == MILESTONES,
        description=str(item.get("description", "")).strip(),
        accepted_values=_accepted_values(item),
        never_null=any(test in ("not_null", "key") for test in _tests(item)),
        counts_days=counts if counts in ("since", "until") else "",
    )


def _tests(item: dict[str, Any]) -> list[Any]:
    return [*item.get("data_tests", []), *item.get("tests", [])]


def _accepted_values(item: dict[str, Any]) -> frozenset[str]:
    for test in _tests(item):
        if isinstance(test, dict) and isinstance(test.get("accepted_values"), dict):
            accepted = test["accepted_values"]
            values = accepted.get("values", accepted.get("arguments", {}).get("values", []))
            return frozenset(value for value in values if isinstance(value, str))
    return frozenset()
