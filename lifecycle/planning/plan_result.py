"""What a planning decided, counted: the decisions, and why others were not made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lifecycle.document import counted
from lifecycle.errors import Problem
from lifecycle.ledger.decisions import Decisions, Withheld
from lifecycle.ledger.held_losses import Lost
from lifecycle.planning.decision import Reason
from lifecycle.planning.guard import Flood

if TYPE_CHECKING:  # it judges a PlanResult
    from lifecycle.planning.losses import Losses

NAMED = 10
"""Accounts that a sentence names."""


@dataclass
class PlanResult:
    """What a run decided, counted."""

    decisions: Decisions = field(default_factory=Decisions)
    withheld: Counter[str] = field(default_factory=Counter)
    """Accounts or mails that were decided against in this run, by reason."""
    inside: set[tuple[str, str]] = field(default_factory=set)
    """Trigger and account of the enrolments of earlier runs that were looked at."""
    due: set[tuple[str, str, str]] = field(default_factory=set)
    """Trigger, account and contact of those readers of theirs who go on."""
    silenced: set[Lost] = field(default_factory=set)
    """Readers whose planned mail was given up for what the newest delivery says of them."""
    losses: Losses | None = None
    """What it would end for good; then nothing of it is written before a person approves."""
    flood: Flood | None = None
    """Why it would have to wait for an approval."""
    waiting: list[str] = field(default_factory=list)
    """A sentence for each trigger that waits: for the usage feed, or for a person."""

    without_zone: dict[str, dict[str, str]] = field(default_factory=dict)
    """Accounts that wait because nobody can tell a civil hour there: by why, ids and names."""

    broken: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    """By name, the triggers that wait because their file or mails cannot be used, and why."""

    @property
    def planned(self) -> int:
        """Mails planned by this run."""
        return len(self.decisions.sends)

    @property
    def enrolled(self) -> dict[str, int]:
        """Accounts that entered, by trigger."""
        return dict(Counter(entry.trigger for entry in self.decisions.entries))

    @property
    def exited(self) -> dict[str, int]:
        """Accounts that left before the end, by trigger."""
        return dict(Counter(ending.trigger for ending in self.decisions.endings))

    @property
    def unwritten(self) -> list[str]:
        """Why mails could not be written, a sentence for each cause: file, line, what and how
        many."""
        causes = Counter(
            withheld.detail
            for withheld in self.decisions.withheld
            if withheld.reason == Reason.TEMPLATE_ERROR
        )
        return [
            f"{counted(mails, 'mail')} could not be written: {why}"
            for why, mails in causes.most_common()
        ]

    def waits_for_a_zone(self, trigger: str, account: Mapping[str, Any], why: str) -> None:
        """Write down an account that gets nothing until its hours are known."""
        account_id = account["account_id"]
        self.withhold(trigger, account_id, Reason.NO_CIVIL_HOUR, why)
        self.without_zone.setdefault(why, {})[account_id] = account["name"]

    def name_those_without_zone(self) -> None:
        """Say in `waiting` who waits for a time zone, by name."""
        for why, accounts in self.without_zone.items():
            named = ", ".join(f"{name} ({key})" for key, name in sorted(accounts.items())[:NAMED])
            more = f", and {len(accounts) - NAMED:,} more" if len(accounts) > NAMED else ""
            self.waiting.append(f"{named}{more}: no mail until they have a time_zone; {why}")

    def withhold(
        self,
        trigger: str,
        account_id: str,
        reason: Reason,
        detail: str,
        contact_id: str = "",
        step: str = "",
    ) -> None:
        """Write down a mail, or an entry, that was decided against."""
        self.decisions.withheld.append(
            Withheld(trigger, account_id, contact_id, step, reason, detail)
        )
        self.withheld[reason] += 1
