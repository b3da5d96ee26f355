"""A trigger: who gets which mails when, as CS ops wrote it in one YAML file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from lifecycle.calendar import midnight
from lifecycle.caps import Cap
from lifecycle.errors import Problem, TriggerError, UnknownName, did_you_mean
from lifecycle.locales import LOCALE
from lifecycle.settings import Settings
from lifecycle.triggers.columns import MARTS, Columns, account_columns, contact_columns
from lifecycle.triggers.condition import Condition, parse_condition
from lifecycle.triggers.condition_part import ConditionError
from lifecycle.triggers.send_window import Delay, SendWindow
from lifecycle.triggers.yaml_file import PlacedFaults, YamlFile

ENDINGS = (".yaml", ".yml")

SLUG = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""How a trigger's file and a step are named: both go into folder names and keys."""

SLUG_HINT = "use small letters, digits, _ and -, a letter first"

MOST_HELD_OUT = 0.5


@dataclass(frozen=True)
class Launch:
    """What becomes of the accounts that match already when the trigger first runs."""

    mode: Literal["new_only", "existing", "existing_since"]
    since: date | None = None
    """existing_since: those that came to match on or after this day may enter."""

    @classmethod
    def read(cls, value: Any) -> Launch:
        """From `new_only`, `existing` or `{existing_since: 2026-11-01}`."""
        if isinstance(value, Launch):
            return value
        if value == "new_only" or value == "existing":
            return cls(value)
        if isinstance(value, dict) and set(value) == {"existing_since"}:
            day = value["existing_since"]
            if type(day) is date:
                return cls("existing_since", day)
            raise ValueError(f"existing_since: {day!r} is not a day; write it as 2026-11-01")
        raise ValueError(
            f"{_shown(value)} is not a launch; write new_only, existing or"
            " {existing_since: 2026-11-01}" + _hint(value, "new_only", "existing", "existing_since")
        )

    def __str__(self) -> str:
        return self.mode if self.since is None else f"{self.mode} {self.since}"


@dataclass(frozen=True)
class Enter:
    """How often an account may enter."""

    mode: Literal["once", "once_per_episode", "every"]
    every: timedelta | None = None
    """every: at least this long after the last entry."""

    @classmethod
    def read(cls, value: Any) -> Enter:
        """From `once`, `once_per_episode` or `{every: 90d}`."""
        if isinstance(value, Enter):
            return value
        if value == "once" or value == "once_per_episode":
            return cls(value)
        if isinstance(value, dict) and set(value) == {"every"}:
            return cls("every", _days(value["every"]))
        raise ValueError(
            f"{_shown(value)} is not a way to enter; write once, once_per_episode or {{every: 90d}}"
            + _hint(value, "once", "once_per_episode", "every")
        )

    def __str__(self) -> str:
        return self.mode if self.every is None else f"every {self.every.days}d"


@dataclass(frozen=True)
class Holdout:
    """The share of the accounts that enter and get no mail, so that there is something to
    compare with."""

    share: float = 0.0

    @classmethod
    def read(cls, value: Any) -> Holdout:
        """From `10%`."""
        if isinstance(value, Holdout):
            return value
        match = re.fullmatch(r"(\d{1,2}(?:\.\d{1,2})?) ?%", str(value).strip())
        share = float(match[1]) / 100 if match else 0.0
        if not 0 < share <= MOST_HELD_OUT:
            raise ValueError(f"{value!r} is not a holdout; write 10% (at most {MOST_HELD_OUT:.0%})")
        return cls(share)

    def __str__(self) -> str:
        return f"{self.share * 100:g}%"


def _day(value: Any) -> date | None:
    if value is not None and type(value) is not date:
        raise ValueError(f"{value!r} is not a day; write it as 2026-12-01")
    return value


def _moment(value: Any) -> datetime | None:
    """From `2026-06-10T10:00+09:00`, as text or as YAML reads it."""
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            f"{str(value)!r} is not a moment with its time zone; write it as 2026-06-10T10:00+09:00"
        )
    return moment


