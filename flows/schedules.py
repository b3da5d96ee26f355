"""Whether Prefect's scheduler works: every deployment with a schedule has a next run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort

POLL_SECONDS = 2


@dataclass(frozen=True)
class NextRuns:
    """The next run of every deployment that has an active schedule. Moments are UTC."""

    by_deployment: dict[str, datetime | None]
    """None where nothing is scheduled: its schedule does not fire."""

    @property
    def missing(self) -> list[str]:
        """The deployments without a next run: their schedule does not fire."""
        return [name for name, at in self.by_deployment.items() if at is None]

    def text(self, time_zone: str) -> str:
        """All in one line, the soonest first."""
        scheduled = {name: at for name, at in self.by_deployment.items() if at is not None}
        zone = ZoneInfo(time_zone)
        return ", ".join(
            f"{name} {at.astimezone(zone):%a %H:%M}"
            for name, at in sorted(scheduled.items(), key=lambda item: item[1])
        )


def next_runs() -> NextRuns:
    """Ask Prefect's API. Raises httpx.HTTPError or PrefectException where it does not answer."""
    with get_client(sync_client=True) as client:
        return NextRuns(
            {
                deployment.name: _next(client, deployment)
                for deployment in client.read_deployments()
                if any(schedule.active for schedule in deployment.schedules)
                and not deployment.paused
            }
        )


def _next(client: SyncPrefectClient, deployment: DeploymentResponse) -> datetime | None:
    scheduled = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=1,
    )
    if not scheduled or scheduled[0].expected_start_time is None:
        return None
    return scheduled[0].expected_start_time.astimezone(UTC)


def wait_for_next_runs(seconds: float, check: Callable[[], None]) -> NextRuns:
    """Return the next runs as soon as every schedule has one, at the latest after `seconds`.

    `check` is called while it waits, and may raise.
    """
    deadline = time.monotonic() + seconds
    while True:
        check()
        runs = next_runs()
        if (runs.by_deployment and not runs.missing) or time.monotonic() > deadline:
            return runs
        time.sleep(POLL_SECONDS)


def first_error(log: Path) -> str | None:
    """Return the first line of a log of Prefect's that is an error, or None."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            return next((line.strip() for line in lines if "| ERROR" in line), None)
    except FileNotFoundError:
        return None
