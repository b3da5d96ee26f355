"""The service's log: it holds no e-mail address and no token of a link."""

from __future__ import annotations

import logging
import re
from typing import Any

from lifecycle.mail.unsubscribe import PATH, TOKEN
from lifecycle.masking import mask_addresses
from lifecycle.outside_text import for_log

REQUESTS = "lifecycle.web.requests"
_TOKEN = re.compile(rf"({re.escape(PATH)})[^\s\"'?#]+|{TOKEN.pattern}")


def hide(text: str) -> str:
    """The text without addresses and tokens."""
    return mask_addresses(_TOKEN.sub(lambda match: f"{match[1] or ''}…", text))


class Private(logging.Formatter):
    """Hides addresses and tokens in the whole log record, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return for_log(hide(super().format(record)))


def log_config() -> dict[str, Any]:
    """For `uvicorn.Config`: all to standard error, and no access log but our own."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "private": {"()": Private, "format": "%(asctime)s %(levelname)s %(message)s"}
        },
        "handlers": {"private": {"class": "logging.StreamHandler", "formatter": "private"}},
        "loggers": {"uvicorn": {"level": "WARNING"}, "lifecycle": {"level": "INFO"}},
        "root": {"handlers": ["private"], "level": "WARNING"},
    }
