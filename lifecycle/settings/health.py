"""What stages, dormancy, health and the effect of mails are worked out with."""

from __future__ import annotations

from pydantic import Field

from lifecycle.settings.section import Section


class Stages(Section):
    """Thresholds of the lifecycle stages."""

    renewal_days: int = Field(
        90, ge=0, description="the renewal stage begins this many days before the renewal"
    )
    onboarding_months: int = Field(
        2, ge=1, description="months from go-live in which the first outcome is expected"
    )
    onboarding_at_risk_day: int = Field(45, ge=1, description="after go-live")
    mature_from_step: int = Field(
        3, ge=1, le=4, description="the step of the usage ladder from which an account is mature"
    )


class Dormancy(Section):
    """Limits of an account's silence before it is dormant."""

    min_days: int = Field(7, ge=1, description="no account is dormant after fewer silent days")
    max_days: int = Field(
        90, ge=1, description="every account is dormant after this many silent days"
    )
    min_working_days: int = Field(
        5,
        ge=0,
        le=60,
        description="no account is dormant before this many working days without activity",
    )
    alarms_a_year: float = Field(
        0.5, gt=0, description="false alarms an account may raise; `lifecycle fit-scores`"
    )
    factor: float = Field(
        2.0,
        gt=0,
        description="the limit is this many usual gaps, until the first `lifecycle fit-scores`",
    )
    never_logged_in_days: int = Field(7, ge=1, description="after go-live")


class Health(Section):
    """Bands of usage health and satisfaction."""

    green_from: float = Field(
        70,
        ge=0,
        le=100,
        description="points of 100; under equal weights, a fitted version has its own",
    )
    yellow_from: float = Field(
        40,
        ge=0,
        le=100,
        description="points of 100; below is red; under equal weights, as green_from",
    )
    smoothing: float = Field(
        0.25, gt=0, le=1, description="share of today's score in the smoothed score"
    )
    hysteresis: float = Field(
        5, ge=0, le=50, description="points beyond a bound before the band changes"
    )
    survey_stale_days: int = Field(
        180, ge=1, description="an answer does not count after this many days"
    )
    upsell_satisfaction: float = Field(70, ge=0, le=100, description="least satisfaction score")
    upsell_seats_share: float = Field(0.8, ge=0, description="least share of the seats in use")


class Effect(Section):
    """The effect of mails: mailed accounts against held-out accounts."""

    worth_seeing_points: float = Field(
        10,
        gt=0,
        le=100,
        description="the smallest difference that matters, in goals per 100 accounts",
    )
