"""The condition language: what an expression may be made of, and what to say of everything else."""

from __future__ import annotations

import re

from sqlglot import exp

from lifecycle.triggers.columns import Kind

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