def _delay(value: Any, *, units: str) -> Delay:
    """A span of time, in days or hours."""
    if isinstance(value, Delay):
        return value
    delay = Delay.parse(value)
    if delay.unit not in units or not delay.count:
        example = "90d" if units == "d" else "3d or 12h"
        raise ValueError(f"{value!r} is not a span of time; write {example}")
    return delay


def _days(value: Any) -> timedelta:
    """A number of calendar days."""
    return value if isinstance(value, timedelta) else _delay(value, units="d").nominal


def _shown(value: Any) -> str:
    return repr(dict(value)) if isinstance(value, dict) else repr(value)


def _hint(value: Any, *known: str) -> str:
    word = next(iter(value), "") if isinstance(value, dict) else value
    hint = did_you_mean(str(word), known)
    return f"; {hint}" if hint else ""


def _condition(value: Any, info: ValidationInfo, key: str) -> Condition:
    if isinstance(value, Condition):
        return value
    columns: Columns = (info.context or {})[key]
    try:
        return parse_condition(value, columns)
    except ConditionError as error:
        raise PlacedFaults(*(((), fault.what, fault.hint) for fault in error.faults)) from None


AccountCondition = Annotated[
    Condition,
    BeforeValidator(lambda value, info: _condition(value, info, "account_columns")),
    WithJsonSchema({"type": "string", "description": "an SQL condition over account_360"}),
]
ContactCondition = Annotated[
    Condition,
    BeforeValidator(lambda value, info: _condition(value, info, "contact_columns")),
    WithJsonSchema({"type": "string", "description": "an SQL condition over dim_contacts"}),
]
CapText = Annotated[
    Cap,
    BeforeValidator(Cap.read),
    WithJsonSchema({"type": "string", "pattern": r"^\d+/\d+d$", "examples": ["3/7d"]}),
]
DelayText = Annotated[
    Delay,
    BeforeValidator(Delay.parse),
    WithJsonSchema({"type": "string", "pattern": r"^\d+ ?(h|d|bd)$", "examples": ["0d", "5bd"]}),
]
LateSpan = Annotated[
    Delay,
    BeforeValidator(lambda value: _delay(value, units="dh")),
    WithJsonSchema({"type": "string", "pattern": r"^\d+ ?(h|d)$"}),
]


