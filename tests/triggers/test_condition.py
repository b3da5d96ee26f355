"""What a condition may say, and what is answered to one that may not."""

from datetime import date, datetime

import duckdb
import pytest

from lifecycle.triggers.columns import Column, Columns
from lifecycle.triggers.condition import parse_condition
from lifecycle.triggers.condition_part import ConditionError

COLUMNS = Columns(
    "account_360",
    [
        Column("stage", "varchar", True, accepted_values=frozenset({"onboarding", "mature"})),
        Column("touch_model", "varchar"),
        Column("days_silent", "bigint", needs=frozenset({"usage_feed"})),
        Column("mrr", "double"),
        Column("is_dormant", "boolean", needs=frozenset({"usage_feed"})),
        Column("renewal_at", "timestamp"),
        Column("signed_on", "date"),
        Column("usage_reasons", "varchar[]", needs=frozenset({"usage_feed"})),
    ],
)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("is_dormant", '"a"."is_dormant"'),
        ("not is_dormant", 'not "a"."is_dormant"'),
        ("Days_Silent >= 18", '"a"."days_silent" >= 18'),
        ("days_silent != -1.50", '"a"."days_silent" <> -1.50'),
        ("touch_model in ('tech', 'O''Brien')", "\"a\".\"touch_model\" in ('tech', 'O''Brien')"),
        ("mrr not between 1 and 2", 'not "a"."mrr" between 1 and 2'),
        ("touch_model is not null", 'not "a"."touch_model" is null'),
        ("touch_model not like 't%'", '"a"."touch_model" not like \'t%\''),
        ("touch_model like 't%'", '"a"."touch_model" like \'t%\''),
        ("is_dormant is false", '"a"."is_dormant" is false'),
        ("usage_reasons is null", '"a"."usage_reasons" is null'),
        ("length(trim(touch_model)) > 2", 'length(trim("a"."touch_model")) > 2'),
        ("coalesce(mrr, 0) > abs(days_silent)", 'coalesce("a"."mrr", 0) > abs("a"."days_silent")'),
        ("renewal_at < date '2026-11-01'", '"a"."renewal_at" < date \'2026-11-01\''),
        (
            "signed_on = timestamp '2026-11-01 09:00'",
            '"a"."signed_on" = timestamp \'2026-11-01 09:00\'',
        ),
        (
            "is_dormant or mrr > 1 and (mrr < 5 or is_dormant)",
            '"a"."is_dormant" or ("a"."mrr" > 1 and ("a"."mrr" < 5 or "a"."is_dormant"))',
        ),
        ("not (is_dormant or mrr > 1)", 'not ("a"."is_dormant" or "a"."mrr" > 1)'),
        ("(mrr > 1) = is_dormant", '("a"."mrr" > 1) = "a"."is_dormant"'),
    ],
)
def test_what_may_be_said_is_written_anew(text, sql):
    assert parse_condition(text, COLUMNS).sql("a") == sql


def test_a_condition_knows_what_it_asks_about():
    condition = parse_condition("mrr > 1 and days_silent > 2 or mrr is null", COLUMNS)
    assert condition.columns == {"mrr", "days_silent"}
    assert condition.needs_feed
    assert not parse_condition("mrr > 1", COLUMNS).needs_feed


def test_a_name_with_quotes_stays_one_name():
    columns = Columns("m", [Column('a"b', "boolean")])
    sql = parse_condition('"a""b"', columns).sql('x"; drop')
    assert sql == '"x""; drop"."a""b"'


