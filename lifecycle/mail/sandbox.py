"""The Jinja sandbox of mail templates.

Templates are written by CS ops and filled with what others typed into a CRM. A template sees
values and filters; it calls nothing, includes nothing and reaches no attribute of an object. A
value is one line without control characters (`message.one_line`), so that no name can forge a
footer, and has at most LONGEST_VALUE characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, TemplateRuntimeError, Undefined
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import pass_context

from lifecycle.errors import did_you_mean
from lifecycle.mail.message import one_line

LONGEST_VALUE = 2_000
"""Characters of one value. A sane one is far shorter; a file pasted into a field is not."""


class Empty(Undefined):
    """A null: false, none, and an error that names it wherever else it is used."""

    __slots__ = ()
    __str__ = __iter__ = __len__ = __contains__ = Undefined._fail_with_undefined_error

    def __eq__(self, other: Any) -> bool:
        return other is None or isinstance(other, Empty)

    def __hash__(self) -> int:
        return hash(None)


class Values:
    """One row of data as templates see it: `account.name`, and nothing else of it."""

    __slots__ = ("_name", "_row")

    def __init__(self, name: str, row: Mapping[str, Any]) -> None:
        self._name = name
        self._row = row

    def __getitem__(self, column: str) -> Any:
        """The value, ready to print; Empty for a null. Raises TemplateRuntimeError."""
        name = f"{self._name}.{column}"
        if column not in self._row:
            raise TemplateRuntimeError(f"{name} does not exist; {did_you_mean(column, self._row)}")
        return _value(name, self._row[column])


def _value(name: str, value: Any) -> Any:
    match value:
        case str():
            if len(value) > LONGEST_VALUE:
                raise TemplateRuntimeError(
                    f"{name} has {len(value):,} characters; {LONGEST_VALUE:,} at most go in a mail"
                )
            value = one_line(value) or None
        case float() if not math.isfinite(value):
            value = None
        case float() if value.is_integer():
            value = int(value)
        case datetime() if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        case list() | tuple():
            value = [_value(name, item) for item in value] or None
    if value is None:
        return Empty(f"{name} is empty here; write {{% if {name} %}}…{{% endif %}} around it")
    return value


def _printed(value: Any) -> Any:
    """Format the value of `{{ value }}`; refuse values that do not read as words."""
    match value:
        case Undefined():
            return str(value)  # raises, and says which
        case bool():
            raise TemplateRuntimeError("a yes or no cannot be printed; ask for it with {% if %}")
        case float():
            return f"{value:.12g}"
        case str() | int() | Decimal():
            return value
        case date():
            raise TemplateRuntimeError("a date is printed with | day('%-d %B %Y') or the like")
        case list() | tuple():
            raise TemplateRuntimeError("a list is printed with | join(', ')")
    raise TemplateRuntimeError("only a single value can be printed, such as account.name")


@pass_context
def _day(context: Context, value: Any, form: str) -> str:
    """A date in the words of `form` (strftime), on the account's calendar."""
    if isinstance(value, Undefined):
        return str(value)  # raises, and says which
    if isinstance(value, datetime):
        value = value.astimezone(ZoneInfo(context["account"]["time_zone"]))
    if not isinstance(value, date):
        raise TemplateRuntimeError(f"{value!r} is not a date")
    day = value
    return re.sub("%-?[A-Za-z]", lambda directive: day.strftime(directive[0]), form)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without calls, and without sums that grow texts."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def is_safe_callable(self, obj: Any) -> bool:
        return False

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"{operator} is for small sums of numbers")
        return super().call_binop(context, operator, left, right)


def _is_none(value: Any) -> bool:
    return value is None or isinstance(value, Empty)


_FILTERS = (
    *("abs", "capitalize", "default", "first", "float", "int", "join", "last", "length"),
    *("lower", "replace", "round", "title", "trim", "truncate", "upper"),
)


def _sandbox() -> _Sandbox:
    sandbox = _Sandbox(
        undefined=StrictUndefined,
        autoescape=False,  # plain text
        finalize=_printed,
    )
    sandbox.globals.clear()
    sandbox.filters = {name: FILTERS[name] for name in _FILTERS}
    sandbox.filters["day"] = _day
    sandbox.tests = {**TESTS, "none": _is_none}
    return sandbox


SANDBOX = _sandbox()
