"""`lifecycle validate` finds what is wrong with a template before any mail is rendered."""

from __future__ import annotations

from typing import Any

import pytest

from lifecycle.authoring.template_check import check_templates, empty_values
from lifecycle.mail.folder import Templates
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.folder import read_trigger

STEPS = [("win_back", ["hello"])]


def problems(settings: Any, steps: Any = STEPS) -> list[str]:
    result = check_templates(settings, steps, ["name", "purpose", "owner_name"], ["name", "email"])
    return [str(problem) for problem in result]


def test_nothing_is_wrong_with_a_good_folder(company: Any) -> None:
    assert problems(company({"README.md": "ours", ".DS_Store": "\0"})) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Subject: s\n\n\n{{ acount.name }}\n", ':4: nothing is called acount (did you mean'),
        ("Subject: {{ account.nam }}\n\nb\n", ':1: there is no account.nam (did you mean "name"?)'),
        ("Subject: s\n\na\n{{ contact['emial'] }}\n", ':4: there is no contact.emial (did you'),
        ("Subject: s\n\n{{ company.nmae }}\n", ':3: there is no company.nmae (did you'),
        ("Subject: s\n\n{{ unsubscribe_url }}\n", ":3: nothing is called unsubscribe_url"),
        ("Subject: s\n\n{% if account.name %}\nx\n", ":4: Unexpected end of template"),
        ("Subject: s\n\na\n\n{{ account.name }\n", ":5: unexpected '}'"),
        ("Subject: {{ account.name\n\nb\n", ":1: unexpected end of template"),
        ("Subject: s\n\n{{ account.name | uper }}\n", ":3: No filter named 'uper'"),
        ("Subject: s\n\n{% include 'x' %}\n", ":3: a template stands alone"),
        ("Subject: s\n\n{{ account.name.upper() }}\n", ":3: a template calls no functions"),
        ("Subjct: s\n\nb\n", ":1: unknown header 'Subjct' (did you"),
        ("Subject: s\nBcc: a@example.com\n\nb\n", ":2: unknown header 'Bcc'"),
        ("Subject: s\nSubject: t\n\nb\n", ":2: a second Subject"),
        ("Subject: \n\nb\n", ":1: the Subject is empty"),
        ("Subject: s\nb\n", ":2: is neither a header nor the blank line"),
        ("\nSubject: s\n\nb\n", ":1: has no Subject"),
        ("Subject: s\n\n  \n", ": has no body"),
        ("", ":1: has no Subject"),
        ("Subject: 件名\n\n本文\n".encode("cp932"), ":1: is not UTF-8"),
        (b"Subject: s\n\nx\n\xff\n", ":4: is not UTF-8"),
    ],
)  # fmt: skip
def test_each_malformed_template_is_named_with_its_line(
    company: Any, content: str | bytes, expected: str
) -> None:
    messages = problems(company({"win_back/hello.en.txt": content}))
    assert any(
        f"email_templates/win_back/hello.en.txt{expected}" in problem for problem in messages
    ), messages


def test_windows_files_are_read(company: Any) -> None:
    content = (
        b"\xef\xbb\xbfSubject: s\r\n\r\nHello\r\n{% if account.purpose %}\r\nx\r\n{% endif %}\r\n"
    )
    assert problems(company({"win_back/hello.en.txt": content})) == []


def test_names_of_loops_and_sets_are_known(company: Any) -> None:
    body = (
        "{% set x = account.name %}{{ x }}{% for y in [1, 2] %}{{ y }}{{ loop.index }}{% endfor %}"
    )
    assert problems(company({"win_back/hello.en.txt": f"Subject: s\n\n{body}\n"})) == []


def test_every_step_speaks_the_language_of_the_company(company: Any) -> None:
    assert problems(company({"win_back/hello.ja.txt": None})) == [
        "email_templates/win_back/hello.ja.txt: is missing (every step needs the company's locale)"
    ]


def test_the_language_of_the_company_may_have_a_region(company: Any) -> None:
    assert problems(company(locale="ja-JP")) == []


def test_what_one_step_speaks_the_others_speak_too(company: Any) -> None:
    example = company({"win_back/again.ja.txt": "Subject: s\n\nb\n"})
    assert problems(example, [("win_back", ["hello", "again"])]) == [
        "email_templates/win_back/again.en.txt: is missing (the step hello speaks en)"
    ]


