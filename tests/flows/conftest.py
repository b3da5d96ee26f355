"""Prefect keeps to a folder that goes away."""

import os
import tempfile

# Before anything imports Prefect: it settles where it lives when it is imported.
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="prefect-"))
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from planned import workspace

__all__ = ["workspace"]
