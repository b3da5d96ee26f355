"""Hands what is due to the provider, and writes down what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lifecycle.ledger import delivery
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.providers import open_provider
from lifecycle.settings import Settings

RETRY_AFTER = timedelta(minutes=10)
"""A mail that the provider could not take now waits for the next delivery."""


@dataclass
class DeliveryResult:
    """What one delivery did."""

    states: Counter[State] = field(default_factory=Counter)
    """How many attempts ended in each state; evidence about earlier ones counts here too."""
    by_trigger: Counter[str] = field(default_factory=Counter)
    """Accepted mails by trigger."""
    next_due: datetime | None = None
    """When the next planned mail may go (UTC)."""

    @property
    def accepted(self) -> int:
        """Mails that the provider took."""
        return self.states[State.ACCEPTED]


def deliver(
    settings: Settings,
    ledger: Ledger,
    *,
    now: datetime,
    progress: Callable[[str], None] | None = None,
) -> DeliveryResult:
    """Deliver every mail whose moment has come, as seen from `now` (UTC).

    Safe to run beside another one, and again after a crash: a mail is written down as being
    attempted before its first byte leaves, and an attempt that nobody can vouch for is
    decided by the provider's evidence. Raises DeliveryError when the provider cannot be used.
    """
    result = DeliveryResult()
    worker, lease = delivery.worker_name(), timedelta(seconds=settings.delivery.lease_seconds)
    provider = open_provider(settings)
    try:
        with ledger.write() as connection:
            delivery.recover(connection, now)
            for row in delivery.uncertain(connection):
                evidence = provider.resolve(row.send_id)
                if evidence is None:
                    continue
                detail = f"evidence of the {provider.name}"
                delivery.settle(connection, row.send_id, evidence, detail, now)
                if evidence is State.ACCEPTED:
                    result.states[State.ACCEPTED] += 1
                    result.by_trigger[row.trigger] += 1
            delivery.release(connection, now)
        while True:
            with ledger.write() as connection:
                claims, any_queued = delivery.claim(connection, now, worker=worker, lease=lease)
            if not any_queued:
                break
            outcomes = [(claim, provider.send(claim.send_id, claim.mime)) for claim in claims]
            with ledger.write() as connection:
                for claim, outcome in outcomes:
                    again_at = now + RETRY_AFTER if outcome.state is State.QUEUED else None
                    delivery.settle(
                        connection,
                        claim.send_id,
                        outcome.state,
                        outcome.detail or None,
                        now,
                        worker=worker,
                        again_at=again_at,
                    )
                    result.states[outcome.state] += 1
                    if outcome.state is State.ACCEPTED:
                        result.by_trigger[claim.trigger] += 1
            if progress is not None:
                progress(f"{result.accepted} mails accepted")
    finally:
        provider.close()
    with ledger.read() as connection:
        result.next_due = delivery.next_due(connection)
    return result
