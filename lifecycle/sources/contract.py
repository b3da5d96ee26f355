"""What a company hands over: four tables, their columns, and what each value must be.

Everything that reads, checks, generates or loads source data derives from `TABLES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lifecycle.settings import SourceTable


class Kind(StrEnum):
    """What a value must be. The text completes "…; expected"."""

    TEXT = "text"
    TIME = "an ISO 8601 time such as 2026-06-10T09:00:00+09:00 (without a zone: the source's)"
    NUMBER = "a number such as 1200.50"
    COUNT = "a whole number, 0 or more"
    SCORE = "a number from 0 to 10"
    ADDRESS = "one e-mail address"
    ZONE = "an IANA time zone such as Asia/Tokyo"
    LOCALE = "a language tag such as ja or en-GB"
    TOUCH = "high, low or tech"
    LEFT_AT = "the time at which they left, or yes or no"
    HAS_LEFT = "yes or no, whether they left"
    YES_NO = "yes or no"
    WORDS = "words that a mail may print"
    COMPANY = "the name of a company"
    PERSON = "the name of a person"

    @property
    def sql_type(self) -> str:
        """Its column type in the warehouse. A TIMESTAMP holds UTC."""
        return {
            Kind.TIME: "TIMESTAMP",
            Kind.LEFT_AT: "TIMESTAMP",
            Kind.HAS_LEFT: "BOOLEAN",
            Kind.YES_NO: "BOOLEAN",
            Kind.NUMBER: "DOUBLE",
            Kind.SCORE: "DOUBLE",
            Kind.COUNT: "BIGINT",
        }.get(self, "VARCHAR")


@dataclass(frozen=True)
class Column:
    """One column of a table that a company hands over."""

    name: str
    kind: Kind = Kind.TEXT
    required: bool = False
    is_day: bool = False
    """Whether a bare date is that day on the account's own calendar."""


@dataclass(frozen=True)
class Table:
    """One table that a company hands over; its first column is its key."""

    name: SourceTable
    columns: tuple[Column, ...]
    is_snapshot: bool
    """True: every delivery is the whole table. False: it only grows."""
    is_optional: bool = False
    happened_at: str = ""
    """The column that must not lie after the clock of the load."""

    @property
    def key(self) -> str:
        """The column that tells its rows apart."""
        return self.columns[0].name

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of its columns, in the order of the contract."""
        return tuple(column.name for column in self.columns)

    @property
    def belongs_to_account(self) -> bool:
        """Whether its rows hang on an account of another table."""
        return self.name != "accounts"


def _required(name: str, kind: Kind = Kind.TEXT) -> Column:
    return Column(name, kind, required=True)


TABLES: dict[SourceTable, Table] = {
    table.name: table
    for table in (
        Table(
            "accounts",
            (
                _required("account_id"),
                _required("name", Kind.COMPANY),
                _required("created_at", Kind.TIME),
                Column("went_live_at", Kind.TIME, is_day=True),
                Column("segment"),
                Column("plan"),
                Column("mrr", Kind.NUMBER),
                Column("seats", Kind.COUNT),
                Column("touch_model", Kind.TOUCH),
                Column("country"),
                Column("time_zone", Kind.ZONE),
                Column("locale", Kind.LOCALE),
                Column("owner_name", Kind.PERSON),
                Column("owner_email", Kind.ADDRESS),
                Column("purpose", Kind.WORDS),
                Column("background", Kind.WORDS),
                Column("renewal_at", Kind.TIME, is_day=True),
                Column("churned_at", Kind.LEFT_AT, is_day=True),
                Column("is_churned", Kind.HAS_LEFT),
                Column("has_usage_feed", Kind.YES_NO),
            ),
            is_snapshot=True,
        ),
        Table(
            "contacts",
            (
                _required("contact_id"),
                _required("account_id"),
                _required("email", Kind.ADDRESS),
                Column("name", Kind.PERSON),
                Column("role"),
                Column("locale", Kind.LOCALE),
                Column("consent_basis"),
                Column("consented_at", Kind.TIME, is_day=True),
                Column("unsubscribed_at", Kind.LEFT_AT, is_day=True),
                Column("is_unsubscribed", Kind.HAS_LEFT),
            ),
            is_snapshot=True,
        ),
        Table(
            "usage_events",
            (
                _required("event_id"),
                _required("account_id"),
                _required("occurred_at", Kind.TIME),
                _required("event_name"),
                Column("user_id"),
                Column("feature"),
            ),
            is_snapshot=False,
            happened_at="occurred_at",
        ),
        Table(
            "survey_responses",
            (
                _required("response_id"),
                _required("account_id"),
                _required("responded_at", Kind.TIME),
                _required("score", Kind.SCORE),
                Column("contact_id"),
                Column("feature"),
                Column("comment"),
            ),
            is_snapshot=False,
            is_optional=True,
            happened_at="responded_at",
        ),
    )
}

LOADED_AT = "_loaded_at"
"""The clock of the load that brought a row, in every table above."""

FILE = "_file"
"""The file that brought a row, in growing tables: its name as messages show it."""

REJECTED_ROWS = {
    "table_name": "VARCHAR",
    "file": "VARCHAR",
    "row_number": "BIGINT",
    "column_name": "VARCHAR",
    "value": "VARCHAR",
    "reason": "VARCHAR",
    "record": "VARCHAR",
    "key": "VARCHAR",
    "loaded_at": "TIMESTAMP",
}
"""One row per rejected row. `row_number` counts the records of the file from 1, the header
and blank lines left out. `column_name` is null where the line as a whole cannot be read.
`record` is the row as JSON, under our column names. `loaded_at` is when it was first rejected.
"""

REJECTED_CELLS = {
    "table_name": "VARCHAR",
    "file": "VARCHAR",
    "row_number": "BIGINT",
    "column_name": "VARCHAR",
    "value": "VARCHAR",
    "reason": "VARCHAR",
    "key": "VARCHAR",
    "loaded_at": "TIMESTAMP",
}
"""One row per value that cannot be used in a row that can: it is empty there, but an unreadable
departure counts as one. `key` is the row's own key."""

DEPARTURES = {
    "address": "VARCHAR",
    "left_at": "TIMESTAMP",
    "file": "VARCHAR",
    "row_number": "BIGINT",
    "column_name": "VARCHAR",
    "value": "VARCHAR",
    "seen_at": "TIMESTAMP",
}
"""One row per address (normalised) that any row of the newest delivery of contacts shows as having
left, and that did not consent after it. `left_at` is null where no readable time says when."""

KNOWN_ACCOUNTS = {"account_id": "VARCHAR", "first_loaded_at": "TIMESTAMP"}
"""One row per account that any delivery ever held."""

LOADED_FILES = {
    "table_name": "VARCHAR",
    "file": "VARCHAR",
    "fingerprint": "VARCHAR",
    "usable_rows": "BIGINT",
    "loaded_at": "TIMESTAMP",
}
"""One row per file of a growing table that need not be read again."""

DELIVERED_COLUMNS = {"table_name": "VARCHAR", "file": "VARCHAR", "column_name": "VARCHAR"}
"""One row per column that a file of the last delivery has, under the name that we keep it by."""

REPEATED_IDS = {
    "table_name": "VARCHAR",
    "stream": "VARCHAR",
    "repeats": "BIGINT",
    "other_content": "BIGINT",
    "examples": "VARCHAR",
    "loaded_at": "TIMESTAMP",
}
"""One row per load and stream of files of a growing table in which ids came that were there before:
how many, how many of these with another required value than before, and a few of their ids."""
