"""Whether mail leaves this machine, and whether somebody would hear what comes back."""

from __future__ import annotations

from lifecycle.settings import Delivery, Settings


def is_live(delivery: Delivery) -> bool:
    """Whether mail of the provider of `[delivery] provider` leaves this machine."""
    return delivery.provider != "outbox"


def nobody_hears(settings: Settings) -> str | None:
    """Why real people must not be mailed: nobody would hear it when they unsubscribe."""
    if not is_live(settings.delivery) or settings.hears_answers:
        return None
    return (
        f"delivery.provider is {settings.delivery.provider!r}, and nobody would hear an "
        "unsubscribe: set [mailbox] host, so that mails to the company are read, or [unsubscribe] "
        "base_url, the address of `lifecycle serve`"
    )