def test_a_file_of_no_step_is_told(company: Any) -> None:
    example = company({
        "win_back/helo.ja.txt": "Subject: s\n\nb\n",
        "win_back/hello.txt": "Subject: s\n\nb\n",
        "loose.ja.txt": "x",
        "win_back/hello.ja.txt.bak": "x",
    })  # fmt: skip
    messages = problems(example)
    assert any(
        'win_back/helo.ja.txt: belongs to no step of a trigger (did you mean "win_back/hello"?)'
        in item
        for item in messages
    )
    for name in ("win_back/hello.txt", "loose.ja.txt", "win_back/hello.ja.txt.bak"):
        assert any(f"{name}: is not a template" in item for item in messages), name
    assert len(messages) == 4


def test_a_footer_is_checked_like_a_mail_and_for_what_it_must_say(company: Any) -> None:
    assert problems(company({"_footer.en.txt": None})) == [
        "email_templates/_footer.en.txt: is missing (every mail ends with it)"
    ]
    example = company({"_footer.en.txt": "{{ company.name }}\n{{ company.zip }}\n"})
    assert problems(example) == ["email_templates/_footer.en.txt:2: there is no company.zip"]
    example = company({"_footer.en.txt": "{{ company.name }} {{ unsubscribe_url }}\n"})
    assert problems(example) == [
        "email_templates/_footer.en.txt: does not print company.postal_address (every mail must)"
    ]


def test_all_problems_are_told_at_once(company: Any) -> None:
    example = company({"win_back/hello.en.txt": "Subject: {{ x }}\n\n{{ y }}\n{{ account.z }}\n"})
    assert len(problems(example)) == 3


# Filled with samples. ------------------------------------------------------------------------


def filled(settings: Any) -> list[str]:
    result = check_templates(settings, STEPS, account_columns(), contact_columns())
    return [str(problem) for problem in result]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{{ account.renewal_at }}", ":3: a date is printed with | day"),
        ("x\n{% if account.plan %}a{% else %}{{ account.renewal_at }}{% endif %}", ":4: a date"),
        ("{% if not account.plan %}\n{{ account.churned_at }}\n{% endif %}", ":4: a date"),
        ("{% if account.seats < 1 %}{% elif account.mrr %}{{ account.is_dormant }}{% endif %}",
         ":3: a yes or no cannot be printed"),
        ("{{ account.plan | day('%d') }}", ":3: 'plan' is not a date"),
        ("{% if account.renewal_at < 5 %}soon{% endif %}", ":3: '<' not supported between"),
        ("{{ contact.consented_at }}", ":3: a date"),
        ("{{ account.mrr }} {{ account.renewal_at | day('%-d %B') }} {{ account.stage }}", None),
        ("{% if account.seats > 9 %}{{ 100 / (account.seats - 7919) }}{% endif %}", None),
        ("{% set d = account.plan %}{% if not d %}{% set d = account.created_at %}{% endif %}"
         "{{ d }}", None),
    ],
)  # fmt: skip
def test_every_branch_of_a_mail_is_filled_with_values_of_the_right_type(
    company: Any, body: str, expected: str | None
) -> None:
    for locale in ("en", "ja"):
        file = f"win_back/hello.{locale}.txt"
        result = filled(company({file: f"Subject: s\n\n{body}\n"}))
        assert [f"email_templates/{file}{expected}" in item for item in result] == (
            [True] if expected else []
        )


def test_a_subject_and_a_footer_are_filled_too(company: Any) -> None:
    example = company({
        "win_back/hello.en.txt": "Subject: {{ account.created_at }}\n\nx\n",
        "_footer.ja.txt": "{{ company.name }} {{ company.postal_address }}\n{{ unsubscribe_url }}\n"
        "{{ account.renewal_at }}\n",
    })  # fmt: skip
    assert [item.partition(" a date")[0] for item in filled(example)] == [
        "email_templates/win_back/hello.en.txt:1:",
        "email_templates/_footer.ja.txt:3:",
    ]


def test_a_mail_that_prints_what_some_do_not_have_is_named(company: Any, tmp_path: Any) -> None:
    settings = company({
        "win_back/hello.ja.txt": "Subject: s\n\n{{ account.days_to_renewal }}\n",
        "win_back/hello.en.txt": "Subject: s\n\n{% if contact.name %}Hi{% endif %}\n"
        "{{ account.owner_name }}\n",
    })  # fmt: skip
    file = tmp_path / "win_back.yaml"
    file.write_text(
        "audience: days_to_renewal between 0 and 90\nrecipients: role = 'admin'\nlaunch: existing\n"
        "enter: once\nsteps:\n  - {id: hello, after: 0d}\n"
    )
    trigger = read_trigger(file, account_columns(), contact_columns())
    templates = Templates(settings.folder("email_templates"))
    notes = list(empty_values(templates, [trigger], settings.company))
    assert [str(note).partition(" here")[0] for note in notes] == [
        "email_templates/win_back/hello.en.txt:4: account.owner_name is empty"
    ]
