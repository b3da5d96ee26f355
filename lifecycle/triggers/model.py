"""A trigger: who gets which mails when, as CS ops wrote it in one YAML file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
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
    WithJsonSchema,
    field_validator,
    model_validator,
)

from lifecycle.calendar import midnight
from lifecycle.errors import Problem
from lifecycle.locales import LOCALE
from lifecycle.triggers.condition import Condition
from lifecycle.triggers.send_window import Delay, SendWindow
from lifecycle.triggers.values import (
    AccountCondition,
    CapText,
    ContactCondition,
    DelayText,
    Enter,
    Holdout,
    LateSpan,
    Launch,
    read_day,
    read_days,
    read_moment,
    read_numbers,
    read_then,
)
from lifecycle.triggers.yaml_file import PlacedFaults

SLUG = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""How a trigger's file and a step are named: both go into folder names and keys."""

SLUG_HINT = "use small letters, digits, _ and -, a letter first"


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
        BeforeValidator(read_days),
        WithJsonSchema({"type": "string", "pattern": r"^\d+ ?d$", "examples": ["28d"]}),
    ] = Field(description="since the account entered")


class Answer(TriggerPart):
    """What it means that a reader answers a step with its number, or its label."""

    label: StrictStr = Field(json_schema_extra={"pattern": f"^{SLUG.pattern}$"})
    then: Annotated[
        timedelta | None,
        BeforeValidator(read_then),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["notify"]},
                    {
                        "type": "object",
                        "properties": {"hold": {"type": "string", "pattern": r"^\d+ ?d$"}},
                        "required": ["hold"],
                        "additionalProperties": False,
                    },
                ]
            }
        ),
    ] = Field(
        None,
        description="notify: the account's owner; {hold: 90d}: nothing goes to the account so long",
        json_schema_extra={"default": "notify"},
    )

    @field_validator("label")
    @classmethod
    def _slug(cls, value: str) -> str:
        if not SLUG.fullmatch(value):
            raise ValueError(f"{value!r} cannot name an answer; {SLUG_HINT}")
        return value


class Step(TriggerPart):
    """One mail of a trigger."""

    id: StrictStr = Field(json_schema_extra={"pattern": f"^{SLUG.pattern}$"})
    after: DelayText = Field(description="since the account entered")
    when: AccountCondition | None = Field(None, description="judged when the step is due")
    answers: Annotated[dict[str, Answer], BeforeValidator(read_numbers)] = Field(
        default_factory=dict,
        description="what a reader may answer with one digit: {label: wants_help, then: notify}",
    )

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
        BeforeValidator(read_day),
        WithJsonSchema({"type": "string", "format": "date"}),
    ] = Field(None, description="a broadcast: the one day it goes on; no launch, no enter")
    at: Annotated[
        datetime | None,
        BeforeValidator(read_moment),
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
    on_reply: Literal["exit", "continue"] = Field(
        "exit", description="whether a person's answer ends the account's sequence"
    )
    include_churned: StrictBool = False
    include_high_touch: StrictBool = Field(
        False, description="accounts that a person looks after, touch_model high"
    )
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
            labels = [answer.label for answer in step.answers.values()]
            if len(set(labels)) < len(labels):
                faults.append(((number, "answers"), "two answers have the same label", ""))
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

    @property
    def needs_milestones(self) -> bool:
        """Whether it waits while first core events and outcomes are unknown."""
        return any(condition.needs_milestones for condition in self.conditions)

    def problem(self, key: str, what: str, hint: str = "", *, stops_a_run: bool = True) -> Problem:
        """A problem at a key of its file; where the file leaves it out, at the first one."""
        line = self.lines.get(key, min(self.lines.values(), default=None))
        return Problem(name_of(self.file), line, f"{key}: {what}", hint, stops_a_run=stops_a_run)

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


def name_of(path: Path) -> str:
    """How messages name a trigger file: `triggers/win_back.yaml`."""
    return f"{path.parent.name}/{path.name}"
