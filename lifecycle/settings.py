"""What differs between companies: the only reader of `lifecycle.toml` and the environment.

Every key can also be given as `LIFECYCLE__SECTION__KEY`; secrets only there.
A relative path in the file is relative to the file, one in the environment to the
working directory.
"""

from __future__ import annotations

import codecs
import json
import os
import tomllib
from collections.abc import Mapping
from datetime import date, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import pycountry
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lifecycle import consent
from lifecycle.errors import SettingsError, did_you_mean

FILE_NAME = "lifecycle.toml"
ENV_PREFIX = "LIFECYCLE__"
FILE_KEY = "_file"
"""How `load` hands the file's values to the source that ranks below the environment."""

CHECKOUT = Path(__file__).resolve().parent.parent
"""Where the project's own folders lie when the company's folder has none of its own."""

SourceTable = Literal["accounts", "contacts", "usage_events", "survey_responses"]


class Section(BaseModel):
    """A section of the file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Company(Section):
    """Who the mail is from: printed in every mail."""

    name: str = Field(min_length=1, description="the name that customers know")
    from_email: str = Field(description="the sender's address")
    postal_address: str = Field(
        min_length=1, description="the postal address on one line; the law asks for it in each mail"
    )
    contact: str = Field(min_length=1, description="how a customer reaches a person")
    country: str = Field("JP", description="ISO 3166 code; its public holidays are the company's")
    time_zone: str = Field(
        "Asia/Tokyo", description="IANA name; used for accounts without a time zone"
    )
    locale: str = Field("ja", description="used for people and accounts without a locale")

    @field_validator("from_email")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            return validate_email(
                value, check_deliverability=False, test_environment=True
            ).normalized
        except EmailNotValidError as error:
            raise ValueError(f"{value!r} is not an e-mail address: {error}") from None

    @field_validator("country")
    @classmethod
    def _country(cls, value: str) -> str:
        if pycountry.countries.get(alpha_2=value) is None:
            raise ValueError(f"{value!r} is not an ISO 3166 country code such as JP or GB")
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return _known_zone(value)


def _known_zone(value: str) -> str:
    zones = available_timezones()
    if value not in zones:
        raise ValueError(
            f"unknown time zone {value!r}; {did_you_mean(value, zones) or 'use an IANA name'}"
        )
    return value


class State(Section):
    """Where the warehouse, the ledger, the outbox and the reports are kept."""

    dir: Path = Field(Path(".lifecycle"), description="a folder")


class Ledger(Section):
    """The database of the ledger: what was decided, sent and answered."""

    url: SecretStr = Field(SecretStr(""), description="empty: SQLite in the state folder")


class Backup(Section):
    """The nightly copies of the ledger."""

    dir: str = Field("", description="a folder; empty: backups in the state folder")
    keep: int = Field(14, ge=1, description="number of copies; older ones are removed")


class Source(Section):
    """Where CRM and usage data come from."""

    kind: Literal["demo", "files"] = Field("demo", description="demo or files")
    path: str = Field("", description="files: a folder or any fsspec address")
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
        return _known_zone(value) if value else value

    @field_validator("time_zones")
    @classmethod
    def _zones(cls, value: dict[SourceTable, str]) -> dict[SourceTable, str]:
        return {table: _known_zone(zone) for table, zone in value.items()}

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
    columns: dict[SourceTable, dict[str, str]] = Field(
        default_factory=dict, description="per table: our column name = the export's column name"
    )
    files: dict[SourceTable, str] = Field(
        default_factory=dict,
        description="per table: its file or folder, where it is not named after the table",
    )
    time_zone: str = Field("", description="IANA; of times without a zone; empty: the company's")

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return _known_zone(value) if value else value


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


class Consent(Section):
    """Which words of `consent_basis` are a consent; every other one is none."""

    bases: list[str] = Field(
        list(consent.BASES), description="compared without case, full width, blanks and signs"
    )

    @field_validator("bases")
    @classmethod
    def _no_refusal(cls, value: list[str]) -> list[str]:
        if wrong := [word for word in value if consent.never_counts(word)]:
            raise ValueError(f"{', '.join(map(repr, wrong))} can be no consent: it says no")
        return value


class Stages(Section):
    """Thresholds of the lifecycle stages."""

    renewal_days: int = Field(
        90, ge=0, description="the renewal stage begins this many days before the renewal"
    )
    onboarding_months: int = Field(
        2, ge=1, description="months from go-live in which the first outcome is expected"
    )
    onboarding_at_risk_day: int = Field(45, ge=1, description="after go-live")
    mature_from_step: int = Field(
        3, ge=1, le=4, description="the step of the usage ladder from which an account is mature"
    )


class Dormancy(Section):
    """Limits of an account's silence before it is dormant."""

    min_days: int = Field(7, ge=1, description="no account is dormant after fewer silent days")
    max_days: int = Field(
        90, ge=1, description="every account is dormant after this many silent days"
    )
    min_working_days: int = Field(
        5,
        ge=0,
        le=60,
        description="no account is dormant before this many working days without activity",
    )
    alarms_a_year: float = Field(
        0.5, gt=0, description="false alarms an account may raise; `lifecycle fit-scores`"
    )
    factor: float = Field(
        2.0,
        gt=0,
        description="the limit is this many usual gaps, until the first `lifecycle fit-scores`",
    )
    never_logged_in_days: int = Field(7, ge=1, description="after go-live")


