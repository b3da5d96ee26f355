"""Two workers deliver to a server that breaks a fifth of its answers, and are killed meanwhile.

What the server's log says is the truth; `Storm.violations` lists what it has against the ledger.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

import planned_sends
from company import Company
from faults import worker
from faults.fake_sendgrid import FakeSendGrid, Taken
from faults.fake_sendgrid import Webhook as Events
from lifecycle.ledger import delivery, feedback, suppressions
from lifecycle.ledger.decisions import PlannedSend
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, messages, send_identity, send_log, sends
from lifecycle.mail.deliver import deliver
from lifecycle.web.events import Webhook

SECRETS = ("LIFECYCLE__SENDGRID__API_KEY", "LIFECYCLE__LEDGER__URL")
SHARES = {
    "accept_then_reset": 0.03,
    "accept_then_close": 0.02,
    "accept_then_500": 0.03,
    "accept_then_hang": 0.005,
    "accept_then_cut_head": 0.02,
    "accept_then_200": 0.01,
    "reset": 0.03,
    "hang": 0.005,
    "error_500": 0.02,
    "redirect": 0.01,
    "too_many:3": 0.001,
    "too_many_retry_after:3": 0.001,
    "bad_request": 0.02,
}
"""Some 20 % in all; a 429 stops everybody for seconds, so there are few of them."""

AT_ONCE = {
    fault: share
    for fault, share in SHARES.items()
    if not fault.endswith("hang") and not fault.startswith("too_many")
}
"""Those that make nobody wait."""
IN_FLIGHT = ["accept_when_told", *["accept_then_reset"] * 8]
"""One that keeps its worker waiting, and some that need a horizon."""

HEADER = "X-Twilio-Email-Event-Webhook"
SECOND_CYCLES = 0.05
SUPPRESSED = 0.03
PLANNED_LATE = 0.03
WITH_EVENTS = 0.9
FINAL = {"accepted", "delivered", "rejected", "suppressed", "expired", "cancelled", "held"}


@dataclass
class Storm:
    """What a storm did, and what is wrong afterwards."""

    mails: int = 0
    kills: int = 0
    hits: int = 0
    """Kills of a worker that had mails under way."""
    pauses: int = 0
    """How often the server asked for one."""
    taken: int = 0
    states: Counter[str] = field(default_factory=Counter)
    went_through: Counter[str] = field(default_factory=Counter)
    """How many mails were ever in each state."""
    violations: list[str] = field(default_factory=list)
    killed_ports: set[int] = field(default_factory=set)
    """Of connections whose worker was killed."""

    def wrong(self, what: str, which: Any) -> None:
        """Write down what is wrong with some mails, if there are any."""
        result = sorted(which)
        if result:
            self.violations.append(f"{len(result)} {what}, first {result[0]}")


def storm(
    folder: Path, ledger_url: str, *, mails: int, kills: int = 1, seed: int = 1, mutation: str = ""
) -> Storm:
    """Plan, deliver, kill, settle, and compare. Bounded in count and time.

    A mutation gets a storm in which each moment that shows one comes for certain: there is one
    kill, and it waits for a fact, as the suppressions do.
    """
    chance, seen = random.Random(seed), Storm()
    secrets = dict(zip(SECRETS, ("SG.storm", ledger_url), strict=True))
    with (
        FakeSendGrid(folder / "sendgrid", key="SG.storm") as fake,
        patch.dict(os.environ, secrets),
    ):
        events = Events(seed)
        patience = 60 if mutation else 1
        company = _company(folder / "company", fake, events, patience)
        fake.plan(["too_many:2"], shares=SHARES, seed=seed)
        with Ledger.open(ledger_url) as ledger:
            _sync_feedback(ledger)
            ready, late = _mails(mails, chance, mutation)
            seen.mails = len(ready) + len(late)
            if mutation:
                try:
                    planned_sends.plan(ledger, *ready)
                except IntegrityError:
                    seen.violations.append("the mail of a second cycle cannot be planned")
                    return seen
                marks = _kill_and_suppress_in_flight(company, ledger, fake, late, mutation, seen)
            else:
                marks = _deliver_and_kill(company, ledger, ready, late, kills, chance, seen)
            _settle(company, ledger, fake, events, chance)
            _judge(ledger, fake, marks, seen)
    return seen


def _company(folder: Path, fake: FakeSendGrid, events: Events, patience: int) -> Company:
    company = Company(folder)
    with (folder / "lifecycle.toml").open("a") as file:
        file.write(
            f"""
