"""10,000 strings that nobody should type: each a checked condition or a clear refusal.

Soups of characters and of SQL words, valid conditions with something changed, and what other
SQL dialects, and DuckDB itself, allow beyond the condition language.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from datetime import date, datetime

import duckdb
import pytest

from condition_columns import COLUMNS, TABLE
from lifecycle.triggers.condition import Condition, parse_condition
from lifecycle.triggers.condition_part import ConditionError

WORDS = [
    *COLUMNS, "t", "and", "or", "not", "in", "is", "null", "true", "false", "between", "like",
    "ilike", "(", ")", ",", "=", "<>", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "||",
    "1", "0.5", "-3", "1e9", "'a'", "'a''b'", "'%'", '"n"', '"', "'", ";", "--", "/*", "*/", "$1",
    "?", ":x", "::", "int", "cast", "as", "date", "timestamp", "'2026-11-01'", "now()", "select",
    "from", "where", "lower(s)", "upper", "trim", "length", "abs", "coalesce", "count", "over",
    "exists", "case", "when", "then", "end", "[", "]", "{", "}", ".", "\\", "\n", "\t", "e'x'",
    "$$x$$", "drop table t", "attach 'x'", "read_csv('x')", "@", "#1", "ー", "ｎ", "''", "interval",
    "escape", "collate", "lambda", "->", "{{", "}}", "<!--", "\u00a0", "\0",
]  # fmt: skip

VALID = [
    "b and n > 3 or (lower(s) like 'x' and not d is null) and x between 1 and 2",
    "s in ('a', 'b') and coalesce(n, 0) <= 12 and ts >= timestamp '2026-11-01 10:00'",
    "not (d between date '2026-11-01' and date '2026-12-01' or l is null) and b is not true",
    "length(trim(s)) > 2 or abs(x) < 0.5 or upper(s) <> 'A''B' and n not in (1, 2, 3)",
    "s not ilike '%a%' and (b = true or x is not null) and -3 < n",
]

TRICKS = [
    "n::int > 3",
    "n > 3::bigint",
    "list_filter(l, x -> true) is null",
    "[x for x in l] is null",
    "l[1] = 'a'",
    "s.a = 'x'",
    "struct_pack(a := 1).a = 1",
    "{'a': 1}.a = 1",
    "columns('n') > 1",
    "COLUMNS(*) > 1",
    "n = ?",
    "n = $1",
    "n = $x",
    "n = :x",
    "s = $$a$$",
    "s = $tag$a$tag$",
    "pragma version",
    "b; pragma version",
    "b; select 1",
    "b -- x",
    "b /* x */",
    "b # x",
    "/*+ hint */ b",
    "exists (select 1)",
    "n in (select 1)",
    "n = (select max(n) from t)",
    "n = any(select 1)",
    "n = any([1])",
    "n = all(l)",
    "row_number() over () = 1",
    "sum(n) over (partition by s) > 1",
    "count(*) > 1",
    "max(n) filter (where b) > 1",
    "b qualify true",
    "s similar to 'a'",
    "s ~ 'a'",
    "s ~~ 'a'",
    "s !~~ 'a'",
    "s glob 'a'",
    "s like 'a' escape '\\'",
    "s collate nocase = 'a'",
    "s = 'a' collate de",
    "n is distinct from 1",
    "n <=> 1",
    "n ** 2 > 1",
    "n ^ 2 > 1",
    "n // 2 > 1",
    "n % 2 = 1",
    "n & 1 = 1",
    "n | 1 = 1",
    "~n = 1",
    "n << 1 = 1",
    "@n = 1",
    "-n > 1",
    "+n > 1",
    "- -1 = n",
    "-(-1) = n",
    "n = -(1)",
    "n = 1e5",
    "n = 0x1F",
    "n = 1_000",
    "n = 'a'::varchar::int",
    "cast(s as int) = 1",
    "try_cast(s as int) = 1",
    "d = current_date",
    "ts > now()",
    "ts > get_current_timestamp()",
    "ts at time zone 'UTC' > ts",
    "date_trunc('day', ts) = d",
    "extract(year from ts) = 2026",
    "interval 1 day is null",
    "d + interval 1 day > d",
    "d + 1 > d",
    "s || 'a' = 'ab'",
    "concat(s, 'a') = 'a'",
    "substring(s, 1, 2) = 'a'",
    "s[1:2] = 'a'",
    "case when b then true else false end",
    "if(b, true, false)",
    "nullif(n, 1) is null",
    "ifnull(n, 1) = 1",
    "greatest(n, 1) = 1",
    "regexp_matches(s, 'a')",
    "s.lower() = 'a'",
    "n.abs() = 1",
    "lower(s, s) = 'a'",
    "trim(both 'x' from s) = 'a'",
    "trim(s, 'x') = 'a'",
    "trim(leading from s) = ''",
    "ltrim(s) = 'a'",
    "length(distinct s) = 1",
    "coalesce() = 1",
    "coalesce(distinct n, 1) = 1",
    "abs(distinct n) = 1",
    "lower(s order by n) = 'a'",
    "lower(all s) = 'a'",
    "lower(s) over () = 'a'",
    "lower(*) = 'a'",
    "lower(s) filter (where b) = 'a'",
    "main.lower(s) = 'a'",
    "pg_catalog.abs(n) = 1",
    "\"lower\"(s) = 'a'",
    "read_csv('x')",
    "getenv('HOME') = 'x'",
    "query('select 1')",
    "from t",
    "select true",
    "(select true)",
    "with x as (select 1) select true",
    "values (true)",
    "attach 'x'",
    "copy t to 'x'",
    "install httpfs",
    "load httpfs",
    "set threads=1",
    "create macro f() as 1",
    "call f()",
    "table t",
    "b union select true",
    "not b not",
    "b and",
    "and b",
    "()",
    "((b)",
    "b)",
    "",
    "   ",
    ";",
    "b;",
    "b;;",
    "t.b",
    "x.t.b",
    "a.b.c.d.e",
    '"b"',
    "`b`",
    "[b]",
    "'b'",
    "b as c",
    "b c",
    "b, b",
    "(b, b)",
    "(b, b) = (true, true)",
    "row(b) = row(b)",
    "(n, 1) in ((1, 1))",
    "n in (1)",
    "n in 1",
    "n in l",
    "1 in (n)",
    "n not in (1, null)",
    "n in (1, 'a')",
    "n in ()",
    "n between 1 and 2 and 3",
    "n between symmetric 1 and 2",
    "not n between 1 and 2",
    "b is not true",
    "b is not false",
    "b is unknown",
    "b is not unknown",
    "b isnull",
    "b notnull",
    "n is 1",
    "b is true is true",
    "not not not b",
    "b = b = b",
    "n < n < n",
    "b or b and b",
    "b xor b",
    "b && b",
    "b || b",
    "!b",
    "b == b",
    "n == 1",
    's = "a"',
    "s = E'a\\'b'",
    "s = e'\\x41'",
    "s = U&'\\0041'",
    "s = x'41'",
    "s = b'1'",
    "s = N'a'",
    "s = r'a'",
    "s = 'a' 'b'",
    "s = '''a'''",
    "s = '\x00'",
    "s = 'a\nb'",
    "s = 'a\\'",
    "date '2026-11-01' < d",
    "d = '2026-11-01'",
    "d = date '2026-02-30'",
    "d = date '0000-01-01'",
    "d = date '9999-12-31'",
    "ts = timestamp '2026-11-01 24:00'",
    "ts = timestamp '2026-11-01 10:00+02'",
    "ts = timestamptz '2026-11-01'",
    "time '10:00' is null",
    "d = date('2026-11-01')",
    "d = {d '2026-11-01'}",
    "date is null",
    "d = date s",
    "n = date",
    "n = 99999999999999999999",
    "n = 1.",
    "n = .5",
    "n = 1.5.5",
    "n = 1e999",
    "n = inf",
    "n = 'nan'::double",
    "x = nan",
    "n = null",
    "null",
    "true",
    "false",
    "1",
    "'a'",
    "n",
    "not 1",
    "b is null",
    "l is null",
    "l = l",
    "l is not null and b",
    "unnest(l) = 'a'",
    "l contains 'a'",
    "list_contains(l, 'a')",
    "array_length(l) = 1",
    "len(l) = 1",
    "#1 = 1",
    "positional",
    "default",
    "b limit 1",
    "b order by 1",
    "b group by 1",
    "b where b",
    "b from t",
    "b join t",
    "lambda x: x",
    "(lambda x: x)(1)",
    "x -> x",
    "n -> 1",
    "s -> 'a'",
    "s ->> 'a' = 'b'",
    "s @> 'a'",
    "l @> l",
    "l && l",
    "s ^@ 'a'",
    "{{ b }}",
    "{% if b %}",
    "${b}",
    "%s",
    "%(b)s",
    "\\b",
    "b\x00",
    "\ufeffb",
    "b\u200b",
    "ｂ",
    "b\u00a0and\u00a0b",
    "b ∧ b",
    "n ≤ 1",
    "n ＝ 1",
    "😀",
    "B",
    '"B" and N>1',
    "try(b)",
    "exists(b)",
    "not exists(b)",
    "every(b)",
    "any_value(b)",
    "variant b",
    "n = any (values (1))",
    "json '{}' is null",
    "map {'a': 1} is null",
    "union_value(a := 1) is null",
    "grouping(b)=1",
    "ignore nulls",
    "n = (1)",
    "n = ((1))",
    "(n) = 1",
    "((b)) and ((b))",
    "s ilike any ('a','b')",
    "s like any ('a')",
    "s like all ('a')",
    "s like (s)",
    "s not ilike 'a'",
    "n <> all (1)",
    "b is distinct from null",
    "cast(b as boolean)",
    "b::boolean",
    "bool 'true'",
    "boolean 'true'",
    "varchar 'a' = s",
    "int '1' = n",
    "date '2026-11-01'::date = d",
    "(date '2026-11-01') = d",
    "cast('2026-11-01' as date) = d",
    "try_cast('2026-11-01' as date) = d",
    "cast('2026-11-01' as timestamp) = ts",
    "cast('2026-11-01' as date format 'x') = d",
    "timestamp_s '2026-11-01' = ts",
    "timestamp without time zone '2026-11-01' = ts",
    "timestamp(3) '2026-11-01' = ts",
    "datetime '2026-11-01' = ts",
]
"""Casts, lambdas, structs, lists, parameters, dollar quotes, statements, windows, …"""

PIECE = re.compile(r"'(?:[^']|'')*'|[\w.]+|[<>=!]+|\S")


def strings(count: int, seed: int) -> Iterator[str]:
    """The tricks alone and inside a condition, then soups and mutations in turn."""
    yield from TRICKS
    yield from (f"b and {trick}" for trick in TRICKS)
    yield from (f"({trick}) or n > 1" for trick in TRICKS)
    rng = random.Random(seed)
    for number in range(count - 3 * len(TRICKS)):
        match number % 4:
            case 0:
                codes = [rng.randrange(32, 127) for _ in range(rng.randrange(30))]
                if codes and number % 8:
                    codes[-1] = rng.randrange(0x11000)
                yield "".join(map(chr, codes))
            case 1:
                yield " ".join(rng.choices(WORDS, k=rng.randrange(1, 12)))
            case _:
                yield mutated(rng)


def mutated(rng: random.Random) -> str:
    """A valid condition with a piece or two replaced, doubled, dropped or swapped."""
    pieces = PIECE.findall(rng.choice(VALID))
    for _ in range(rng.randrange(1, 3)):
        place = rng.randrange(len(pieces))
        match rng.randrange(5):
            case 0:
                pieces[place] = rng.choice(WORDS)
            case 1:
                pieces.insert(place, rng.choice(WORDS))
            case 2 if len(pieces) > 1:
                del pieces[place]
            case 3:
                pieces.insert(place, pieces[rng.randrange(len(pieces))])
            case _:
                pieces[place] = rng.choice(PIECE.findall(rng.choice(VALID)))
    return " ".join(pieces)


OUTSIDE_QUOTES = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'")
OUR_WORDS = re.compile(
    r"(and|or|not|in|is|null|true|false|between|like|ilike|date|timestamp|lower|upper|trim|length"
    r"|abs|coalesce|[0-9.]+|[-=<>(),. ])*"
)
LITERAL = re.compile(r"'((?:[^']|'')*)'|\"(?:[^\"]|\"\")*\"|[\w.]+")
ROW = {
    "n": 2,
    "x": 0.5,
    "s": "ab",
    "b": True,
    "d": date(2026, 11, 1),
    "ts": datetime(2026, 11, 1, 10),  # noqa: DTZ001
    "l": ["a"],
}


@pytest.fixture(scope="module")
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"create table t ({TABLE})")
        connection.execute("insert into t values ($n, $x, $s, $b, $d, $ts, $l)", ROW)
        yield connection


def literals(text: str) -> list[str | float]:
    """The texts and numbers in it, as they are written."""
    collected: list[str | float] = []
    for item in LITERAL.finditer(re.sub(r"\. +(?=\d)", ".", text)):  # `. 5` is read as .5
        if item[1] is not None:
            collected.append(item[1])
        elif re.fullmatch(r"[\d_]*\.?[\d_]+", item[0]):
            collected.append(float(item[0].replace("_", "")))
    return collected


def answer(text: str) -> Condition | None:
    """The checked condition, or None where it is refused with a reason."""
    try:
        return parse_condition(text, COLUMNS)
    except ConditionError as error:
        message = [fault.what for fault in error.faults]
    assert message, text
    assert all(message), text
    return None


def check(warehouse: duckdb.DuckDBPyConnection, condition: Condition) -> None:
    """The SQL that is written anew is ours alone, and says what was typed."""
    sql = condition.sql("a")
    # Nothing but our own words, quoted names and quoted texts ever reaches the warehouse.
    plain = OUTSIDE_QUOTES.sub("", sql)
    assert OUR_WORDS.fullmatch(plain), sql
    assert "--" not in plain, sql
    assert condition.columns <= set(COLUMNS)
    assert literals(sql) == literals(condition.text), sql
    kind, holds = warehouse.execute(f"select typeof({sql}), {sql} from t a").fetchone() or ()
    assert kind == "BOOLEAN", sql
    try:
        typed = warehouse.execute(f"select ({condition.text}) from t").fetchone()
    except duckdb.Error:
        return  # another dialect's way to say it
    assert typed == (holds,), sql


def test_ten_thousand_random_strings_are_checked_or_refused(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    accepted = 0
    for text in strings(10_000, seed=5):
        begun = time.process_time()
        condition = answer(text)
        if condition:
            accepted += 1
            check(warehouse, condition)
        assert time.process_time() - begun < 5, text
    assert accepted > 300, "the soup is too thin to prove anything"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2000 + "b" + ")" * 2000,
        "(" * 60 + "b" + ")" * 60,
        "not " * 1200 + "b",
        " and ".join(["b"] * 600),
        " or ".join(["(b and not b)"] * 270),
        "b or not " * 500 + "b",
        "(b or " * 600 + "b" + ")" * 600,
        "b and (b or (" * 200 + "b" + "))" * 200,
        "lower(" * 600 + "s" + ")" * 600 + " = 'a'",
        "n in (" + ", ".join(["1"] * 1600) + ")",
        "n in (" + "(" * 1000 + "1",
        "(b) is true" + " is true" * 500,
        "b = " * 1000 + "b",
        "[" * 3000,
        "{" * 3000,
        "case when " * 450,
        "cast(" * 800 + "1",
        "(select " * 600,
        "exists(" * 700,
        "l[" * 2000,
        "a.b." * 1200,
        "- " * 2000 + "1 = n",
        "~" * 3000,
        "x->" * 1500,
        "$" * 3000,
        "'" * 4999,
        "/*" * 2000,
        "b or " * 5000 + "b",
    ],
    ids=lambda text: f"{text[:12]}*{len(text)}",
)
def test_depth_and_length_end_in_an_answer(warehouse: duckdb.DuckDBPyConnection, text: str) -> None:
    begun = time.process_time()
    condition = answer(text)
    if condition:
        check(warehouse, condition)
        assert condition.tree(ROW).holds in (True, False)
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("text", ["trim(s, 'x') = 'a'", "trim(both 'x' from s) = 'a'"])
def test_what_a_function_is_told_beside_its_value_is_not_dropped(text: str) -> None:
    with pytest.raises(ConditionError, match=r"trim\(…\) has more in it"):
        parse_condition(text, COLUMNS)