class Health(Section):
    """Bands of usage health and satisfaction."""

    green_from: float = Field(70, ge=0, le=100, description="points of 100")
    yellow_from: float = Field(40, ge=0, le=100, description="points of 100; below is red")
    smoothing: float = Field(
        0.25, gt=0, le=1, description="share of today's score in the smoothed score"
    )
    hysteresis: float = Field(
        5, ge=0, le=50, description="points beyond a bound before the band changes"
    )
    survey_stale_days: int = Field(
        180, ge=1, description="an answer does not count after this many days"
    )
    upsell_satisfaction: float = Field(70, ge=0, le=100, description="least satisfaction score")
    upsell_seats_share: float = Field(0.8, ge=0, description="least share of the seats in use")


class AbsentFor(Section):
    """So many runs that the gate let through, and so many calendar days."""

    runs: int = Field(3, ge=1, description="in a row")
    days: int = Field(3, ge=0, description="since the first of them")


class Plan(Section):
    """How far ahead a run plans, and how mails spread."""

    same_step_again_after: str = Field(
        "30d",
        pattern=r"^\d{1,4} ?d$",
        description="that a step reached a person, it may reach them through another account;"
        " 0d: at once",
    )
    absent_for: AbsentFor = Field(
        default_factory=lambda: AbsentFor(),
        description="how long an account or a reader may be missing in the CRM, or lack the role"
        " or the consent, before that ends its sequence; nothing is mailed meanwhile",
    )
    delivery_every_minutes: float = Field(
        10, ge=0, description="between two deliveries, as prefect.yaml schedules them"
    )
    ahead_hours: float = Field(
        24, gt=0, description="mails due before the next run are planned by this one"
    )
    spread_minutes: float = Field(
        30,
        ge=0,
        description="after a send window opens, in which the mails that waited for it leave;"
        " 0: all at once",
    )

    @property
    def same_step_again_days(self) -> int:
        """The days of `same_step_again_after`."""
        return int(self.same_step_again_after.rstrip("d "))


class Guard(Section):
    """How many people a run may reach, or lose, before a person has to approve it."""

    people: int = Field(
        1_000, ge=0, description="most distinct addresses that a run's new mails may go to"
    )
    share: float = Field(
        0.5, gt=0, le=1, description="most of the people who may be mailed; 1 allows all of them"
    )
    share_never_below: int = Field(
        20, ge=0, description="`share` never stops a run that mails at most this many people"
    )
    times: float = Field(
        3, gt=0, description="the busiest of the last 28 days with a run, once there are 28"
    )
    never_below: int = Field(
        50, ge=0, description="`times` never stops a run that mails at most this many people"
    )
    loss_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="of the open sequences, or of the people due, that one reason may end at once",
    )
    loss_never_below: int = Field(20, ge=1, description="losses that `loss_share` never forbids")
    wait_hours: float = Field(
        6,
        ge=0,
        description="hours that a run in Prefect waits for an answer in its form;"
        " `lifecycle approve` has longer",
    )


