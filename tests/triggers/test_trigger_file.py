"""A trigger file becomes a trigger, or each of its problems is told with its line."""

import json
import re
from datetime import date, time, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from company import Company
from lifecycle.caps import Cap
from lifecycle.errors import TriggerError, UnknownName
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.folder import find, load_triggers, parse_trigger, read_folder
from lifecycle.triggers.model import json_schema
from lifecycle.triggers.send_window import Delay
from lifecycle.triggers.values import Enter, Launch

CHECKOUT = Path(__file__).parents[2]
SCHEMA = CHECKOUT / "triggers" / "trigger.schema.json"
ACCOUNTS, CONTACTS = account_columns(), contact_columns()

FULL = """\
description: Wake accounts that fell silent
audience: is_dormant and touch_model = 'tech'     # SQL condition over account_360
recipients: role in ('admin', 'owner')            # SQL condition over dim_contacts
launch: existing            # required
enter: {every: 90d}
exit_when: not is_dormant
goal: {when: not is_dormant, within: 28d}
holdout: 12.5%
priority: 70
caps: {contact: 1/7d, account: 3/30d}
send_window: {days: [mon, wed], from: "10:00", to: "16:30", holidays: JP}
late: {after: 12h, do: send}
include_churned: true
steps:
  - {id: check_in,   after: 0d}
  - {id: case_study, after: 5bd, when: ladder_step < 3}     # bd = business days
  - {id: last_call,  after: 14d}
"""

SHORT = """\
audience: is_dormant
recipients: role = 'admin'
launch: new_only
steps: [{id: hello, after: 0d}]
"""


def parse(text, name="win_back.yaml"):
    return parse_trigger(text, Path("triggers") / name, ACCOUNTS, CONTACTS)


def problems(text, name="win_back.yaml"):
    with pytest.raises(TriggerError) as caught:
        parse(text, name)
    return [str(problem) for problem in caught.value.problems]


def test_everything_that_a_file_says_is_in_the_trigger():
    trigger = parse(FULL)
    assert trigger.name == "win_back"
    assert trigger.file == Path("triggers/win_back.yaml")
    assert trigger.description == "Wake accounts that fell silent"
    assert trigger.audience.columns == {"is_dormant", "touch_model"}
    assert trigger.recipients.text == "role in ('admin', 'owner')"
    assert trigger.launch == Launch("existing")
    assert trigger.enter == Enter("every", timedelta(days=90))
    assert trigger.exit_when.sql("a") == 'not "a"."is_dormant"'
    assert trigger.priority == 70
    assert trigger.goal.when.columns == {"is_dormant"}
    assert trigger.goal.within == timedelta(days=28)
    assert (trigger.holdout.share, str(trigger.holdout)) == (0.125, "12.5%")
    assert (trigger.caps.contact, trigger.caps.account) == (Cap(1, 7), Cap(3, 30))
    assert str(trigger.caps.account) == "3/30d"
    assert trigger.send_window.days == {0, 2}
    assert (trigger.send_window.from_, trigger.send_window.to) == (time(10), time(16, 30))
    assert trigger.send_window.holidays == "JP"
    assert (trigger.late.after, trigger.late.do) == (Delay(12, "h"), "send")
    assert trigger.include_churned
    assert [(step.id, step.after) for step in trigger.steps] == [
        ("check_in", Delay(0, "d")),
        ("case_study", Delay(5, "bd")),
        ("last_call", Delay(14, "d")),
    ]
    assert trigger.step("case_study").when.columns == {"ladder_step"}
    assert trigger.needs_feed
    with pytest.raises(KeyError):
        trigger.step("none")


def test_what_a_file_leaves_out_is_civil():
    trigger = parse(SHORT)
    assert trigger.enter == Enter("once_per_episode")
    assert trigger.exit_when is None
    assert trigger.goal is None
    assert trigger.on is None
    assert trigger.holdout.share == 0
    assert trigger.priority == 50
    assert (trigger.caps.contact, trigger.caps.account) == (None, None)
    assert str(trigger.send_window) == "mon, tue, wed, thu, fri 09:00-17:00, holidays: account"
    assert (trigger.late.after, trigger.late.do) == (Delay(3, "d"), "skip")
    assert not trigger.include_churned


