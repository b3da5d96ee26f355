"""People who are erased from the ledger: only a keyed hash stays, so that they stay unmailed."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, select, update

from lifecycle.ledger import suppressions
from lifecycle.ledger.states import batches, transition
from lifecycle.ledger.suppressions import Suppression
from lifecycle.ledger.tables import (
    NOT_LEFT,
    State,
    actions,
    departures,
    feedback,
    messages,
    recipients,
    replies,
    sends,
    withheld,
)
from lifecycle.ledger.tables import suppressions as suppressions_table


def erase(ledger: Connection, forms: Collection[str], key: str, *, by: str, why: str) -> list[str]:
    """Remove a person by the forms of an address, in the caller's transaction.

    What has not surely left to them, or in their name, ends. Returns the ids of the sends whose
    mail is gone. `key` is `[privacy] erasure_key`.
    """
    now = datetime.now(UTC)
    hashes = {form: suppressions.digest(form, key) for form in sorted(forms)}
    hashed = next(iter(hashes.values()))
    suppressions.stop(
        ledger, [Suppression(keyed, "erased", now, by) for keyed in hashes.values()], now
    )
    theirs = select(sends.c.send_id).where(sends.c.address.in_(hashes))
    send_ids = sorted({*ledger.scalars(theirs), *_naming(ledger, hashes)})
    for batch in batches(send_ids):
        among = sends.c.send_id.in_(batch)
        transition(ledger, State.SUPPRESSED, "erased", now, among, sends.c.state.in_(NOT_LEFT))
        # Nobody can send them again: there is nothing left to decide.
        doubtful = sends.c.state.in_([State.UNCERTAIN, State.HELD])
        transition(ledger, State.CANCELLED, "erased; it may have left", now, among, doubtful)
        ledger.execute(delete(messages).where(messages.c.send_id.in_(batch)))
        words = {"subject": None, "text": None}
        ledger.execute(update(replies).where(replies.c.send_id.in_(batch)).values(**words))
    for table in (sends, recipients, withheld, replies):
        by_address = func.lower(table.c.contact_id).in_(hashes)
        ledger.execute(update(table).where(by_address).values(contact_id=hashed))
    for form, its_hash in hashes.items():
        for table in (sends, feedback):
            same = table.c.address == form
            ledger.execute(update(table).where(same).values(address=its_hash))
        decided = actions.c.subject == form
        ledger.execute(update(actions).where(decided).values(subject=its_hash))
        of_theirs = replies.c.address == form
        wiped = {"address": its_hash, "subject": None, "text": None}
        ledger.execute(update(replies).where(of_theirs).values(**wiped))
        for table in (suppressions_table, departures):
            ledger.execute(delete(table).where(table.c.address == form))
    ledger.execute(actions.insert().values(at=now, action="erase", subject=hashed, by=by, why=why))
    return send_ids


def erase_again(
    ledger: Connection, hashes: Collection[str], key: str, *, by: str, why: str
) -> list[str]:
    """Erase people of whom only the hash is known, where the ledger does not know of it.

    Whoever only stands in the headers of a mail, as who is answered to, is not found. Returns
    the ids of the sends whose mail is gone. Raises LedgerError without the `key` of then.
    """
    known = select(suppressions_table.c.address).where(suppressions_table.c.reason == "erased")
    missing = set(hashes).difference(ledger.scalars(known))
    if not missing:
        return []
    suppressions.check_key(key)
    now = datetime.now(UTC)
    suppressions.stop(ledger, [Suppression(keyed, "erased", now, by) for keyed in missing], now)
    back: set[str] = set()
    for table in (sends, feedback, suppressions_table, departures, replies):
        query = select(table.c.address).where(table.c.address.is_not(None)).distinct()
        addresses: list[str] = list(ledger.scalars(query))
        back.update(
            address for address in addresses if suppressions.digest(address, key) in missing
        )
    return [
        send_id
        for address in sorted(back)
        for send_id in erase(ledger, suppressions.forms(address), key, by=by, why=why)
    ]


def _naming(ledger: Connection, forms: Collection[str]) -> list[str]:
    """The stored mails whose headers name the address: To, or Reply-To as the account's owner."""
    either = "|".join(re.escape(form) for form in forms)
    named = re.compile(rf"(?<![\w.+-])(?:{either})(?![\w.-]*\w)".encode(), re.IGNORECASE)
    stored = ledger.execute(select(messages), execution_options={"yield_per": 1000})
    return [row.send_id for row in stored if named.search(row.mime.partition(b"\r\n\r\n")[0])]
