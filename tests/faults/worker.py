"""A delivery worker that a storm may kill; a mutation is a mistake that the storm must notice."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from sqlalchemy import select

import warm
from lifecycle import settings
from lifecycle.errors import DeliveryError
from lifecycle.ledger import delivery
from lifecycle.ledger.states import transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, sends, suppressions
from lifecycle.mail.deliver import deliver


def no_mistake() -> None:
    """The code as it is, of which nothing must be noticed."""


def orphans_requeued() -> None:
    """An attempt whose worker died goes back to the queue."""
    recover = delivery.recover

    def mutated(ledger: Any, now: datetime) -> int:
        result = recover(ledger, now)
        transition(ledger, State.QUEUED, None, now, sends.c.detail.like("its worker ended%"))
        return result

    delivery.recover = mutated


def horizon_requeued() -> None:
    """An uncertain mail is sent again when its horizon is over."""

    def mutated(ledger: Any, now: datetime, horizon: Any) -> int:
        old = (sends.c.state == State.UNCERTAIN, sends.c.state_at <= now - horizon)
        return len(transition(ledger, State.QUEUED, None, now, *old))

    delivery.hold = mutated


def claim_without_lease() -> None:
    """A claim reads the queue and leaves it as it is."""
    claim = delivery.claim

    def mutated(ledger: Any, now: datetime, **more: Any) -> Any:
        claims, any_queued = claim(ledger, now, **more)
        ids = [claim.send_id for claim in claims]
        transition(ledger, State.QUEUED, None, now, sends.c.send_id.in_(ids))
        return claims, any_queued

    def settle_all(ledger: Any, settled: Any, now: datetime, **_: Any) -> None:
        for event in settled:
            transition(ledger, event.state, event.detail, now, sends.c.send_id == event.send_id)

    delivery.claim, delivery.settle_all = mutated, settle_all


def suppression_checked_before_the_claim() -> None:
    """What is suppressed is looked up once, when the delivery begins."""
    recover, known = delivery.recover, dict[str, str]()

    def begins(ledger: Any, now: datetime) -> int:
        known.clear()
        known.update({row.address: row.reason for row in ledger.execute(select(suppressions))})
        return recover(ledger, now)

    class Looked:
        @staticmethod
        def reasons(_: Any, addresses: Collection[str], __: str) -> dict[str, str]:
            return {address: known[address] for address in known.keys() & addresses}

    delivery.recover, delivery.suppressions = begins, Looked


MUTATIONS: dict[str, Callable[[], None]] = {
    item.__name__: item
    for item in (
        no_mistake,
        orphans_requeued,
        horizon_requeued,
        claim_without_lease,
        suppression_checked_before_the_claim,
    )
}


def main(
    config: str,
    stop: str,
    mutation: str,
    log: str,
    environment: dict[str, str],
    ready: Connection,
) -> None:
    """Deliver again and again until the stop file is there."""
    os.environ.update(environment)
    if mutation:
        MUTATIONS[mutation]()
    company = settings.load(config)
    with (
        Path(log).open("a") as answer,
        redirect_stderr(answer),
        Ledger.open(company.ledger_url) as ledger,
    ):
        ready.send("ready")
        while not Path(stop).exists():
            try:
                deliver(company, ledger, now=datetime.now(UTC))
            except DeliveryError as error:  # the breaker: the next delivery goes on
                print(error, file=sys.stderr)
            time.sleep(0.05)


def once(config: str, now: datetime, ready: Connection) -> None:
    """Deliver what is due at `now`."""
    company = settings.load(config)
    with Ledger.open(company.ledger_url) as ledger:
        ready.send("ready")
        deliver(company, ledger, now=now)


@contextmanager
def working(target: Callable[..., None], *arguments: Any) -> Iterator[ForkServerProcess]:
    """A worker that is ready; it is killed in the end."""
    answer, tell = warm.forks.Pipe(duplex=False)
    worker = warm.start(target, *arguments, tell, imported=("faults.worker",))
    tell.close()
    try:
        answer.recv()
        yield worker
    finally:
        worker.kill()
        worker.join()
        answer.close()
