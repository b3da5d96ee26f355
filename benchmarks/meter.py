"""What each stage of a process costs: seconds, processor seconds, peak memory."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass

import psutil

EVERY = 0.01
"""Seconds between two looks at the memory."""


@dataclass
class Cost:
    """What one stage cost."""

    stage: str
    seconds: float
    cpu_seconds: float
    """Of all threads of the process; what its children spent is left out."""
    peak_mb: float
    """Most resident memory of the process at any moment of the stage."""


class Meter:
    """Measures this process from now on, stage by stage. It can watch a run."""

    def __init__(self, first_stage: str) -> None:
        self.costs: list[Cost] = []
        self._process = psutil.Process()
        self._peak = 0
        self.stage(first_stage)
        threading.Thread(target=self._look, daemon=True).start()

    def stage(self, name: str) -> None:
        """The stage under way is over, and the next one begins."""
        self._close()
        print(f"  {name} …", file=sys.stderr, flush=True)
        self._name, self._peak = name, 0
        self._begun, self._cpu_begun = time.perf_counter(), time.process_time()

    def step(self, text: str) -> None:
        """The stage got somewhere."""

    def ended(self, report: object) -> None:
        """The run is over."""

    def stop(self) -> list[Cost]:
        """The costs of all stages; the last one is over."""
        self._close()
        return self.costs

    def _close(self) -> None:
        if not hasattr(self, "_name"):
            return
        self._see()
        seconds = time.perf_counter() - self._begun
        cpu_seconds = time.process_time() - self._cpu_begun
        self.costs.append(Cost(self._name, seconds, cpu_seconds, self._peak / 1e6))

    def _see(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)

    def _look(self) -> None:
        while True:
            self._see()
            time.sleep(EVERY)
