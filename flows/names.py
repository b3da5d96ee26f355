"""Names of flow runs on Prefect's page: the day and the source, instead of random words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from prefect.runtime import flow_run

from lifecycle import settings as settings_file
from lifecycle.clock import moment_of
from lifecycle.errors import LifecycleError
from lifecycle.settings import Settings


def run_name() -> str:
    """Name a daily run: `2026-06-10 demo`, `2026-06-10 files, dry run`."""
    parameters = _parameters()
    settings = _settings(parameters)
    if settings is None:
        return "settings that cannot be read"
    kind = parameters.get("source") or settings.source.kind
    try:
        moment = moment_of(settings, parameters.get("as_of"))
    except LifecycleError:
        return f"{parameters['as_of']} {kind}"
    day = f"{moment.astimezone(ZoneInfo(settings.company.time_zone)):%Y-%m-%d}"
    return f"{day} {kind}" + (", dry run" if parameters.get("dry_run") else "")


def timed(name: str) -> Callable[[], str]:
    """Name other runs after what they do and when they began, by the company's clock."""

    def begun() -> str:
        settings = _settings(_parameters())
        zone = settings.company.time_zone if settings else "UTC"
        return f"{name} {datetime.now(UTC).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"

    return begun


def _parameters() -> dict[str, Any]:
    return dict(flow_run.get_parameters() or {})


def _settings(parameters: dict[str, Any]) -> Settings | None:
    try:
        return settings_file.load(parameters.get("config"))
    except LifecycleError:
        return None
