"""One Prefect API for all runs of a test session: a run that starts its own pays ten seconds.

python prefect_api.py FOLDER     prints the address, and ends with its standard input
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(folder: str) -> None:
    from flows.api import prepare
    from flows.local_api import LocalApi

    prepare(Path(folder))
    LocalApi(Path(folder)).wait()
    print(os.environ["PREFECT_API_URL"], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
