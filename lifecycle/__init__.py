"""Customer lifecycle automation in plain Python; `flows` puts these parts in order."""

import os

# None of these libraries may call home from a company's data pipeline, and without a
# network some of them wait minutes for an answer. They read the environment when they are
# imported, so it has to be said here, before any of them is.
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
