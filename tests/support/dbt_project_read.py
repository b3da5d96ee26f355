"""Imported for its effect: dbt's project is read once for all processes forked after it."""

from __future__ import annotations

import os
import tempfile

from lifecycle import settings
from lifecycle.warehouse.build import read_project

with tempfile.TemporaryDirectory() as folder:
    os.environ["LIFECYCLE__STATE__DIR"] = folder
    read_project(settings.load(None))
    del os.environ["LIFECYCLE__STATE__DIR"]
