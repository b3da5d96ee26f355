"""Example mails for the steps and languages of a trigger that no account would get now."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import duckdb

from lifecycle.ledger.tables import send_identity
from lifecycle.mail.message import Message
from lifecycle.mail.render import Renderer
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse import published_marts


def mails_to_come(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    trigger: Trigger,
    *,
    without: Collection[tuple[str, str]],
    as_of: datetime,
) -> list[Message]:
    """One mail of each step and language except `without`, rendered for an existing account.

    The account is one of the audience where possible. A language that no recipient reads has no
    mail. Raises TemplateError.
    """
    renderer = Renderer(settings, is_preview=True)
    readers = list(_readers(warehouse, trigger))
    mails: dict[tuple[str, str], Message] = {}
    for step in trigger.steps:
        for account, contact in readers:
            locale, _ = renderer.choose_locale(
                trigger.name, step.id, contact["locale"], account["locale"], trigger.locale
            )
            if (step.id, locale) in without or (step.id, locale) in mails:
                continue
            ids = account["account_id"], contact["contact_id"]
            mails[step.id, locale] = renderer.render(
                send_id=send_identity(*ids, trigger.name, step.id, 1),
                trigger=trigger.name,
                step=step.id,
                locale=locale,
                account=account,
                contact=contact,
                date=as_of,
            )
    return list(mails.values())


def _readers(
    warehouse: duckdb.DuckDBPyConnection, trigger: Trigger
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """A row of account_360 and one of dim_contacts for each pair of their languages."""
    query = f"""
        select a, c from marts.account_360 a join marts.dim_contacts c using (account_id)
        where ({trigger.recipients.sql("c")}) and not a.is_churned
        qualify row_number() over (
            partition by c.locale, a.locale
            order by coalesce(({trigger.audience.sql("a")}), false) desc, account_id, c.contact_id
        ) = 1
        order by coalesce(({trigger.audience.sql("a")}), false) desc, account_id
    """
    for row in published_marts.rows(warehouse, query):
        yield row["a"], row["c"]
