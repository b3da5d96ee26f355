"""How many people a run may mail, and when it asks first."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from lifecycle.settings.section import Section


class AbsentFor(Section):
    """So many runs that the gate let through, and so many calendar days."""

    runs: int = Field(3, ge=1, description="in a row")
    days: int = Field(3, ge=0, description="since the first of them")


class Plan(Section):
    """How far ahead a run plans, and how mails spread."""

    same_step_again_after: str = Field(
        "30d",
        pattern=r"^\d{1,4} ?d$",
        description="that a step reached a person, it may reach them through another account;"
        " 0d: at once",
    )
    absent_for: AbsentFor = Field(
        default_factory=lambda: AbsentFor(),
        description="how long an account or a reader may be missing in the CRM, or lack the role"
        " or the consent, before that ends its sequence; nothing is mailed meanwhile",
    )
    delivery_every_minutes: float = Field(
        10, ge=0, description="between two deliveries, as prefect.yaml schedules them"
    )
    ahead_hours: float = Field(
        24, gt=0, description="mails due before the next run are planned by this one"
    )
    spread_minutes: float = Field(
        30,
        ge=0,
        description="after a send window opens, in which the mails that waited for it leave;"
        " 0: all at once",
    )

    @property
    def same_step_again_days(self) -> int:
        """The days of `same_step_again_after`."""
        return int(self.same_step_again_after.rstrip("d "))


class Guard(Section):
    """How many people a run may reach, or lose, before a person has to approve it."""

    people: int = Field(
        1_000, ge=0, description="most distinct addresses that a run's new mails may go to"
    )
    share: float = Field(
        0.5, gt=0, le=1, description="most of the people who may be mailed; 1 allows all of them"
    )
    share_never_below: int = Field(
        20, ge=0, description="`share` never stops a run that mails at most this many people"
    )
    times: float = Field(
        3, gt=0, description="the busiest of the last 28 days with a run, once there are 28"
    )
    never_below: int = Field(
        50, ge=0, description="`times` never stops a run that mails at most this many people"
    )
    loss_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="of the open sequences, or of the people due, that one reason may end at once",
    )
    approve_within: str = Field(
        "3d",
        pattern=r"^\d{1,3} ?d$",
        description="after its as-of a run's mails may be approved so long; later they are stale",
    )
    four_eyes: bool = Field(
        False,
        description="only `lifecycle approve` counts, of a user who neither started the run by hand"
        " nor last changed a trigger file that caused its mails",
    )
    approvers: dict[str, list[str]] = Field(
        default_factory=dict,
        description="with `four_eyes`: who may approve, a user of the operating system = the"
        " addresses or names that git knows them by",
    )
    loss_never_below: int = Field(
        20, ge=1, description="fewer losses than this never stop a run, whatever their share"
    )
    wait_hours: float = Field(
        6,
        ge=0,
        description="hours that a run in Prefect waits for an answer in its form;"
        " `lifecycle approve` has longer",
    )

    @property
    def approval_lasts(self) -> timedelta:
        """`approve_within` as a span."""
        return timedelta(days=int(self.approve_within.rstrip("d ")))