@pytest.mark.parametrize(
    ("launch", "mode", "since"),
    [
        ("new_only", "new_only", None),
        ("existing", "existing", None),
        ("{existing_since: 2026-11-01}", "existing_since", date(2026, 11, 1)),
    ],
)
def test_a_launch_is_one_of_three(launch, mode, since):
    trigger = parse(SHORT.replace("new_only", launch))
    assert (trigger.launch.mode, trigger.launch.since) == (mode, since)
    assert len(str(trigger.launch)) <= 40  # what the ledger keeps


def test_every_key_has_its_line():
    lines = parse(FULL).lines
    text = FULL.splitlines()
    assert text[lines["goal.within"] - 1].startswith("goal:")
    assert text[lines["caps.contact"] - 1].startswith("caps:")
    assert "case_study" in text[lines["steps.case_study.when"] - 1]
    assert text[lines["audience"] - 1].startswith("audience:")


def test_a_trigger_waits_for_the_feed_if_any_of_its_conditions_needs_it():
    calm = SHORT.replace("is_dormant", "plan = 'team'")
    assert not parse(calm).needs_feed
    assert parse(calm + "exit_when: days_silent < 3\n").needs_feed
    assert parse(calm.replace("after: 0d", "after: 0d, when: ladder_step < 3")).needs_feed


def test_the_version_is_of_what_is_said_not_of_how():
    version = parse(SHORT).version
    assert len(version) == 64
    again = "# a comment\n" + "\n".join(reversed(SHORT.splitlines()))
    assert parse(again.replace("'admin'", "'admin'  # x")).version == version
    assert parse(SHORT.replace("0d", "1d")).version != version
    assert parse(SHORT + "priority: 50\n").version != version


WRONG = {
    # keys
    "descripton: x": 'descripton: unknown key (did you mean "description"?)',
    "zzz: x": "zzz: unknown key (keys are description, audience, recipients, launch, enter, on, at,"
    " exit_when, goal, holdout, priority, caps, per, recipients_chosen, locale, send_window, late,"
    " steps, on_reply, include_churned, include_high_touch, migrate)",
    "goal: {when: not is_dormant}": "goal.within: is required",
    "goal: {when: is_dorment, within: 28d}": "goal.when: account_360 has no column 'is_dorment'"
    ' (did you mean "is_dormant"?)',
    "goal: {when: not is_dormant, within: 4h}": "goal.within: '4h' is not a span of time; write"
    " 90d",
    "holdout: 10": "holdout: 10 is not a holdout; write 10% (at most 50%)",
    "holdout: 60%": "holdout: '60%' is not a holdout; write 10% (at most 50%)",
    "holdout: 0%": "holdout: '0%' is not a holdout; write 10% (at most 50%)",
    "migrate: yes please": "migrate: has to be true or false",
    "locale: japanese!": "locale: 'japanese!' is not a language; write ja or en-US",
    # values
    "description: 5": "description: has to be a text",
    "enter: always": "enter: 'always' is not a way to enter; write once, once_per_episode or"
    " {every: 90d}",
    "enter: {every: 5bd}": "enter: '5bd' is not a span of time; write 90d",
    "enter: {every: 0d}": "enter: '0d' is not a span of time; write 90d",
    "exit_when: is_dorment": "exit_when: account_360 has no column 'is_dorment'"
    ' (did you mean "is_dormant"?)',
    "exit_when: true": "exit_when: True is not a condition (write an SQL expression)",
    "priority: high": "priority: has to be a whole number",
    "priority: 1.5": "priority: has to be a whole number",
    "priority: -1": "priority: Input should be greater than or equal to 0",
    "caps: 3": "caps: has to be a mapping",
    "caps: {contact: 3}": "caps.contact: 3 is not a cap; write 3/7d for at most three in seven"
    " days",
    "caps: {account: 0/7d}": "caps.account: '0/7d' is not a cap; write 3/7d for at most three in"
    " seven days",
    "caps: {acount: 1/7d}": 'caps.acount: unknown key (did you mean "account"?)',
    "send_window: always": "send_window: has to be a mapping",
    "send_window: {form: '09:00'}": 'send_window.form: unknown key (did you mean "from"?)',
    "send_window: {from: 9}": 'send_window.from: 9 is not a time of day; write it as "09:00"',
    "send_window: {from: '18:00'}": "send_window: from 18:00 is not before to 17:00; a window over"
    " midnight is not supported",
    "send_window: {days: funday}": "send_window.days: 'funday' is not a day; write mon, tue, wed,"
    " thu, fri, sat, sun, or mon-fri",
    "late: {after: 3bd}": "late.after: '3bd' is not a span of time; write 3d or 12h",
    "late: {do: skp}": "late.do: 'skp' is neither skip nor send (did you mean \"skip\"?)",
    "include_churned: yes": "include_churned: has to be true or false",
    "audience: mrr > 0": "'audience' is there twice",
}


