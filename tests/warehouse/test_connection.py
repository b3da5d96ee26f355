"""What becomes of a query that somebody ends by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from lifecycle.warehouse.connection import connect_work
from warehouse.raw_company import Company


def test_a_query_that_is_interrupted_ends_as_any_interrupted_command(tmp_path: Path) -> None:
    settings = Company(tmp_path / "company").settings
    takes_hours = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"
    ctrl_c = threading.Timer(1, signal.raise_signal, [signal.SIGINT])
    ctrl_c.start()
    with pytest.raises(KeyboardInterrupt), connect_work(settings) as work:
        work.execute(takes_hours)
    with connect_work(settings) as work:
        assert work.execute("select 1").fetchone() == (1,)
