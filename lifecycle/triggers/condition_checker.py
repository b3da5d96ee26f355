"""Checks a parsed condition part by part; what `condition_language.py` does not list is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from sqlglot import exp

from lifecycle.errors import did_you_mean
from lifecycle.triggers.columns import Columns, Kind
from lifecycle.triggers.condition_language import (
    CLOCKS,
    COMPARISONS,
    CONNECTORS,
    DATE_HINT,
    EXPECTED_ARGUMENTS,
    FOREIGN_PARTS,
    FUNCTIONS,
)
from lifecycle.triggers.condition_part import ConditionError, Fault, Part, Rank, quoted_text

_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?|\.\d{1,18}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?")


def wrong_name(node: exp.Column, columns: Columns) -> Fault | None:
    """What is wrong with the name of a column, or None."""
    name = node.name
    if node.table:
        return Fault(f"{node.table}.{name}: write the column's name alone")
    if name.lower() in columns:
        return None
    what = f"{columns.model} has no column {name!r}"
    if CLOCKS.fullmatch(name.lower()):
        return _no_clock(name)
    as_text = f"a text stands in single quotes: {quoted_text(name)}"
    if any(name in column.accepted_values for column in columns.values()):
        return Fault(what, as_text)
    return Fault(what, did_you_mean(name.lower(), columns) or as_text)


def _no_clock(name: str) -> Fault:
    return Fault(
        f"{name} is not allowed: a condition has no clock of its own",
        "ask about a column that counts days",
    )


class Checker:
    """Turns parsed SQL into checked parts, or raises ConditionError."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def condition(self, node: exp.Expr) -> Part:
        """A part that is true, false or unknown."""
        part = self._part(node)
        if part.kind is not Kind.BOOLEAN:
            raise ConditionError(
                Fault(f"{_text(part)} is {_a(part.kind)}, not a condition", "compare it")
            )
        return part

    def _value(self, node: exp.Expr) -> Part:
        """A part that can be compared."""
        if type(node) is exp.Null:
            raise ConditionError(Fault("nothing equals null", "write is null or is not null"))
        part = self._part(node)
        if part.kind is Kind.OTHER:
            raise ConditionError(
                Fault(f"{_text(part)} is a list; it can only be asked whether it is null")
            )
        return part

    def _part(self, node: exp.Expr | None) -> Part:
        if node is None:
            raise ConditionError(Fault("something is missing between or after other parts"))
        kind = type(node)
        expected = EXPECTED_ARGUMENTS.get(kind, {"this", "expression"})
        if any(value and name not in expected for name, value in node.args.items()):
            raise ConditionError(self._foreign(node))
        if kind is exp.Paren:
            return self._part(node.this)
        if kind in CONNECTORS:
            return self._connected(node, CONNECTORS[kind])
        if kind in COMPARISONS:
            return self._comparison(node, COMPARISONS[kind])
        if kind in FUNCTIONS:
            return self._call(node, *FUNCTIONS[kind])
        match node:
            case exp.Column():
                return self._column(node)
            case exp.Not():
                return self._negation(node)
            case exp.Between():
                return self._between(node)
            case exp.In():
                return self._membership(node)
            case exp.Is():
                return self._is(node)
        return self._literal(node)

    def _column(self, node: exp.Column) -> Part:
        if fault := wrong_name(node, self._columns):
            raise ConditionError(fault)
        column = self._columns[node.name.lower()]
        return Part(column.kind, (column,), accepted=column.accepted_values)

    def _connected(self, node: exp.Expr, word: str) -> Part:
        operands: list[exp.Expr] = []
        waiting = [node]
        while waiting:
            here = waiting.pop()
            if type(here) is type(node):
                waiting += [here.expression, here.this]
            else:
                operands.append(here)
        parts: list[Part] = []
        faults: list[Fault] = []
        for operand in operands:
            try:
                parts.append(self.condition(operand))
            except ConditionError as error:
                faults += error.faults
        if faults:
            raise ConditionError(*faults)
        joined = _joined(tuple(parts), f" {word} ")
        return Part(Kind.BOOLEAN, joined, tuple(parts), Rank.CONNECTED)

    def _negation(self, node: exp.Expr) -> Part:
        inner = self.condition(node.this)
        parts = (inner,) if inner.parts else ()
        return Part(Kind.BOOLEAN, ("not ", inner), parts, Rank.NEGATION)

    def _comparison(self, node: exp.Expr, sign: str) -> Part:
        left, right = self._value(node.this), self._value(node.expression)
        if sign in ("like", "ilike"):
            for side in (left, right):
                if side.kind is not Kind.TEXT:
                    raise ConditionError(
                        Fault(f"{_text(side)} is {_a(side.kind)}; {sign} compares texts")
                    )
            if right.literal is None:
                hint = f"write {sign} '%word%'"
                raise ConditionError(Fault(f"{_text(right)} is no pattern in quotes", hint))
        else:
            self._check_comparable(left, right)
            if left.kind is Kind.BOOLEAN and sign not in ("=", "<>"):
                raise ConditionError(Fault(f"{_text(left)} is yes or no; it has no order"))
            if sign in ("=", "<>"):
                self._check_accepted(left, right)
                self._check_accepted(right, left)
        if node.args.get("negate"):  # sqlglot's reading of `not like`
            sign = f"not {sign}"
        pieces = (left, f" {sign} ", right)
        pattern = right.literal or ""
        if "like" in sign and "_" in pattern and pattern.count("%") > 1:
            # DuckDB looks for such a pattern in a time that grows with a power of the text's size.
            sql = _matches(left, pattern, sign)
            return Part(Kind.BOOLEAN, sql, rank=Rank.PREDICATE, as_written=pieces)
        return Part(Kind.BOOLEAN, pieces, rank=Rank.PREDICATE)

    def _between(self, node: exp.Expr) -> Part:
        value, low, high = (self._value(node.args[name]) for name in ("this", "low", "high"))
        self._check_comparable(value, low)
        self._check_comparable(value, high)
        if value.kind is Kind.BOOLEAN:
            raise ConditionError(Fault(f"{_text(value)} is yes or no; it has no order"))
        pieces = (value, " between ", low, " and ", high)
        return Part(Kind.BOOLEAN, pieces, rank=Rank.PREDICATE)

    def _membership(self, node: exp.Expr) -> Part:
        if not node.expressions:
            raise ConditionError(Fault("in needs a list of literals", "write in ('a', 'b')"))
        value = self._value(node.this)
        choices = []
        for item in node.expressions:
            choice = self._value(item)
            if any(True for _ in choice.columns()):
                raise ConditionError(Fault(f"in takes literals, not {_text(choice)}"))
            self._check_comparable(value, choice)
            self._check_accepted(value, choice)
            choices.append(choice)
        pieces = (value, " in (", *_joined(tuple(choices), ", "), ")")
        return Part(Kind.BOOLEAN, pieces, rank=Rank.PREDICATE)

    def _is(self, node: exp.Expr) -> Part:
        if type(node.expression) is exp.Null:
            return Part(Kind.BOOLEAN, (self._part(node.this), " is null"), rank=Rank.PREDICATE)
        if type(node.expression) is exp.Boolean:
            word = "true" if node.expression.this else "false"
            pieces = (self.condition(node.this), f" is {word}")
            return Part(Kind.BOOLEAN, pieces, rank=Rank.PREDICATE)
        raise ConditionError(Fault("is can be followed by null, not null, true or false"))

    def _call(self, node: exp.Expr, name: str, takes: Kind | None) -> Part:
        arguments = tuple(self._value(argument) for argument in (node.this, *node.expressions))
        if takes is None:
            for argument in arguments[1:]:
                self._check_comparable(arguments[0], argument)
                self._check_accepted(arguments[0], argument)
            if any(argument.kind is not arguments[0].kind for argument in arguments):
                raise ConditionError(Fault(f"{name} takes values of one kind"))
        elif arguments[0].kind is not takes:
            what = f"{_text(arguments[0])} is {_a(arguments[0].kind)}; {name} takes {_a(takes)}"
            raise ConditionError(Fault(what))
        gives = Kind.NUMBER if name == "length" else arguments[0].kind
        accepted = arguments[0].accepted if name == "coalesce" else frozenset()
        return Part(gives, (f"{name}(", *_joined(arguments, ", "), ")"), accepted=accepted)

    def _literal(self, node: exp.Expr) -> Part:
        kind, inner = type(node), node.this
        if kind is exp.Boolean:
            return Part(Kind.BOOLEAN, ("true" if inner else "false",))
        if kind is exp.Literal and node.args["is_string"]:
            return Part(Kind.TEXT, (quoted_text(inner),), literal=inner)
        if kind is exp.Literal:
            return Part(Kind.NUMBER, (_number(inner),))
        if kind is exp.Neg and type(inner) is exp.Literal and not inner.args["is_string"]:
            return Part(Kind.NUMBER, (f"-{_number(inner.this)}",))
        if kind is exp.Cast and type(inner) is exp.Literal and inner.args["is_string"]:
            to = node.args["to"]
            if to == exp.DataType.build("date"):
                return _moment(Kind.DATE, _DATE, date.fromisoformat, inner.this)
            if to == exp.DataType.build("timestamp", dialect="duckdb"):
                return _moment(Kind.TIMESTAMP, _TIMESTAMP, datetime.fromisoformat, inner.this)
        raise ConditionError(self._foreign(node))

    def _foreign(self, node: exp.Expr) -> Fault:
        """What to say about a part that is on no list."""
        for kind, name in FOREIGN_PARTS:
            if isinstance(node, kind):
                return Fault(f"{name} is not part of the condition language")
        if isinstance(node, exp.Func) and type(node) not in FUNCTIONS:
            name = (node.name if isinstance(node, exp.Anonymous) else node.sql_name()).lower()
            if CLOCKS.fullmatch(name):
                return _no_clock(name)
            if name == "date":
                return Fault("date(…) is not part of the condition language", DATE_HINT)
            known = [name for name, _ in FUNCTIONS.values()]
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            return Fault(f"function {name!r} is not part of the condition language", hint)
        if type(node) in FUNCTIONS:
            name, _ = FUNCTIONS[type(node)]
            return Fault(f"{name}(…) has more in it than the condition language knows")
        if isinstance(node, exp.In):
            return Fault("in needs a list of literals", "write in ('a', 'b')")
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(node).__name__).lower()
        return Fault(f"{words} is not part of the condition language")

    def _check_comparable(self, left: Part, right: Part) -> None:
        kinds = {left.kind, right.kind}
        if len(kinds) == 1 or kinds == {Kind.DATE, Kind.TIMESTAMP}:
            return
        what = (
            f"{_text(left)} is {_a(left.kind)} and {_text(right)} is {_a(right.kind)};"
            " they cannot be compared"
        )
        hint = ""
        if kinds & {Kind.DATE, Kind.TIMESTAMP} and Kind.TEXT in kinds:
            hint = DATE_HINT
        raise ConditionError(Fault(what, hint))

    def _check_accepted(self, value: Part, literal: Part) -> None:
        """Refuse a value that the column can never have."""
        if value.accepted and literal.literal is not None and literal.literal not in value.accepted:
            known = sorted(value.accepted)
            hint = did_you_mean(literal.literal, known) or f"it has {', '.join(known)}"
            raise ConditionError(Fault(f"{_text(value)} is never {_text(literal)}", hint))


