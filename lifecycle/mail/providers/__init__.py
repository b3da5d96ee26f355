"""The interface between delivery and a mail provider: its methods, and a truthful outcome."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from lifecycle.ledger.tables import State
from lifecycle.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """The outcome of one attempt.

    `state` is ACCEPTED (taken), QUEUED (definitely not taken, worth another attempt),
    REJECTED (a definite no) or UNCERTAIN (it may or may not have been taken).
    """

    state: State
    detail: str = ""
    retry_after: timedelta | None = None
    """QUEUED: the pause that the provider asks for."""
    was_asked: bool = True
    """False: the mail was not offered to the provider. Our preflight refused it, or it was too late
    to begin."""
    bounced: bool = False
    """REJECTED because the address does not exist."""


TOO_LATE_TO_BEGIN = Outcome(
    State.QUEUED,
    "not begun: its turn came when the lease was half over",
    timedelta(0),
    was_asked=False,
)
"""No byte may leave once another worker may treat the attempt as lost."""


ALIKE = 3
"""So many definite refusals alike, with no mail taken between them, are about us and not about the
mails: a sender that is not allowed, a header that this provider does not take."""

_NUMBER = re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f-]{6,}\b|\d+", re.IGNORECASE)


def alike(answer: str) -> str:
    """The answer without what differs from mail to mail: positions and numbers of requests."""
    code, _, words = answer.partition(":")
    return f"{code}:{_NUMBER.sub('#', words)}"


class Mail(NamedTuple):
    """One rendered mail."""

    send_id: str
    mime: bytes
    trigger: str = ""
    """For the provider's statistics, where the bytes do not name it; so is `step`."""
    step: str = ""


class Provider(Protocol):
    """A mail provider."""

    @property
    def name(self) -> str:
        """Its name in `[delivery] provider`."""

    @property
    def live(self) -> bool:
        """Whether mail leaves this machine."""

    @property
    def batch_size(self) -> int:
        """How many mails one request may carry; 1 for single mails."""

    def send(self, mails: Sequence[Mail], begin_by: float = inf) -> list[Outcome]:
        """Hand over at most `batch_size` mails; an outcome for each, in their order.

        A mail whose turn comes only after `begin_by`, in Unix time, is not begun:
        TOO_LATE_TO_BEGIN. Safe to call from several threads, and again for the same mails. An
        answer of the provider, whatever it is, is an Outcome and never an exception.
        """

    def rest(self) -> float:
        """Seconds that are left of the pause that it asked this machine for."""

    def resolve(self, send_id: str) -> Literal[State.ACCEPTED, State.QUEUED] | None:
        """The evidence about an uncertain send: taken, provably absent, or None for unknown."""

    def close(self) -> None:
        """Close connections and files."""


@runtime_checkable
class TellsEach(Provider, Protocol):
    """A provider whose answers about the mails of one batch may come one after another."""

    def send_each(
        self, mails: Sequence[Mail], begin_by: float = inf
    ) -> Iterator[tuple[int, Outcome]]:
        """As `send`: each mail's place and outcome, as it comes."""


def open_provider(settings: Settings) -> Provider:
    """The provider of `[delivery] provider`. Raises DeliveryError when it cannot be used."""
    # Imported here: each provider imports this module, and an unused provider must cost no time.
    match settings.delivery.provider:
        case "sendgrid":
            from lifecycle.mail.providers.sendgrid import open_sendgrid

            return open_sendgrid(settings)
        case "smtp":
            from lifecycle.mail.providers.smtp import Smtp

            return Smtp(settings.smtp)
        case "outbox":
            from lifecycle.mail.providers.outbox import Outbox

            return Outbox(settings.outbox_dir)
