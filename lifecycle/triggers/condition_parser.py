"""Parses the text of a condition into the one SQL expression that it holds."""

from __future__ import annotations

import re

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, TokenError

from lifecycle.triggers.condition_part import ConditionError, Fault

LONGEST = 5000
"""Characters. A condition that people are to understand is far shorter."""


def parse_expression(text: str) -> exp.Expr:
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