def _joined(parts: tuple[Part, ...], glue: str) -> tuple[str | Part, ...]:
    return tuple(piece for part in parts for piece in (glue, part))[1:]


def _text(part: Part) -> str:
    return part.write(lambda column: column.name)


def _a(kind: Kind) -> str:
    return {Kind.BOOLEAN: "a yes or no", Kind.OTHER: "a list"}.get(kind, f"a {kind.value}")


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise ConditionError(Fault(f"{text[:40]} is not a number that can be compared"))
    return text


def _moment(kind: Kind, shape: re.Pattern[str], read: Callable[[str], Any], text: str) -> Part:
    try:
        if not shape.fullmatch(text):
            raise ValueError
        read(text)
    except ValueError:
        raise ConditionError(
            Fault(f"{text!r} is not a {kind.value}", "write it as '2026-11-01'")
        ) from None
    return Part(kind, (f"{kind.value} '{text}'",))


def _matches(text: Part, pattern: str, sign: str) -> tuple[str | Part, ...]:
    """The pieces of a `like` as a regular expression, which looks at each character once."""
    runs = re.sub("%+", "%", pattern)
    body = "".join({"%": ".*", "_": "."}.get(char) or re.escape(char) for char in runs)
    flags = "(?is)" if "ilike" in sign else "(?s)"
    negation = "not " if sign.startswith("not ") else ""
    end = f", {quoted_text(f'{flags}{body}')})"
    return (f"{negation}regexp_full_match(", text, end)
