"""The held mails, which wait for a person's decision: `lifecycle held`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lifecycle.document import Document, Id, Section, counted, moment, table
from lifecycle.ledger import held
from lifecycle.ledger.store import Ledger


@dataclass(frozen=True)
class HeldMails:
    """Mails for which nothing proves whether they left, oldest first."""

    mails: list[dict[str, Any]]
    """send_id, account_id, contact_id, trigger, step, not_before, held_since, detail."""

    def as_json(self) -> dict[str, Any]:
        """The object of `held --json`."""
        return {"held": self.mails}

    def as_document(self) -> Document:
        """The list for a person, with the command that decides."""
        if not self.mails:
            return [Section("No mail waits for a decision.", (), "good")]
        columns = ("send", "account", "contact", "mail", "was to go", "why")
        rows = (
            (
                Id(mail["send_id"]),
                mail["account_id"],
                mail["contact_id"],
                f"{mail['trigger']}/{mail['step']}",
                moment(mail["not_before"]),
                mail["detail"],
            )
            for mail in self.mails
        )
        ask = (
            "Ask the customer or the provider's log, then: "
            "lifecycle decide SEND resend|give_up --by NAME --why TEXT"
        )
        title = f"{counted(len(self.mails), 'mail')} may or may not have left"
        return [Section(title, (ask, table(columns, rows)), "warning")]


def held_mails(ledger: Ledger) -> HeldMails:
    """Read the held mails of a ledger."""
    return HeldMails(
        [
            {
                "send_id": row.send_id,
                "account_id": row.account_id,
                "contact_id": row.contact_id,
                "trigger": row.trigger,
                "step": row.step,
                "not_before": row.not_before,
                "held_since": row.state_at,
                "detail": row.detail,
            }
            for row in held.held(ledger)
        ]
    )
