"""What is decided and why. Pure: clock, candidates and ledger state are arguments.

All moments are aware UTC datetimes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from lifecycle.calendar import zones_of_country
from lifecycle.days import DAY
from lifecycle.settings import Plan
from lifecycle.triggers.model import Step, Trigger
from lifecycle.triggers.send_window import Delay, SendWindow, first_moment


class Reason(StrEnum):
    """Why a mail, or an entry, was decided against. Every reason can be looked up."""

    MATCHED_BEFORE_LAUNCH = "matched_before_launch"
    MOVED_BY_SCORE_VERSION = "moved_by_score_version"
    HELD_OUT = "held_out"
    NO_RECIPIENT = "no_recipient"
    NO_CONSENT = "no_consent"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    CONTACT_GONE = "contact_gone"
    CAPPED = "capped"
    STEP_CONDITION = "step_condition"
    LATE = "late"
    NO_WINDOW = "no_window"
    TEMPLATE_ERROR = "template_error"
    WAITING_FOR_FEED = "waiting_for_feed"
    ACCOUNT_SET_ASIDE = "account_set_aside"
    VERSION_UNREADABLE = "version_unreadable"
    TRIGGER_UNUSABLE = "trigger_unusable"
    PAUSED = "paused"
    TURNED_OFF = "turned_off"
    ON_HOLD = "on_hold"
    CONTACT_SET_ASIDE = "contact_set_aside"
    LEFT_PROVISIONALLY = "left_provisionally"
    SAME_STEP_RECENTLY = "same_step_recently"
    SAME_STEP_UNDER_WAY = "same_step_under_way"
    WOULD_LEAVE = "would_leave"
    ABSENT = "absent"
    NO_CIVIL_HOUR = "no_civil_hour"


MAY_PASS = (
    *(Reason.CONTACT_SET_ASIDE, Reason.LEFT_PROVISIONALLY, Reason.CAPPED, Reason.TEMPLATE_ERROR),
    *(Reason.ABSENT, Reason.CONTACT_GONE, Reason.NO_RECIPIENT, Reason.NO_CONSENT),
    Reason.SAME_STEP_UNDER_WAY,
)
"""Reasons for which a mail is put off and not given up: a later delivery, or a person, decides."""

LEFT_FOR_GOOD = (Reason.UNSUBSCRIBED, Reason.SUPPRESSED)
"""Reasons for which a reader is out of a sequence at once."""


@dataclass(frozen=True)
class Place:
    """Where an account keeps its hours, and how we know."""

    time_zone: str
    """By which its days are counted."""
    source: str
    """account, country, zones (its country has several), company or unknown (nobody can tell which
    country its CRM means)."""
    country: str | None
    """ISO alpha-2: whose week and holidays count."""

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones in one of which its people are; none where nobody can tell."""
        match self.source:
            case "zones":
                return zones_of_country(self.country)
            case "unknown":
                return ()
        return (self.time_zone,)


@dataclass(frozen=True)
class Enrolment:
    """One entry of an account into a trigger, with the place that its account has now."""

    account_id: str
    trigger: str
    cycle: int
    enrolled_at: datetime
    place: Place


@dataclass(frozen=True)
class Departure:
    """The mail of a step that left, or is expected to leave, before the step in question."""

    step: Step
    at: datetime
    """When it left; expected: when it may go."""
    not_before: datetime
    """From when it could leave: a delivery that ran a minute later moves no step after it."""
    send_id: str | None = None
    """Expected: the mail that has to leave first. None: it has left."""


@dataclass(frozen=True)
class Contact:
    """A person who may be mailed, and what stands against it."""

    contact_id: str
    address: str
    """Normalised."""
    has_consent: bool
    is_unsubscribed: bool
    """Asked for no more mail, as this contact."""
    address_has_left: bool = False
    """Asked for no more mail, as this or another contact."""
    suppressed_for: str | None = None
    """The reason in the ledger's suppressions."""
    consent_basis: str | None = None
    """The CRM's word, also where it is no consent."""
    left_in_crm: str | None = None
    """Where and since when, by any delivery that there ever was."""
    left_provisionally: bool = False
    """That delivery has not passed the gates."""


