"""What `lifecycle validate` finds in triggers and mails together."""

import pytest

from company import Company
from lifecycle.triggers.check import check

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