NOT_PART = "is not part of the condition language"
REFUSED = {
    # names
    "is_dormnt": "no column 'is_dormnt' (did you mean \"is_dormant\"?)",
    'stage = "mature"': "no column 'mature' (a text stands in single quotes: 'mature')",
    "stage = mature": "no column 'mature' (a text stands in single quotes: 'mature')",
    "a.is_dormant": "a.is_dormant: write the column's name alone",
    "m.a.is_dormant": "write the column's name alone",
    "a.b.c.d.is_dormant": "write the column's name alone",
    # kinds
    "days_silent": "days_silent is a number, not a condition (compare it)",
    "not days_silent": "days_silent is a number, not a condition",
    "is_dormant and mrr": "mrr is a number, not a condition",
    "'true'": "'true' is a text, not a condition",
    "days_silent = '3'": "days_silent is a number and '3' is a text; they cannot be compared",
    "days_silent in (1, 'x')": "days_silent is a number and 'x' is a text",
    "mrr between 1 and 'x'": "they cannot be compared",
    "renewal_at > '2026-11-01'": "(write a day as date '2026-11-01')",
    "mrr like 'x'": "mrr is a number; like compares texts",
    "is_dormant > false": "is_dormant is yes or no; it has no order",
    "is_dormant between false and true": "it has no order",
    "lower(mrr) = 'x'": "mrr is a number; lower takes a text",
    "coalesce(mrr, 'x') = 1": "they cannot be compared",
    "coalesce(renewal_at, date '2026-01-01') > date '2026-01-01'": "takes values of one kind",
    "usage_reasons = 'x'": "it can only be asked whether it is null",
    # values
    "stage = 'onbording'": "stage is never 'onbording' (did you mean \"onboarding\"?)",
    "stage in ('mature', 'zzz')": "stage is never 'zzz' (it has mature, onboarding)",
    "coalesce(stage, 'mature') <> 'matur'": "is never 'matur' (did you mean \"mature\"?)",
    "signed_on > date '2026-02-30'": "'2026-02-30' is not a date",
    "signed_on > date 'yesterday'": "'yesterday' is not a date",
    "renewal_at > timestamp '2026-11-01T09:00+09:00'": "is not a timestamp",
    "mrr > 1e400": "is not a number that can be compared",
    "mrr > 99999999999999999999": "is not a number that can be compared",
    "mrr = null": "nothing equals null (write is null or is not null)",
    "mrr in (1, null)": "nothing equals null",
    # clocks
    "renewal_at > now()": "now is not allowed: a condition has no clock of its own",
    "signed_on > current_date": "current_date is not allowed",
    "signed_on > today()": "a condition has no clock of its own",
    "renewal_at > current_timestamp": "a condition has no clock of its own",
    "renewal_at > get_current_timestamp()": "a condition has no clock of its own",
    # functions
    "lenght(stage) > 1": "function 'lenght' is not part of the condition language (did you mean",
    "random() > 0.5": "function 'rand' is not part",
    "read_text('/etc/passwd') = ''": "function 'read_text' is not part",
    "getenv('HOME') = ''": "function 'getenv' is not part",
    "count(*) > 1": "function 'count' is not part",
    "max(mrr) > 1": "function 'max' is not part",
    "sum(mrr) over () > 1": f"a window {NOT_PART}",
    "trim(both 'x' from stage) = ''": "trim(…) has more in it",
    "mrr > @": "something is missing",
    "lower(distinct stage) = ''": NOT_PART,
    "lower(stage) filter (where is_dormant) = ''": NOT_PART,
    "length(stage order by mrr) > 1": NOT_PART,
    "signed_on > date('2026-11-01')": "(write a day as date '2026-11-01')",
    # everything else
    "mrr in (select 1)": "in needs a list of literals",
    "mrr in usage_reasons": "in needs a list of literals",
    "mrr in (days_silent)": "in takes literals, not days_silent",
    "(select true)": f"a subquery {NOT_PART}",
    "exists (select 1)": f"a subquery {NOT_PART}",
    "select true": f"a subquery {NOT_PART}",
    "from account_360": f"a subquery {NOT_PART}",
    "drop table account_360": f"a statement {NOT_PART}",
    "delete from account_360": f"a statement {NOT_PART}",
    "attach 'x.db'": NOT_PART,
    "pragma version": "no column 'version'",
    "is_dormant; drop table x": "holds a ;",
    "is_dormant;": "holds a ;",
    "is_dormant -- and more": "holds a comment (write comments after YAML's #)",
    "is_dormant /* x */ or mrr > 1": "holds a comment",
    "-- is_dormant": "holds a comment",
    "cast(mrr as varchar) = '1'": f"a cast {NOT_PART}",
    "mrr::varchar = '1'": f"a cast {NOT_PART}",
    "try_cast(mrr as date) is null": NOT_PART,
    "cast('2026-11-01' as time) is null": f"a cast {NOT_PART}",
    "mrr + 1 > 2": f"arithmetic {NOT_PART}",
    "-mrr > 2": "a minus before anything but a number",
    "mrr > ?": f"a placeholder {NOT_PART}",
    "mrr > $1": f"a placeholder {NOT_PART}",
    "mrr > :x": f"a placeholder {NOT_PART}",
    "*": f"* {NOT_PART}",
    "case when is_dormant then true end": f"case {NOT_PART}",
    "is_dormant mrr": "is an and, an or or an operator missing?",
    "mrr is distinct from 1": f"is distinct from {NOT_PART}",
    "mrr between symmetric 2 and 1": f"between {NOT_PART}",
    "stage like 'x' escape '!'": f"escape {NOT_PART}",
    "stage like any ('x')": NOT_PART,
    "stage ~ 'x'": NOT_PART,
    "stage collate nocase = 'x'": NOT_PART,
    "(mrr, 1) = (1, 1)": NOT_PART,
    "[mrr] is null": NOT_PART,
    "mrr is 3": "is can be followed by null, not null, true or false",
    "null": f"null {NOT_PART}",
    "": "empty",
    "  \n": "empty",
    "is_dormant and": "cannot be read at 'is_dormant and'",
    "stage = 'mature": "is a quote not closed?",
    "is_dormant\0": "a character that cannot be typed: '\\x00'",
    "is_dormant or \ud800": "a character that cannot be typed: '\\ud800'",
    "(" * 900 + "is_dormant" + ")" * 900: "nested too deeply",
    "not " * 900 + "is_dormant": "nested too deeply",
    "is_dormant or " * 500 + "is_dormant": "longer than 5000 characters",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=lambda text: text[:40])
