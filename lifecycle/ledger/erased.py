"""People who are erased from the ledger: only a keyed hash stays, so that they stay unmailed."""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    update,
)

from lifecycle.ledger import erasure_keys, suppressions
from lifecycle.ledger.erased_person import Person
from lifecycle.ledger.states import batches, transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.suppressions import Suppression
from lifecycle.ledger.tables import (
    NOT_LEFT,
    OutsideText,
    State,
    actions,
    departures,
    messages,
    metadata,
    replies,
    sends,
)
from lifecycle.ledger.tables import suppressions as suppressions_table

CONTACT_COLUMNS = ("contact_id", "follows")
"""Columns that hold a contact's id, in whichever table."""
KEYS = (
    *("send_id", "after_send", "run_id", "first_run_id", "digest", "verifier", "version"),
    *("trigger_version", "entered_version", "key", "event_id", "trigger", "step"),
)
"""Columns that no source fills: hashes and numbers of ours and of the provider, names of files."""
NAMED_HERE = "it named a person who was erased: the next run writes it anew"
_SOMEBODY = re.compile(r"[^\s@<>\"'(),;:=\\]+@[^\s@<>\"'(),;:=\\]*[^\s@<>\"'(),;:=\\.]")
"""What may be somebody's address, inside a text."""


def known(ledger: Connection, person: Person) -> Person:
    """The person with the ids and accounts that the ledger has of them."""
    theirs = select(sends.c.contact_id, sends.c.account_id).where(sends.c.address.in_(person.forms))
    rows = ledger.execute(theirs.distinct()).all()
    return replace(
        person,
        contact_ids=person.contact_ids | {row.contact_id for row in rows if row.contact_id},
        accounts=person.accounts | {row.account_id for row in rows if row.account_id},
    )


def erase(ledger: Connection, person: Person, *, by: str, why: str) -> list[str]:
    """Remove a person, in the caller's transaction.

    What has not surely left to them, or in their name, ends; a mail to somebody else that names
    them is written anew by the next run, or is gone where it has left. Returns the ids of the
    sends whose mail is gone. Raises LedgerError under another key than then.
    """
    now = datetime.now(UTC)
    erasure_keys.keep_first(ledger, person.key)
    erasure_keys.record(ledger, [erasure_keys.verifier(erasure_keys.keys(person.key)[0])])
    stops = [Suppression(keyed, "erased", now, by) for keyed in person.hashes.values()]
    suppressions.stop(ledger, stops, now)
    theirs = select(sends.c.send_id).where(sends.c.address.in_(person.hashes))
    headers, bodies = _naming(ledger, person)
    send_ids = sorted({*ledger.scalars(theirs), *headers})
    for batch in batches(send_ids):
        among = sends.c.send_id.in_(batch)
        transition(ledger, State.SUPPRESSED, "erased", now, among, sends.c.state.in_(NOT_LEFT))
        # Nobody can send them again: there is nothing left to decide.
        doubtful = sends.c.state.in_([State.UNCERTAIN, State.HELD])
        transition(ledger, State.CANCELLED, "erased; it may have left", now, among, doubtful)
    written_anew = _write_anew(ledger, sorted(bodies.difference(send_ids)), now)
    gone = sorted({*send_ids, *bodies}.difference(written_anew))
    for batch in batches(gone):
        ledger.execute(delete(messages).where(messages.c.send_id.in_(batch)))
        _wipe_replies(ledger, replies.c.send_id.in_(batch))
    _wipe_replies(ledger, replies.c.address.in_(person.forms))
    for table in (suppressions_table, departures):
        ledger.execute(delete(table).where(table.c.address.in_(person.forms)))
    for table in metadata.sorted_tables:
        _replace_ids(ledger, table, person)
        _replace_in_texts(ledger, table, person)
    row = {"at": now, "action": "erase", "subject": person.hashed, "by": by}
    ledger.execute(actions.insert().values(**row, why=person.without(why)))
    return gone


def _wipe_replies(ledger: Connection, which: ColumnElement[bool]) -> None:
    """Forget the words of messages that came back; that they came stays, and from whom does not."""
    ledger.execute(update(replies).where(which).values(subject=None, text=None))


def erase_again(
    ledger: Connection,
    hashes: Collection[str],
    key: str,
    *,
    verifiers: Collection[str] = (),
    by: str,
    why: str,
) -> list[str]:
    """Erase people of whom only the hash is known, where the ledger does not know of it.

    `verifiers` are of the keys that the hashes were made with. Whoever the ledger names is found,
    as a reader, as an account's owner, or inside a text. Returns the ids of the sends whose mail
    is gone. Raises LedgerError without the `key` of then.
    """
    known_hashes = select(suppressions_table.c.address).where(
        suppressions_table.c.reason == "erased"
    )
    missing = set(hashes).difference(ledger.scalars(known_hashes))
    if not missing:
        return []
    erasure_keys.keep_first(ledger, key)
    erasure_keys.check_verifiers(verifiers, key)
    made_with = verifiers or [erasure_keys.verifier(secret) for secret in erasure_keys.keys(key)]
    erasure_keys.record(ledger, made_with)
    now = datetime.now(UTC)
    suppressions.stop(ledger, [Suppression(keyed, "erased", now, by) for keyed in missing], now)
    back = {
        address
        for address in addresses(ledger)
        if not missing.isdisjoint(suppressions.digests(address, key))
    }
    return [
        send_id
        for address in sorted(back)
        for send_id in erase(ledger, known(ledger, Person.of(address, key)), by=by, why=why)
    ]


