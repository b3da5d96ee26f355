"""What the commands that people wait for cost: CPU seconds, beside `python -c pass`.

    .venv/bin/python benchmarks/cli.py            # a minute; --state FOLDER: of a run before

Each command is a process of its own, on the demo company after one run. Of `--rounds` rounds the
cheapest counts, for what else the machine does only adds. `validate` is measured twice: as CS ops
call it after an edit of a trigger, and after an edit of an expectation, which alone needs Great
Expectations. Exits with 1 where a command costs more times a bare Python than promised.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LIFECYCLE = Path(sys.executable).with_name("lifecycle")
BARE = "python -c pass"
EDITED = "validate, an expectation edited"
COMMANDS: dict[str, Sequence[str]] = {
    EDITED: (str(LIFECYCLE), "validate"),
    BARE: (sys.executable, "-c", "pass"),
    "--help": (str(LIFECYCLE), "--help"),
    "status": (str(LIFECYCLE), "status"),
    "explain": (str(LIFECYCLE), "explain", "A0001"),
    "preview": (str(LIFECYCLE), "preview", "win_back_dormant"),
    "validate": (str(LIFECYCLE), "validate"),
}
"""In their order: the first one checks the files that the others need not check again."""
AIMS: Mapping[str, float] = {
    "--help": 0.25,
    "status": 0.6,
    "explain": 1.2,
    "preview": 2.0,
    "validate": 2.0,
}
"""CPU seconds on a quiet machine."""
PROMISED: Mapping[str, float] = {
    "--help": 10,
    "status": 36,
    "explain": 55,
    "preview": 80,
    "validate": 40,
}
"""At most so many times a bare Python, also where other jobs share the processor's caches."""


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as folder:
        state = asked.state or Path(folder) / "state"
        if asked.state is None:
            _run([str(LIFECYCLE), "run"], state)
        costs = measure(state, asked.rounds)
    bare = costs[BARE]
    times = {name: round(seconds / bare, 1) for name, seconds in costs.items()}
    if asked.json:
        print(json.dumps({"cpu_seconds": costs, "times_bare_python": times}))
    else:
        print(f"{'':32} {'CPU s':>6} {'aim':>6} {'times bare Python':>18} {'promised':>9}")
        for name, seconds in costs.items():
            aim, promised = AIMS.get(name, ""), PROMISED.get(name, "")
            print(f"{name:32} {seconds:6.2f} {aim:>6} {times[name]:18.1f} {promised:>9}")
    missed = [name for name, most in PROMISED.items() if times[name] > most]
    if missed:
        sys.exit("more than promised: " + ", ".join(missed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--state", type=Path, help="the state folder of a demo run; else one is made"
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def measure(state: Path, rounds: int) -> dict[str, float]:
    """CPU seconds of each command, the cheapest round of all. They take turns."""
    costs: dict[str, float] = {}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            if name == EDITED:
                (state / "checks" / "suites.json").unlink(missing_ok=True)
            costs[name] = min(costs.get(name, float("inf")), _run(command, state))
    return costs


def _run(command: Sequence[str], state: Path) -> float:
    """Run a command on the demo company; the CPU seconds of it and its children."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LIFECYCLE")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**own, "LIFECYCLE__STATE__DIR": str(state)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
