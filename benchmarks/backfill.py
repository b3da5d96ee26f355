"""What a backfilled day costs, beside a simulated one, on a year of real orders.

    .venv/bin/python benchmarks/backfill.py

Loads ../shared/data/online_retail (4,372 accounts, 406,829 events) into a temporary folder, has
dbt build the last day, and then simulates and backfills the days before it, back to 2011-01-01.
Exits with 1 when the backfill takes more CPU seconds than the simulation, or more memory than
promised.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from typing import Any

from meter import Cost, Meter

from lifecycle import settings as settings_file
from lifecycle.days import DAY, days_between
from lifecycle.ledger.store import Ledger
from lifecycle.settings import CHECKOUT, Settings
from lifecycle.sources import ledger as ledger_source
from lifecycle.sources.pull import pull
from lifecycle.warehouse import context
from lifecycle.warehouse.backfill import Backfilled, backfill
from lifecycle.warehouse.build import build
from lifecycle.warehouse.publish import publish
from lifecycle.whatif.simulation_report import simulate
from lifecycle.whatif.variant import Variant

RETAIL = CHECKOUT.parent / "shared" / "data" / "online_retail"
CONFIG = CHECKOUT / "tests" / "end_to_end" / "online_retail.toml"
LAST = datetime(2011, 12, 9, 13, tzinfo=UTC)
ALL = days_between("2011-01-01", str(LAST.date() - DAY))
OF_A_SIMULATION = 1.0
"""CPU seconds of a backfill, as a share of a simulation's of the same days."""
PEAK_MB = 2_000


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--days", type=int, default=len(ALL), help="so many of the last ones; default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    if not RETAIL.is_dir():
        sys.exit(f"{RETAIL} is not there")
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as folder:
        settings = settings_file.load(
            CONFIG, state={"dir": folder}, source={"kind": "files", "path": str(RETAIL)}
        )
        measurement, costs = _measure(settings, ALL[-asked.days :])
    share = costs["backfill"].cpu_seconds / costs["simulate"].cpu_seconds
    if asked.json:
        print(json.dumps(_as_json(measurement, costs, share)))
    else:
        _show(measurement, costs, share)
    if share > OF_A_SIMULATION:
        sys.exit(f"a backfill costs {share:.2f} of a simulation's CPU seconds")
    if costs["backfill"].peak_mb > PEAK_MB:
        sys.exit(f"{costs['backfill'].peak_mb:,.0f} MB of memory are more than {PEAK_MB:,}")


def _measure(settings: Settings, days: Sequence[date]) -> tuple[Backfilled, dict[str, Cost]]:
    meter = Meter("load")
    pull(settings, loaded_at=LAST)
    ledger_source.snapshot(settings)
    context.write(settings, run_id="benchmark", as_of=LAST, loaded_at=LAST)
    meter.stage("build")
    build(settings)
    publish(settings, run_id="benchmark")
    at = time(6)
    meter.stage("simulate")
    with Ledger.open(settings.ledger_url) as ledger:
        simulate(
            settings, ledger, [Variant.of_working_tree(settings)], days=days, at=at, memory="empty"
        )
    meter.stage("backfill")
    result = backfill(settings, days, at=at)
    meter.stop()
    return result, {cost.stage: cost for cost in meter.costs}


def _as_json(backfilled: Backfilled, costs: dict[str, Cost], share: float) -> dict[str, Any]:
    return {
        "days": len(backfilled.built),
        "rows": backfilled.rows,
        "costs": [asdict(cost) for cost in costs.values()],
        "backfill_over_simulate": share,
    }


def _show(backfilled: Backfilled, costs: dict[str, Cost], share: float) -> None:
    for cost in costs.values():
        print(
            f"{cost.stage:12} {cost.seconds:8,.1f} s {cost.cpu_seconds:8,.1f} CPU s"
            f" {cost.peak_mb:8,.0f} MB"
        )
    print(f"{len(backfilled.built)} days, {backfilled.rows:,} rows of the history")
    print(f"a backfill costs {share:.2f} of a simulation's CPU s (promised: {OF_A_SIMULATION:g})")


if __name__ == "__main__":
    main()
