"""Kills the delivery at random moments: every mail still lands once, and none is lost."""

import random
import signal
import time
from contextlib import ExitStack

from sqlalchemy import func, select

import planned_sends
from company import Company, utc
from faults.worker import once, working
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import messages, send_log, sends
from lifecycle.mail.deliver import deliver

KILLS = 30
MAILS_A_KILL = 80
"""More than a worker can deliver before its kill, on a fast disk too."""
NOW = utc("2026-06-10 01:00")


def test_thirty_kills_and_two_workers_at_once_lose_nothing_and_repeat_nothing(tmp_path):
    company = Company(tmp_path)
    settings, chance = company.settings, random.Random(20260610)
    killed = 0
    for round_number in range(KILLS):
        with Ledger.open(settings.ledger_url) as ledger:
            numbers = range(round_number * MAILS_A_KILL, (round_number + 1) * MAILS_A_KILL)
            mails = (planned_sends.rendered(n, at=NOW, contact_cap="1/7d") for n in numbers)
            planned_sends.plan(ledger, *mails, run_id=f"r{round_number}")
        # Every third time two workers share the queue, and only one of them is killed.
        with ExitStack() as stack:
            workers = [
                stack.enter_context(working(once, str(company.folder / "lifecycle.toml"), NOW))
                for _ in range(2 if round_number % 3 == 0 else 1)
            ]
            time.sleep(chance.uniform(0, 0.06))
            for worker in workers:
                worker.kill()
                worker.join()
                killed += worker.exitcode == -signal.SIGKILL
                time.sleep(0.05)
    assert killed >= KILLS

    with Ledger.open(settings.ledger_url) as ledger:
        deliver(settings, ledger, now=NOW)
        with ledger.read() as connection:
            states = dict(
                connection.execute(
                    select(sends.c.state, func.count()).group_by(sends.c.state)
                ).all()
            )
            stored = dict(connection.execute(select(messages.c.send_id, messages.c.mime)).all())
            accepted = connection.execute(
                select(send_log.c.send_id, func.count())
                .where(send_log.c.to_state == "accepted")
                .group_by(send_log.c.send_id)
            ).all()
            doubtful = connection.scalar(
                select(func.count()).where(send_log.c.to_state == "uncertain")
            )
    assert states == {"accepted": KILLS * MAILS_A_KILL}
    assert {count for _, count in accepted} == {1}
    assert doubtful > 0, "no kill hit an attempt: the test proves nothing"
    files = {path.stem: path.read_bytes() for path in settings.outbox_dir.glob("*.eml")}
    assert files == stored
    assert [path.name for path in settings.outbox_dir.iterdir() if path.suffix != ".eml"] == []
