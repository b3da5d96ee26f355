"""Passes a person's answer on to the owner of their account, by a mail of the ledger's own queue.

It is planned in the transaction that keeps the answer, so neither can be lost without the other,
and it goes with the next delivery as every mail does: once. It goes to the owner's address of the
last published run and to nobody else.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from sqlalchemy import Connection, Row, select

from lifecycle.addresses import is_address
from lifecycle.document import moment
from lifecycle.ledger.decisions import PlannedSend
from lifecycle.ledger.record import plan_sends
from lifecycle.ledger.suppressions import normalized
from lifecycle.ledger.tables import messages, send_identity
from lifecycle.mail.message import Message
from lifecycle.settings import Settings
from lifecycle.template_names import OWNER_ANSWER, OWNER_LIST
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published

USEFUL_FOR = timedelta(days=7)
LANGUAGES = ("en", "ja")


class Forwarding:
    """Plans forwards in the caller's transaction."""

    def __init__(self, settings: Settings, ledger: Connection, now: datetime) -> None:
        self._settings, self._ledger, self._now = settings, ledger, now
        self._account = cache(self._read_account)

    def forward(self, send: Row[Any], reply: dict[str, Any]) -> str | None:
        """Plan the mail to the owner; its send's id. None where no owner can be mailed."""
        account = self._account(send.account_id)
        owner = normalized((account or {}).get("owner_email") or "")
        customer = reply["address"] or ""
        if account is None or not is_address(owner) or not is_address(customer):
            return None
        company = self._settings.company
        send_id = send_identity("", owner, OWNER_LIST, f"{OWNER_ANSWER}:{reply['key']}", 0)
        language = company.locale[:2] if company.locale[:2] in LANGUAGES else "en"
        subject, _, body = (
            self._template(language)
            .render(
                account=account,
                owner=account.get("owner_name") or "",
                reply=reply,
                step=f"{send.trigger}/{send.step}",
                answered=self._subject_of(send),
                answered_at=moment(send.accepted_at, company.time_zone),
                customer=customer,
            )
            .partition("\n")
        )
        message = Message(
            send_id=send_id,
            from_name=company.name,
            from_email=company.from_email,
            to_name=account.get("owner_name") or "",
            to_email=owner,
            reply_to=("", customer),
            subject=subject[:200],
            body=body.strip("\n") + "\n",
            date=self._now,
            list_unsubscribe=None,
            locale=language,
            trigger=OWNER_LIST,
            step=OWNER_ANSWER,
        )
        planned = PlannedSend(
            send_id=send_id,
            account_id="",
            contact_id="",
            trigger=OWNER_LIST,
            step=OWNER_ANSWER,
            cycle=int(f"{self._now:%Y%m%d}"),
            trigger_version="",
            address=owner,
            locale=language,
            locale_source="company",
            priority=1_000,
            account_cap=None,
            contact_cap=None,
            not_again_days=None,
            due_at=self._now,
            not_before=self._now,
            closes_at=self._now + USEFUL_FOR,
            expires_at=self._now + USEFUL_FOR,
            time_zone=company.time_zone,
            after_send=None,
            after_distance=None,
            mime=message.as_bytes(),
        )
        plan_sends(self._ledger, [planned], send.run_id, self._now)
        return send_id

    def _subject_of(self, send: Row[Any]) -> str:
        """The subject of the mail that was answered; empty where its bytes are gone."""
        mime = self._ledger.scalar(
            select(messages.c.mime).where(messages.c.send_id == send.send_id)
        )
        try:
            return Message.from_bytes(mime).subject if mime else ""
        except ValueError:
            return ""

    def _read_account(self, account_id: str) -> dict[str, Any] | None:
        if not self._settings.published_db.exists():
            return None
        with connect_published(self._settings) as warehouse:
            return published_marts.account(warehouse, account_id)

    def _template(self, language: str) -> Any:
        text = files("lifecycle.mailbox").joinpath(f"templates/answer.{language}.txt")
        return self._environment.from_string(text.read_text(encoding="utf-8"))

    @cached_property
    def _environment(self) -> Environment:
        return Environment(  # nosec B701
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