class Effect(Section):
    """The effect of mails: mailed accounts against held-out accounts."""

    worth_seeing_points: float = Field(
        10,
        gt=0,
        le=100,
        description="the smallest difference that matters, in goals per 100 accounts",
    )


class Owners(Section):
    """The morning list of each account owner: what is new on their accounts."""

    morning_list: bool = Field(True, description="send it on the company's business days")
    hour: int = Field(8, ge=0, le=23, description="the earliest hour, in the company's time zone")
    locales: dict[str, str] = Field(
        default_factory=dict,
        description="address = language; else the one that most of the owner's accounts speak",
    )


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
        _refuse_open_relay(self.host, self.tls, "tls")
        return self


def _refuse_open_relay(host: str, tls: str, key: str) -> None:
    if tls == "none" and host and not is_loopback(host):
        raise ValueError(f'{key} = "none" would send mails to {host} in the open')


def is_loopback(host: str) -> bool:
    """Whether what goes there stays on this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


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


class Privacy(Section):
    """What is kept of people who were erased."""

    erasure_key: SecretStr = Field(
        SecretStr(""), description="key of the hashes that keep them suppressed; it never changes"
    )


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
        _refuse_open_relay(self.smtp_host, self.smtp_tls, "smtp_tls")
        return self


class _TomlSource(PydanticBaseSettingsSource):
    """The file, its paths made absolute against its own folder."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


class Settings(BaseSettings):
    """The settings of one company, read once by the command or the flow."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        validate_default=True,
    )

    root: Path = Field(exclude=True, description="the folder that lifecycle.toml lies in")
    company: Company
    state: State = State()
    ledger: Ledger = Ledger()
    backup: Backup = Backup()
    source: Source = Source()
    sources: dict[str, MoreSource] = Field(default_factory=dict)
    events: Events = Events()
    feed: Feed = Feed()
    gate: Gate = Gate()
    consent: Consent = Consent()
    stages: Stages = Stages()
    dormancy: Dormancy = Dormancy()
    health: Health = Health()
    plan: Plan = Plan()
    guard: Guard = Guard()
    effect: Effect = Effect()
    owners: Owners = Owners()
    delivery: Delivery = Delivery()
    sendgrid: SendGrid = SendGrid()
    smtp: Smtp = Smtp()
    warmup: Warmup = Warmup()
    unsubscribe: Unsubscribe = Unsubscribe()
    feedback: Feedback = Feedback()
    privacy: Privacy = Privacy()
    web: Web = Web()
    serve: Serve = Serve()
    status: Status = Status()
    notify: Notify = Notify()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file_values = cast(Any, init_settings).init_kwargs.pop(FILE_KEY, {})
        return (init_settings, env_settings, _TomlSource(settings_cls, file_values))

    # Where things lie. ------------------------------------------------------------------

    @property
    def state_dir(self) -> Path:
        """The state folder, absolute."""
        return self.state.dir.absolute()

    @property
    def work_db(self) -> Path:
        """The DuckDB file a run builds in."""
        return self.state_dir / "work.duckdb"

    @property
    def published_db(self) -> Path:
        """The DuckDB file with the last marts that passed both gates."""
        return self.state_dir / "published.duckdb"

    @property
    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy address."""
        return self.ledger.url.get_secret_value() or f"sqlite:///{self.state_dir / 'ledger.db'}"

    @property
    def backups_dir(self) -> Path:
        """Where the nightly copies of the ledger are kept."""
        return Path(self.backup.dir).absolute() if self.backup.dir else self.state_dir / "backups"

    @property
    def erased_file(self) -> Path:
        """The hashes of people who were erased, one a line; kept beside the ledger."""
        return self.state_dir / "erased.txt"

    @property
    def outbox_dir(self) -> Path:
        """Where the outbox provider writes one `.eml` a mail."""
        return self.state_dir / "outbox"

    @property
    def reports_dir(self) -> Path:
        """Where each run leaves its report and Great Expectations its Data Docs."""
        return self.state_dir / "reports"

    def folder(self, name: Literal["triggers", "email_templates", "expectations"]) -> Path:
        """A folder of the company, or the checkout's where the company has none of its own."""
        own = self.root / name
        return own if own.is_dir() else CHECKOUT / name


