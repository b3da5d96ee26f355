"""No address of a customer leaves the state folder in a log."""

from __future__ import annotations

import logging

from lifecycle.masking import mask_addresses

SENT_TO_PREFECT = ("prefect.flow_runs", "prefect.task_runs", "lifecycle")


class HideAddresses(logging.Filter):
    """Masks e-mail addresses in messages and tracebacks; lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask_addresses(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = mask_addresses(logging.Formatter().formatException(record.exc_info))
        return True


_hide = HideAddresses()


def hide_addresses_in_logs() -> None:
    """Put the filter before every handler that writes to Prefect. Doing so twice is fine."""
    for name in SENT_TO_PREFECT:
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_hide)
