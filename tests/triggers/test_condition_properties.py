"""Whatever is typed: refused with a reason, or judged as the warehouse judges it."""

import random
import re
from datetime import date, datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.triggers.columns import Column, Columns, Kind
from lifecycle.triggers.condition import ConditionError, Outcome, parse_condition

COLUMNS = Columns(
    "t",
    [
        Column("n", "bigint"),
        Column("x", "double"),
        Column("s", "varchar"),
        Column("b", "boolean"),
        Column("d", "date"),
        Column("ts", "timestamp"),
        Column("l", "varchar[]"),
    ],
)
TABLE = ", ".join(f"{column.name} {column.data_type}" for column in COLUMNS.values())

# Random text. -----------------------------------------------------------------------------

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

NEARLY_RIGHT = "b and n > 3 or ( lower(s) like 'x' and not d is null ) and x between 1 and 2"

LIKELY = ["n", "x", "b", "not b", "d", "and", "or", "=", "<>", "1", "-3", "0.5", "'a'", "not like"]

OUTSIDE_QUOTES = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'")
OUR_WORDS = re.compile(
    r"(and|or|not|in|is|null|true|false|between|like|ilike|date|timestamp|lower|upper|trim|length"
    r"|abs|coalesce|[0-9.]+|[-=<>(),. ])*"
)


def strings(count, seed):
    """Soups of SQL words, of characters, and sentences that are nearly right."""
    rng = random.Random(seed)
    for number in range(count):
        match number % 4:
            case 0:
                codes = [rng.randrange(32, 127) for _ in range(rng.randrange(30))]
                if codes and number % 8:
                    codes[-1] = rng.randrange(0x11000)
                yield "".join(map(chr, codes))
            case 1:
                yield " ".join(rng.choices(WORDS, k=rng.randrange(1, 12)))
            case 2:
                parts = [
                    f"{rng.choice(list(COLUMNS))} {rng.choice(['=', '>', 'in', 'is', 'like'])}"
                    f" {rng.choice(WORDS)}"
                    for _ in range(rng.randrange(1, 4))
                ]
                yield rng.choice([" and ", " or ", " "]).join(parts)
            case _:
                words = NEARLY_RIGHT.split()
                for _ in range(rng.randrange(1, 4)):
                    words[rng.randrange(len(words))] = rng.choice(rng.choice([WORDS, LIKELY]))
                yield " ".join(words)


def test_ten_thousand_random_strings_are_checked_or_refused():
    connection = duckdb.connect()
    connection.execute(f"create table t ({TABLE})")
    accepted = 0
    for text in strings(10_000, seed=5):
        try:
            condition = parse_condition(text, COLUMNS)
        except ConditionError:
            continue
        accepted += 1
        sql = condition.sql("a")
        # Nothing but our own words, quoted names and quoted texts ever reaches the warehouse.
        assert OUR_WORDS.fullmatch(OUTSIDE_QUOTES.sub("", sql)), (text, sql)
        assert "--" not in OUTSIDE_QUOTES.sub("", sql)
        assert condition.columns <= set(COLUMNS)
        connection.execute(f"select {sql} from t a").fetchall()
    assert accepted > 100, "the soup is too thin to prove anything"


# Random conditions. -----------------------------------------------------------------------

numbers = st.integers(-3, 3) | st.sampled_from([0.5, 1.5])
texts = st.text("abA%_' 日ß", max_size=3)
days = st.dates(date(2026, 10, 30), date(2026, 11, 2))
midnight = datetime.fromisoformat("2026-10-31")  # naive UTC, as in the warehouse
moments = st.integers(0, 24).map(lambda hours: midnight + timedelta(hours=hours))


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


literals = {
    Kind.NUMBER: numbers.map(str),
    Kind.TEXT: texts.map(quoted),
    Kind.BOOLEAN: st.sampled_from(["true", "FALSE"]),
    Kind.DATE: days.map(lambda day: f"date '{day}'"),
    Kind.TIMESTAMP: moments.map(lambda moment: f"timestamp '{moment}'"),
}
names = {
    kind: st.sampled_from([column.name for column in COLUMNS.values() if column.kind is kind])
    for kind in literals
}


