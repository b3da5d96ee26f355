"""Who left, by the word of any row of a delivery of contacts: good, rejected or repeated.

A departure is kept by address in `raw.departures` (the newest delivery's) and, for good, in the
ledger. It ends by a consent that a later day of the same address brings. A departure without a
readable time counts from the day on which it was seen first, and no consent ends it while the CRM
goes on saying so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from lifecycle.consent import ConsentWords
from lifecycle.duckdb_connection import connect
from lifecycle.ledger import leaving
from lifecycle.ledger.departures import Departure
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings
from lifecycle.sources import words
from lifecycle.sources.contract import DEPARTURES
from lifecycle.sources.reading import BrokenLine, Field, Incoming, literal

LEAVING = ("unsubscribed_at", "is_unsubscribed")
"""The columns of contacts that say so."""

_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'=|]+@[^\s<>()\[\],;:\"'=|@]+\.[^\s<>()\[\],;:\"'=|@.]+")


def prepare(db: duckdb.DuckDBPyConnection) -> None:
    """Make the scratch table `departed`: one row per row that shows somebody as having left."""
    db.execute(
        """CREATE TABLE departed (address VARCHAR, given VARCHAR, contact_id VARCHAR,
                                  left_at TIMESTAMP, column_name VARCHAR, value VARCHAR,
                                  file VARCHAR, row_number BIGINT)"""
    )


def collect(db: duckdb.DuckDBPyConnection, judged: str, columns: Sequence[str]) -> None:
    """Add the rows of `judged` (usable or not) that show somebody as having left."""
    shown = [column for column in LEAVING if column in columns]
    if not shown:
        return
    # A column of yes and no says that they have left now, whenever that was.
    shown.sort(reverse=True, key=lambda name: name == "is_unsubscribed")
    column = " ".join(f"WHEN t_{name} IS NOT NULL THEN {literal(name)}" for name in shown)
    left_at = "v_unsubscribed_at" if "unsubscribed_at" in shown else "NULL"
    if "is_unsubscribed" in shown:
        left_at = f"CASE WHEN t_is_unsubscribed IS NULL THEN {left_at} END"
    values = ", ".join(f"t_{name}" for name in shown)
    db.execute(
        f"""INSERT INTO departed BY NAME
            SELECT lower(trim(v_email)) AS address, t_email AS given, t_contact_id AS contact_id,
                {left_at} AS left_at, CASE {column} END AS column_name,
                coalesce({values}) AS value, _file AS file, _row AS row_number
            FROM {judged} WHERE coalesce({values}) IS NOT NULL"""
    )


def collect_broken(
    db: duckdb.DuckDBPyConnection,
    file: str,
    lines: Sequence[BrokenLine],
    incoming: Incoming,
    fields: Mapping[str, Field],
) -> None:
    """Add the lines that cannot be taken apart, as far as an address and a departure show."""
    headers = [field.header for field in incoming.fields if not field.is_folder]
    places = {
        name: headers.index(fields[name].header)
        for name in LEAVING
        if name in fields and fields[name].header in headers
    }
    for line in lines:
        for name, place in places.items():
            cell = _cell(line, place, len(headers), headers[place])
            if cell is None or not _says_left(cell):
                continue
            for address in _ADDRESS.findall(line.text):
                db.execute(
                    "INSERT INTO departed VALUES ($1, NULL, NULL, NULL, $2, $3, $4, $5)",
                    [address.lower(), name, cell, file, line.row],
                )


def _cell(line: BrokenLine, place: int, width: int, header: str) -> str | None:
    """What a broken line says in a column: an extra delimiter stood before it, or after it."""
    if line.cells:
        cells = list(line.cells)
        while len(cells) > width and not cells[-1].strip():
            cells.pop()
        at = place + max(len(cells) - width, 0)
        return cells[at] if at < len(cells) else None
    match = re.search(rf'"{re.escape(header)}"\s*:\s*("([^"]*)"?|[^,}}\s]+)', line.text)
    return None if match is None else match[1].strip('"')


def _says_left(value: str) -> bool:
    plain = words.normalised(value)
    return bool(plain) and plain not in {words.normalised(word) for word in (*words.NO, "null")}


def gather(
    db: duckdb.DuckDBPyConnection, settings: Settings, loaded_at: datetime
) -> list[Departure]:
    """Make the scratch table `departures` as `raw.departures` will be, and return its rows.

    An address is made out from what stands in the row, else from the contact as it was known.
    """
    unclear = db.execute(
        "SELECT rowid, given FROM departed WHERE address IS NULL AND given IS NOT NULL"
    ).fetchall()
    for row, given in unclear:
        for address in _ADDRESS.findall(given):
            db.execute(
                f"""INSERT INTO departed SELECT * REPLACE ($1 AS address) FROM departed
                    WHERE rowid = {row}""",
                [address.lower()],
            )
    db.execute(
        """INSERT INTO departed BY NAME
           SELECT d.* REPLACE (lower(trim(b.email)) AS address)
           FROM departed d JOIN people_before b USING (contact_id)
           WHERE d.address IS NULL AND d.given IS NULL AND b.email IS NOT NULL"""
    )
    clock = loaded_at.astimezone(UTC).replace(tzinfo=None)
    consented_on = company_day("consented_at", settings)
    db.execute(
        f"""CREATE TABLE departures AS
            WITH consents AS ({consents(db, "good_contacts", settings, clock)}),
            newest AS (
                SELECT address, left_at, file, row_number, column_name, left(value, 200) AS value
                FROM departed WHERE address IS NOT NULL
                QUALIFY row_number() OVER (PARTITION BY address
                    ORDER BY left_at DESC NULLS FIRST, file, row_number) = 1
            )
            SELECT {", ".join(DEPARTURES)}
            FROM newest LEFT JOIN consents USING (address)
            CROSS JOIN (SELECT TIMESTAMP {literal(str(clock))} AS seen_at)
            WHERE NOT coalesce({consented_on} > {company_day("left_at", settings)}, false)"""
    )
    rows = db.execute(f"SELECT {', '.join(DEPARTURES)} FROM departures ORDER BY address")
    return [departure(row) for row in rows.fetchall()]


def departure(row: Sequence[Any]) -> Departure:
    """A row of `DEPARTURES`, whose times are naive UTC."""
    address, left_at, file, row_number, column, value, seen_at = row
    return Departure(
        address=address,
        left_at=left_at and left_at.replace(tzinfo=UTC),
        seen_at=seen_at.replace(tzinfo=UTC),
        file=file,
        row_number=row_number,
        column_name=column,
        value=value,
    )


def consents(
    db: duckdb.DuckDBPyConnection, contacts: str, settings: Settings, clock: datetime
) -> str:
    """SQL: the newest consent of each address; one of the future is none."""
    words_of = db.execute(
        f"SELECT DISTINCT consent_basis FROM {contacts} WHERE consented_at IS NOT NULL"
    ).fetchall()
    consent = ConsentWords(settings.consent.bases)
    bases = ", ".join(literal(basis) for (basis,) in words_of if consent.count(basis))
    return (
        "SELECT lower(trim(email)) AS address, max(consented_at) AS consented_at"
        f" FROM {contacts} WHERE consent_basis IN ({bases or 'NULL'})"
        f" AND consented_at <= TIMESTAMP {literal(str(clock))} GROUP BY ALL"
    )


def company_day(moment: str, settings: Settings) -> str:
    """SQL: the company's day of a naive UTC moment."""
    zone = literal(settings.company.time_zone)
    return f"CAST(timezone({zone}, timezone('UTC', {moment})) AS DATE)"


