"""The ledger's transactions."""

from __future__ import annotations

import threading

from sqlalchemy import text

from lifecycle.ledger.store import Ledger


def test_one_writes_at_a_time_and_others_read_meanwhile(ledger_url: str) -> None:
    wrote = threading.Event()

    def write() -> None:
        with other.write() as connection:
            connection.execute(text("select 1"))
            wrote.set()

    with Ledger.open(ledger_url) as ledger, Ledger.open(ledger_url) as other:
        second = threading.Thread(target=write)
        with ledger.write():
            second.start()
            assert not wrote.wait(0.5), "two wrote at once: they could wait for each other"
            with other.read() as connection:
                assert connection.scalar(text("select count(*) from sends")) == 0
        assert wrote.wait(30)
        second.join()
