"""Where data comes from, what its events mean, and what the gate lets through."""

from __future__ import annotations

import codecs
from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from lifecycle.settings.section import Section, known_zone

SourceTable = Literal["accounts", "contacts", "usage_events", "survey_responses"]


class Source(Section):
    """Where CRM and usage data come from."""

    kind: Literal["demo", "files"] = Field("demo", description="demo or files")
    path: str = Field("", description="files: a folder or any fsspec address")
    follow_links: bool = Field(
        False, description="read also what links lead to outside the folder; inside they are read"
    )
    nothing: list[str] = Field(
        ["NULL", "nil", "none", "nan", "n/a", "#n/a", "-", "--", "–", "—", "なし", "無し"],
        description="words that stand for an empty value, in any case or width",
    )
    columns: dict[SourceTable, dict[str, str]] = Field(
        default_factory=dict, description="per table: our column name = the export's column name"
    )
    files: dict[SourceTable, str] = Field(
        default_factory=dict,
        description="per table: its file or folder, where it is not named after the table",
    )

    time_zone: str = Field(
        "", description="IANA name; used for times without a zone; empty: the company's"
    )
    max_columns: int = Field(
        1_000, ge=1, le=5_000, description="most columns, or keys, of a file; more are refused"
    )
    time_zones: dict[SourceTable, str] = Field(
        default_factory=dict, description="per table, where one differs"
    )
    encodings: dict[SourceTable, str] = Field(
        default_factory=dict,
        description="per table: of its CSV files where they are not UTF-8, such as cp932",
    )
    delimiters: dict[SourceTable, str] = Field(
        default_factory=dict,
        description="per table: of its CSV files, where the header does not show it",
    )

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value) if value else value

    @field_validator("time_zones")
    @classmethod
    def _zones(cls, value: dict[SourceTable, str]) -> dict[SourceTable, str]:
        return {table: known_zone(zone) for table, zone in value.items()}

    @field_validator("encodings")
    @classmethod
    def _known_encoding(cls, value: dict[SourceTable, str]) -> dict[SourceTable, str]:
        for table, encoding in value.items():
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError(f"{table}: {encoding!r} is no encoding; cp932, utf-16") from None
        return value

    @field_validator("delimiters")
    @classmethod
    def _one_sign(cls, value: dict[SourceTable, str]) -> dict[SourceTable, str]:
        for table, delimiter in value.items():
            if len(delimiter) != 1:
                raise ValueError(f"{table}: {delimiter!r} is not one sign")
        return value

    @property
    def is_synthetic(self) -> bool:
        """Whether its customers are invented, and its clock stands."""
        return self.kind == "demo"


class MoreSource(Section):
    """A system besides `[source]` that brings events and answers. Its ids count within it: they
    are kept as `<name>/<id>`."""

    kind: Literal["files"] = Field("files", description="files")
    path: str = Field(description="a folder or any fsspec address")
    follow_links: bool = Field(
        False, description="read also what links lead to outside the folder; inside they are read"
    )
    columns: dict[SourceTable, dict[str, str]] = Field(
        default_factory=dict, description="per table: our column name = the export's column name"
    )
    files: dict[SourceTable, str] = Field(
        default_factory=dict,
        description="per table: its file or folder, where it is not named after the table",
    )
    max_columns: int = Field(
        1_000, ge=1, le=5_000, description="most columns, or keys, of a file; more are refused"
    )
    time_zone: str = Field("", description="IANA; of times without a zone; empty: the company's")

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value) if value else value


class Events(Section):
    """Which event names mean what. `*` stands for any run of characters."""

    activity: list[str] = Field(["*"], description="events that show use of the product")
    core: list[str] = Field([], description="events that show use of its core feature")
    outcome: list[str] = Field(
        ["report_shared"], description="events that show the outcome that the product is bought for"
    )
    support: list[str] = Field(
        [], description="events that show a support request; empty: not known"
    )


class Feed(Section):
    """When the usage feed counts as late."""

    max_age_hours: float = Field(
        36, gt=0, description="hours on business days since the newest event"
    )
    min_volume_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="least share of the same weekday's median in the last eight weeks",
    )
    normal_since: dict[str, date] = Field(
        default_factory=dict,
        description="where a smaller volume is normal: `all`, or a part such as `segment smb`, and"
        " the day from which on the usual is taken",
    )
    min_part_events: int = Field(
        40, ge=1, description="a day, usually: a smaller part of the feed is not judged alone"
    )
    group_accounts: int = Field(
        20, ge=2, description="whose activity ends on one day: at least so many tell of the feed"
    )
    group_share: float = Field(
        0.1, gt=0, le=1, description="of the accounts of their segment or country"
    )


class Gate(Section):
    """How many rows and values may be rejected before a run stops."""

    max_rejected_share: float = Field(
        0.01, ge=0, le=1, description="of a table's rows; five rows never stop a run"
    )
    max_rejected_cells_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="optional values that cannot be used, of a table's rows; five never stop a run",
    )