def ineligibility(contact: Contact) -> tuple[Reason, str] | None:
    """Why this person may not be mailed at all, or None."""
    if contact.suppressed_for:
        return Reason.SUPPRESSED, contact.suppressed_for
    if contact.is_unsubscribed:
        return Reason.UNSUBSCRIBED, "unsubscribed in the CRM"
    if contact.address_has_left:
        return Reason.UNSUBSCRIBED, "its address unsubscribed in the CRM, as another contact"
    if contact.left_in_crm:
        reason = Reason.LEFT_PROVISIONALLY if contact.left_provisionally else Reason.UNSUBSCRIBED
        return reason, f"its address {contact.left_in_crm}"
    if not contact.has_consent:
        if contact.consent_basis:
            detail = f'"{contact.consent_basis}" is not among the [consent] bases'
            return Reason.NO_CONSENT, detail
        return Reason.NO_CONSENT, "no consent basis"
    return None


@dataclass(frozen=True)
class Opening:
    """An opening of a send window that a mail may still use."""

    not_before: datetime
    closes_at: datetime


def next_opening(trigger: Trigger, place: Place, moment: datetime) -> Opening | None:
    """The first opening of the trigger's window at or after a moment; None if it never opens."""
    window = trigger.send_window
    opens = window.next_open(moment, place.zones, place.country)
    if opens is None:
        return None
    closes = window.closes(opens, place.zones, place.country)
    assert closes is not None
    return Opening(opens, closes)


def without_a_civil_hour(trigger: Trigger, place: Place, moment: datetime) -> str | None:
    """Why nobody can tell a minute inside the window where an account is; None where one can."""
    if place.source == "unknown":
        return "nobody can tell its country, and it has no time_zone"
    if place.source == "zones" and next_opening(trigger, place, moment) is None:
        return (
            f"{place.country} has no minute that is inside {trigger.send_window} in all of its "
            "time zones, and it has no time_zone of its own"
        )
    return None


NO_TIME = timedelta()


@dataclass(frozen=True)
class Pace:
    """How mails that waited for a window to open leave."""

    spread: timedelta = NO_TIME
    """Over the first part of the opening of this length, each account at its own minute."""
    delivery_every: timedelta = NO_TIME
    """The time between two deliveries: the last of them has to find the window open."""

    @classmethod
    def of(cls, plan: Plan) -> Pace:
        """Of the settings."""
        return cls(
            spread=timedelta(minutes=plan.spread_minutes),
            delivery_every=timedelta(minutes=plan.delivery_every_minutes),
        )


AT_ONCE = Pace()


def in_turn(
    opening: Opening, waited_from: datetime, share: float, pace: Pace, until: datetime | None
) -> Opening:
    """The opening as one account uses it, which waits for a `share` (0 to 1) of the first minutes.

    A window that opens finds all that waited for it: they leave over its first minutes, as many
    as `pace` says and as the last delivery can still carry before the window closes and before
    `until`. What did not wait, because the window was open, goes at once.
    """
    opens = opening.not_before
    if opens <= waited_from:
        return opening
    closes = min(opening.closes_at, until or opening.closes_at)
    room = min(pace.spread, closes - opens - pace.delivery_every)
    seconds = int(max(room, NO_TIME).total_seconds() * share)
    return replace(opening, not_before=opens + timedelta(seconds=seconds))


def turn_of(account_id: str) -> float:
    """When in a backlog the mails of an account go: from 0 to just under 1, the same for ever."""
    return int.from_bytes(hashlib.sha256(account_id.encode()).digest()[:4]) / 2**32


@dataclass(frozen=True)
class Timing:
    """When a step is due, may go, and is too late."""

    due_at: datetime
    opening: Opening | None
    """The first one that is still ahead; None if the window never opens."""
    expires_at: datetime | None
    """Counted from the first moment at which the window was open. None: never too late."""

    @property
    def not_before(self) -> datetime | None:
        """When the mail may go."""
        return self.opening.not_before if self.opening else None