class TriggerPart(BaseModel):
    """A mapping of the file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Caps(TriggerPart):
    """How many mails of all triggers together a person and an account may get."""

    contact: CapText | None = None
    account: CapText | None = None


class Late(TriggerPart):
    """What becomes of a mail that could not go in time."""

    after: LateSpan = Field(Delay(3, "d"), json_schema_extra={"default": "3d"})
    do: Literal["skip", "send"] = "skip"

    def ends(
        self, first: datetime, zone: str, country: str | None, window: SendWindow
    ) -> datetime | None:
        """When (UTC) a mail is too late that could first go at `first`; None: never.

        Hours are counted by the clock, days by those on which the window opens.
        """
        if self.after.unit == "h":
            return first + timedelta(hours=self.after.count)
        return window.open_days_later(first, self.after.count, zone, country)


class Goal(TriggerPart):
    """What the mails are for. It counts for the accounts that are held out, too."""

    when: AccountCondition
    within: Annotated[
        timedelta,
        BeforeValidator(_days),
        WithJsonSchema({"type": "string", "pattern": r"^\d+ ?d$", "examples": ["28d"]}),
    ] = Field(description="since the account entered")


class Step(TriggerPart):
    """One mail of a trigger."""

    id: StrictStr = Field(json_schema_extra={"pattern": f"^{SLUG.pattern}$"})
    after: DelayText = Field(description="since the account entered")
    when: AccountCondition | None = Field(None, description="judged when the step is due")

    def due(
        self, enrolled_at: datetime, zone: str, country: str | None, window: SendWindow
    ) -> datetime:
        """When (UTC) its `after` is over since an account entered."""
        return self.after.add_to(enrolled_at, zone, country, window)

    @field_validator("id")
    @classmethod
    def _slug(cls, value: str) -> str:
        if not SLUG.fullmatch(value):
            raise ValueError(f"{value!r} cannot name a step; {SLUG_HINT}")
        return value


class TriggerFile(TriggerPart):
    """What a trigger file may say."""

    description: StrictStr = ""
    audience: AccountCondition
    recipients: ContactCondition
    launch: Annotated[
        Launch,
        BeforeValidator(Launch.read),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["new_only", "existing"]},
                    {
                        "type": "object",
                        "properties": {"existing_since": {"type": "string", "format": "date"}},
                        "required": ["existing_since"],
                        "additionalProperties": False,
                    },
                ]
            }
        ),
    ]
    enter: Annotated[
        Enter,
        BeforeValidator(Enter.read),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["once", "once_per_episode"]},
                    {
                        "type": "object",
                        "properties": {"every": {"type": "string", "pattern": r"^\d+d$"}},
                        "required": ["every"],
                        "additionalProperties": False,
                    },
                ],
            }
        ),
    ] = Field(Enter("once_per_episode"), json_schema_extra={"default": "once_per_episode"})
    on: Annotated[
        date | None,
        BeforeValidator(_day),
        WithJsonSchema({"type": "string", "format": "date"}),
    ] = Field(None, description="a broadcast: the one day it goes on; no launch, no enter")
    at: Annotated[
        datetime | None,
        BeforeValidator(_moment),
        WithJsonSchema({"type": "string", "format": "date-time"}),
    ] = Field(
        None,
        description="a broadcast to all places at one moment, whatever the hour there",
        examples=["2026-06-10T10:00+09:00"],
    )
    exit_when: AccountCondition | None = None
    goal: Goal | None = None
    holdout: Annotated[
        Holdout,
        BeforeValidator(Holdout.read),
        WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)? ?%$", "examples": ["10%"]}),
    ] = Field(
        Holdout(),
        description="the share of accounts that enter and get no mail, to compare with",
        json_schema_extra={"default": None},
    )
    priority: int = Field(50, strict=True, ge=0, le=1000, description="higher wins")
    caps: Caps = Field(default_factory=Caps)
    per: Literal["person", "account"] = Field(
        "person",
        description="person: who got a step gets it through no other account for a while;"
        " account: each account's people get it",
    )
    recipients_chosen: Literal["at_entry", "at_each_step"] = Field(
        "at_entry",
        description="at_entry: who comes later takes only the place of one who is gone;"
        " at_each_step: whoever meets `recipients` by then",
    )
    locale: StrictStr | None = Field(
        None, description="the language of all its mails; else each reader's own", examples=["ja"]
    )
    send_window: SendWindow = Field(default_factory=SendWindow)
    late: Late = Field(default_factory=Late)
    steps: tuple[Step, ...] = Field(json_schema_extra={"minItems": 1})
    include_churned: StrictBool = False
    migrate: StrictBool = Field(
        False,
        description="those inside move to this version; else they finish the one they entered",
    )

    @model_validator(mode="before")
    @classmethod
    def _broadcast(cls, data: Any) -> Any:
        """A broadcast goes once, to all that match on its day, or at its moment."""
        if not isinstance(data, dict):
            return data
        keys = [key for key in ("on", "at") if data.get(key) is not None]
        if not keys or isinstance(data.get("launch"), Launch):  # or a file that was read before
            return data
        wrong = ["launch", "enter"]
        if "at" in keys:
            wrong += ["on", "send_window"]
        what, hint = f"does not go with `{keys[-1]}`", "leave out either"
        faults = [((key,), what, hint) for key in wrong if key in data]
        if isinstance(data.get("steps"), list) and len(data["steps"]) > 1:
            faults.append((("steps",), "a broadcast has one step", ""))
        if faults:
            raise PlacedFaults(*faults)
        always = {} if "on" in keys else {"send_window": SendWindow.always()}
        return {**data, "launch": "existing", "enter": "once", **always}

    @field_validator("locale")
    @classmethod
    def _language(cls, value: str | None) -> str | None:
        if value is not None and not LOCALE.fullmatch(value):
            raise ValueError(f"{value!r} is not a language; write ja or en-US")
        return value

    @field_validator("steps")
    @classmethod
    def _go_together(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        if not steps:
            raise ValueError("needs at least one")
        faults = []
        ids = [step.id for step in steps]
        for number, step in enumerate(steps):
            if step.id in ids[:number]:
                faults.append(((number, "id"), "is there twice", ""))
            if number and step.after.nominal < steps[number - 1].after.nominal:
                before = steps[number - 1]
                what = f"{step.after} is sooner than {before.after} of {before.id!r} before it"
                faults.append(((number, "after"), what, "put the steps in order of time"))
        if faults:
            raise PlacedFaults(*faults)
        return steps


class Trigger(TriggerFile):
    """A checked trigger."""

    name: str
    """The file's name without its ending."""
    file: Path
    version: str
    """SHA-256 (hex) of what the file says; comments and layout do not count."""
    text: str = Field(repr=False)
    """The file itself, so that whoever entered by it can finish by it."""
    lines: Mapping[str, int] = Field(repr=False)
    """The line of each key of the file and of each step: `audience`, `goal.when`,
    `steps.check_in.when`."""

    @property
    def rank(self) -> tuple[int, str]:
        """Its place among all triggers: those of higher priority first, then by name."""
        return -self.priority, self.name

    @property
    def conditions(self) -> Iterator[Condition]:
        """Every condition that it asks of an account."""
        yield from (condition for _, condition in self.placed_conditions)

    @property
    def placed_conditions(self) -> Iterator[tuple[str, Condition]]:
        """Every condition over account_360, with its key as in `lines`."""
        yield "audience", self.audience
        if self.exit_when:
            yield "exit_when", self.exit_when
        if self.goal:
            yield "goal.when", self.goal.when
        yield from ((f"steps.{step.id}.when", step.when) for step in self.steps if step.when)

    def holds_out(self, account_id: str) -> bool:
        """Whether this account enters without getting a mail.

        Decided by a hash of the trigger's and the account's name, so it is the same for ever,
        and who is held out stays so when the share grows.
        """
        key = json.dumps([self.name, account_id], ensure_ascii=False).encode()
        return int.from_bytes(hashlib.sha256(key).digest()[:8]) < self.holdout.share * 2**64

    def not_again_days(self, after_days: int) -> int | None:
        """For how many days who got a step gets it through no other account: 0 is for ever, None
        not at all. `after_days` is `[plan] same_step_again_after`."""
        if self.per == "account":
            return None
        if self.enter.mode == "once":
            return 0
        return after_days or None

    @property
    def is_broadcast(self) -> bool:
        """Whether it goes once, to all who match then."""
        return self.on is not None or self.at is not None

    def begins(self, time_zone: str) -> datetime | None:
        """When a broadcast's day, or moment, begins in a time zone, as UTC; None for a sequence."""
        if self.at is not None:
            return self.at.astimezone(UTC)
        return midnight(self.on, time_zone) if self.on else None

    @property
    def needs_feed(self) -> bool:
        """Whether entry, exit and steps wait while the usage feed is late."""
        return any(condition.needs_feed for condition in self.conditions)

    def problem(self, key: str, what: str, hint: str = "", *, stops_a_run: bool = True) -> Problem:
        """A problem at a key of its file; where the file leaves it out, at the first one."""
        line = self.lines.get(key, min(self.lines.values(), default=None))
        return Problem(_name(self.file), line, f"{key}: {what}", hint, stops_a_run=stops_a_run)

    def step(self, step_id: str) -> Step:
        """The step of that id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a trigger file, for editors that complete and check it."""
    schema = TriggerFile.model_json_schema()
    schema["required"].remove("launch")
    schema["anyOf"] = [
        {"required": ["launch"]},
        {
            "description": "a broadcast",
            "anyOf": [{"required": ["on"]}, {"required": ["at"]}],
            "properties": {"launch": False, "enter": False, "steps": {"maxItems": 1}},
        },
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A trigger: who gets which mails when",
    }


