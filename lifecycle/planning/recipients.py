"""The people of accounts, and what stands against mailing each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
from sqlalchemy import Connection
from sqlalchemy import Row as SqlRow

from lifecycle.consent import ConsentWords
from lifecycle.ledger import departures, suppressions
from lifecycle.planning import audience
from lifecycle.planning.audience import Row
from lifecycle.planning.decision import Contact, Reason, ineligibility
from lifecycle.triggers.condition import Condition
from lifecycle.triggers.model import Trigger

GONE = (Reason.CONTACT_GONE, "no longer a contact of the account")


class People:
    """The contacts in the warehouse, with what the ledger knows of their addresses."""

    def __init__(
        self,
        warehouse: duckdb.DuckDBPyConnection,
        memory: Connection,
        erasure_key: str,
        consent: ConsentWords,
        run_id: str | None = None,
    ) -> None:
        """Who left by the delivery of `run_id` has left for good, once that run is planned."""
        self._run_id = run_id
        self._warehouse = warehouse
        self._memory = memory
        self._erasure_key = erasure_key
        self._consent = consent
        self._suppressed: dict[str, str] = {}
        self._left: dict[str, SqlRow[Any]] = {}
        # Whoever's unsubscribing cannot be read is not mailed by what was known before it.
        self._rejected_contacts = {
            row["key"]: row["reason"]
            for row in audience.rows(
                warehouse,
                "select key, reason from marts.rejected_rows where table_name = 'contacts'"
                " and key is not null and column_name is distinct from 'unsubscribed_at'",
            )
        }

    def of(
        self, account_ids: Sequence[str], recipients: Condition | None = None
    ) -> dict[str, list[Row]]:
        """The contacts of these accounts, by account, each with `is_recipient`."""
        by_account = audience.contacts(self._warehouse, account_ids, recipients)
        addresses = {
            person["email_normalized"] for people in by_account.values() for person in people
        }
        self._suppressed |= suppressions.reasons(self._memory, addresses, self._erasure_key)
        self._left |= departures.in_force(self._memory, addresses)
        return by_account

    def ineligibility(self, person: Row) -> tuple[Reason, str] | None:
        """Why this person, one that `of` returned, may not be mailed at all, or None."""
        address = person["email_normalized"]
        left = self._left.get(address)
        in_crm = departures.describe(left) if left else None
        suppressed_for = self._suppressed.get(address)
        return ineligibility(
            Contact(
                contact_id=person["contact_id"],
                address=address,
                has_consent=self._consent.count(person["consent_basis"]),
                consent_basis=person["consent_basis"],
                is_unsubscribed=person["unsubscribed_at"] is not None
                and person["address_unsubscribed_at"] is not None,
                address_has_left=person["address_unsubscribed_at"] is not None,
                suppressed_for=None if suppressed_for == in_crm else suppressed_for,
                left_in_crm=in_crm,
                left_provisionally=left is not None
                and left.confirmed_at is None
                and left.run_id != self._run_id,
            )
        )

    def ineligibility_of_absent(self, contact_id: str) -> tuple[Reason, str]:
        """Why a contact is not in the warehouse: gone, or its row of this load is not usable."""
        if contact_id in self._rejected_contacts:
            return Reason.CONTACT_SET_ASIDE, self._rejected_contacts[contact_id]
        return GONE

    def ineligibility_now(
        self, trigger: Trigger, contact_id: str, person: Row | None
    ) -> tuple[Reason, str] | None:
        """Why this person, chosen when the account entered, may not get a step's mail."""
        if person is None:
            return self.ineligibility_of_absent(contact_id)
        if not person["is_recipient"]:
            return Reason.NO_RECIPIENT, f"no longer matches {trigger.recipients.text}"
        return self.ineligibility(person)
