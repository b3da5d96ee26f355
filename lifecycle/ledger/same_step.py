"""Whether somebody got a step already, asked once more in the transaction that claims its mail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from lifecycle.ledger.states import batches
from lifecycle.ledger.tables import MAILED, sends
from lifecycle.template_names import OWNER_LIST

Key = tuple[str, str, str]
"""Trigger, address (normalised), step."""

_SENT = select(
    *(sends.c[name] for name in ("send_id", "account_id", "address", "trigger", "step", "cycle")),
    sends.c.state,
    func.coalesce(sends.c.accepted_at, sends.c.not_before).label("at"),
).where(sends.c.address.in_(bindparam("addresses", expanding=True)))


class SameStep:
    """The steps that the readers of some mails got, or may have got."""

    def __init__(self, ledger: Connection, mails: Sequence[Row[Any]]) -> None:
        keys = {_key(row) for row in mails if row.trigger != OWNER_LIST}
        self._sent: defaultdict[Key, list[tuple[str, int, datetime]]] = defaultdict(list)
        for batch in batches(sorted({address for _, address, _ in keys})):
            for row in ledger.execute(_SENT, {"addresses": batch}):
                # A condition on the state would lead SQLite to all mails that ever left.
                if row.state in MAILED and _key(row) in keys:
                    self._sent[_key(row)].append((row.account_id, row.cycle, row.at))

    def before(self, mail: Row[Any], now: datetime) -> str | None:
        """Through whom the reader of a mail got its step, if not again so soon; else None."""
        for account_id, cycle, at in self._sent.get(_key(mail), ()):
            if account_id == mail.account_id:
                if cycle == mail.cycle:
                    return "another contact of the account has this address"
            elif mail.not_again_days is not None:
                span = timedelta(days=mail.not_again_days)
                if not mail.not_again_days or now - at < span:
                    return f"this address got the step through {account_id}"
        return None

    def take(self, mail: Row[Any], now: datetime) -> None:
        """A mail that is claimed counts for those after it."""
        self._sent[_key(mail)].append((mail.account_id, mail.cycle, now))


def _key(mail: Row[Any]) -> Key:
    return mail.trigger, mail.address, mail.step