# Files. --------------------------------------------------------------------------------


def load_triggers(settings: Settings) -> list[Trigger]:
    """All triggers of the company, those of higher priority first, then by name.

    Raises TriggerError with every problem of every file.
    """
    triggers, problems = read_folder(settings.folder("triggers"))
    if problems:
        raise TriggerError(problems)
    return triggers


def find(triggers: Iterable[Trigger], name: str) -> Trigger:
    """The trigger of that name. Raises UnknownName with the nearest known name."""
    known = {trigger.name: trigger for trigger in triggers}
    if name not in known:
        hint = did_you_mean(name, known) or f"there are: {', '.join(sorted(known)) or 'none'}"
        raise UnknownName(f"no trigger {name!r}; {hint}")
    return known[name]


def names(folder: Path) -> list[str]:
    """The names of all trigger files in a folder, also of those that cannot be used."""
    if not folder.is_dir():
        return []
    return sorted({path.stem for path in folder.iterdir() if _is_trigger(path)})


def read_folder(folder: Path, marts: Path = MARTS) -> tuple[list[Trigger], list[Problem]]:
    """The triggers of a folder that can be used, and the problems of those that cannot.

    `marts` is where the models' YAML says which columns there are.
    """
    try:
        files = sorted(path for path in folder.iterdir() if _is_trigger(path))
    except OSError as error:
        what = "no such folder" if not folder.exists() else f"cannot be read: {error.strerror}"
        return [], [Problem(str(folder), None, what)]
    accounts, contacts = account_columns(marts), contact_columns(marts)
    first: dict[str, Path] = {}
    triggers: dict[str, Trigger] = {}
    problems: list[Problem] = []
    for path in files:
        other = first.setdefault(path.stem, path)
        if other is not path:
            what = f"is a second trigger {path.stem!r} beside {other.name}"
            problems.append(Problem(_name(path), None, what, "keep one of them"))
        try:
            trigger = read_trigger(path, accounts, contacts)
        except TriggerError as error:
            problems += error.problems
            continue
        triggers[trigger.name] = trigger
    return sorted(triggers.values(), key=lambda trigger: trigger.rank), problems


