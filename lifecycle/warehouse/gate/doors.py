"""The two doors that Great Expectations guards, and how a failed check counts."""

from __future__ import annotations

from typing import Literal, TypeAlias

Door: TypeAlias = Literal["raw", "marts"]
Severity: TypeAlias = Literal["critical", "warning", "info"]

SAMPLE_ROWS = 5
"""How many of the rows at fault are shown."""
