"""The company's own relay: one connection carries many mails.

A mail is taken when the relay answers 2xx to the dot that ends it. Until that dot has left, it
is provably not taken; once it has, an answer that does not come leaves it uncertain.
"""

from __future__ import annotations

import queue
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from typing import Literal

from lifecycle.errors import DeliveryError
from lifecycle.ledger.tables import State
from lifecycle.mail.message import Message
from lifecycle.mail.providers import TOO_LATE_TO_BEGIN, Mail, Outcome
from lifecycle.masking import mask_addresses
from lifecycle.settings import Smtp as SmtpSettings

IDLE_SECONDS = 20.0
"""Seconds. A connection that was idle for longer is checked before its next use."""

_LINE_START = re.compile(rb"(?m)^\.")
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
"""Some relays take it for the end of a line, and so for a way to smuggle a mail in."""

_NO_SUCH_ADDRESS = re.compile(rb"5\.1\.(1|2|3|6|10)\b")
"""RFC 3463 and 7505: the mailbox or its domain does not exist, or has moved for good. A bare 550
says no more than that this mail is not wanted."""

OF_THE_ACCOUNT = frozenset({530, 534, 535, 538})
"""The log-in is missing or wrong: about the relay and us, not about the mail."""
TOO_LARGE = 552


class Smtp:
    """One relay, for any number of threads, over at most `connections` connections."""

    name = "smtp"
    live = True
    batch_size = 1

    def __init__(self, settings: SmtpSettings, *, idle_seconds: float = IDLE_SECONDS) -> None:
        """Nothing is connected yet. Raises DeliveryError for what cannot be connected to."""
        if not settings.host:
            raise DeliveryError("smtp.host is empty: name the relay in [smtp] host")
        if bool(settings.username) != bool(settings.password.get_secret_value()):
            raise DeliveryError(
                "smtp.username and smtp.password go together; the password is given as"
                " LIFECYCLE__SMTP__PASSWORD"
            )
        self._settings = settings
        self._idle_seconds = idle_seconds
        try:
            self._tls = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            raise DeliveryError(f"smtp.ca_file: {settings.ca_file}: {error.strerror}") from None
        self._places: queue.LifoQueue[_Connection | None] = queue.LifoQueue()
        for _ in range(settings.connections):
            self._places.put(None)

    def send(self, mails: Sequence[Mail], begin_by: float = inf) -> list[Outcome]:
        """Hand over the mails; an outcome for each, in their order."""
        return [self._send_one(mail.mime, begin_by) for mail in mails]

    def rest(self) -> float:
        """0: a relay asks for no pause."""
        return 0.0

    def resolve(self, send_id: str) -> Literal[State.ACCEPTED, State.QUEUED] | None:
        """None: a relay has no record to ask."""
        return None

    def close(self) -> None:
        """Close the connections."""
        for _ in range(self._settings.connections):
            if (connection := self._places.get()) is not None:
                connection.quit()

    def _send_one(self, mime: bytes, begin_by: float) -> Outcome:
        try:
            message = Message.from_bytes(mime)
        except ValueError as error:
            return _not_sent(str(error))
        return self.hand_over(message.from_email, message.to_email, mime, begin_by)

    def hand_over(
        self, from_email: str, to_email: str, mime: bytes, begin_by: float = inf
    ) -> Outcome:
        """Hand over any mail, also one that is not of a trigger; see `Provider.send`."""
        if _BARE_LINE_END.search(mime):
            return _not_sent("a line ends without CR and LF")
        try:
            with self._connection() as connection:
                if time.time() >= begin_by:  # others may have had the connections for long
                    return TOO_LATE_TO_BEGIN
                return connection.hand_over(from_email, to_email, mime)
        except _NotTaken as error:
            return error.outcome

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        """Yield a working connection; it is kept for the next mail unless it breaks."""
        connection = self._places.get()
        try:
            if connection is None or not connection.lives(self._idle_seconds):
                connection = _Connection(self._settings, self._tls)
            yield connection
        finally:
            self._places.put(connection if connection is not None and connection.sock else None)


