"""The held mails, which wait for a person's decision: `lifecycle held`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from lifecycle.document import Document, Id, Section, Table, counted, table
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
        columns = ("send", "account", "was to go")
        parts: list[str | Table] = [
            "Ask the customer or the provider's log, then: "
            "lifecycle decide SEND... resend|give_up --by NAME --why TEXT",
            "Instead of SEND, many at a time: --trigger NAME, --run RUN, --older-than 3d, --all.",
        ]
        for (mail_name, why), mails in groupby(sorted(self.mails, key=_group), key=_group):
            rows = (
                (Id(mail["send_id"]), mail["account_id"], _minute(mail["not_before"]))
                for mail in mails
            )
            parts += [f"{mail_name}: {why}", table(columns, rows)]
        title = f"{counted(len(self.mails), 'mail')} may or may not have left"
        return [Section(title, tuple(parts), "warning")]


def _group(mail: dict[str, Any]) -> tuple[str, str]:
    return f"{mail['trigger']}/{mail['step']}", mail["detail"] or ""


def _minute(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def held_mails(ledger: Ledger, which: held.Which) -> HeldMails:
    """Read those of a ledger's held mails that somebody asks for."""
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
            for row in held.held(ledger, which)
        ]
    )