def test_what_may_not_be_said_is_refused_with_a_reason(text, message):
    with pytest.raises(ConditionError) as caught:
        parse_condition(text, COLUMNS)
    assert message in str(caught.value)


def test_what_is_no_text_is_no_condition():
    for value in (True, 3, None, ["x"]):
        with pytest.raises(ConditionError, match="is not a condition"):
            parse_condition(value, COLUMNS)


def test_every_wrong_name_is_told_at_once():
    with pytest.raises(ConditionError) as caught:
        parse_condition("stag = 'x' and mr > 1 or mr < 0", COLUMNS)
    assert [fault.hint for fault in caught.value.faults] == [
        'did you mean "stage"?',
        'did you mean "mrr"?',
    ]


def test_what_else_is_wrong_is_told_beside_a_wrong_name():
    with pytest.raises(ConditionError) as caught:
        parse_condition(
            "stag = 'x' and stage = 'matur' and not (mrr = 'a' or random() < 1)", COLUMNS
        )
    assert [fault.what for fault in caught.value.faults] == [
        "account_360 has no column 'stag'",
        "stage is never 'matur'",
        "mrr is a number and 'a' is a text; they cannot be compared",
        "function 'rand' is not part of the condition language",
    ]


def test_a_long_chain_is_read():
    text = " or ".join(["mrr > 1"] * 400)
    row = {"mrr": 2.0}
    assert parse_condition(text, COLUMNS).tree(row).holds is True


def test_the_tree_shows_each_part_with_its_value_and_outcome():
    condition = parse_condition(
        "days_silent > 18 and (touch_model = 'tech' or not is_dormant) and mrr is not null", COLUMNS
    )
    row = {"days_silent": 12, "touch_model": "high", "is_dormant": None, "mrr": 1200.5}
    tree = condition.tree(row)
    assert tree.holds is False
    assert [str(part) for part in tree.parts] == [
        "days_silent 12 > 18: no",
        "touch_model 'high' = 'tech' or not is_dormant null: unknown",
        "not mrr 1200.5 is null: yes",
    ]
    assert [str(part) for part in tree.parts[1].parts] == [
        "touch_model 'high' = 'tech': no",
        "not is_dormant null: unknown",
    ]


def test_the_tree_says_how_its_parts_are_joined_and_writes_signs_as_people_do():
    text = "days_silent >= 18 and (mrr <= 5 or stage <> 'mature') and not (mrr > 1 or is_dormant)"
    row = {"days_silent": 12, "mrr": 6.0, "stage": " >= ", "is_dormant": False}
    tree = parse_condition(text, COLUMNS).tree(row)
    assert tree.joins == "and"
    assert str(tree.parts[0]) == "days_silent 12 ≥ 18: no"
    assert [part.joins for part in tree.parts] == ["", "or", "not"]
    assert [str(part) for part in tree.parts[1].parts] == [
        "mrr 6 ≤ 5: no",
        "stage ' >= ' ≠ 'mature': yes",
    ]


def test_the_tree_takes_a_row_as_the_warehouse_gives_it():
    values = {
        "renewal_at": datetime(2026, 11, 1, 9),  # noqa: DTZ001 (as in the warehouse: naive UTC)
        "signed_on": date(2026, 11, 1),
        "usage_reasons": ["a", "b"],
    }
    condition = parse_condition(
        "renewal_at > date '2026-11-01' and signed_on < renewal_at and usage_reasons is not null",
        COLUMNS,
    )
    tree = condition.tree(values)
    assert tree.holds is True
    assert str(tree.parts[1]) == "signed_on 2026-11-01 < renewal_at 2026-11-01 09:00 UTC: yes"
    there = condition.tree(values, "Asia/Tokyo").parts[1].text
    assert there == "signed_on 2026-11-01 < renewal_at 2026-11-01 18:00 Asia/Tokyo"
    with pytest.raises(KeyError):
        condition.tree({})


def test_a_negated_group_shows_what_is_in_it():
    tree = parse_condition("not (is_dormant and mrr > 1)", COLUMNS).tree(
        {"is_dormant": True, "mrr": 0.0}
    )
    assert (tree.holds, tree.parts[0].holds) == (True, False)
    assert [part.holds for part in tree.parts[0].parts] == [True, False]


def test_the_sql_runs_in_the_warehouse():
    connection = duckdb.connect()
    columns = ", ".join(f"{column.name} {column.data_type}" for column in COLUMNS.values())
    connection.execute(f"create table account_360 ({columns})")
    connection.execute("insert into account_360 (stage, mrr) values ('mature', 5), ('x', null)")
    where = parse_condition("coalesce(mrr, 0) < 1 and stage not in ('mature')", COLUMNS).sql("a")
    assert connection.execute(f"select stage from account_360 a where {where}").fetchall() == [
        ("x",)
    ]
