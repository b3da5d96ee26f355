"""Runs several days through the real flow in one process: one JSON report a line.

python days.py CONFIG TIME [TIME ...]
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout


def main(config: str, *times: str) -> None:
    with redirect_stdout(sys.stderr):
        from flows.lifecycle_run import lifecycle_run

        reports = [lifecycle_run(as_of=time, config=config) for time in times]
    for report in reports:
        print(json.dumps(report, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
