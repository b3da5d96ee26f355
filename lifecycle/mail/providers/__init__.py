"""What delivery needs from whoever carries the mail: five methods, and a truthful answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Literal, NamedTuple, Protocol

from lifecycle.ledger.tables import State
from lifecycle.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    `state` is ACCEPTED (taken), QUEUED (definitely not taken, worth another attempt),
    REJECTED (a definite no) or UNCERTAIN (it may or may not have been taken).
    """

    state: State
    detail: str = ""
    retry_after: timedelta | None = None
    """QUEUED: how long the provider asks to be left alone."""
    was_asked: bool = True
    """False: the provider never saw the mail. Our own preflight refused it, or it was too late
    to begin."""
    bounced: bool = False
    """REJECTED: because there is no such address."""


TOO_LATE_TO_BEGIN = Outcome(
    State.QUEUED,
    "not begun: its turn came when the lease was half over",
    timedelta(0),
    was_asked=False,
)
"""No byte may leave at a time when others may take the attempt for lost."""


class Mail(NamedTuple):
    """One rendered mail."""

    send_id: str
    mime: bytes


class Provider(Protocol):
    """Somebody who carries mail."""

    @property
    def name(self) -> str:
        """As in `[delivery] provider`."""

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
        """For how many seconds from now it asked to be left alone, by whomever it was told."""

    def resolve(self, send_id: str) -> Literal[State.ACCEPTED, State.QUEUED] | None:
        """The evidence about an uncertain send: taken, provably absent, or None for unknown."""

    def close(self) -> None:
        """Let go of connections and files."""


def is_live(settings: Settings) -> bool:
    """Whether mail of the provider of `[delivery] provider` leaves this machine."""
    return settings.delivery.provider != "outbox"


def open_provider(settings: Settings) -> Provider:
    """The provider of `[delivery] provider`. Raises DeliveryError when it cannot be used."""
    # Each module imports this one, and one that is not asked for costs no time.
    match settings.delivery.provider:
        case "sendgrid":
            from lifecycle.mail.providers.sendgrid import open_sendgrid

            return open_sendgrid(settings)
        case "smtp":
            from lifecycle.mail.providers.smtp import open_smtp

            return open_smtp(settings)
        case "outbox":
            from lifecycle.mail.providers.outbox import Outbox

            return Outbox(settings.outbox_dir)