def values(kind):
    simple = names[kind] | literals[kind]
    calls = [st.builds("coalesce({}, {})".format, names[kind], literals[kind])]
    if kind is Kind.NUMBER:
        calls += [st.builds("abs({})".format, names[kind])]
        calls += [st.builds("length({})".format, names[Kind.TEXT])]
    if kind is Kind.TEXT:
        calls += [
            st.builds("{}({})".format, st.sampled_from(["lower", "UPPER", "trim"]), names[kind])
        ]
    return simple | st.one_of(calls)


def predicates(kind):
    value = values(kind)
    found = [
        st.builds("{} {} {}".format, value, st.sampled_from(["=", "<>", "!="]), value),
        st.builds("{} is {}null".format, value.filter(str), st.sampled_from(["", "not "])),
        st.builds(
            "{} {}in ({})".format,
            value,
            st.sampled_from(["", "not "]),
            st.lists(literals[kind], min_size=1, max_size=3).map(", ".join),
        ),
    ]
    if kind is not Kind.BOOLEAN:
        found += [
            st.builds("{} {} {}".format, value, st.sampled_from(["<", "<=", ">", ">="]), value),
            st.builds(
                "{} {}between {} and {}".format, value, st.sampled_from(["", "not "]), value, value
            ),
        ]
    if kind is Kind.TEXT:
        like = st.sampled_from(["like", "not like", "ilike"])
        found += [st.builds("{} {} {}".format, value, like, value)]
    return st.one_of(found)


conditions = st.recursive(
    st.one_of(names[Kind.BOOLEAN], *(predicates(kind) for kind in literals)),
    lambda inner: st.one_of(
        *(
            st.builds(shape.format, inner, inner)
            for shape in ("{} and {}", "{} or {}", "({}) and ({})", "({}) or {}", "not ({}) and {}")
        ),
        st.builds("not {}".format, inner),
        st.builds("({})".format, inner),
        st.builds("({}) is true".format, inner),
        st.builds("({}) = ({})".format, inner, inner),
    ),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-3, 3),
        "x": st.none() | st.sampled_from([-1.0, 0.5, 1.5]),
        "s": st.none() | texts,
        "b": st.none() | st.booleans(),
        "d": st.none() | days,
        "ts": st.none() | moments,
        "l": st.none() | st.lists(texts, max_size=2),
    }
)


@pytest.fixture(scope="module")
def warehouse():
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(f"create table t ({TABLE})")
    yield connection
    connection.close()


def three_valued(tree: Outcome, text: str):
    """A group's outcome follows from its parts' by SQL's logic of true, false and unknown."""
    inside = [part.holds for part in tree.parts]
    if len(inside) == 1:
        assert tree.holds is (None if inside[0] is None else not inside[0]), text
    elif inside:
        strongest = {False, True} - {tree.holds} if tree.holds is None else {tree.holds}
        assert all(value in inside or len(strongest) == 2 for value in strongest), text
        assert tree.holds is not None or None in inside, text
    for part in tree.parts:
        three_valued(part, text)


@settings(max_examples=300)
@given(text=conditions, row=rows)
def test_what_is_explained_is_what_the_warehouse_decides(warehouse, text, row):
    condition = parse_condition(text, COLUMNS)
    warehouse.execute("delete from t")
    warehouse.execute("insert into t values ($n, $x, $s, $b, $d, $ts, $l)", row)
    as_typed, as_written = warehouse.execute(
        f"select ({text}), {condition.sql('a')} from t a"
    ).fetchone()
    assert as_written is as_typed
    tree = condition.tree(row)
    assert tree.holds is as_typed
    three_valued(tree, text)


@given(text=conditions)
def test_what_is_written_reads_as_the_same_condition(text):
    condition = parse_condition(text, COLUMNS)
    plain = condition.checked.write(lambda column: column.name)
    assert parse_condition(plain, COLUMNS).checked == condition.checked


def test_a_moment_is_compared_with_a_day_as_its_midnight():
    condition = parse_condition("ts >= date '2026-11-01'", COLUMNS)
    midnight = datetime(2026, 11, 1)  # noqa: DTZ001
    assert condition.tree({"ts": midnight}).holds is True
    assert condition.tree({"ts": midnight - timedelta(seconds=1)}).holds is False