def settle(settings: Settings, ledger: Ledger, *, run_id: str, loaded_at: datetime) -> None:
    """Make the departures of a delivery that passed both gates permanent, and lift those that a
    later consent of the delivery ends.

    Reads `raw` of the warehouse. Safe to repeat.
    """
    clock = loaded_at.astimezone(UTC).replace(tzinfo=None)
    consented_on = company_day("consented_at", settings)
    known = leaving.known(ledger)
    ended: dict[str, datetime] = {}
    forgotten: list[str] = []
    if known:
        addresses, since, is_lifted = (list(values) for values in zip(*known, strict=True))
        batch = pa.table({"address": addresses, "since": since, "is_lifted": is_lifted})
        with connect(str(settings.work_db)) as work:
            work.register("known", batch)
            revived = work.execute(
                f"""WITH consents AS ({consents(work, "raw.contacts", settings, clock)})
                    SELECT address, is_lifted, consented_at
                    FROM known ANTI JOIN raw.departures USING (address)
                    LEFT JOIN consents USING (address)
                    WHERE is_lifted OR {consented_on} > {company_day("since", settings)}
                    ORDER BY address"""
            ).fetchall()
            work.unregister("known")
        forgotten = [address for address, is_lifted, _ in revived if is_lifted]
        ended = {
            address: consented_at.replace(tzinfo=UTC)
            for address, is_lifted, consented_at in revived
            if not is_lifted
        }
    leaving.settle(ledger, run_id=run_id, ended=ended, forgotten=forgotten, now=datetime.now(UTC))