[source]
kind = "files"
[delivery]
provider = "sendgrid"
retry_seconds = 0.2
hold_after_hours = 0.0001
[warmup]
start = 0
[sendgrid]
base_url = "{fake.base_url}"
connect_timeout_seconds = 2
read_timeout_seconds = {patience}
[feedback]
sendgrid_public_key = "{events.public_key}"
"""
        )
    return company


def _sync_feedback(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    with ledger.write() as connection:
        for source in feedback.LISTS["sendgrid"]:
            feedback.record_sync(connection, source, read_until=now, now=now)


def _mails(
    count: int, chance: random.Random, mutation: str
) -> tuple[list[PlannedSend], list[PlannedSend]]:
    """The mails to plan, some of them of a second cycle, and those that a slow planner only writes
    down when their address is suppressed."""
    at = datetime.now(UTC)

    def without_cycle(account: str, contact: str, trigger: str, step: str, _: int) -> str:
        return send_identity(account, contact, trigger, step, 1)

    identity = without_cycle if mutation == "identity_without_the_cycle" else send_identity
    with patch.object(planned_sends, "send_identity", identity):
        mails = [planned_sends.rendered(number, at=at) for number in range(count)]
        again = [
            planned_sends.rendered(number, at=at, cycle=2)
            for number in range(int(count * SECOND_CYCLES))
        ]
    late = set(chance.sample(range(len(again), count), int(count * PLANNED_LATE)))
    ready = [mails[number] for number in range(count) if number not in late]
    return ready + again, [mails[number] for number in sorted(late)]


def _worker(company: Company, mutation: str = "") -> AbstractContextManager[ForkServerProcess]:
    config, log = company.folder / "lifecycle.toml", company.folder / "workers.log"
    secrets = {name: os.environ[name] for name in SECRETS}
    files = str(config), str(_stop(company)), mutation, str(log)
    return worker.working(worker.main, *files, secrets)


def _stop(company: Company) -> Path:
    """The file that tells its workers to end."""
    return company.folder / "stop"


def _deliver_and_kill(
    company: Company,
    ledger: Ledger,
    ready: list[PlannedSend],
    late: list[PlannedSend],
    kills: int,
    chance: random.Random,
    seen: Storm,
) -> dict[str, int]:
    """Run two workers until all is settled, and kill many at random moments; returns each
    suppressed address with the number of the last change of any mail before it.

    Each worker that will be killed finds new mails: there is something to kill it in."""
    marks: dict[str, int] = {}
    to_suppress = [
        f"c{number}@example.com"
        for number in chance.sample(range(seen.mails // 2), int(seen.mails * SUPPRESSED))
    ]
    with _worker(company) as steady:
        assert steady.is_alive()
        while seen.kills < kills:
            with _worker(company) as victim:
                planned_sends.plan(ledger, *ready[seen.kills :: kills], run_id=f"r{seen.kills}")
                if seen.kills % 2 == 0:  # every other one in the midst of its mails
                    _until(
                        lambda: _holds(ledger, victim) or not _under_way(ledger),
                        "a worker had mails under way",
                    )
                    time.sleep(chance.uniform(0, 0.02))
                else:
                    time.sleep(chance.uniform(0, 0.3))
                for _ in range(1 + len(to_suppress) // max(1, kills - seen.kills)):
                    if to_suppress:
                        _suppress(ledger, to_suppress.pop(), marks)
                _plan_late(ledger, late[seen.kills :: kills], marks)
                _kill(victim, ledger, seen)
        with _worker(company) as other:
            _wait_for_the_end(company, ledger, seen, steady, other)
    return marks


def _kill_and_suppress_in_flight(
    company: Company,
    ledger: Ledger,
    fake: FakeSendGrid,
    late: list[PlannedSend],
    mutation: str,
    seen: Storm,
) -> dict[str, int]:
    """Kill a worker that has not heard of what was taken; suppress and plan while a delivery is
    in the midst of its mails; then run two until all is settled. Returns the same."""
    marks: dict[str, int] = {}
    fake.plan(IN_FLIGHT, shares=AT_ONCE)
    with _worker(company, mutation) as victim:
        # It waits for one answer, and writes nothing down before.
        _until(lambda: len(fake.taken()) >= 2 * len(IN_FLIGHT), "anything was taken")
        _kill(victim, ledger, seen)
    before = len(fake.taken())
    fake.plan(IN_FLIGHT, shares=AT_ONCE)
    with _worker(company, mutation) as steady:
        _until(
            lambda: any(mail.fault == IN_FLIGHT[0] for mail in fake.taken()[before:]),
            "another delivery was under way",
        )
        _plan_late(ledger, late, marks)
        with ledger.write() as connection:
            delivery.release(connection, datetime.now(UTC))
        fake.go_on()
        with _worker(company, mutation) as other:
            _wait_for_the_end(company, ledger, seen, steady, other)
    return marks


def _plan_late(ledger: Ledger, late: list[PlannedSend], marks: dict[str, int]) -> None:
    """Suppressed after their planner looked, and before it wrote the plan down."""
    for mail in late:
        _suppress(ledger, mail.address, marks)
        planned_sends.plan(ledger, mail, run_id=f"late-{mail.send_id}")


def _kill(victim: ForkServerProcess, ledger: Ledger, seen: Storm) -> None:
    seen.killed_ports |= _ports(victim)
    victim.kill()
    victim.join()
    seen.kills += 1
    seen.hits += _holds(ledger, victim)


def _holds(ledger: Ledger, worker: ForkServerProcess) -> bool:
    """Whether mails are under way in its name."""
    its = sends.c.lease_owner.contains(f":{worker.pid}:")
    with ledger.read() as connection:
        rows = connection.execute(select(sends.c.send_id).where(its))
        return rows.first() is not None


def _wait_for_the_end(
    company: Company, ledger: Ledger, seen: Storm, *workers: ForkServerProcess
) -> None:
    deadline = time.monotonic() + 60 + seen.mails / 20
    while _under_way(ledger) and time.monotonic() < deadline:
        time.sleep(0.2)
    _stop(company).touch()
    for item in workers:
        item.join(60)  # what hangs times out and is written down


def _until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"a minute went by before {what}"
        time.sleep(0.01)


def _ports(worker: ForkServerProcess) -> set[int]:
    return {
        connection.laddr.port for connection in psutil.Process(worker.pid).net_connections("tcp")
    }


def _suppress(ledger: Ledger, address: str, marks: dict[str, int]) -> None:
    now = datetime.now(UTC)
    with ledger.write() as connection:
        first = suppressions.Suppression(address, "unsubscribed", now, "storm")
        suppressions.stop(connection, [first], now)
        marks[address] = connection.scalar(select(func.max(send_log.c.id))) or 0


def _under_way(ledger: Ledger) -> bool:
    states = (State.PLANNED, State.QUEUED, State.ATTEMPTING, State.UNCERTAIN)
    with ledger.read() as connection:
        rows = connection.execute(select(sends.c.send_id).where(sends.c.state.in_(states)))
        return rows.first() is not None


def _settle(
    company: Company, ledger: Ledger, fake: FakeSendGrid, events: Events, chance: random.Random
) -> None:
    """Tell what the server knows, late, twice and shuffled; then let the horizon pass."""
    settings = company.settings
    deliver(settings, ledger, now=datetime.now(UTC))
    taken = [mail for mail in fake.taken() if chance.random() < WITH_EVENTS]
    posts = events.mixed(
        events.event(mail, kind) for mail in taken for kind in ("processed", "delivered")
    )
    webhook = Webhook(ledger, public_key=settings.feedback.sendgrid_public_key, erasure_key="")
    for post in posts:
        body, headers = events.signed(post, time.time())
        webhook.take(body, headers[f"{HEADER}-Signature"], headers[f"{HEADER}-Timestamp"])
    time.sleep(0.5)
    deliver(settings, ledger, now=datetime.now(UTC))


def _judge(ledger: Ledger, fake: FakeSendGrid, marks: dict[str, int], seen: Storm) -> None:
    with ledger.read() as connection:
        rows = connection.execute(select(sends)).all()
        log = connection.execute(select(send_log).order_by(send_log.c.id)).all()
        stored = connection.scalar(select(func.count()).select_from(messages))
    taken = Counter(mail.send_id for mail in fake.taken())
    seen.pauses = sum(mail.fault.startswith("too_many") for mail in fake.attempts())
    seen.taken = len(taken)
    seen.states = Counter(row.state for row in rows)
    ever: dict[str, set[str]] = defaultdict(set)
    for change in log:
        ever[change.to_state].add(change.send_id)
    seen.went_through = Counter({state: len(ids) for state, ids in ever.items()})

    seen.wrong("mails were taken twice", [mail for mail, times in taken.items() if times > 1])
    seen.wrong("requests came before a 429's reset", fake.early(seen.killed_ports))
    by_send: dict[str, set[str]] = defaultdict(set)
    for attempt in fake.attempts():
        by_send[attempt.send_id].add(_bytes(attempt))
    seen.wrong(
        "mails changed between attempts",
        [send_id for send_id, kinds in by_send.items() if len(kinds) > 1],
    )
    if len(rows) != seen.mails or stored != seen.mails:
        seen.violations.append(f"{seen.mails} mails were planned, the ledger has {len(rows)}")
    seen.wrong(
        "mails are in no final state", [row.send_id for row in rows if row.state not in FINAL]
    )
    known = {"accepted", "delivered", "held"}
    seen.wrong(
        "mails were taken and the ledger says otherwise",
        [row.send_id for row in rows if taken[row.send_id] and row.state not in known],
    )
    seen.wrong(
        "mails were never taken and the ledger says they were",
        [
            row.send_id
            for row in rows
            if not taken[row.send_id] and row.state in ("accepted", "delivered")
        ],
    )
    address = {row.send_id: row.address for row in rows}
    seen.wrong(
        "attempts began after their address was suppressed",
        [
            change.send_id
            for change in log
            if change.to_state == State.ATTEMPTING
            and change.id > marks.get(address[change.send_id], change.id)
        ],
    )


def _bytes(attempt: Taken) -> str:
    return attempt.request if attempt.mails == 1 else attempt.digest
