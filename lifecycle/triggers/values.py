"""How the values of a trigger file are read: spans of time, days, launches, ways to enter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from lifecycle.caps import Cap
from lifecycle.errors import did_you_mean
from lifecycle.triggers.columns import Columns
from lifecycle.triggers.condition import Condition, parse_condition
from lifecycle.triggers.condition_part import ConditionError
from lifecycle.triggers.send_window import Delay
from lifecycle.triggers.yaml_file import PlacedFaults

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
            return cls("every", read_days(value["every"]))
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


def read_day(value: Any) -> date | None:
    if value is not None and type(value) is not date:
        raise ValueError(f"{value!r} is not a day; write it as 2026-12-01")
    return value


def read_moment(value: Any) -> datetime | None:
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


def read_days(value: Any) -> timedelta:
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


def read_then(value: Any) -> timedelta | None:
    """What follows from an answer: None for notify, or how long the account is on hold."""
    if value is None or value == "notify" or isinstance(value, timedelta):
        return None if value == "notify" else value
    if isinstance(value, dict) and set(value) == {"hold"}:
        return read_days(value["hold"])
    raise ValueError(
        f"{_shown(value)} is nothing that follows from an answer; write notify or {{hold: 90d}}"
    )


def read_numbers(value: Any) -> Any:
    """Answers by their digit, also where YAML took it for a number."""
    if not isinstance(value, dict):
        return value
    for number in value:
        if not re.fullmatch(r"[0-9]", str(number)):
            raise ValueError(f'{number!r} is no answer that one digit gives; write "1" to "9"')
    return {str(number): answer for number, answer in value.items()}
