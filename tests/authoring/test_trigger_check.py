"""What `lifecycle validate` finds in triggers and mails together."""

import pytest

from company import Company
from lifecycle.authoring.trigger_check import check

SHORT = """\
audience: is_dormant
recipients: role = 'admin'
launch: new_only
steps: [{id: hello, after: 0d}]
"""

FOOTER = """\
--
{{ company.name }}, {{ company.postal_address }}, {{ company.contact }}
You get this as the {{ contact.role }} of {{ account.name }}. Leave: {{ unsubscribe_url }}
"""


@pytest.fixture
def company(tmp_path):
    company = Company(tmp_path)
    for locale in ("en", "ja"):
        (tmp_path / "email_templates" / f"_footer.{locale}.txt").write_text(FOOTER)
    company.trigger("win_back", SHORT, "hello")
    return company


def test_a_good_company_has_no_problems(company):
    assert check(company.settings) == []


def test_a_step_without_a_mail_is_a_problem(company):
    (company.folder / "email_templates" / "win_back" / "hello.en.txt").unlink()
    assert any("win_back/hello" in str(problem) for problem in check(company.settings))


def test_a_trigger_of_one_language_needs_its_mails_in_it_alone(company):
    folder = company.folder / "email_templates" / "win_back"
    company.trigger("win_back", SHORT + "locale: jp\n", "hello")
    (problem,) = check(company.settings)
    assert (
        str(problem)
        == "triggers/win_back.yaml:5: locale: no mail in jp for hello (there are mails in en)"
    )
    (folder / "hello.en.txt").rename(folder / "hello.ja.txt")
    (problem,) = check(company.settings)
    assert problem.hint == "there are mails in ja"
    company.trigger("win_back", SHORT + "locale: ja-JP\n")
    assert check(company.settings) == []  # and none in the company's English


def test_a_broadcast_in_one_of_our_languages_is_remarked(company):
    mails = company.folder / "email_templates"
    (mails / "win_back" / "hello.ja.txt").write_text("Subject: x\n\nx\n")
    news = SHORT.replace("launch: new_only", "on: 2026-06-12\npriority: 20\ncaps: {account: 1/1d}")
    company.trigger("news", news, "hello")
    company.trigger("win_back", SHORT + "caps: {account: 1/1d}\n")
    (problem,) = check(company.settings)
    assert not problem.stops_a_run
    assert str(problem).startswith(
        "triggers/news.yaml:6: steps: its mail is in en alone, and who reads ja gets it too "
        "(write it in ja, or say locale: en)"
    )
    company.trigger("news", news + "locale: en\n")
    assert check(company.settings) == []


def test_a_mail_that_asks_for_an_unknown_column_is_a_problem(company):
    mail = company.folder / "email_templates" / "win_back" / "hello.en.txt"
    mail.write_text("Subject: x\n\n{{ account.nme }}\n")
    (problem,) = check(company.settings)
    assert "nme" in str(problem)
    assert problem.line == 3


def test_the_mails_of_a_trigger_that_cannot_be_read_are_not_called_unused(company):
    company.trigger("broken", SHORT.replace("is_dormant", "is_dormnt"), "hello")
    (problem,) = check(company.settings)
    assert str(problem).startswith("triggers/broken.yaml:1: audience: account_360 has no column")


# Triggers beside each other, and beside their source. ---------------------------------------

CAPPED = SHORT + "caps: {contact: 1/1d}\n"
LOW = "priority: 20\n"
UNHAPPY = SHORT.replace("is_dormant", "satisfaction_band = 'red' and is_dormant")


def test_two_triggers_that_may_mail_a_person_on_one_day_want_a_cap(company):
    company.trigger("nudge", CAPPED + LOW, "hello")
    (problem,) = check(company.settings)
    assert str(problem) == (
        "triggers/win_back.yaml:1: caps: the same person may get its mail and one of nudge on one"
        " day (cap it: caps: {contact: 1/1d}); no run stops for this"
    )
    assert not problem.stops_a_run
    company.trigger("win_back", CAPPED)
    assert check(company.settings) == []
    company.trigger("nudge", SHORT + "caps: {account: 2/7d}\n" + LOW)
    (problem,) = check(company.settings)
    assert str(problem).startswith("triggers/nudge.yaml:5: caps: the same person")
    company.trigger("nudge", SHORT + "caps: {account: 1/7d}\n" + LOW)
    assert check(company.settings) == []


