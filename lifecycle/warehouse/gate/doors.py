"""The names of the two gates, and the severities of checks."""

from __future__ import annotations

from typing import Literal, TypeAlias

Door: TypeAlias = Literal["raw", "marts"]
Severity: TypeAlias = Literal["critical", "warning", "info"]

SAMPLE_ROWS = 5
"""How many failing rows are shown."""