@pytest.mark.parametrize(("line", "message"), WRONG.items(), ids=lambda line: line[:30])
def test_each_problem_is_told_with_its_line(line, message):
    messages = problems(SHORT + line + "\n")
    prefix = "triggers/win_back.yaml:5: "
    if "twice" in message:
        message = "audience: is there twice"
    assert messages == [prefix + message]


def test_aliases_that_unfold_without_end_are_refused_at_once():
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb = "\n".join(["description: some * aliases", "a0: &a0 [x]", *levels, SHORT])
    assert problems(bomb) == [
        "triggers/win_back.yaml:3: *a0: aliases are not read (write the value out)"
    ]


WRONG_STEPS = {
    "steps: []": "steps: needs at least one",
    "steps: {id: a}": "steps: has to be a list",
    "steps: [hello]": "steps.1: has to be a mapping",
    "steps: [{after: 0d}]": "steps.1.id: is required",
    "steps: [{id: hello}]": "steps.hello.after: is required",
    "steps: [{id: Case Study, after: 0d}]": "steps.Case Study.id: 'Case Study' cannot name a step;"
    " use small letters, digits, _ and -, a letter first",
    "steps: [{id: ../x, after: 0d}]": "steps.../x.id: '../x' cannot name a step;"
    " use small letters, digits, _ and -, a letter first",
    "steps: [{id: a, after: soon}]": "steps.a.after: 'soon' is not a delay; write hours, days or"
    " business days as 6h, 3d or 5bd",
    "steps: [{id: a, after: 0d, whn: is_dormant}]": "steps.a.whn: unknown key"
    ' (did you mean "when"?)',
    "steps: [{id: a, after: 0d, locale: ja}]": "steps.a.locale: unknown key (keys are id,"
    " after, when, answers)",
    "steps: [{id: a, after: 0d, when: plam = 'x'}]": "steps.a.when: account_360 has no column"
    " 'plam' (did you mean \"plan\"?)",
    "steps: [{id: a, after: 0d}, {id: a, after: 1d}]": "steps.a.id: is there twice",
    "steps: [{id: a, after: 6d}, {id: b, after: 4bd}]": "steps.b.after: 4bd is sooner than 6d"
    " of 'a' before it (put the steps in order of time)",
}


@pytest.mark.parametrize(("line", "message"), WRONG_STEPS.items(), ids=lambda line: line[:50])
def test_each_problem_of_a_step_is_told(line, message):
    text = "\n".join([*SHORT.splitlines()[:3], line])
    assert problems(text) == [f"triggers/win_back.yaml:4: {message}"]


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        ("exsting", "launch: 'exsting' is not a launch; write new_only, existing or"
         ' {existing_since: 2026-11-01}; did you mean "existing"?'),
        ("{existing_sinc: 2026-11-01}", 'did you mean "existing_since"?'),
        ("{existing_since: soon}", "launch: existing_since: 'soon' is not a day; write it as"),
        ("{existing_since: 2026-11-01 10:00:00}", "is not a day"),
        ("", "launch: None is not a launch"),
    ],
)  # fmt: skip
def test_what_is_no_launch_is_refused(launch, message):
    (messages,) = problems(SHORT.replace("new_only", launch))
    assert messages.startswith("triggers/win_back.yaml:3: ")
    assert message in messages


