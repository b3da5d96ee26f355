"""Whatever is typed: refused with a reason, or judged as the warehouse judges it."""

from datetime import date, datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condition_columns import COLUMNS, TABLE
from lifecycle.triggers.columns import Kind
from lifecycle.triggers.condition import Outcome, parse_condition

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
    result = [
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
        result += [
            st.builds("{} {} {}".format, value, st.sampled_from(["<", "<=", ">", ">="]), value),
            st.builds(
                "{} {}between {} and {}".format, value, st.sampled_from(["", "not "]), value, value
            ),
        ]
    if kind is Kind.TEXT:
        like = st.sampled_from(["like", "not like", "ilike"])
        result += [st.builds("{} {} {}".format, value, like, literals[kind])]
    return st.one_of(result)


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
    # A `like` may be another expression in SQL, so this is what a person is shown.
    plain = condition.checked.write(lambda column: column.name, {"≥": ">="})
    assert parse_condition(plain, COLUMNS).checked == condition.checked


def test_a_moment_is_compared_with_a_day_as_its_midnight():
    condition = parse_condition("ts >= date '2026-11-01'", COLUMNS)
    midnight = datetime(2026, 11, 1)  # noqa: DTZ001
    assert condition.tree({"ts": midnight}).holds is True
    assert condition.tree({"ts": midnight - timedelta(seconds=1)}).holds is False
