"""One boolean SQL expression over the columns of a model, checked part by part.

The text is parsed and every part is looked up in the lists below; what is not on a list is
refused. SQL is then written anew from the checked parts, so that no text that somebody typed
ever reaches the warehouse but as a quoted name or a quoted literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from functools import cache
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, TokenError

from lifecycle.duckdb_connection import connect, without_pandas
from lifecycle.errors import did_you_mean
from lifecycle.triggers.columns import Column, Columns, Kind

LONGEST = 5000
"""Characters. A condition that people are to understand is far shorter."""

COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.Like: "like",
    exp.ILike: "ilike",
}

SIGNS = {" >= ": " ≥ ", " <= ": " ≤ ", " <> ": " ≠ "}
"""How a person is shown what SQL writes with two characters."""

CONNECTORS: dict[type[exp.Expr], str] = {exp.And: "and", exp.Or: "or"}

FUNCTIONS: dict[type[exp.Expr], tuple[str, Kind | None]] = {
    exp.Lower: ("lower", Kind.TEXT),
    exp.Upper: ("upper", Kind.TEXT),
    exp.Trim: ("trim", Kind.TEXT),
    exp.Length: ("length", Kind.TEXT),
    exp.Abs: ("abs", Kind.NUMBER),
    exp.Coalesce: ("coalesce", None),
}
"""Each function's name, and the kind that it takes (coalesce takes any, all of one kind)."""

DATE_HINT = "write a day as date '2026-11-01'"

CLOCKS = re.compile(r"now|today|(current|local).*|get_current_.*|transaction_timestamp")

EXPECTED_ARGUMENTS: dict[type[exp.Expr], set[str]] = {
    exp.Column: {"this", "table", "db", "catalog"},
    exp.Between: {"this", "low", "high"},
    exp.In: {"this", "expressions"},
    exp.Coalesce: {"this", "expressions"},
    exp.Trim: {"this"},  # what it trims is always blanks
    exp.Literal: {"this", "is_string"},
    exp.Like: {"this", "expression", "negate"},
    exp.ILike: {"this", "expression", "negate"},
    exp.Cast: {"this", "to"},
}
"""What a part may be made of, where it is more than `this` and `expression`."""

FOREIGN_PARTS: list[tuple[type[exp.Expr], str]] = [
    (exp.Alias, "a name after an expression (is an and, an or or an operator missing?)"),
    (exp.Query, "a subquery"),
    (exp.Exists, "a subquery"),
    (exp.DDL, "a statement"),
    (exp.DML, "a statement"),
    (exp.Drop, "a statement"),
    (exp.Command, "a statement"),
    (exp.Cast, "a cast"),
    (exp.Placeholder, "a placeholder"),
    (exp.Parameter, "a placeholder"),
    (exp.Star, "*"),
    (exp.Case, "case"),
    (exp.Window, "a window"),
    (exp.Dot, "a name with a dot"),
    (exp.Tuple, "a list outside of in (…)"),
    (exp.Escape, "escape"),
    (exp.Interval, "an interval"),
    (exp.Neg, "a minus before anything but a number"),
    (exp.Add, "arithmetic"),
    (exp.Sub, "arithmetic"),
    (exp.Mul, "arithmetic"),
    (exp.Div, "arithmetic"),
    (exp.IntDiv, "arithmetic"),
    (exp.Mod, "arithmetic"),
    (exp.NullSafeEQ, "is distinct from"),
    (exp.NullSafeNEQ, "is distinct from"),
]

_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?|\.\d{1,18}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?")


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a condition: what, and what was probably meant."""

    what: str
    hint: str = ""

    def __str__(self) -> str:
        return self.what + (f" ({self.hint})" if self.hint else "")


class ConditionError(ValueError):
    """A text that is not a condition over these columns."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class Rank(IntEnum):
    """How loosely a part holds together: what is looser than it may be stands in parentheses."""

    ATOM = 0
    PREDICATE = 1
    NEGATION = 2
    CONNECTED = 3


LOOSEST_INSIDE = {
    Rank.ATOM: Rank.CONNECTED,  # a function has parentheses of its own
    Rank.PREDICATE: Rank.ATOM,
    Rank.NEGATION: Rank.NEGATION,
    Rank.CONNECTED: Rank.NEGATION,
}