def addresses(ledger: Connection) -> set[str]:
    """Every address that stands in the ledger, normalised: in a column, a text or a mail."""
    seen: set[str] = set()
    for table in metadata.sorted_tables:
        for column in _texts(table):
            query = select(column).where(column.contains("@")).distinct()
            for value in ledger.scalars(query, execution_options={"yield_per": 1000}):
                seen.update(map(suppressions.normalized, _SOMEBODY.findall(value)))
    for row in ledger.execute(select(messages), execution_options={"yield_per": 1000}):
        for part in readable(row.mime):
            seen.update(map(suppressions.normalized, _SOMEBODY.findall(part)))
    return seen


def leave_no_trace(ledger: Ledger) -> bool:
    """Rewrite the ledger's file, so that what was deleted is in no free page and no log.

    False where another process reads an old moment, and the log cannot be emptied yet. PostgreSQL
    does this by itself in its own time.
    """
    engine = ledger.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            connection.execute(text("vacuum"))
            return True
    raw = ledger.engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("vacuum")
        busy = cursor.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
        return not busy
    finally:
        raw.close()


def readable(mime: bytes) -> tuple[str, str]:
    """The headers and the body of a stored mail, as text."""
    head, _, body = mime.replace(b"\r\n", b"\n").partition(b"\n\n")
    headers = re.sub(r"\n[ \t]+", " ", head.decode("utf-8", "replace"))
    coded = re.search(r"(?im)^content-transfer-encoding:\s*(\S+)", headers)
    if coded and coded[1].lower() == "base64":
        try:
            body = base64.b64decode(body)
        except binascii.Error:
            body = b""
    elif coded and coded[1].lower() == "quoted-printable":
        body = quopri.decodestring(body)
    return headers, body.decode("utf-8", "replace")


def _naming(ledger: Connection, person: Person) -> tuple[set[str], set[str]]:
    """The stored mails whose headers name the address (To, Reply-To as the account's owner), and
    those whose words name the person."""
    headers: set[str] = set()
    bodies: set[str] = set()
    query = select(messages, sends.c.account_id).join(sends, sends.c.send_id == messages.c.send_id)
    for row in ledger.execute(query, execution_options={"yield_per": 1000}):
        head, body = readable(row.mime)
        if person.has_address(head):
            headers.add(row.send_id)
        elif person.has_address(body) or (
            # Another company may have somebody of the same name.
            row.account_id in person.accounts and person.is_in(f"{head}\n{body}")
        ):
            bodies.add(row.send_id)
    return headers, bodies


def _write_anew(ledger: Connection, send_ids: Collection[str], now: datetime) -> set[str]:
    """Empty those of the mails that have not left, and have the next run write them anew."""
    still: set[str] = set()
    for batch in batches(send_ids):
        which = sends.c.send_id.in_(batch), sends.c.state.in_(NOT_LEFT)
        still.update(
            transition(ledger, State.PLANNED, NAMED_HERE, now, *which, waiting_for=NAMED_HERE)
        )
    for batch in batches(sorted(still)):
        ledger.execute(update(messages).where(messages.c.send_id.in_(batch)).values(mime=b""))
    return still


def _replace_ids(ledger: Connection, table: Table, person: Person) -> None:
    for name in CONTACT_COLUMNS:
        if name not in table.c or not person.contact_ids:
            continue
        for contact_id in sorted(person.contact_ids):
            same = table.c[name] == contact_id
            pseudonym = person.pseudonym(contact_id)
            ledger.execute(update(table).where(same).values({name: pseudonym}))


def _replace_in_texts(ledger: Connection, table: Table, person: Person) -> None:
    """Put hashes in the place of whatever names the person, in every text of a table."""
    keys = list(table.primary_key)
    for column in _texts(table):
        lowered = func.lower(column)
        may_name = or_(*(lowered.contains(needle, autoescape=True) for needle in person.needles))
        rows = ledger.execute(select(*keys, column.label("old_text")).where(may_name)).all()
        for row in rows:
            new = _fitted(column, _without(column, row.old_text, person))
            if new == row.old_text:
                continue
            same = and_(*(key == bindparam(f"key_{key.name}") for key in keys))
            values = {f"key_{key.name}": getattr(row, key.name) for key in keys}
            ledger.execute(update(table).where(same).values({column.name: new}), values)


def _without(column: Column[Any], value: str, person: Person) -> str:
    if person.is_address(value):
        return person.hashes[suppressions.normalized(value)]
    is_free_text = not getattr(column.type, "length", None)
    return person.without(value) if is_free_text else person.without_address(value)


def _fitted(column: Column[Any], value: str) -> str:
    longest = getattr(column.type, "length", None)
    return value[:longest] if longest else value


def _texts(table: Table) -> Iterator[Column[Any]]:
    """The columns of a table in which somebody's address may stand."""
    for column in table.columns:
        is_text = isinstance(column.type, (String, OutsideText))
        if is_text and column.name not in KEYS and not column.name.endswith("_hash"):
            yield column