def timing(
    trigger: Trigger,
    step: Step,
    enrolment: Enrolment,
    previous: Departure | None,
    now: datetime,
    pace: Pace = AT_ONCE,
) -> Timing:
    """When a step of an enrolment is due, may go, and is too late, seen from `now`.

    It is due when its `after` is over since entry, and not before the reader's previous mail has
    been out for the difference of both steps' `after`.
    """
    place, window = enrolment.place, trigger.send_window
    due_at = step.due(enrolment.enrolled_at, place.time_zone, place.country, window)
    if previous is not None:
        due_at = max(due_at, _distant(step, enrolment, previous, window))
    first = next_opening(trigger, place, due_at)
    if first is None:
        return Timing(due_at, None, None)
    expires_at = None
    if trigger.late.do == "skip":
        expires_at = trigger.late.ends(first.not_before, place.time_zone, place.country, window)
    share = turn_of(enrolment.account_id)
    mine = in_turn(first, due_at, share, pace, expires_at)
    if now > mine.not_before:
        later = next_opening(trigger, place, now)
        return Timing(due_at, later and in_turn(later, now, share, pace, expires_at), expires_at)
    return Timing(due_at, mine, expires_at)


def _distant(step: Step, enrolment: Enrolment, previous: Departure, window: SendWindow) -> datetime:
    """The previous mail's departure plus the difference of both steps' `after`.

    Hours are hours. Days are local calendar days: on the day that is so many days later, at the
    hour of entry, or of that mail where it left earlier in the day.
    """
    zone, country = enrolment.place.time_zone, enrolment.place.country
    before, after = previous.step.after, step.after
    here = ZoneInfo(zone)
    left_on = previous.at.astimezone(here).date()
    in_hours = "h" in {delay.unit for delay in (before, after) if delay.count}
    if not in_hours and (before.unit == after.unit or not before.count):
        day = Delay(after.count - before.count, after.unit).day(left_on, country, window)
    else:  # as far apart as they are from entry on
        first, second = (
            each.due(enrolment.enrolled_at, zone, country, window) for each in (previous.step, step)
        )
        if in_hours:
            return previous.at + (second - first)
        day = left_on + (second.astimezone(here).date() - first.astimezone(here).date())
    clock = min(
        moment.astimezone(here).time()
        for moment in (enrolment.enrolled_at, previous.at, previous.not_before)
    )
    return max(previous.at, first_moment(day, clock, here))


def last_due(trigger: Trigger, enrolment: Enrolment) -> datetime:
    """When the last step of an enrolment is due, where nothing delays the mails."""
    place, window = enrolment.place, trigger.send_window
    return max(
        step.due(enrolment.enrolled_at, place.time_zone, place.country, window)
        for step in trigger.steps
    )


def goal_until(trigger: Trigger, enrolment: Enrolment) -> datetime | None:
    """The last moment of the goal's last calendar day, in the account's time zone."""
    if trigger.goal is None:
        return None
    zone = ZoneInfo(enrolment.place.time_zone)
    day = enrolment.enrolled_at.astimezone(zone).date() + trigger.goal.within
    return first_moment(day + DAY, time.min, zone) - timedelta(seconds=1)


@dataclass(frozen=True)
class StepDecision:
    """What becomes of one step for one reader now."""

    step: Step
    action: str
    """plan, skip, or wait (it is decided by a later run)."""
    timing: Timing
    reason: Reason | None = None
    detail: str = ""


def decide_step(
    step: Step, when: Timing, *, next_run: datetime, holds: bool | None
) -> StepDecision:
    """Decide a step whose moment is known; `holds` is whether its own condition is true."""
    if when.not_before is None:
        return StepDecision(step, "skip", when, Reason.NO_WINDOW, "its window never opens")
    if when.expires_at is not None and when.not_before >= when.expires_at:
        return StepDecision(
            step, "skip", when, Reason.LATE, f"could go until {when.expires_at:%Y-%m-%d %H:%M} UTC"
        )
    if when.not_before > next_run:
        return StepDecision(step, "wait", when)
    if holds is not True:
        value = "unknown" if holds is None else "false"
        condition = step.when.text if step.when else "true"
        return StepDecision(step, "skip", when, Reason.STEP_CONDITION, f"{condition} is {value}")
    return StepDecision(step, "plan", when)