def test_every_problem_of_a_file_is_told_at_once_in_its_order():
    text = """\
recipients: rol = 'admin'
audience: >-
  is_dormnt
  and plam = 'x'
goal: {when: not is_dormant}
caps:
  contact: 1/7
  acount: 3/7d
steps:
  - id: one
    after: 3w
  - id: two
    after: 5d
    wen: is_dormant
"""
    messages = problems(text, "Win Back.yaml")
    assert [row.partition(": ")[0].removeprefix("triggers/Win Back.yaml") for row in messages] == [
        "", "", ":1", ":2", ":2", ":5", ":7", ":8", ":11", ":14",
    ]  # fmt: skip
    assert "'Win Back' cannot name a trigger (use small letters" in messages[0]
    assert messages[1].endswith("launch: is required")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: has to be a mapping of keys to values"),
        ("- a\n- b\n", "1: has to be a mapping"),
        ("just text", "1: has to be a mapping"),
        ("a: [1", "1: not valid YAML: expected"),
        ("a: 1\n\tb: 2\n", "2: not valid YAML: found character"),
        ("a: 1\n---\nb: 2\n", "2: not valid YAML: but found another document"),
        ("a: *b\n", "1: not valid YAML: found undefined alias"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "4: c: is there twice"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused(text, message):
    (messages,) = problems(text)
    assert messages.startswith(f"triggers/win_back.yaml:{message}")


# The folder. ------------------------------------------------------------------------------


@pytest.fixture
def company(tmp_path):
    return Company(tmp_path)


def write(company, name, text):
    (company.folder / "triggers" / name).write_text(text, encoding="utf-8")


def test_triggers_come_by_priority_then_by_name(company):
    write(company, "b.yaml", SHORT)
    write(company, "a.yml", SHORT)
    write(company, "last.yaml", SHORT + "priority: 1\n")
    write(company, "first.yaml", SHORT + "priority: 99\n")
    write(company, "README.md", "not a trigger")
    write(company, ".#b.yaml", "an editor's own")
    triggers = load_triggers(company.settings)
    assert [trigger.name for trigger in triggers] == ["first", "a", "b", "last"]
    assert find(triggers, "b") is triggers[2]
    with pytest.raises(UnknownName, match=r"no trigger 'firts'; did you mean \"first\"\?"):
        find(triggers, "firts")
    with pytest.raises(UnknownName, match="no trigger 'zzz'; there are: a, b, first, last"):
        find(triggers, "zzz")


def test_problems_of_all_files_are_told_at_once(company):
    write(company, "a.yaml", SHORT.replace("is_dormant", "is_dormnt"))
    write(company, "b.yaml", "- x")
    write(company, "good.yaml", SHORT)
    (company.folder / "triggers" / "c.yaml").write_bytes(b"audience: \xff\n")
    with pytest.raises(TriggerError) as caught:
        load_triggers(company.settings)
    files = [problem.file for problem in caught.value.problems]
    assert files == ["triggers/a.yaml", "triggers/b.yaml", "triggers/c.yaml"]
    assert caught.value.exit_status == 2


def test_two_files_of_one_name_are_refused(company):
    write(company, "a.yaml", SHORT)
    write(company, "a.yml", SHORT)
    with pytest.raises(TriggerError, match=r"a.yml: is a second trigger 'a' beside a.yaml"):
        load_triggers(company.settings)


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    triggers, result = read_folder(tmp_path / "none")
    assert triggers == []
    assert "no such folder" in str(result[0])


def test_the_companys_own_triggers_can_be_read():
    triggers, result = read_folder(CHECKOUT / "triggers")
    assert result == []
    assert {"onboarding", "win_back_dormant"} <= {trigger.name for trigger in triggers}


@pytest.mark.parametrize(
    ("silent", "live_for", "matches"),
    [(30, 900, True), (400, 900, True), (401, 900, False), (None, 90, True), (None, 1100, False)],
)
def test_nobody_is_won_back_after_years(silent, live_for, matches):
    triggers, _ = read_folder(CHECKOUT / "triggers")
    (win_back,) = (trigger for trigger in triggers if trigger.name == "win_back_dormant")
    account = {"is_dormant": True, "touch_model": None}
    account |= {"days_silent": silent, "days_since_go_live": live_for}
    assert win_back.audience.tree(account).holds is matches


# The schema for editors. -------------------------------------------------------------------


def valid(text):
    answer = json.loads(json.dumps(YAML(typ="safe").load(text), default=str))  # as editors see it
    return Draft202012Validator(json_schema()).is_valid(answer)


def test_the_schema_takes_what_the_model_takes_and_refuses_what_it_can():
    Draft202012Validator.check_schema(json_schema())
    assert valid(FULL)
    assert valid(SHORT)
    for line in ("zzz: x", "caps: {acount: 1/7d}", "late: {do: skp}", "enter: always"):
        assert not valid(SHORT + line + "\n"), line
    assert not valid(SHORT.replace("launch: new_only\n", ""))
    assert not valid(SHORT.replace("after: 0d", "after: soon"))


@pytest.mark.parametrize(
    "path", sorted((CHECKOUT / "triggers").glob("*.yaml")), ids=lambda item: item.stem
)
def test_a_shipped_trigger_names_the_schema_and_keeps_to_it(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA.name}\n")
    assert valid(text)
    assert not valid(text.replace("audience:", "audiense:"))
    assert not valid(text.replace("id: ", "id: Not "))


def test_the_schema_that_is_shipped_is_the_models():
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema(), (
        "lifecycle schema > triggers/trigger.schema.json"
    )


BROADCAST = """\
audience: plan = 'team'
recipients: role = 'admin'
on: 2026-12-01
steps: [{id: news, after: 0d}]
"""


def test_a_broadcast_has_a_day_and_one_step():
    trigger = parse(BROADCAST)
    assert trigger.on == date(2026, 12, 1)
    assert (trigger.launch, trigger.enter) == (Launch("existing"), Enter("once"))
    assert valid(BROADCAST)
    assert not valid(BROADCAST.replace("on: 2026-12-01", ""))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("launch: existing", "5: launch: does not go with `on` (leave out either)"),
        ("enter: once", "5: enter: does not go with `on` (leave out either)"),
    ],
)
def test_a_broadcast_has_neither_launch_nor_enter(line, problem):
    assert problems(BROADCAST + line) == [f"triggers/win_back.yaml:{problem}"]


