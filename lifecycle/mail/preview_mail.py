"""Mails sent to oneself before a trigger is let loose, marked as a preview.

A rehearsal is no delivery: the ledger is not written, no cap counts it, and who asks twice gets
the mails twice. It can reach a colleague alone, never a customer.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import duckdb

from lifecycle.addresses import is_address
from lifecycle.errors import InputError
from lifecycle.ledger import suppressions
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.message import Message
from lifecycle.mail.pace import TokenBucket
from lifecycle.mail.providers import Mail, open_provider
from lifecycle.settings import Settings

MARK = "[Preview] "
PREVIEW_ID = "preview-"
"""How the id of a mail to oneself begins; no send's does."""
MOST = 50
"""Mails to oneself at once."""


@dataclass(frozen=True)
class Rehearsed:
    """What became of one mail to oneself."""

    step: str
    locale: str
    subject: str
    state: State
    detail: str


def check_colleague(
    settings: Settings, ledger: Ledger, warehouse: duckdb.DuckDBPyConnection, address: str
) -> str:
    """The address, where it is one of our own people's.

    Ours is an address in the sender's domain, in one above or below it, or an account owner's; a
    contact's never is. Raises InputError for any other, and for one that may not be mailed.
    """
    normalized = suppressions.normalized(address)
    if not is_address(normalized):
        raise InputError(f"--send-to {address!r} is not one plain e-mail address")
    query = "select count(*) from marts.dim_contacts where email_normalized in (select unnest(?))"
    if _count(warehouse, query, sorted(suppressions.forms(normalized))):
        raise InputError(f"--send-to {normalized}: a customer's contact; a preview goes to oneself")
    ours = settings.company.from_email.lower().rpartition("@")[2]
    domain = normalized.rpartition("@")[2]
    is_near = f".{domain}".endswith(f".{ours}") or f".{ours}".endswith(f".{domain}")
    owned = "select count(*) from marts.account_360 where lower(trim(owner_email)) = ?"
    if not is_near and not _count(warehouse, owned, normalized):
        raise InputError(
            f"--send-to {normalized}: neither in {ours}, which mails come from, nor an account "
            "owner; a preview goes to oneself"
        )
    with ledger.read() as connection:
        key = settings.privacy.erasure_key.get_secret_value()
        if why := suppressions.reasons(connection, [normalized], key).get(normalized):
            raise InputError(f"--send-to {normalized}: it may not be mailed any more ({why})")
    return normalized


def send_to_oneself(settings: Settings, mails: Sequence[Message], me: str) -> list[Rehearsed]:
    """Hand each mail once to the provider, with `me` as its one reader; nothing is retried.

    `me` is of `check_colleague`. The mails are those of a rehearsal: their way out leads
    nowhere. Raises InputError for more than 50 mails, DeliveryError when the provider cannot
    be used.
    """
    if len(mails) > MOST:
        raise InputError(
            f"{len(mails):,} mails to {me} at once, and {MOST} are allowed; leave out --every-mail"
        )
    provider = open_provider(settings)
    pace = settings.state_dir / f"{provider.name}.pace"
    bucket = TokenBucket(settings.delivery.per_second, pace)
    done = []
    try:
        for mail in mails:
            mine = marked(mail, me, datetime.now(UTC))
            bucket.take(1)
            (outcome,) = provider.send([Mail(mine.send_id, mine.as_bytes())])
            done.append(
                Rehearsed(mail.step, mail.locale, mine.subject, outcome.state, outcome.detail)
            )
    finally:
        provider.close()
    return done


def marked(mail: Message, me: str, now: datetime) -> Message:
    """The mail as a preview for one colleague; each has an id of its own, that no ledger knows."""
    return replace(
        mail,
        send_id=f"{PREVIEW_ID}{secrets.token_hex(12)}",
        to_name="",
        to_email=me,
        subject=MARK + mail.subject,
        date=now,
        is_preview=True,
    )


def _count(warehouse: duckdb.DuckDBPyConnection, query: str, value: object) -> int:
    row = warehouse.execute(query, [value]).fetchone()
    assert row is not None
    return int(row[0])
