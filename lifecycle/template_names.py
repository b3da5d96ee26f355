"""The names that the template of an owner's list may use, beside `company`."""

from __future__ import annotations

LIST_NAMES = frozenset({"day", "number", "first", "accounts", "more"})
OWNER_NAMES = frozenset({"name", "email"})
