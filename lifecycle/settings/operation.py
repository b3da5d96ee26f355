"""Where state is kept, what listens where, and who hears of trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from lifecycle.settings.section import Section, refuse_open_relay


class State(Section):
    """Where the warehouse, the ledger, the outbox and the reports are kept."""

    dir: Path = Field(Path(".lifecycle"), description="a folder")

    @field_validator("dir")
    @classmethod
    def _can_hold_a_ledger(cls, value: Path) -> Path:
        if "?" in str(value):
            raise ValueError(f"{value}: the address of a database cannot hold the sign ?")
        return value


class Ledger(Section):
    """The database of the ledger: what was decided, sent and answered."""

    url: SecretStr = Field(SecretStr(""), description="empty: SQLite in the state folder")


class Backup(Section):
    """The nightly copies of the ledger."""

    dir: str = Field("", description="a folder; empty: backups in the state folder")
    keep: int = Field(14, ge=1, description="number of copies; older ones are removed")


class Web(Section):
    """Where `lifecycle serve` listens. A reverse proxy in front of it ends HTTPS."""

    host: str = Field("127.0.0.1", description="an address of this machine")
    port: int = Field(8025, ge=0, le=65535, description="0 is any free one")


class Serve(Section):
    """Where `lifecycle serve` answers /metrics and /healthz, for machines of the company only."""

    internal_host: str = Field("127.0.0.1", description="an address that the public cannot reach")
    internal_port: int = Field(8026, ge=0, le=65535, description="0 is any free one")


class Status(Section):
    """When `lifecycle status` says that something is late."""

    grace_minutes: float = Field(
        30, ge=0, description="a schedule is overdue this long after its interval ended"
    )
    published_max_age_hours: float = Field(
        30, gt=0, description="age at which the newest published day is too old"
    )
    due_max_minutes: float = Field(60, gt=0, description="age at which a due mail is too late")


class Notify(Section):
    """Who is told of a run that was stopped, failed, or did not start."""

    webhook_url: SecretStr = Field(
        SecretStr(""), description='address that takes POST {"text": …}, as Slack does'
    )
    email: str = Field("", description="address of the person or list that is told")
    smtp_host: str = Field("", description="relay for these mails; empty: the relay of [smtp]")
    smtp_port: int = Field(25, ge=1, le=65535, description="port of that relay")
    smtp_tls: Literal["starttls", "implicit", "none"] = Field(
        "starttls",
        description="its certificate is checked, against smtp.ca_file where given;"
        " none only for a relay on this machine",
    )
    late_start_minutes: int = Field(
        60, ge=1, description="a run that has not started after this many minutes is reported"
    )

    @model_validator(mode="after")
    def _secure(self) -> Self:
        refuse_open_relay(self.smtp_host, self.smtp_tls, "smtp_tls")
        return self
