"""The pause that a provider asked for, as all its threads and processes see it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lifecycle.mail.providers.pause import Pause


def test_no_thread_slips_through_while_another_one_is_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "provider.pause"
    Pause(file).extend(60)
    begun, stat = threading.Event(), os.stat

    def slow(path: Path, **more: Any) -> os.stat_result:
        if path == file:
            begun.set()
            time.sleep(0.2)
        return stat(path, **more)

    monkeypatch.setattr("lifecycle.mail.providers.pause.os.stat", slow)
    of_a_new_worker = Pause(file)
    first = threading.Thread(target=of_a_new_worker.left)
    first.start()
    assert begun.wait(5)
    assert of_a_new_worker.left() > 0
    first.join()


def test_a_pause_is_never_made_shorter(tmp_path: Path) -> None:
    file = tmp_path / "provider.pause"
    mine, others = Pause(file), Pause(file)
    assert others.extend(60) == pytest.approx(60, abs=5)
    assert mine.extend(1) == pytest.approx(60, abs=5)
    assert Pause(file).left() == pytest.approx(60, abs=5)
