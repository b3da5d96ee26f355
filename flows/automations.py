"""Prefect's automations: they notify about runs that cannot notify by themselves.

A run that was stopped or failed notifies by itself, with the reason (lifecycle/run.py). The
automations cover what no run can report: its process died, or it never began.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from prefect.automations import AutomationCore, EventTrigger, Posture, ResourceSpecification
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import RunDeployment

DAILY = "lifecycle-run/daily"
DELIVERY = "deliver-due/every-10-minutes"
TELL = "tell/from-an-automation"

RUN_NAME = {"__prefect_kind": "jinja", "template": "{{ flow_run.name }}"}


def set_up(*, late_after: timedelta) -> None:
    """Create the automations, or bring them up to date. The deployments must be there.

    `late_after` is how long after its time a daily run may start, one minute at least.
    """
    with get_client(sync_client=True) as client:
        ids = {name: client.read_deployment_by_name(name).id for name in (DAILY, DELIVERY, TELL)}
        for automation in (
            _when(
                "The daily run crashed",
                {"expect": {"prefect.flow-run.Crashed"}},
                of=ids[DAILY],
                tell=ids[TELL],
                what="the daily run's process ended before its time",
            ),
            _when(
                "The daily run did not start",
                {
                    "posture": Posture.Proactive,
                    "after": {"prefect.flow-run.Late"},
                    "expect": {"prefect.flow-run.Running", "prefect.flow-run.Cancelled"},
                    "within": late_after,
                },
                of=ids[DAILY],
                tell=ids[TELL],
                what=f"the daily run did not start within {_minutes(late_after)} minutes",
            ),
            _when(
                "Delivery keeps failing",
                {
                    "expect": {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
                    "threshold": 3,
                    "within": timedelta(minutes=45),
                    "for_each": set(),
                },
                of=ids[DELIVERY],
                tell=ids[TELL],
                what="three deliveries failed within 45 minutes",
            ),
        ):
            _replace(client, automation)


def _when(name: str, trigger: dict[str, Any], *, of: Any, tell: Any, what: str) -> AutomationCore:
    watched: dict[str, Any] = {
        "match": ResourceSpecification.model_validate(
            {"prefect.resource.id": "prefect.flow-run.*"}
        ),
        "match_related": ResourceSpecification.model_validate(
            {
                "prefect.resource.role": "deployment",
                "prefect.resource.id": f"prefect.deployment.{of}",
            }
        ),
        "for_each": {"prefect.resource.id"},
        "posture": Posture.Reactive,
        "threshold": 1,
        "within": timedelta(0),
    }
    source: Literal["selected"] = "selected"
    return AutomationCore(
        name=name,
        description="Set up by make server.",
        trigger=EventTrigger(**{**watched, **trigger}),
        actions=[
            RunDeployment(
                source=source, deployment_id=tell, parameters={"run": RUN_NAME, "what": what}
            )
        ],
    )


def _replace(client: SyncPrefectClient, automation: AutomationCore) -> None:
    for old in client.read_automations_by_name(automation.name):
        client.delete_automation(old.id)
    client.create_automation(automation)


def _minutes(span: timedelta) -> int:
    return round(span.total_seconds() / 60)