class _NotTaken(Exception):
    """The mail was provably not taken."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class _Connection:
    """A conversation with the relay, logged in. `sock` is None once it has ended."""

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext) -> None:
        """Raises _NotTaken."""
        where = f"{settings.host}:{settings.port}"
        try:
            self._smtp = _connect(settings, tls)
        except smtplib.SMTPResponseException as error:
            raise _NotTaken(_queued(f"{where}:", error.smtp_code, error.smtp_error)) from None
        except (OSError, UnicodeError, smtplib.SMTPException) as error:
            # UnicodeError: a host or a password that cannot be said in this protocol.
            failure = f"no connection to {where}: {_why(error)}"
            raise _NotTaken(Outcome(State.QUEUED, failure)) from None
        self._rested_since = time.monotonic()

    @property
    def sock(self) -> socket.socket | None:
        return self._smtp.sock

    def lives(self, idle_seconds: float) -> bool:
        """Whether the relay still answers; checked only after an idle time."""
        if time.monotonic() - self._rested_since < idle_seconds:
            return self.sock is not None
        with suppress(OSError, smtplib.SMTPException):
            if self._smtp.noop()[0] == 250:
                return True
        self._smtp.close()
        return False

    def hand_over(self, sender: str, reader: str, mime: bytes) -> Outcome:
        """One mail. Raises _NotTaken."""
        size = f" size={len(mime)}" if self._smtp.has_extn("size") else ""
        self._ask("MAIL", f"FROM:<{sender}>{size}", 250)
        self._ask("RCPT", f"TO:<{reader}>", 250, 251)
        self._ask("DATA", "", 354)
        text = _LINE_START.sub(b"..", mime)
        end = b".\r\n" if text.endswith(b"\r\n") else b"\r\n.\r\n"
        try:
            self._smtp.send(text + end)
        except (OSError, smtplib.SMTPException) as error:
            # The dot is the last that would have left.
            raise _NotTaken(Outcome(State.QUEUED, f"broke off: {_why(error)}")) from None
        try:
            code, answer = self._smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            self._smtp.close()
            return Outcome(State.UNCERTAIN, f"no answer to the mail: {_why(error)}")
        self._rested_since = time.monotonic()
        if code == 421:
            self._smtp.close()
        match code // 100:
            case 2:
                return Outcome(State.ACCEPTED, _said("", answer))
            case 4:
                return _queued("mail:", code, answer)
            case 5:
                return Outcome(State.REJECTED, _said(f"mail: {code}", answer))
        self._smtp.close()
        return Outcome(State.UNCERTAIN, _said(f"mail: {code}", answer))

    def quit(self) -> None:
        """Send QUIT, where the connection is open."""
        with suppress(OSError, smtplib.SMTPException):
            self._smtp.quit()

    def _ask(self, command: str, argument: str, *good: int) -> None:
        """One command; any answer that is not good ends this mail, but not the conversation."""
        try:
            code, answer = self._smtp.docmd(command, argument)
        except (OSError, smtplib.SMTPException) as error:
            self._smtp.close()
            raise _NotTaken(Outcome(State.QUEUED, f"{command}: {_why(error)}")) from None
        if code in good:
            return
        if not 400 <= code < 600 or code == 421 or not self._reset():
            self._smtp.close()
        # A sender that is refused is refused for every mail; 552 is about this one's size.
        is_about_us = code in OF_THE_ACCOUNT or (command == "MAIL" and code != TOO_LARGE)
        if 500 <= code < 600 and not is_about_us:
            bounced = command == "RCPT" and _NO_SUCH_ADDRESS.match(answer) is not None
            refusal = _said(f"{command}: {code}", answer)
            raise _NotTaken(Outcome(State.REJECTED, refusal, bounced=bounced))
        raise _NotTaken(_queued(f"{command}:", code, answer))

    def _reset(self) -> bool:
        """Forget the mail that was begun; False when that fails."""
        with suppress(OSError, smtplib.SMTPException):
            return self._smtp.rset()[0] == 250
        return False


def _connect(settings: SmtpSettings, tls: ssl.SSLContext) -> smtplib.SMTP:
    """A connection that is ready for a mail."""
    where, patience = (settings.host, settings.port), settings.timeout_seconds
    smtp: smtplib.SMTP = (
        smtplib.SMTP_SSL(*where, timeout=patience, context=tls)
        if settings.tls == "implicit"
        else smtplib.SMTP(*where, timeout=patience)
    )
    try:
        if settings.tls == "starttls":
            smtp.starttls(context=tls)  # raises where the relay has none: never in the open
        if smtp.sock is not None:
            # Else the end of a long mail waits for the relay to confirm its beginning.
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        smtp.ehlo_or_helo_if_needed()
        if settings.username:
            smtp.login(settings.username, settings.password.get_secret_value())
    except (OSError, UnicodeError, smtplib.SMTPException):
        smtp.close()
        raise
    return smtp


def _not_sent(why: str) -> Outcome:
    return Outcome(State.REJECTED, f"not sent: {mask_addresses(why)}", was_asked=False)


def _queued(what: str, code: int, answer: bytes | str) -> Outcome:
    return Outcome(State.QUEUED, _said(f"{what} {code}", answer))


def _said(what: str, answer: bytes | str) -> str:
    """The relay's answer, masked and cut for a log."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return mask_addresses(" ".join([*what.split(), *text.split()]))[:200]


def _why(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return mask_addresses(" ".join(str(text).split()))[:200]
