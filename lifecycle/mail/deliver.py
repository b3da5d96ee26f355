"""Hands what is due to the provider, and writes down what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain

from lifecycle.ledger import delivery
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.providers import Mail, Provider, open_provider
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

    def count(self, state: State, trigger: str) -> None:
        """One more mail came to that state."""
        self.states[state] += 1
        if state is State.ACCEPTED:
            self.by_trigger[trigger] += 1


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
    provider = open_provider(settings)
    try:
        _resolve(ledger, provider, now, result)
        with ThreadPoolExecutor(delivery.IN_FLIGHT, thread_name_prefix="mail") as pool:
            while _deliver_some(settings, ledger, provider, pool, now, result):
                if progress is not None:
                    progress(f"{result.accepted} mails accepted")
    finally:
        provider.close()
    with ledger.read() as connection:
        result.next_due = delivery.next_due(connection)
    return result


def _resolve(ledger: Ledger, provider: Provider, now: datetime, result: DeliveryResult) -> None:
    """Decide what earlier attempts left open, as far as the provider can tell; then release."""
    with ledger.write() as connection:
        delivery.recover(connection, now)
        for row in delivery.uncertain(connection):
            evidence = provider.resolve(row.send_id)
            if evidence is None:
                continue
            detail = f"evidence of the {provider.name}"
            delivery.settle(connection, row.send_id, evidence, detail, now)
            if evidence is State.ACCEPTED:
                result.count(State.ACCEPTED, row.trigger)
        delivery.release(connection, now)


def _deliver_some(
    settings: Settings,
    ledger: Ledger,
    provider: Provider,
    pool: ThreadPoolExecutor,
    now: datetime,
    result: DeliveryResult,
) -> bool:
    """Claim, hand over and settle one batch; False when nothing was queued."""
    worker, lease = delivery.worker_name(), timedelta(seconds=settings.delivery.lease_seconds)
    limit = max(delivery.IN_FLIGHT, provider.batch_size)
    with ledger.write() as connection:
        claims, any_queued = delivery.claim(
            connection, now, worker=worker, lease=lease, limit=limit
        )
    size = provider.batch_size
    requests = [
        [Mail(claim.send_id, claim.mime) for claim in claims[start : start + size]]
        for start in range(0, len(claims), size)
    ]
    outcomes = list(chain.from_iterable(pool.map(provider.send, requests)))
    with ledger.write() as connection:
        for claim, outcome in zip(claims, outcomes, strict=True):
            again_at = now + (outcome.retry_after or RETRY_AFTER)
            delivery.settle(
                connection,
                claim.send_id,
                outcome.state,
                outcome.detail or None,
                now,
                worker=worker,
                again_at=again_at if outcome.state is State.QUEUED else None,
            )
            result.count(outcome.state, claim.trigger)
    return any_queued
