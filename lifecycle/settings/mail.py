"""How mails leave, and how answers to them come back."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from lifecycle.settings.section import Section, is_loopback, refuse_open_relay


class Delivery(Section):
    """Who carries the mail."""

    provider: Literal["outbox", "smtp", "sendgrid"] = Field(
        "outbox", description="outbox: a folder; smtp: [smtp]; sendgrid: [sendgrid]"
    )
    lease_seconds: int = Field(
        300,
        ge=1,
        description="another machine's unanswered attempt is uncertain after this;"
        " no attempt begins in its second half",
    )
    per_second: float = Field(
        0, ge=0, description="most mails a second of this machine; 0: no limit"
    )
    retry_seconds: float = Field(
        60,
        gt=0,
        description="wait before the second attempt at a refused mail; each later wait is longer",
    )
    give_up_after: int = Field(
        20, ge=0, description="a delivery ends after this many refused mails in a row; 0: never"
    )
    hold_after_hours: float = Field(
        72, gt=0, description="after this, an uncertain mail without evidence waits for a person"
    )


class SendGrid(Section):
    """The account at SendGrid."""

    api_key: SecretStr = Field(
        SecretStr(""), description="only in the environment: LIFECYCLE__SENDGRID__API_KEY"
    )
    base_url: str = Field(
        "https://api.sendgrid.com", description="https://api.eu.sendgrid.com in the EU"
    )
    batch_size: int = Field(1, ge=1, le=1_000, description="mails in one request")
    connect_timeout_seconds: float = Field(
        10, gt=0, description="after this, the mail stays queued"
    )
    read_timeout_seconds: float = Field(30, gt=0, description="after this, the mail is uncertain")
    email_logs: bool = Field(
        False, description="the account has the Email Activity API: it settles uncertain mails"
    )
    ca_file: Path | None = Field(
        None, description="PEM file of trusted authorities; none: the system's"
    )

    @field_validator("base_url")
    @classmethod
    def _secure(cls, value: str) -> str:
        value = value.rstrip("/")
        address = urlsplit(value)
        plain = address.scheme == "http" and is_loopback(address.hostname or "")
        just_host = not (address.username or address.path or address.query or address.fragment)
        if not address.hostname or not just_host or not (address.scheme == "https" or plain):
            raise ValueError("must be https://, a host and perhaps a port")
        return value


class Smtp(Section):
    """The company's own mail relay."""

    host: str = Field("", description="the host name in its certificate")
    port: int = Field(587, ge=1, le=65535, description="465 where TLS is implicit")
    tls: Literal["starttls", "implicit", "none"] = Field(
        "starttls", description="none only for a relay on this machine"
    )
    username: str = Field("", description="empty: no log-in")
    password: SecretStr = Field(
        SecretStr(""), description="only in the environment: LIFECYCLE__SMTP__PASSWORD"
    )
    connections: int = Field(4, ge=1, le=64, description="most connections at the same time")
    timeout_seconds: float = Field(
        30, gt=0, description="most seconds for each answer of the relay"
    )
    ca_file: Path | None = Field(
        None, description="PEM file of trusted authorities; none: the system's"
    )

    @model_validator(mode="after")
    def _secure(self) -> Self:
        refuse_open_relay(self.host, self.tls, "tls")
        return self


class Warmup(Section):
    """How mail to a domain that does not know the sender yet grows; live providers only."""

    start: int = Field(50, ge=0, description="mails to a domain on the first day; 0: no warm-up")
    growth: float = Field(
        2, ge=1, description="each day allows this many times the best day so far"
    )


class Unsubscribe(Section):
    """How a customer unsubscribes: by a mail, or by one click on a link."""

    mailto: str = Field("", description="empty: the company's from_email")
    base_url: str = Field(
        "", description="HTTPS address of `lifecycle serve`; empty: people leave by mail"
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="key that signs the links; older keys follow, separated by spaces",
    )

    @field_validator("base_url")
    @classmethod
    def _public(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme != "https" and not (
            parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
        ):
            raise ValueError(f"{value!r} does not begin with https://")
        if not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError(f"{value!r} is not the beginning of a link: https://host/path")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _signed(self) -> Unsubscribe:
        keys = self.keys
        if self.base_url and not keys:
            raise ValueError(f"base_url needs a secret: {self._MAKE_ONE}")
        if any(len(key) < 32 for key in keys):
            raise ValueError(f"a secret has at least 32 characters: {self._MAKE_ONE}")
        return self

    @property
    def keys(self) -> list[str]:
        """The keys of the links: the first one signs, all of them are known."""
        return self.secret.get_secret_value().split()

    _MAKE_ONE: ClassVar[str] = (
        "LIFECYCLE__UNSUBSCRIBE__SECRET, made with `python -c 'import secrets; "
        "print(secrets.token_hex(32))'`"
    )


class Mailbox(Section):
    """The mailbox into which answers, bounces and unsubscribes come, over IMAP."""

    host: str = Field("", description="the host name in its certificate; empty: nobody reads it")
    port: int = Field(993, ge=1, le=65535, description="143 where TLS begins by STARTTLS")
    tls: Literal["implicit", "starttls", "none"] = Field(
        "implicit", description="none only for a server on this machine"
    )
    username: str = Field("", description="as the IMAP server knows the account")
    password: SecretStr = Field(
        SecretStr(""), description="only in the environment: LIFECYCLE__MAILBOX__PASSWORD"
    )
    oauth2_token: SecretStr = Field(
        SecretStr(""), description="instead of the password: an access token for XOAUTH2"
    )
    address: str = Field("", description="where people write to; empty: the company's from_email")
    subaddress: bool = Field(
        False, description="the mailbox also takes name+anything@…: answers then carry a token"
    )
    folder: str = Field("INBOX", description="the folder that is read")
    handled_folder: str = Field(
        "", description="where handled mails are moved to; empty: they are flagged as read"
    )
    match_days: int = Field(
        30, ge=1, description="an answer without a reference belongs to a mail of so many days"
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="key that signs the tokens of answers; empty: the one of [unsubscribe]",
    )
    timeout_seconds: float = Field(30, gt=0, description="most seconds for each answer")
    ca_file: Path | None = Field(
        None, description="PEM file of trusted authorities; none: the system's"
    )

    @property
    def is_read(self) -> bool:
        """Whether there is a mailbox to read."""
        return bool(self.host)

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if self.tls == "none" and self.host and not is_loopback(self.host):
            raise ValueError(f'tls = "none" would read the mailbox at {self.host} in the open')
        if self.address and not re.fullmatch(r"[^\s@<>\"]+@[^\s@<>\"]+", self.address):
            raise ValueError(f"address {self.address!r} is not an e-mail address")
        return self


class Feedback(Section):
    """Feedback on mails: bounces, complaints, unsubscribes."""

    max_age_hours: float = Field(
        2, gt=0, description="a live provider sends nothing when the feedback is older"
    )
    sendgrid_public_key: str = Field(
        "", description="verifies SendGrid's Event Webhook; empty: there is none"
    )

    @property
    def max_age(self) -> timedelta:
        """`max_age_hours` as a span."""
        return timedelta(hours=self.max_age_hours)
