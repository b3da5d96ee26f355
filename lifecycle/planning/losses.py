"""The guard against losses: a delivery by which one reason ends much at once waits for a person.

A flood reaches too many people (guard.py); a loss silences too many, and an `enter: once` sequence
that ended does not come back when the delivery is repaired.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from lifecycle.ledger import held_losses
from lifecycle.ledger.held_losses import Lost
from lifecycle.planning import ledger_state
from lifecycle.planning.decision import Reason
from lifecycle.planning.plan_result import PlanResult
from lifecycle.settings import Guard
from lifecycle.triggers.model import Trigger

OF_THE_DELIVERY = frozenset(
    {
        Reason.NO_CONSENT,
        Reason.UNSUBSCRIBED,
        Reason.CONTACT_GONE,
        Reason.NO_RECIPIENT,
        Reason.ACCOUNT_SET_ASIDE,
    }
)
"""Why a mail is given up that a person was chosen for: what the newest delivery says of them."""

ENDINGS: dict[str, str] = {
    "churned": "their accounts churned",
    "high_touch": "their accounts are high touch now",
    "deleted": "their accounts are not in the CRM any more",
    "no_reader": "nobody at their accounts may be mailed any more",
    "exit": "they meet exit_when",
}
PEOPLE: dict[str, str] = {
    Reason.NO_CONSENT: "they have no consent any more",
    Reason.UNSUBSCRIBED: "they left",
    Reason.CONTACT_GONE: "they are not in the CRM any more",
    Reason.NO_RECIPIENT: "they are not among the recipients any more",
    Reason.ACCOUNT_SET_ASIDE: "nobody can read whether their accounts left",
}

SAMPLE = 3


@dataclass(frozen=True)
class Losses:
    """What would end, and why that is too much."""

    lost: tuple[Lost, ...]
    failures: tuple[str, ...]
    """A sentence for each reason."""

    @property
    def why(self) -> str:
        """All of it."""
        return "\n".join(self.failures)


def judge(
    guard: Guard, ledger: Connection, result: PlanResult, triggers: Iterable[Trigger]
) -> Losses | None:
    """The losses that a person has to approve before this planning is written; None: none."""
    approved = held_losses.let_through(ledger)
    once = {trigger.name for trigger in triggers if trigger.enter.mode == "once"}
    sequences = _by_reason(_endings(result, once), approved)
    people = _by_reason(_silenced(result), approved)
    inside, due = ledger_state.open_count(ledger), _due(result)
    lost: list[Lost] = []
    failures: list[str] = []
    for by_reason, total, words, what in (
        (sequences, inside, ENDINGS, "open sequences end"),
        (people, due, PEOPLE, "people who are due lose their mail"),
    ):
        for reason, losses in sorted(by_reason.items()):
            if len(losses) >= guard.loss_never_below and len(losses) > guard.loss_share * total:
                lost += losses
                accounts = ", ".join(sorted({loss.account_id for loss in losses})[:SAMPLE])
                failures.append(
                    f"{len(losses):,} of {total:,} {what}, {len(losses) / total:.0%}:"
                    f" {words[reason]} (e.g. {accounts});"
                    f" guard.loss_share is {guard.loss_share:.0%}"
                )
    return Losses(tuple(lost), tuple(failures)) if lost else None


def _endings(result: PlanResult, once: Collection[str]) -> Iterable[Lost]:
    """The sequences that end. Who may enter again loses nothing by an exit."""
    for ending in result.decisions.endings:
        if ending.reason in ENDINGS and (ending.reason != "exit" or ending.trigger in once):
            yield Lost(ending.reason, ending.trigger, ending.account_id)


def _silenced(result: PlanResult) -> Iterable[Lost]:
    """The people who were chosen when their account entered, and lose a mail."""
    yield from result.silenced
    for row in result.decisions.withheld:
        is_inside = (row.trigger, row.account_id) in result.inside
        if is_inside and row.contact_id and row.reason in OF_THE_DELIVERY:
            yield Lost(row.reason, row.trigger, row.account_id, row.contact_id)


def _due(result: PlanResult) -> int:
    """How many people of those inside are looked at for a mail, or have one planned."""
    silenced = {
        (silence.trigger, silence.account_id, silence.contact_id) for silence in _silenced(result)
    }
    return len(silenced | result.due)


def _by_reason(lost: Iterable[Lost], approved: Collection[Lost]) -> dict[str, list[Lost]]:
    by_reason: defaultdict[str, set[Lost]] = defaultdict(set)
    for loss in lost:
        if loss not in approved:
            by_reason[loss.reason].add(loss)
    return {reason: sorted(losses, key=str) for reason, losses in by_reason.items()}
