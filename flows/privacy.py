"""No address of a customer leaves the state folder in a log."""

from __future__ import annotations

import logging

from lifecycle.masking import mask_addresses
from lifecycle.outside_text import for_terminal

SENT_TO_PREFECT = ("prefect.flow_runs", "prefect.task_runs", "lifecycle")


class HideAddresses(logging.Filter):
    """Masks e-mail addresses in messages and tracebacks; lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = for_terminal(mask_addresses(record.getMessage())), None
        if record.exc_info and not record.exc_text:
            traceback = logging.Formatter().formatException(record.exc_info)
            record.exc_text = for_terminal(mask_addresses(traceback))
        return True


_hide = HideAddresses()


def hide_addresses_in_logs() -> None:
    """Put the filter before every handler that writes to Prefect. Doing so twice is fine."""
    for name in SENT_TO_PREFECT:
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_hide)