@dataclass(frozen=True)
class Part:
    """A checked part of a condition, as the pieces to write it with."""

    kind: Kind
    pieces: tuple[str | Column | Part, ...]
    parts: tuple[Part, ...] = ()
    """The conditions that this one joins or negates, each with an outcome of its own."""
    rank: Rank = Rank.ATOM
    literal: str | None = None
    """The value of a text literal."""
    accepted: frozenset[str] = frozenset()
    """All values that it can have, where its column's model says so."""

    @property
    def joins(self) -> str:
        """How it makes one of its parts: and, or, not; empty where it has none."""
        if not self.parts:
            return ""
        word = self.pieces[0] if self.rank is Rank.NEGATION else self.pieces[1]
        assert isinstance(word, str)
        return word.strip()

    def write(
        self, show: Callable[[Column], str], signs: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """The part as SQL, its columns as `show` writes them, its operators as `signs` has them."""
        words = []
        for piece in self.pieces:
            if isinstance(piece, Part):
                word = piece.write(show, signs)
                words.append(word if piece.rank <= LOOSEST_INSIDE[self.rank] else f"({word})")
            elif isinstance(piece, Column):
                words.append(show(piece))
            else:
                words.append(signs.get(piece, piece))
        return "".join(words)

    def columns(self) -> Iterator[Column]:
        """Every mention of a column, in order."""
        for piece in self.pieces:
            if isinstance(piece, Part):
                yield from piece.columns()
            elif isinstance(piece, Column):
                yield piece

    def with_parts(self) -> Iterator[Part]:
        """The part and all conditions inside it, outermost first."""
        yield self
        for part in self.parts:
            yield from part.with_parts()


@dataclass(frozen=True)
class Outcome:
    """What a condition, or a part of one, says about one row."""

    text: str
    """The part with the values of its columns: `days_silent 12 ≥ 18`."""
    holds: bool | None
    """None: unknown, because something that it asks about is null."""
    parts: tuple[Outcome, ...] = ()
    joins: str = ""
    """How it makes one of its parts: and, or, not; empty where it has none."""

    def __str__(self) -> str:
        return f"{self.text}: { {True: 'yes', False: 'no', None: 'unknown'}[self.holds] }"


@dataclass(frozen=True)
class Condition:
    """A checked condition."""

    text: str
    """As it was written."""
    checked: Part

    @property
    def columns(self) -> frozenset[str]:
        """The names of the columns that it asks about."""
        return frozenset(column.name for column in self.checked.columns())

    @property
    def needs(self) -> dict[str, list[str]]:
        """What its columns are null without: by that, the columns."""
        found: dict[str, list[str]] = {}
        for column in sorted(set(self.checked.columns()), key=lambda column: column.name):
            for need in sorted(column.needs):
                found.setdefault(need, []).append(column.name)
        return found

    @property
    def needs_feed(self) -> bool:
        """Whether it asks about anything that is unknown while the usage feed is late."""
        return any(column.needs_feed for column in self.checked.columns())

    def sql(self, alias: str) -> str:
        """The condition as an SQL expression over a table of that alias."""
        return self.checked.write(lambda column: f"{_quoted(alias)}.{_quoted(column.name)}")

    def tree(self, row: Mapping[str, Any], time_zone: str = "UTC") -> Outcome:
        """What each part of the condition says about a row, given by column name.

        Moments of the row, which are UTC, are shown in the time zone, and name it.
        The warehouse's own engine judges each part, so that what is explained is what was
        decided. Raises KeyError if the row lacks a column that the condition asks about.
        """
        columns = {column.name: column for column in self.checked.columns()}
        casts, values = ["1 as one"], {}
        for number, column in enumerate(columns.values()):
            value, data_type = row[column.name], column.data_type
            if column.kind is Kind.OTHER:  # may only be asked whether it is null
                value, data_type = None if value is None else True, "boolean"
            values[f"v{number}"] = value
            casts.append(f"cast($v{number} as {data_type}) as {_quoted(column.name)}")
        parts = list(self.checked.with_parts())
        judged = ", ".join(part.write(lambda column: f"r.{_quoted(column.name)}") for part in parts)
        query = f"select {judged} from (select {', '.join(casts)}) r"
        with without_pandas():
            outcomes = _engine().cursor().execute(query, values).fetchone()
        assert outcomes is not None
        return _outcome(self.checked, row, time_zone, iter(outcomes))

    def __str__(self) -> str:
        return self.text


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return connect(":memory:", config={"threads": 1})


def _outcome(
    part: Part, row: Mapping[str, Any], time_zone: str, outcomes: Iterator[bool | None]
) -> Outcome:
    holds = next(outcomes)

    def show(column: Column) -> str:
        value = row[column.name]
        if column.kind is Kind.BOOLEAN and value is not None:
            return column.name
        return f"{column.name} {_shown(value, time_zone)}"

    parts = tuple(_outcome(inner, row, time_zone, outcomes) for inner in part.parts)
    return Outcome(part.write(show, SIGNS), holds, parts, part.joins)


def _shown(value: Any, time_zone: str) -> str:
    match value:
        case None:
            return "null"
        case str():
            return _quoted_text(value)
        case float():
            return f"{value:g}"
        case datetime():
            there = value.replace(tzinfo=UTC).astimezone(ZoneInfo(time_zone))
            return f"{there:%Y-%m-%d %H:%M} {time_zone}"
        case _:
            return str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def parse_condition(text: object, columns: Columns) -> Condition:
    """Check a condition over the columns of a model.

    Raises ConditionError with every wrong name, and with the first other fault of each of the
    conditions that it joins.
    """
    if not isinstance(text, str):
        raise ConditionError(Fault(f"{text!r} is not a condition", "write an SQL expression"))
    node = _parsed(text)
    wrong = [
        fault
        for column in node.find_all(exp.Column, bfs=False)
        if (fault := _wrong_name(column, columns))
    ]
    try:
        checked = _Checker(columns).condition(node)
    except RecursionError:
        raise ConditionError(*dict.fromkeys(wrong), Fault("nested too deeply")) from None
    except ConditionError as error:
        raise ConditionError(*dict.fromkeys((*wrong, *error.faults))) from None
    return Condition(text.strip(), checked)


def _parsed(text: str) -> exp.Expr:
    """The one expression that a text holds. Comments and anything unreadable are refused."""
    if not text.strip():
        raise ConditionError(Fault("empty; a condition is an SQL expression"))
    if len(text) > LONGEST:
        raise ConditionError(Fault(f"longer than {LONGEST} characters"))
    odd = re.search(r"[^\S \t\r\n　]|[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]", text)
    if odd:
        raise ConditionError(Fault(f"holds a character that cannot be typed: {odd[0]!a}"))
    try:
        tokens = sqlglot.tokenize(text, dialect="duckdb")
        if not tokens or any(token.comments for token in tokens):
            raise ConditionError(Fault("holds a comment", "write comments after YAML's #"))
        if any(token.token_type is TokenType.SEMICOLON for token in tokens):
            raise ConditionError(Fault("holds a ; : a condition is one expression"))
        statements = sqlglot.parse(text, dialect="duckdb")
    except ConditionError:
        raise
    except ParseError as error:
        raise ConditionError(_unreadable(error)) from None
    except TokenError:
        raise ConditionError(Fault("cannot be read", "is a quote not closed?")) from None
    except RecursionError:
        raise ConditionError(Fault("nested too deeply")) from None
    except Exception:  # the parser stumbles in many more ways over what is no SQL
        raise ConditionError(Fault("cannot be read as SQL")) from None
    if len(statements) != 1 or statements[0] is None:
        raise ConditionError(Fault("cannot be read as one expression"))
    return statements[0]


def _unreadable(error: ParseError) -> Fault:
    near = error.errors[0] if error.errors else {}
    before = str(near.get("start_context", ""))[-20:]
    place = f"{before}{near.get('highlight', '')}".strip()
    return Fault(f"cannot be read at {place!r}" if place else "cannot be read as SQL")


def _wrong_name(node: exp.Column, columns: Columns) -> Fault | None:
    name = node.name
    if node.table:
        return Fault(f"{node.table}.{name}: write the column's name alone")
    if name.lower() in columns:
        return None
    what = f"{columns.model} has no column {name!r}"
    if CLOCKS.fullmatch(name.lower()):
        return _no_clock(name)
    as_text = f"a text stands in single quotes: {_quoted_text(name)}"
    if any(name in column.accepted_values for column in columns.values()):
        return Fault(what, as_text)
    return Fault(what, did_you_mean(name.lower(), columns) or as_text)


def _no_clock(name: str) -> Fault:
    return Fault(
        f"{name} is not allowed: a condition has no clock of its own",
        "ask about a column that counts days",
    )


class _Checker:
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
        if fault := _wrong_name(node, self._columns):
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
        else:
            self._check_comparable(left, right)
            if left.kind is Kind.BOOLEAN and sign not in ("=", "<>"):
                raise ConditionError(Fault(f"{_text(left)} is yes or no; it has no order"))
            if sign in ("=", "<>"):
                self._check_accepted(left, right)
                self._check_accepted(right, left)
        if node.args.get("negate"):  # sqlglot's reading of `not like`
            sign = f"not {sign}"
        return Part(Kind.BOOLEAN, (left, f" {sign} ", right), rank=Rank.PREDICATE)

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
            return Part(Kind.TEXT, (_quoted_text(inner),), literal=inner)
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
