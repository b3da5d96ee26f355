"""One day in a process of its own: the real run, or bare DuckDB beside it. `pipeline.py` calls it.

python benchmarks/one_day.py run|bare FOLDER AS_OF RESULT.json
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

from meter import Meter


def run(folder: Path, as_of: str) -> dict[str, Any]:
    """The whole flow, started as `lifecycle run` starts it: costs by stage, and the report."""
    meter = Meter("start")
    for name in [name for name in os.environ if name.startswith(("LIFECYCLE", "PREFECT"))]:
        del os.environ[name]
    os.environ["DBT_WRITE_JSON"] = "true"  # the other side builds what dbt compiled
    from flows.api import prepare
    from flows.local_api import LocalApi
    from lifecycle import settings
    from lifecycle.report.watcher import watcher

    config = folder / "lifecycle.toml"
    state = settings.load(config).state_dir
    prepare(state)
    api = LocalApi(state)
    from flows.lifecycle_run import lifecycle_run

    api.wait()
    watcher.set(meter)
    report = lifecycle_run(as_of=as_of, config=str(config))
    return {"costs": [asdict(cost) for cost in meter.stop()], "report": report}


def bare(folder: Path, as_of: str) -> dict[str, Any]:
    """The same tables by plain DuckDB, as of the run that has just been."""
    meter = Meter("start")
    from bare import bare_day

    bare_day(folder, meter)
    return {"costs": [asdict(cost) for cost in meter.costs]}


if __name__ == "__main__":
    what, folder_name, moment, result = sys.argv[1:]
    with redirect_stdout(sys.stderr):
        matches = {"run": run, "bare": bare}[what](Path(folder_name), moment)
    Path(result).write_text(json.dumps(matches, default=str), encoding="utf-8")
