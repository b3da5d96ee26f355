"""The names of the owners' list: of its templates, and of what they may use beside `company`."""

from __future__ import annotations

OWNER_LIST = "_owner_list"
"""The trigger of the mails to account owners; no trigger file can have the name."""
MORNING = "morning"
"""The one step of it."""
OWNER_ANSWER = "answer"
"""The step of a mail that passes a customer's answer on to the owner."""
LIST_NAMES = frozenset({"day", "number", "first", "accounts", "more"})
OWNER_NAMES = frozenset({"name", "email"})
