"""The delivery benchmark at a tiny size: every way hands over what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "delivery.py"


@pytest.mark.long
def test_every_way_is_measured_beside_its_peers() -> None:
    command = [sys.executable, str(SCRIPT), "--mails", "150", "--stock", "2", "--json"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    ways = {(way["server"], way["way"]): way for way in answer["ways"]}
    assert {server for server, _ in ways} == {"http", "https"}
    for (_, name), way in ways.items():
        assert way["mails"] == (2 if name == "stock client" else 150)
        assert way["seconds"] > 0
        assert way["peak_mb"] > 10
    assert set(answer["ratios"]) == {
        f"{server}: {way} over {peer}"
        for server in ("http", "https")
        for way in ("delivery, single", "delivery, batches of 1,000")
        for peer in ("bare loop", "stock client")
    }
