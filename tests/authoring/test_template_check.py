"""`lifecycle validate` finds what is wrong with a template before any mail is rendered."""

from __future__ import annotations

from typing import Any

import pytest

from lifecycle.authoring.template_check import check_templates

STEPS = [("win_back", ["hello"])]


def problems(settings: Any, steps: Any = STEPS) -> list[str]:
    found = check_templates(settings, steps, ["name", "purpose", "owner_name"], ["name", "email"])
    return [str(problem) for problem in found]


def test_nothing_is_wrong_with_a_good_folder(company: Any) -> None:
    assert problems(company({"README.md": "ours", ".DS_Store": "\0"})) == []


@pytest.mark.parametrize(
    ("content", "said"),
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
    company: Any, content: str | bytes, said: str
) -> None:
    found = problems(company({"win_back/hello.en.txt": content}))
    assert any(f"email_templates/win_back/hello.en.txt{said}" in problem for problem in found), (
        found
    )


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
    made = company({"win_back/again.ja.txt": "Subject: s\n\nb\n"})
    assert problems(made, [("win_back", ["hello", "again"])]) == [
        "email_templates/win_back/again.en.txt: is missing (the step hello speaks en)"
    ]


def test_a_file_of_no_step_is_told(company: Any) -> None:
    made = company({
        "win_back/helo.ja.txt": "Subject: s\n\nb\n",
        "win_back/hello.txt": "Subject: s\n\nb\n",
        "loose.ja.txt": "x",
        "win_back/hello.ja.txt.bak": "x",
    })  # fmt: skip
    found = problems(made)
    assert any(
        'win_back/helo.ja.txt: belongs to no step of a trigger (did you mean "win_back/hello"?)'
        in one
        for one in found
    )
    for name in ("win_back/hello.txt", "loose.ja.txt", "win_back/hello.ja.txt.bak"):
        assert any(f"{name}: is not a template" in one for one in found), name
    assert len(found) == 4


def test_a_footer_is_checked_like_a_mail_and_for_what_it_must_say(company: Any) -> None:
    assert problems(company({"_footer.en.txt": None})) == [
        "email_templates/_footer.en.txt: is missing (every mail ends with it)"
    ]
    made = company({"_footer.en.txt": "{{ company.name }}\n{{ company.zip }}\n"})
    assert problems(made) == ["email_templates/_footer.en.txt:2: there is no company.zip"]
    made = company({"_footer.en.txt": "{{ company.name }} {{ unsubscribe_url }}\n"})
    assert problems(made) == [
        "email_templates/_footer.en.txt: does not print company.postal_address (every mail must)"
    ]


def test_all_problems_are_told_at_once(company: Any) -> None:
    made = company({"win_back/hello.en.txt": "Subject: {{ x }}\n\n{{ y }}\n{{ account.z }}\n"})
    assert len(problems(made)) == 3
