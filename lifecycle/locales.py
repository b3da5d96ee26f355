"""What a language tag looks like: `ja`, `en-GB`."""

from __future__ import annotations

import re

LOCALE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