def test_two_capped_triggers_of_one_priority_are_named(company):
    company.trigger("nudge", CAPPED, "hello")
    company.trigger("win_back", CAPPED)
    (problem,) = check(company.settings)
    assert str(problem).startswith(
        "triggers/win_back.yaml:1: priority: is 50 as that of nudge, so under a cap the name"
    )
    assert not problem.stops_a_run


def test_a_window_shorter_than_the_time_between_deliveries_is_named(company):
    short = CAPPED + 'send_window: {days: mon-fri, from: "09:00", to: "09:05"}\n'
    company.trigger("win_back", short)
    (problem,) = check(company.settings)
    assert str(problem).startswith(
        "triggers/win_back.yaml:6: send_window: is open for 5 minutes, and mails leave every 10"
    )
    company.trigger("win_back", short.replace("09:05", "09:10"))
    assert check(company.settings) == []


def test_a_column_that_nobody_supplies_is_named_where_it_is_asked_about(company):
    source = company.folder / "data"
    source.mkdir()
    with (company.folder / "lifecycle.toml").open("a") as toml:
        toml.write('[source]\nkind = "files"\npath = "data"\n')
    for table in ("accounts", "contacts", "usage_events"):
        (source / f"{table}.csv").write_text("x\n")
    company.trigger("win_back", UNHAPPY + "goal: {when: satisfaction_health > 60, within: 7d}\n")
    first, second = check(company.settings)
    assert str(first) == (
        "triggers/win_back.yaml:1: audience: satisfaction_band: always unknown, for the source has"
        " no survey_responses; no run stops for this"
    )
    assert str(second).startswith("triggers/win_back.yaml:5: goal.when: satisfaction_health:")
    assert not first.stops_a_run
    (source / "usage_events.csv").unlink()
    assert "is_dormant: always unknown, for the source has no usage_events" in "\n".join(
        str(problem) for problem in check(company.settings)
    )
    for table in ("survey_responses", "usage_events"):
        (source / table).mkdir()
        (source / table / "2026-06-10.csv").write_text("x\n")
    assert check(company.settings) == []


def test_a_source_that_cannot_be_read_is_the_runs_to_tell(company):
    with (company.folder / "lifecycle.toml").open("a") as toml:
        toml.write('[source]\nkind = "files"\npath = "gone"\n')
    assert check(company.settings) == []


def test_every_problem_is_told_at_once_with_its_file_and_line(company):
    mails = company.folder / "email_templates"
    company.trigger("win_back", UNHAPPY.replace("steps: [", "steps: [{id: second, after: 0d}, "))
    (mails / "win_back" / "hello.ja.txt").write_text("Subject: x\n\n{{ account.nme }}\n")
    (mails / "win_back" / "second.en.txt").write_text("Subject: x\n\n{{ nobody.name }}\n")
    company.trigger(
        "broken",
        SHORT.replace("role =", "rle =").replace("}]", "}, {id: hello, after: 1d, whn: x}]"),
    )
    company.trigger("nudge", CAPPED + "locale: fr\n", "hello")
    text = "\n".join(str(problem) for problem in check(company.settings))
    for message in (
        "triggers/broken.yaml:2: recipients: dim_contacts has no column 'rle' (did you mean \"role",
        'triggers/broken.yaml:4: steps.hello.whn: unknown key (did you mean "when"?)',
        "triggers/nudge.yaml:6: locale: no mail in fr for hello",
        "triggers/win_back.yaml:1: caps: the same person may get its mail and one of nudge",
        "email_templates/win_back/second.ja.txt: is missing (the step hello speaks ja)",
        "email_templates/win_back/hello.ja.txt:3:",
        'did you mean "name"?',
        "email_templates/win_back/second.en.txt:3:",
    ):
        assert message in text, text


def test_all_is_said_at_once_also_about_the_mails_of_a_trigger_that_is_wrong(company):
    """A misspelt column, a delay that is none, an id twice, a mail that is not there."""
    company.trigger("win_back", SHORT, "hello")
    path = company.folder / "triggers" / "win_back.yaml"
    path.write_text(
        "description: d\naudience: is_dormnt\nrecipients: role = 'admin'\nlaunch: existing\n"
        "enter: once\nsteps:\n- {id: hello, after: soon}\n- {id: hello, after: 1d}\n"
        "- {id: farewell, after: 9d}\n"
    )
    text = "\n".join(str(problem) for problem in check(company.settings))
    assert 'did you mean "is_dormant"' in text
    assert "win_back.yaml:7: steps.hello.after" in text
    assert "win_back.yaml:8: steps.hello.id: is there twice" in text
    assert "win_back/farewell" in text
