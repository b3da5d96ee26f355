"""What is decided and why. Pure: clock, candidates and ledger state are arguments.

All moments are aware UTC datetimes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from lifecycle.calendar import zones_of_country
from lifecycle.triggers.model import Step, Trigger


class Reason(StrEnum):
    """Why a mail, or an entry, was decided against. Every reason can be looked up."""

    MATCHED_BEFORE_LAUNCH = "matched_before_launch"
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
    NO_CIVIL_HOUR = "no_civil_hour"


MAY_PASS = (Reason.CONTACT_SET_ASIDE, Reason.LEFT_PROVISIONALLY)
"""Reasons for which a mail is put off and not given up: a later delivery, or a person, decides."""


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
    """One entry of an account into a trigger, as far as it got."""

    account_id: str
    trigger: str
    cycle: int
    enrolled_at: datetime
    place: Place
    decided: Mapping[str, datetime | None] = field(default_factory=dict)
    """Step id: its `not_before`, or None where it was skipped."""


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


def objection(contact: Contact) -> tuple[Reason, str] | None:
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
            told = f'"{contact.consent_basis}" is not among the [consent] bases'
            return Reason.NO_CONSENT, told
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


NO_SPREAD = timedelta()


def in_turn(
    opening: Opening, waited_from: datetime, turn: float, spread: timedelta, until: datetime | None
) -> Opening:
    """The opening as one mail uses it, whose turn is a share (0 to 1) of the first minutes.

    A window that opens finds all that waited for it: they leave over its first `spread`, or
    as much of it as there is before it closes and before `until`, and not in one burst. What
    did not wait, because the window was open, goes at once.
    """
    opens = opening.not_before
    if opens <= waited_from:
        return opening
    room = min(spread, opening.closes_at - opens, (until or opening.closes_at) - opens)
    seconds = int(max(room, NO_SPREAD).total_seconds() * turn)
    return replace(opening, not_before=opens + timedelta(seconds=seconds))


def turn_of(account_id: str, trigger: str, step: str, cycle: int) -> float:
    """When in a backlog the mails of a step go: from 0 to just under 1, the same for ever."""
    key = json.dumps([account_id, trigger, step, cycle], ensure_ascii=False).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:4]) / 2**32


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
    now: datetime,
    spread: timedelta = NO_SPREAD,
) -> Timing:
    """When a step of an enrolment is due, may go, and is too late, seen from `now`."""
    place = enrolment.place
    due_at = step.after.add_to(enrolment.enrolled_at, place.time_zone, place.country)
    first = next_opening(trigger, place, due_at)
    if first is None:
        return Timing(due_at, None, None)
    expires_at = first.not_before + trigger.late.after if trigger.late.do == "skip" else None
    turn = turn_of(enrolment.account_id, trigger.name, step.id, enrolment.cycle)
    mine = in_turn(first, due_at, turn, spread, expires_at)
    if now > mine.not_before:
        later = next_opening(trigger, place, now)
        return Timing(due_at, later and in_turn(later, now, turn, spread, expires_at), expires_at)
    return Timing(due_at, mine, expires_at)


def last_due(trigger: Trigger, enrolment: Enrolment) -> datetime:
    """When the last step of an enrolment is due."""
    place = enrolment.place
    return max(
        step.after.add_to(enrolment.enrolled_at, place.time_zone, place.country)
        for step in trigger.steps
    )


@dataclass(frozen=True)
class StepDecision:
    """What becomes of one step of one enrolment now."""

    step: Step
    action: str
    """plan, skip, or wait (it is decided by a later run)."""
    timing: Timing
    reason: Reason | None = None
    detail: str = ""


def decide_steps(
    trigger: Trigger,
    enrolment: Enrolment,
    *,
    now: datetime,
    ahead: timedelta,
    holds: Mapping[str, bool | None],
    spread: timedelta = NO_SPREAD,
) -> list[StepDecision]:
    """Decide the steps that come due before the next run, in order.

    `ahead` is how far the next run is away; `holds` says for each step id whether its own
    condition is true; `spread` is over how long a backlog leaves (`in_turn`). The first step
    that has to wait ends the list, so that no step overtakes the one before it. Two steps keep
    at least the distance that the file gives them, or a day where it is longer: a backlog is
    not sent in one burst.
    """
    decisions: list[StepDecision] = []
    previous: tuple[datetime, datetime] | None = None  # (due_at, not_before) of the last mail
    for step in trigger.steps:
        due_at = step.after.add_to(
            enrolment.enrolled_at, enrolment.place.time_zone, enrolment.place.country
        )
        if step.id in enrolment.decided:
            went = enrolment.decided[step.id]
            previous = (due_at, went) if went is not None else previous
            continue
        earliest = now
        if previous is not None:
            earliest = max(now, previous[1] + min(due_at - previous[0], timedelta(days=1)))
        when = timing(trigger, step, enrolment, earliest, spread)
        decision = _decide_step(step, when, now + ahead, holds[step.id])
        decisions.append(decision)
        if decision.action == "wait":
            break
        if decision.action == "plan" and decision.timing.not_before is not None:
            previous = (due_at, decision.timing.not_before)
    return decisions


def _decide_step(step: Step, when: Timing, next_run: datetime, holds: bool | None) -> StepDecision:
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
