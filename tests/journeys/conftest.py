"""One warehouse for all journeys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from company import Marts
from journey import Journey, Shared
from lifecycle.triggers.columns import account_columns, contact_columns

Live = Callable[..., list[str]]


@pytest.fixture(scope="session")
def shared() -> Iterator[Shared]:
    with duckdb.connect(config={"threads": 1}) as warehouse:
        yield Shared(warehouse, Marts(warehouse), account_columns(), contact_columns())


@pytest.fixture
def prepare(shared: Shared, tmp_path: Path) -> Callable[..., Journey]:
    """A journey whose days are still to come."""

    def prepared(
        trigger: str | dict[str, str], *, folder: str = "company", **company: Any
    ) -> Journey:
        triggers = {"win_back": trigger} if isinstance(trigger, str) else trigger
        return Journey(shared, tmp_path / folder, triggers, **company)

    return prepared


@pytest.fixture
def live(prepare: Callable[..., Journey]) -> Live:
    """Live through the days of a script; the mails that left."""

    def lived(trigger: str | dict[str, str], days: str, *, until: str, **company: Any) -> list[str]:
        return prepare(trigger, **company).live(days, until=until)

    return lived
