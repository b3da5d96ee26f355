"""Where the demo company's clock stands: a Wednesday morning in Tokyo."""

from __future__ import annotations

from datetime import UTC, datetime

DEMO_CLOCK = datetime(2026, 6, 10, 1, 0, tzinfo=UTC)