def test_the_day_of_a_broadcast_is_a_day():
    messages = problems(BROADCAST.replace("2026-12-01", "tomorrow"))
    assert messages == [
        "triggers/win_back.yaml:3: on: 'tomorrow' is not a day; write it as 2026-12-01"
    ]


def test_a_broadcast_with_two_steps_is_refused():
    two = BROADCAST.replace("after: 0d}", "after: 0d}, {id: more, after: 1d}")
    assert problems(two) == ["triggers/win_back.yaml:4: steps: a broadcast has one step"]


def test_who_is_held_out_stays_so_and_is_as_many_as_asked_for():
    ids = [f"account-{number}" for number in range(20_000)]
    held = {
        share: set(filter(parse(SHORT + f"holdout: {share}%").holds_out, ids)) for share in (5, 20)
    }
    assert held[5] < held[20]
    for share, batch in held.items():
        expected = len(ids) * share / 100
        assert abs(len(batch) - expected) < 4 * expected**0.5
    assert not any(parse(SHORT).holds_out(key) for key in ids[:100])
    other = parse_trigger(SHORT + "holdout: 20%", Path("triggers/other.yaml"), ACCOUNTS, CONTACTS)
    both = sum(other.holds_out(mail) for mail in held[20]) / len(held[20])
    assert 0.15 < both < 0.25, "each trigger holds out others"


def test_the_example_of_the_page_can_be_read_and_every_key_is_on_it():
    page = (CHECKOUT / "docs" / "triggers.md").read_text(encoding="utf-8")
    trigger = parse(page.partition("```yaml\n")[2].partition("```")[0])
    assert str(trigger.holdout) == "10%"
    names = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert names == set(json_schema()["properties"]) - {"description"}
