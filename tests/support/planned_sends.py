"""Mails in a ledger, planned by hand."""

from __future__ import annotations

from datetime import datetime, timedelta

from lifecycle.ledger import runs
from lifecycle.ledger.decisions import Decisions, Entry, PlannedSend
from lifecycle.ledger.record import record
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import send_identity
from lifecycle.mail.message import Message


def planned(number: int, *, at: datetime, **changes) -> PlannedSend:
    """The mail of account a<number> that is due at a moment, in a window of seven hours."""
    account, contact = f"a{number}", f"c{number}"
    fields = {
        "send_id": send_identity(account, contact, "win_back", "check_in", 1),
        "account_id": account,
        "contact_id": contact,
        "trigger": "win_back",
        "step": "check_in",
        "cycle": 1,
        "trigger_version": "v1",
        "address": f"{contact}@example.com",
        "locale": "en",
        "locale_source": "company",
        "priority": 50,
        "account_cap": None,
        "contact_cap": None,
        "not_again_days": None,
        "due_at": at,
        "not_before": at,
        "closes_at": at + timedelta(hours=7),
        "expires_at": at + timedelta(days=3),
        "time_zone": "Asia/Tokyo",
        "after_send": None,
        "after_distance": None,
        "mime": b"mail",
    }
    return PlannedSend(**{**fields, **changes})


def rendered(number: int, *, at: datetime, cycle: int = 1, **changes) -> PlannedSend:
    """The same with a mail that a provider can read, of any cycle."""
    send_id = send_identity(f"a{number}", f"c{number}", "win_back", "check_in", cycle)
    message = Message(
        send_id=send_id,
        from_name="Sakura Works",
        from_email="success@example.com",
        to_name=f"顧客 {number}",
        to_email=f"c{number}@example.com",
        reply_to=None,
        subject="その後いかがですか",
        body=f"a{number} 様、{cycle} 回目のご連絡です。\n",
        date=at,
        list_unsubscribe="mailto:success@example.com",
        locale="ja",
        trigger="win_back",
        step="check_in",
    )
    facts = {"send_id": send_id, "cycle": cycle, "locale": "ja", "mime": message.as_bytes()}
    return planned(number, at=at, **{**facts, **changes})


def plan(ledger: Ledger, *mails: PlannedSend, run_id: str = "r1") -> None:
    """A run that enrols each mail's account and plans the mail."""
    decisions = Decisions(sends=list(mails))
    for mail in mails:
        decisions.entries.append(
            Entry(
                account_id=mail.account_id,
                trigger=mail.trigger,
                cycle=mail.cycle,
                trigger_version="v1",
                enrolled_at=mail.due_at,
                time_zone="Asia/Tokyo",
                time_zone_source="account",
                country="JP",
                next_at=mail.due_at + timedelta(days=7),
                contact_ids=(mail.contact_id,),
            )
        )
    at = mails[0].due_at
    runs.begin(ledger, run_id=run_id, as_of=at, source="files")
    with ledger.write() as connection:
        record(connection, decisions, run_id=run_id, at=at)
