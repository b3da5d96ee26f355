"""The Jinja sandbox of mail templates.

Templates are written by CS ops and filled with what others typed into a CRM. A template sees
values and filters; it calls nothing, includes nothing and reaches no attribute of an object. A
value is one line without control characters (`message.one_line`), so that no name can forge a
footer, and has at most LONGEST_VALUE characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, TemplateRuntimeError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import pass_context
from jinja2.visitor import NodeTransformer

from lifecycle.errors import did_you_mean
from lifecycle.mail.message import one_line

LONGEST_TEXT = 100_000
"""Characters of a rendered text, and of every value on the way to it."""
MOST_STEPS = 10_000
"""Rounds of loops, filters and joined texts in one rendering. A mail takes some dozens."""
_MOST_BITS = 256
"""Of a number: no sum of a mail's is larger."""

_steps: ContextVar[list[int]] = ContextVar("steps")


@contextmanager
def counted_steps() -> Iterator[None]:
    """Count what a template does inside, from nothing on."""
    token = _steps.set([0])
    try:
        yield
    finally:
        _steps.reset(token)


def _step(times: int = 1) -> None:
    count = _steps.get(None)
    if count is None:
        return  # Jinja computes what is constant when it reads the template
    count[0] += times
    if count[0] > MOST_STEPS:
        raise TemplateRuntimeError(f"it takes over {MOST_STEPS:,} steps; loop over less")


def _refuse_growth(size: int) -> None:
    if size > LONGEST_TEXT:
        raise TemplateRuntimeError(f"it grows over {LONGEST_TEXT:,} characters")


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


def _each(items: Any) -> Iterator[Any]:
    """The items of a loop, each counted as a step."""
    for item in items:
        _step()
        yield item


def _concat(values: list[Any]) -> str:
    """Joined texts, as `~` has them."""
    _step()
    texts = list(map(str, values))
    _refuse_growth(sum(map(len, texts)))
    return "".join(texts)


def _sized(text: Any) -> Any:
    """A captured text that is not too long."""
    _step()
    _refuse_growth(len(text) if isinstance(text, str) else 0)
    return text


def _replace(text: Any, old: str, new: str, count: int | None = None) -> str:
    """Jinja's replace, where the result is not too long."""
    if isinstance(text, Undefined):
        return str(text)  # raises, and says which
    _step()
    plain = str(text)
    times = plain.count(old) if old else len(plain) + 1
    _refuse_growth(len(plain) + times * len(new))
    return plain.replace(old, new, -1 if count is None else count)


def _join(items: Any, between: str = "") -> str:
    """Jinja's join, where the result is not too long."""
    if isinstance(items, Undefined):
        return str(items)  # raises, and says which
    words = [str(item) for item in _each(items)]
    _refuse_growth(sum(map(len, words)) + len(between) * len(words))
    return between.join(words)


class Bounded(NodeTransformer):
    """Has a template count its loops, joined and captured texts."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 (Jinja's name)
        """Count each round."""
        self.generic_visit(node)
        node.iter = _filtered("_each", node.iter, node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Look at the length of joined texts."""
        self.generic_visit(node)
        return _filtered("_concat", nodes.List(node.nodes, lineno=node.lineno), node.lineno)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        """Look at the length of a captured text."""
        self.generic_visit(node)
        node.filter = _filtered("_sized", node.filter, node.lineno)
        return node


def _filtered(name: str, value: Any, line: int) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=line)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without calls, and without sums that grow texts."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def _generate(self, source: nodes.Template, *args: Any, **params: Any) -> str:
        return super()._generate(Bounded().visit(source), *args, **params)

    def is_safe_callable(self, obj: Any) -> bool:
        return False

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _step()
        sides = (left, right)
        if operator == "+" and all(isinstance(side, str | list | tuple) for side in sides):
            _refuse_growth(len(left) + len(right))
        elif (
            operator == "**"
            or not all(isinstance(side, int | float) for side in sides)
            or any(isinstance(side, int) and side.bit_length() > _MOST_BITS for side in sides)
        ):
            raise SecurityError(f"{operator} is for small sums of numbers")
        return super().call_binop(context, operator, left, right)


def _is_none(value: Any) -> bool:
    return value is None or isinstance(value, Empty)


_FILTERS = (
    *("abs", "capitalize", "default", "first", "float", "int", "last", "length"),
    *("lower", "round", "title", "trim", "truncate", "upper"),
)


def _sandbox() -> _Sandbox:
    sandbox = _Sandbox(
        undefined=StrictUndefined,
        autoescape=False,  # plain text
        finalize=_printed,
    )
    sandbox.globals.clear()
    sandbox.filters = {name: FILTERS[name] for name in _FILTERS}
    sandbox.filters |= {"day": _day, "replace": _replace, "join": _join}
    sandbox.filters |= {"_each": _each, "_concat": _concat, "_sized": _sized}
    sandbox.tests = {**TESTS, "none": _is_none}
    return sandbox


SANDBOX = _sandbox()
