"""Reads a folder of an IMAP mailbox: what is new by UID, a batch at a time, nothing changed.

A message is fetched by PEEK, so that reading alone flags nothing. It is flagged, or moved, only
once the ledger has it and it was about our mails; what is not ours stays as it is.
"""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from imap_tools import AND, BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted, UidRange
from imap_tools.errors import ImapToolsError

from lifecycle.errors import DeliveryError
from lifecycle.mailbox.inbound import READ_BYTES, Inbound
from lifecycle.masking import mask_addresses
from lifecycle.settings import Mailbox

BATCH = 50
FAULTS = (OSError, imaplib.IMAP4.error, ImapToolsError, UnicodeError, ValueError)
"""What a server, or the way to it, can make go wrong."""

_UID = re.compile(rb"\bUID (\d+)")
_INTERNAL_DATE = re.compile(rb'INTERNALDATE "([^"]+)"')


@dataclass(frozen=True)
class Fetched:
    """A message of the folder."""

    uid: int
    message: Inbound


class Folder:
    """One folder, open. Raises DeliveryError for whatever goes wrong with it."""

    def __init__(self, settings: Mailbox) -> None:
        """Connect, log in and open the folder."""
        self._settings = settings
        self.name = f"{settings.username}@{settings.host}:{settings.port}/{settings.folder}"[:255]
        try:
            self._box = _logged_in(settings)
            self._box.folder.set(settings.folder)
            status = self._box.folder.status(settings.folder, ["UIDVALIDITY", "UIDNEXT"])
        except FAULTS as error:
            raise self._failed(error) from None
        self.uid_validity, self.uid_next = int(status["UIDVALIDITY"]), int(status["UIDNEXT"])

    def uids(self, after: int, since: date | None = None) -> list[int]:
        """The UIDs above `after`, ascending; with `since`, of messages that came on or after it."""
        if after + 1 >= self.uid_next and since is None:
            return []
        new = UidRange(str(after + 1), "*")
        asked = AND(uid=new) if since is None else AND(uid=new, date_gte=since)
        try:
            found = self._box.uids(asked)
        except FAULTS as error:
            raise self._failed(error) from None
        # "n:*" names the last message also where its number is below n.
        return sorted(uid for uid in map(int, found) if uid > after)

    def fetch(self, uids: Sequence[int]) -> Iterator[list[Fetched]]:
        """The messages of these UIDs, in their order, a batch at a time; one that is gone is left
        out."""
        for start in range(0, len(uids), BATCH):
            batch = uids[start : start + BATCH]
            numbers = ",".join(map(str, batch))
            parts = f"(UID INTERNALDATE BODY.PEEK[]<0.{READ_BYTES}>)"
            try:
                _, answer = self._box.client.uid("FETCH", numbers, parts)
            except FAULTS as error:
                raise self._failed(error) from None
            fetched = list(_messages(answer))
            yield sorted(fetched, key=lambda item: item.uid)

    def mark_handled(self, uids: Sequence[int]) -> None:
        """Move these messages where handled ones go, or flag them as read."""
        numbers = [str(uid) for uid in uids]
        if not numbers:
            return
        try:
            if target := self._settings.handled_folder:
                if not self._box.folder.exists(target):
                    self._box.folder.create(target)
                self._box.move(numbers, target)
            else:
                self._box.flag(numbers, "\\Seen", True)
        except FAULTS as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Log out."""
        with suppress(*FAULTS):
            self._box.logout()

    def _failed(self, error: Exception) -> DeliveryError:
        text = " ".join(str(error).split()) or type(error).__name__
        return DeliveryError(
            f"the mailbox {self._settings.host} cannot be read: {mask_addresses(text)[:200]}"
        )


def _logged_in(settings: Mailbox) -> BaseMailBox:
    password = settings.password.get_secret_value()
    token = settings.oauth2_token.get_secret_value()
    if not password and not token:
        raise ValueError("give its password as LIFECYCLE__MAILBOX__PASSWORD")
    where = {"host": settings.host, "port": settings.port, "timeout": settings.timeout_seconds}
    box: BaseMailBox
    if settings.tls == "none":
        box = MailBoxUnencrypted(**where)
    else:
        context = ssl.create_default_context(cafile=settings.ca_file)
        kind = MailBox if settings.tls == "implicit" else MailBoxStartTls
        box = kind(**where, ssl_context=context)
    if token:
        box.xoauth2(settings.username, token, initial_folder=None)
    else:
        box.login(settings.username, password, initial_folder=None)
    return box


def _messages(answer: Sequence[Any]) -> Iterator[Fetched]:
    """The messages in the answer to a FETCH: pairs of a head and a literal, and closing signs."""
    for place, item in enumerate(answer):
        if not isinstance(item, tuple) or len(item) < 2:
            continue
        # A server may tell the UID behind the literal.
        tail = answer[place + 1] if place + 1 < len(answer) else b""
        head = item[0] + (tail if isinstance(tail, bytes) else b"")
        if uid := _UID.search(head):
            received = _INTERNAL_DATE.search(head)
            yield Fetched(int(uid[1]), Inbound.read(item[1], received and _moment(received[1])))


def _moment(text: bytes) -> datetime | None:
    try:
        moment = datetime.strptime(text.decode().strip(), "%d-%b-%Y %H:%M:%S %z")
    except ValueError:
        return None
    return moment.astimezone(UTC)
