"""Sends preview mails to a colleague before a trigger goes live.

A preview mail is no delivery: the ledger does not record it, no cap counts it, and a second request
sends the mails again. It can reach a colleague only, never a customer.
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
"""The prefix of a preview mail's id; no send has it."""
MOST = 50
"""Preview mails of one request."""


@dataclass(frozen=True)
class SentPreview:
    """The result of one preview mail."""

    step: str
    locale: str
    subject: str
    state: State
    detail: str


def check_colleague(
    settings: Settings, ledger: Ledger, warehouse: duckdb.DuckDBPyConnection, address: str
) -> str:
    """The normalised address, where it is a colleague's.

    A colleague's address is in the sender's domain, in a domain above or below it, or is an account
    owner's. A contact's address never is. Raises InputError for any other address, and for a
    suppressed one.
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


def send_to_oneself(settings: Settings, mails: Sequence[Message], me: str) -> list[SentPreview]:
    """Hand each mail once to the provider, with `me` as its one reader; nothing is retried.

    `me` is a result of `check_colleague`. The mails are rendered as previews: their unsubscribe
    link has no effect. Raises InputError for more than 50 mails, DeliveryError when the provider
    cannot be used.
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
                SentPreview(mail.step, mail.locale, mine.subject, outcome.state, outcome.detail)
            )
    finally:
        provider.close()
    return done


def marked(mail: Message, me: str, now: datetime) -> Message:
    """The mail as a preview for one colleague, with a new id that is in no ledger."""
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
