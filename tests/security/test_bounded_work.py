"""What somebody wrote costs in line with its size, and is refused with the place and the limit.

A case that is not bounded here does not fail: it never ends.
"""

from __future__ import annotations

import duckdb
import pytest

from lifecycle.errors import TemplateError, TriggerError
from lifecycle.mail.template import parse_template
from lifecycle.triggers.columns import Column
from lifecycle.triggers.condition import parse_condition
from lifecycle.triggers.condition_part import ConditionError
from lifecycle.triggers.yaml_file import YamlFile

VALUES = {
    "account": {"name": "Acme", "items": list(range(50))},
    "contact": {"name": "Aiko"},
}
DOUBLING = "\n".join("{% set x = x ~ x %}" for _ in range(60))
CAPTURING = "\n".join("{% set x %}{{ x }}{{ x }}{% endset %}" for _ in range(60))
ADDING = "\n".join("{% set x = x + x %}" for _ in range(60))
REPLACING = "\n".join("{% set x = x | replace('a', 'aaaaaaaaaa') %}" for _ in range(60))
JOINING = "\n".join("{% set x = [x, x, x] | join(x) %}" for _ in range(60))
SQUARING = "\n".join("{% set n = n * n %}" for _ in range(60))
LOOPS = "{% for a in 'aaaaaaaaaaaaaaaaaaaa' %}"
TEMPLATES = {
    "doubling": f"{{% set x = 'a' %}}{DOUBLING}{{{{ x }}}}",
    "capturing": f"{{% set x = 'a' %}}{CAPTURING}{{{{ x }}}}",
    "adding": f"{{% set x = 'a' %}}{ADDING}{{{{ x }}}}",
    "replacing": f"{{% set x = 'a' %}}{REPLACING}{{{{ x }}}}",
    "joining": f"{{% set x = 'a' %}}{JOINING}{{{{ x }}}}",
    "squaring": f"{{% set n = 9 %}}{SQUARING}{{{{ n }}}}",
    "loops": f"{LOOPS * 9}{{% endfor %}}{'{% endfor %}' * 8}",
    "loops of values": "{% for a in account['items'] %}" * 8 + "x" + "{% endfor %}" * 8,
    "many loops": f"{LOOPS * 40}{'{% endfor %}' * 40}",
    "brackets": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "ifs": "{% if account.name %}" * 5_000 + "x" + "{% endif %}" * 5_000,
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_refused_before_it_takes_everything(name):
    template = parse_template(f"Subject: hello\n\n{TEMPLATES[name]}", "win_back/hello.en.txt")
    names = {"account": ["name", "items"], "contact": ["name"]}
    problems = template.problems(names)
    if not problems:
        with pytest.raises(TemplateError) as refusal:
            template.body.render(VALUES)
        problems = refusal.value.problems
        template.misprints(VALUES)  # `validate` looks at them in this way
    text = str(problems[0])
    assert text.startswith("win_back/hello.en.txt:")
    assert any(words in text for words in ("grows over", "steps", "nested", "small sums")), text


def test_a_mail_of_ordinary_size_is_rendered():
    body = "{% for item in account['items'] %}{{ item ~ ', ' }}{% endfor %}{{ [1, 2] | join('-') }}"
    template = parse_template(f"Subject: hello\n\n{body}", "x.txt")
    assert template.body.render(VALUES).startswith("0, 1, 2, ")
    assert template.body.render(VALUES).endswith("1-2")
    assert list(template.misprints(VALUES)) == []


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 20_000 + "]" * 20_000,
        "a: " + "{b: " * 5_000 + "1" + "}" * 5_000,
        "\n".join("  " * depth + "k:" for depth in range(1_500)),
        "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]",
    ],
)
def test_a_trigger_file_is_refused_in_one_message(text):
    with pytest.raises(TriggerError) as refusal:
        YamlFile(text, "win_back.yaml")
    assert str(refusal.value).startswith("win_back.yaml")


COLUMNS = {name: Column(name, "varchar") for name in ("name", "background")}


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2_000 + "name = 'a'" + ")" * 2_000,
        "not " * 1_200 + "name = 'a'",
        "name like background",
    ],
)
def test_a_condition_is_refused_in_one_message(text):
    with pytest.raises(ConditionError):
        parse_condition(text, COLUMNS)


def test_a_pattern_costs_in_line_with_the_text():
    condition = parse_condition("name like '%_a%_a%_a%_a%_b%'", COLUMNS)
    with duckdb.connect() as database:
        query = f"select {condition.sql('r')} from (select repeat('a', 100000) as name) r"
        assert database.execute(query).fetchone() == (False,)
    assert str(condition.tree({"name": "xxa"})) == "name 'xxa' like '%_a%_a%_a%_a%_b%': no"


@pytest.mark.parametrize("sign", ["like", "ilike", "not like", "not ilike"])
@pytest.mark.parametrize("pattern", ["%a_b%", "%_%", "%_.%", "a%_%b", "%%_[x]%%", "%_'%"])
def test_such_a_pattern_means_what_it_means_in_sql(sign, pattern):
    quoted = pattern.replace("'", "''")
    condition = parse_condition(f"name {sign} '{quoted}'", COLUMNS)
    assert "regexp" in condition.sql("r") or pattern.count("%") < 2
    texts = ["", "a", "A.B", "xaxbx", "a\nb", "é.b", "x[x]y", "it's", "axxb", "AxB"]
    with duckdb.connect() as database:
        rows = database.execute(
            f"select name {sign} '{quoted}', {condition.sql('r')}"
            " from (select unnest(?::varchar[]) as name) r",
            [[*texts, None]],
        ).fetchall()
    assert [plain for plain, _ in rows] == [ours for _, ours in rows]
