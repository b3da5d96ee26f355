"""Asks Prefect's API for the next scheduled runs: a run that is never created is never late."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle import prefect_credential
from lifecycle.errors import LifecycleError
from lifecycle.schedules import Schedule

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class PrefectSchedule:
    """What Prefect's API says. Times are UTC."""

    api: str
    """Its address, without a credential."""
    problem: str | None = None
    """Why the API does not say what is scheduled; None where it does."""
    next_runs: Mapping[str, datetime] = field(default_factory=dict)
    """Schedule: when its next run is to start."""
    without_run: Sequence[str] = ()
    """Schedules without a next run in Prefect: they will not start."""

    def as_json(self) -> dict[str, Any]:
        """The answer as data."""
        runs = {name: moment.isoformat() for name, moment in self.next_runs.items()}
        return {**asdict(self), "next_runs": runs}


def ask(state_dir: Path, schedules: Sequence[Schedule]) -> PrefectSchedule | None:
    """The next runs that the API at PREFECT_API_URL has scheduled; None without an address.

    Raises nothing: an API that does not answer, or answers with an error, is reported in `problem`.
    """
    address = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not address:
        return None
    import httpx  # only where there is somebody to ask

    try:
        url = httpx.URL(address)
        shown_address = str(url.copy_with(userinfo=b""))
    except httpx.InvalidURL:
        return PrefectSchedule("PREFECT_API_URL", "PREFECT_API_URL is not an address")
    try:
        # A short timeout and no retry: a person or a monitor waits for the answer.
        with httpx.Client(
            base_url=url, auth=_credential(state_dir, url.host), timeout=TIMEOUT_SECONDS
        ) as client:
            planned = {schedule.name: _next_run(client, schedule) for schedule in schedules}
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        hint = ": it wants a credential, PREFECT_API_AUTH_STRING" if status == 401 else ""
        return PrefectSchedule(
            shown_address, f"Prefect's API at {shown_address} answered {status}{hint}"
        )
    except httpx.HTTPError as error:
        name = type(error).__name__
        return PrefectSchedule(
            shown_address, f"Prefect's API at {shown_address} does not answer ({name})"
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return PrefectSchedule(
            shown_address, f"what answers at {shown_address} is not Prefect's API"
        )
    runs = {name: moment for name, moment in planned.items() if moment is not None}
    return PrefectSchedule(
        shown_address, None, runs, [name for name in planned if name not in runs]
    )


def _next_run(client: httpx.Client, schedule: Schedule) -> datetime | None:
    answer = client.post(
        "flow_runs/filter",
        json={
            "flows": {"name": {"any_": [schedule.command]}},
            "deployments": {"name": {"any_": [schedule.name]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": 1,
        },
    )
    answer.raise_for_status()
    runs = answer.json()
    if not isinstance(runs, list):
        raise TypeError("a list of runs was expected")
    moments = [run["next_scheduled_start_time"] or run["expected_start_time"] for run in runs]
    return datetime.fromisoformat(moments[0]) if moments else None


def _credential(state_dir: Path, host: str) -> tuple[str, str] | None:
    """The credential of the environment, else, on this machine alone, the state folder's."""
    credential = os.environ.get("PREFECT_API_AUTH_STRING")
    if credential is None and prefect_credential.is_local(host):
        try:
            credential = prefect_credential.read(state_dir)
        except (OSError, LifecycleError):
            return None  # the API's own answer says that it wants one
    if not credential:
        return None
    user, _, password = credential.partition(":")
    return user, password
