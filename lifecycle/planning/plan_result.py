"""What a planning decided, counted: the decisions, and why others were not made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lifecycle.errors import Problem
from lifecycle.ledger.decisions import Decisions, Withheld
from lifecycle.planning.decision import Reason
from lifecycle.planning.guard import Flood

if TYPE_CHECKING:  # it judges a PlanResult
    from lifecycle.planning.losses import Losses


@dataclass
class PlanResult:
    """What a run decided, counted."""

    decisions: Decisions = field(default_factory=Decisions)
    withheld: Counter[str] = field(default_factory=Counter)
    """Accounts or mails that were decided against in this run, by reason."""
    still_planned: set[tuple[str, str, str]] = field(default_factory=set)
    """Trigger, account and contact of the mails of earlier runs that may go on."""
    losses: Losses | None = None
    """What it would end for good; then nothing of it is written before a person approves."""
    flood: Flood | None = None
    """Why it would have to wait for an approval."""
    waiting: list[str] = field(default_factory=list)
    """A sentence for each trigger that waits: for the usage feed, or for a person."""

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