def file_of(config: str | Path | None = None) -> Path:
    """The lifecycle.toml that `load` reads, absolute."""
    return Path(config or os.environ.get("LIFECYCLE_CONFIG") or FILE_NAME).absolute()


def load(config: str | Path | None = None, **override: Any) -> Settings:
    """Read `lifecycle.toml` and the environment.

    `config` is the file, or None for the one in the working directory. `override` sets
    whole sections (`source={"kind": "demo"}`), merged over what file and environment say.
    Raises SettingsError with the key, what is wrong with it, and the nearest known key.
    """
    path = file_of(config)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; name it with --config FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    _refuse_unknown_sections(path, values)
    _resolve_paths(values, path.parent)
    try:
        given: dict[str, Any] = {"root": path.parent, FILE_KEY: values, **override}
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_explain(path, error)) from None
    except ValueError as error:  # a list or table in the environment that is not JSON
        raise SettingsError(f"environment: {error}") from None


def _resolve_paths(values: dict[str, Any], base: Path) -> None:
    state = values.get("state")
    if not isinstance(state, dict) or "dir" not in state:
        values.setdefault("state", {})
        if isinstance(values["state"], dict):
            values["state"]["dir"] = str(base / str(State.model_fields["dir"].default))
    elif isinstance(state["dir"], str):
        state["dir"] = str(base / state["dir"])
    source = values.get("source")
    path = source.get("path") if isinstance(source, dict) else None
    if isinstance(source, dict) and isinstance(path, str) and path and "://" not in path:
        source["path"] = str(base / path)
    more = values.get("sources")
    for extra in more.values() if isinstance(more, dict) else ():
        path = extra.get("path") if isinstance(extra, dict) else None
        if isinstance(path, str) and path and "://" not in path:
            extra["path"] = str(base / path)
    backup = values.get("backup")
    if isinstance(backup, dict) and isinstance(backup.get("dir"), str) and backup["dir"]:
        backup["dir"] = str(base / backup["dir"])
    for section in (values.get("sendgrid"), values.get("smtp")):
        if isinstance(section, dict) and isinstance(section.get("ca_file"), str):
            section["ca_file"] = str(base / section["ca_file"])


def _refuse_unknown_sections(path: Path, values: Mapping[str, Any]) -> None:
    sections = set(Settings.model_fields) - {"root"}
    for name in values:
        if name not in sections:
            hint = did_you_mean(name, sections) or f"sections are {', '.join(sorted(sections))}"
            raise SettingsError(f"{path}: unknown section [{name}]; {hint}")
    for variable in os.environ:
        if variable.upper().startswith(ENV_PREFIX):
            name = variable[len(ENV_PREFIX) :].split("__")[0].lower()
            if name not in sections:
                hint = did_you_mean(name, sections)
                raise SettingsError(f"environment: {variable}: no section [{name}]; {hint}")


def _explain(path: Path, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        what = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            section = item["loc"][0] if item["loc"] else ""
            known = Settings.model_fields[str(section)].annotation if section else None
            fields = getattr(known, "model_fields", {})
            what = f"unknown key; {did_you_mean(str(item['loc'][-1]), fields)}".rstrip("; ")
        elif item["type"] == "missing":
            what = "is required"
        elif item["type"] == "literal_error":
            hint = did_you_mean(str(item["input"]), _choices(item.get("ctx", {})))
            what = f"{what}, not {item['input']!r}" + (f"; {hint}" if hint else "")
        lines.append(f"{path}: {where}: {what}")
    return "\n".join(lines)


def _choices(context: Mapping[str, Any]) -> list[str]:
    return [part.strip(" '") for part in str(context.get("expected", "")).split(" or ")]


def fingerprint(settings: Settings) -> str:
    """The settings as one line of JSON without secrets, for the record of a run."""
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)
