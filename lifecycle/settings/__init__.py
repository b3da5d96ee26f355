"""What differs between companies: the only reader of `lifecycle.toml` and the environment.

Every key can also be given as `LIFECYCLE__SECTION__KEY`; secrets only there.
A relative path in the file is relative to the file, one in the environment to the
working directory.
"""

from __future__ import annotations

from lifecycle.settings.company import Company, Consent, Owners, Privacy
from lifecycle.settings.health import Dormancy, Effect, Health, Stages
from lifecycle.settings.loading import (
    CHECKOUT,
    ENV_PREFIX,
    FILE_KEY,
    FILE_NAME,
    Settings,
    file_of,
    fingerprint,
    load,
)
from lifecycle.settings.mail import Delivery, Feedback, Mailbox, SendGrid, Smtp, Unsubscribe, Warmup
from lifecycle.settings.operation import Backup, Ledger, Notify, Serve, State, Status, Web
from lifecycle.settings.plan import AbsentFor, Guard, Plan
from lifecycle.settings.section import Section, is_loopback
from lifecycle.settings.sources import Events, Feed, Gate, MoreSource, Source, SourceTable

__all__ = [
    "CHECKOUT",
    "ENV_PREFIX",
    "FILE_KEY",
    "FILE_NAME",
    "AbsentFor",
    "Backup",
    "Company",
    "Consent",
    "Delivery",
    "Dormancy",
    "Effect",
    "Events",
    "Feed",
    "Feedback",
    "Gate",
    "Guard",
    "Health",
    "Ledger",
    "Mailbox",
    "MoreSource",
    "Notify",
    "Owners",
    "Plan",
    "Privacy",
    "Section",
    "SendGrid",
    "Serve",
    "Settings",
    "Smtp",
    "Source",
    "SourceTable",
    "Stages",
    "State",
    "Status",
    "Unsubscribe",
    "Warmup",
    "Web",
    "file_of",
    "fingerprint",
    "is_loopback",
    "load",
]