def read_trigger(path: Path, accounts: Columns, contacts: Columns) -> Trigger:
    """One trigger file. Raises TriggerError with all its problems."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise TriggerError([Problem(_name(path), None, what)]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem(_name(path), line, "is not UTF-8", "save it as UTF-8")
        raise TriggerError([problem]) from None
    return parse_trigger(text, path, accounts, contacts)


def parse_trigger(text: str, path: Path, accounts: Columns, contacts: Columns) -> Trigger:
    """A trigger from the text of its file. Raises TriggerError with all its problems."""
    file = YamlFile(text, _name(path))
    problems: list[Problem] = []
    if not SLUG.fullmatch(path.stem):
        what = f"{path.stem!r} cannot name a trigger"
        problems.append(Problem(file.name, None, what, SLUG_HINT))
    context = {"account_columns": accounts, "contact_columns": contacts}
    try:
        content = TriggerFile.model_validate(file.plain, context=context)
    except ValidationError as error:
        problems += file.problems(error, TriggerFile)
        problems += _repeated_steps(file)
    if problems:
        raise TriggerError(dict.fromkeys(problems))
    fields = {field: getattr(content, field) for field in TriggerFile.model_fields}
    return Trigger(
        **fields,
        name=path.stem,
        file=path,
        version=_version(file.plain),
        text=text,
        lines=file.lines(),
    )


def _repeated_steps(file: YamlFile) -> Iterator[Problem]:
    """Ids that are there twice: where a step is wrong, the model does not look at the others."""
    ids = named_steps(file)
    for number, step in enumerate(ids):
        if step and step in ids[:number]:
            yield file.problem(("steps", number, "id"), "is there twice")


def named_steps(file: YamlFile) -> list[str]:
    """The ids of a file's steps whatever else is wrong in it; empty where one cannot be read."""
    steps = file.plain.get("steps")
    ids = [
        step.get("id") if isinstance(step, dict) else None
        for step in (steps if isinstance(steps, list) else ())
    ]
    return [step_id if isinstance(step_id, str) else "" for step_id in ids]


def _is_trigger(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _version(plain: dict[str, Any]) -> str:
    canonical = json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
