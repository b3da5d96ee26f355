"""Tells somebody of a run that was stopped, failed, or did not start.

A webhook (`[notify] webhook_url`, which takes what Slack takes), a mail (`[notify] email` by the
relay of `[notify]` or of `[smtp]`, whose certificate is checked), both, or nothing at all. It must
never hide the error that it is about: what goes wrong here is returned as sentences. The webhook's
address is a secret and is never shown; addresses of people are masked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from html import escape

import httpx

from lifecycle.masking import mask_addresses
from lifecycle.outside_text import for_terminal
from lifecycle.settings import Settings
from lifecycle.settings import Smtp as SmtpSettings

TIMEOUT_SECONDS = 10.0
"""How long an unanswered connection may hold up the end of a run."""


def notify(settings: Settings, *, subject: str, body: str) -> list[str]:
    """Send the message wherever the settings say; returns what went wrong, a sentence each.

    `subject` is one line, `body` plain text. Raises nothing.
    """
    ways: dict[str, Callable[[Settings, str, str], None]] = {}
    if settings.notify.webhook_url.get_secret_value():
        ways["the webhook"] = _post
    if settings.notify.email:
        ways["the mail"] = _mail
    problems = []
    for name, send in ways.items():
        try:
            title = for_terminal(" ".join(subject.split()))
            send(settings, mask_addresses(title), mask_addresses(for_terminal(body)))
        except _Refused as error:
            problems.append(f"notify: {name} was not taken: {error}")
        except Exception as error:  # whatever it is, the run's own error matters more
            problems.append(f"notify: {name} could not be sent: {type(error).__name__}")
    return problems


class _Refused(Exception):
    """An answer that says no, in words that may be shown."""


def _post(settings: Settings, subject: str, body: str) -> None:
    url = httpx.URL(settings.notify.webhook_url.get_secret_value())
    # Slack reads <!channel> and the like as commands, and takes these escapes for the signs.
    text = escape(f"*{subject}*\n{body}", quote=False)

    def is_harmless(record: logging.LogRecord) -> bool:
        return str(url) not in record.getMessage()

    logger = logging.getLogger("httpx")  # it logs the address of every request
    logger.addFilter(is_harmless)
    try:
        answer = httpx.post(url, json={"text": text}, timeout=TIMEOUT_SECONDS)
    finally:
        logger.removeFilter(is_harmless)
    if not answer.is_success:
        raise _Refused(f"it answered {answer.status_code}")


def _mail(settings: Settings, subject: str, body: str) -> None:
    if not (settings.notify.smtp_host or settings.smtp.host):
        raise _Refused("[notify] smtp_host is empty, and so is [smtp] host")
    message = EmailMessage(policy=SMTP.clone(max_line_length=998))
    message["From"] = settings.company.from_email
    message["To"] = settings.notify.email
    message["Subject"] = subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=settings.company.from_email.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    # Imported here: a run that goes well notifies nobody.
    from lifecycle.ledger.tables import State
    from lifecycle.mail.providers.smtp import Smtp

    relay = Smtp(_relay(settings))
    try:
        outcome = relay.hand_over(
            settings.company.from_email, settings.notify.email, message.as_bytes()
        )
    finally:
        relay.close()
    if outcome.state is not State.ACCEPTED:
        raise _Refused(outcome.detail)


def _relay(settings: Settings) -> SmtpSettings:
    """The relay of `[notify]`, which asks for no log-in; else that of `[smtp]`."""
    own = settings.notify
    if not own.smtp_host:
        return settings.smtp.model_copy(update={"timeout_seconds": TIMEOUT_SECONDS})
    return SmtpSettings(
        host=own.smtp_host,
        port=own.smtp_port,
        tls=own.smtp_tls,
        connections=1,
        timeout_seconds=TIMEOUT_SECONDS,
        ca_file=settings.smtp.ca_file,
    )
