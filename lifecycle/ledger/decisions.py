"""What a run decides: plain values, which `record` writes to the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lifecycle.ledger.tables import State


@dataclass(frozen=True)
class FirstUse:
    """A version of a trigger that no run went by before."""

    trigger: str
    version: str
    content: str
    """The file's text."""
    templates: Mapping[str, Mapping[str, str]]
    """What its mails say now: step, locale, text."""
    git_commit: str | None


@dataclass(frozen=True)
class Launch:
    """The first live run of a trigger, with the accounts that matched before it."""

    trigger: str
    mode: str
    baseline: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """An account enters a trigger."""

    account_id: str
    trigger: str
    cycle: int
    trigger_version: str
    enrolled_at: datetime
    time_zone: str
    time_zone_source: str
    country: str | None
    next_at: datetime | None
    contact_ids: tuple[str, ...]
    """Whom its mails go to; none where it is held out."""
    held_out: bool = False
    goal_until: datetime | None = None
    """The end of the time that the goal has; None: there is no goal."""
    despite_hold: bool = False
    """Whether it enters while its account is on hold: its mail waits for the end of that."""


@dataclass(frozen=True)
class Ending:
    """An enrolment ends; what it still had planned is cancelled."""

    account_id: str
    trigger: str
    cycle: int
    reason: str


@dataclass(frozen=True)
class Progress:
    """When an enrolment's next step may go, and where its account is now."""

    account_id: str
    trigger: str
    cycle: int
    next_at: datetime | None
    """None: no step is left."""
    time_zone: str
    time_zone_source: str
    country: str | None


@dataclass(frozen=True)
class Absence:
    """The account of an enrolment is missing in the CRM, or there again."""

    account_id: str
    trigger: str
    cycle: int
    since: datetime | None
    """None: it is there again."""
    runs: int


@dataclass(frozen=True)
class Reader:
    """A contact that reads the mails of an enrolment, as far as that is new."""

    account_id: str
    trigger: str
    cycle: int
    contact_id: str
    follows: str | None = None
    """Whose place it takes."""
    is_new: bool = False
    absent_since: datetime | None = None
    absent_runs: int = 0
    gone_why: str | None = None
    """None: it goes on reading."""


@dataclass(frozen=True)
class Migration:
    """An enrolment goes on by another version of its trigger than the one it entered by.

    Steps that both versions have stay as they were decided; what is planned of a step that the
    new one lacks is cancelled.
    """

    account_id: str
    trigger: str
    cycle: int
    from_version: str
    to_version: str
    steps: tuple[str, ...]
    """Those of the new version."""
    next_at: datetime
    """When the new version looks at it first."""
    goal_until: datetime | None


@dataclass(frozen=True)
class GoalMet:
    """An enrolment did what its trigger is for, in time."""

    account_id: str
    trigger: str
    cycle: int


@dataclass(frozen=True)
class StepFate:
    """What was decided about a step of an enrolment; what was decided before gives way to it."""

    account_id: str
    trigger: str
    cycle: int
    step: str
    fate: str
    """planned or skipped."""
    reason: str | None
    due_at: datetime
    not_before: datetime | None


@dataclass(frozen=True)
class PlannedSend:
    """One mail, rendered."""

    send_id: str
    account_id: str
    contact_id: str
    trigger: str
    step: str
    cycle: int
    trigger_version: str
    address: str
    locale: str
    locale_source: str
    priority: int
    account_cap: str | None
    contact_cap: str | None
    not_again_days: int | None
    """For so long the step reaches the address through no other account; 0: for ever; None: it
    may."""
    due_at: datetime
    not_before: datetime
    closes_at: datetime
    expires_at: datetime | None
    mime: bytes
    time_zone: str | None = None
    """IANA: by its days the caps are counted; None: by those of UTC."""
    after_send: str | None = None
    """The mail that has to leave before it, and by how much: `2d` (local days) or `21600s`."""
    after_distance: str | None = None


@dataclass(frozen=True)
class Withheld:
    """A mail or an entry that was decided against, and why."""

    trigger: str
    account_id: str
    contact_id: str
    """Empty: the whole account."""
    step: str
    """Empty: before entry."""
    reason: str
    detail: str


@dataclass(frozen=True)
class Move:
    """A mail that has not left, decided anew: its words, reader's address and moment of now."""

    mail: PlannedSend
    why: str | None
    """What is written down: its moment or its address is another one; None: neither is."""
    rewritten: bool = True
    """Whether its bytes are new ones, too."""


@dataclass(frozen=True)
class KeptBack:
    """A mail that has not left and may not leave before the next run decides about it."""

    send_id: str
    why: str


@dataclass(frozen=True)
class Withdrawal:
    """A mail that has not left and will not."""

    send_id: str
    state: State
    """SUPPRESSED, CANCELLED or EXPIRED."""
    detail: str


@dataclass
class Decisions:
    """All that one run decided."""

    first_uses: list[FirstUse] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    moved_by_version: list[tuple[str, str]] = field(default_factory=list)
    """(trigger, account) that match because a score version changed: they may enter once they have
    been seen outside the audience, as who matched before a launch."""
    waiting: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """(trigger, version): why its mails stay where they are, or None where they may go on."""
    seen_false: list[tuple[str, str]] = field(default_factory=list)
    """(trigger, account) seen outside the audience with a fresh feed."""
    entries: list[Entry] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    migrations: list[Migration] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    goals: list[GoalMet] = field(default_factory=list)
    steps: list[StepFate] = field(default_factory=list)
    sends: list[PlannedSend] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    kept_back: list[KeptBack] = field(default_factory=list)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
