"""What `lifecycle.toml` and the environment say, as one object.

A relative path in the file is relative to the file, one in the environment to the working
directory.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lifecycle.errors import SettingsError, did_you_mean
from lifecycle.masking import has_credential, hide_secrets, know_environment, know_secret
from lifecycle.settings.company import Company, Consent, Owners, Privacy
from lifecycle.settings.health import Dormancy, Effect, Health, Stages
from lifecycle.settings.mail import Delivery, Feedback, Mailbox, SendGrid, Smtp, Unsubscribe, Warmup
from lifecycle.settings.operation import Backup, Ledger, Notify, Serve, State, Status, Web
from lifecycle.settings.plan import Guard, Plan
from lifecycle.settings.sources import Events, Feed, Gate, MoreSource, Source

FILE_NAME = "lifecycle.toml"

ENV_PREFIX = "LIFECYCLE__"

FILE_KEY = "_file"
"""How `load` hands the file's values to the source that ranks below the environment."""

CHECKOUT = Path(__file__).resolve().parents[2]
"""Where the project's own folders lie when the company's folder has none of its own."""


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
    mailbox: Mailbox = Mailbox()
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
    def hears_answers(self) -> bool:
        """Whether anybody would hear a person who unsubscribes: by the mailbox, or by a link."""
        return self.mailbox.is_read or bool(self.unsubscribe.base_url)

    @property
    def answer_address(self) -> str:
        """Where people write to."""
        return self.mailbox.address or self.company.from_email

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
    know_environment()
    _refuse_unknown_sections(path, values)
    _refuse_secrets(path, values)
    _resolve_paths(values, path.parent)
    try:
        given: dict[str, Any] = {"root": path.parent, FILE_KEY: values, **override}
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(_explain(path, error)) from None
    except ValueError as error:  # a list or table in the environment that is not JSON
        raise SettingsError(f"environment: {error}") from None
    for secret in _secrets(settings):
        know_secret(secret)
    return settings


def _secrets(section: BaseModel) -> Iterator[str]:
    """The secrets of the settings; of an address only what is its credential."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr):
            secret = value.get_secret_value()
            if "://" not in secret:
                yield secret
                continue
            parts = urlsplit(secret)
            yield from (text for text in (parts.password,) if text)
            # A path may be the secret, as a chat's; SQLite's is a file.
            if parts.scheme in ("http", "https") and len(parts.path) > len("/"):
                yield parts.path.strip("/")


def _refuse_secrets(path: Path, values: Mapping[str, Any]) -> None:
    """Raise SettingsError for a secret in the file, which everybody reads who reads the code."""
    for section_name, section in values.items():
        if not isinstance(section, dict):
            continue
        field = Settings.model_fields[section_name].annotation
        fields = getattr(field, "model_fields", {})
        for key, value in section.items():
            if not isinstance(value, str) or not value:
                continue
            is_secret = key in fields and fields[key].annotation is SecretStr
            if "://" in value and section_name in ("ledger", "source"):
                is_secret = has_credential(value)
            if is_secret:
                variable = f"{ENV_PREFIX}{section_name}__{key}".upper()
                raise SettingsError(
                    f"{path}: {section_name}.{key} is a secret, and this file is no place for one: "
                    f"remove it, and give it in the environment as {variable}"
                )


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
    return hide_secrets(json.dumps(settings.model_dump(mode="json"), sort_keys=True))
