"""What a simulated day costs, beside dbt's build of one day, on a year of real orders.

    .venv/bin/python benchmarks/simulate.py

Loads ../shared/data/online_retail (4,372 accounts, 406,829 events) into a temporary folder, has
dbt build one day, twice, and then simulates 2011-01-01 to 2011-12-09. Exits with 1 when a
simulated day, planned and delivered, costs more than promised of the second build's CPU seconds,
or when the memory is more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime, time
from typing import Any

from meter import Cost, Meter

from lifecycle import settings as settings_file
from lifecycle.days import days_between
from lifecycle.ledger.store import Ledger
from lifecycle.settings import CHECKOUT, Settings
from lifecycle.sources import ledger as ledger_source
from lifecycle.sources.pull import pull
from lifecycle.warehouse import context
from lifecycle.warehouse.build import build
from lifecycle.whatif.simulation_report import Simulation, simulate
from lifecycle.whatif.variant import Variant

RETAIL = CHECKOUT.parent / "shared" / "data" / "online_retail"
CONFIG = CHECKOUT / "tests" / "end_to_end" / "online_retail.toml"
LAST = datetime(2011, 12, 9, 13, tzinfo=UTC)
OF_A_BUILD = 0.25
"""CPU seconds of a simulated day, as a share of a build's."""
PEAK_MB = 2_000


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="first", default="2011-01-01", help="default: %(default)s")
    parser.add_argument("--to", dest="last", default="2011-12-09", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    if not RETAIL.is_dir():
        sys.exit(f"{RETAIL} is not there")
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as folder:
        settings = settings_file.load(
            CONFIG, state={"dir": folder}, source={"kind": "files", "path": str(RETAIL)}
        )
        measurement, costs = _measure(settings, asked.first, asked.last)
    days = len(measurement.simulated[0].replay.days)
    simulated, built = costs["simulate"], costs["build again"]
    share = simulated.cpu_seconds / days / built.cpu_seconds
    if asked.json:
        print(json.dumps(_as_json(measurement, costs, share)))
    else:
        _show(measurement, costs, share)
    if share > OF_A_BUILD:
        sys.exit(f"a simulated day costs {share:.2f} of a build's CPU seconds, not {OF_A_BUILD}")
    if simulated.peak_mb > PEAK_MB:
        sys.exit(f"{simulated.peak_mb:,.0f} MB of memory are more than {PEAK_MB:,}")


def _measure(settings: Settings, first: str, last: str) -> tuple[Simulation, dict[str, Cost]]:
    meter = Meter("load")
    pull(settings, loaded_at=LAST)
    ledger_source.snapshot(settings)
    context.write(settings, run_id="benchmark", as_of=LAST, loaded_at=LAST)
    for stage in ("build", "build again"):
        meter.stage(stage)
        build(settings)
    meter.stage("simulate")
    with Ledger.open(settings.ledger_url) as ledger:
        result = simulate(
            settings,
            ledger,
            [Variant.of_working_tree(settings)],
            days=days_between(first, last),
            at=time(6),
            memory="empty",
        )
    meter.stop()
    return result, {cost.stage: cost for cost in meter.costs}


def _as_json(simulation: Simulation, costs: dict[str, Cost], share: float) -> dict[str, Any]:
    return {
        "simulation": simulation.simulated[0].figures(),
        "days": len(simulation.simulated[0].replay.days),
        "costs": [asdict(cost) for cost in costs.values()],
        "day_over_build": share,
    }


def _show(simulation: Simulation, costs: dict[str, Cost], share: float) -> None:
    first = simulation.simulated[0]
    for cost in costs.values():
        print(
            f"{cost.stage:12} {cost.seconds:8,.1f} s {cost.cpu_seconds:8,.1f} CPU s"
            f" {cost.peak_mb:8,.0f} MB"
        )
    figures = first.figures()
    print(
        f"{len(first.replay.days)} days: {figures['mails']:,} mails to"
        f" {figures['people']:,} people,"
        f" {figures['mails_on_busiest_day']:,} on the busiest day"
    )
    print(f"a simulated day costs {share:.2f} of a build's CPU seconds (promised: {OF_A_BUILD})")


if __name__ == "__main__":
    main()
