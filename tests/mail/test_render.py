"""What a template and a row become, and what stands in the way of it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wcwidth import width

from lifecycle.errors import TemplateError
from lifecycle.mail.message import Message
from lifecycle.mail.render import Renderer
from lifecycle.mail.sandbox import SANDBOX

SEND = "0123456789abcdef0123456789abcdef"
ACCOUNT: dict[str, Any] = {
    "account_id": "a-1",
    "name": "株式会社みなと",
    "purpose": None,
    "owner_name": "佐藤 花子",
    "owner_email": "hanako@example.com",
    "time_zone": "Asia/Tokyo",
    "locale": None,
    "days_silent": 40,
    "mrr": 1200.5,
    "seats": 10.0,
    "is_dormant": True,
    "last_active_at": datetime(2026, 4, 30, 16, 0),  # noqa: DTZ001  # as DuckDB gives it: UTC
    "usage_reasons": ["few users", "no reports"],
    "renewal_at": math.nan,
}
CONTACT: dict[str, Any] = {
    "contact_id": "c",
    "email": "taro@example.com",
    "name": "山田",
    "role": None,
}


def rendered(settings_: Any, account: dict[str, Any] = {}, contact: dict[str, Any] = {}) -> Message:  # noqa: B006
    return Renderer(settings_).render(
        send_id=SEND,
        trigger="win_back",
        step="hello",
        locale="ja",
        account={**ACCOUNT, **account},
        contact={**CONTACT, **contact},
        date=datetime(2026, 6, 10, 1, tzinfo=UTC),
    )


def body_of(company: Any, body: str, **account: Any) -> str:
    message = rendered(company({"win_back/hello.ja.txt": f"Subject: s\n\n{body}\n"}), account)
    return message.body.split("\n\n---\n")[0]


def refused(company: Any, body: str, **account: Any) -> str:
    with pytest.raises(TemplateError) as caught:
        body_of(company, body, **account)
    return str(caught.value)


# What comes out. ----------------------------------------------------------------------------


def test_a_mail_carries_who_it_is_from_and_how_to_leave(company: Any) -> None:
    message = rendered(company())
    assert message.subject == "Hello 株式会社みなと"
    assert message.from_name == "Sakura Works"
    assert message.to_name == "山田"
    assert message.reply_to == ("佐藤 花子", "hanako@example.com")
    assert message.list_unsubscribe == f"mailto:success@example.com?subject=unsubscribe%20{SEND}"
    assert message.body.startswith("Dear 山田\n\n---\nSakura Works\n1-2-3 Marunouchi, Chiyoda-ku")
    assert message.body.endswith(f"\n{message.list_unsubscribe}\n")
    assert Message.from_bytes(message.as_bytes()) == message


def test_the_same_decision_gives_the_same_bytes(company: Any) -> None:
    example = company()
    assert rendered(example).as_bytes() == rendered(example).as_bytes()


@pytest.mark.parametrize(
    "owner", [None, "", "nobody", "a@example.com, b@example.com", "a\n@b.example"]
)
def test_without_a_usable_owner_there_is_no_reply_to(company: Any, owner: str | None) -> None:
    assert rendered(company(), {"owner_email": owner}).reply_to is None


def test_a_contact_without_name_is_written_to_by_address(company: Any) -> None:
    example = company(
        {"win_back/hello.ja.txt": "Subject: s\n\n{{ contact.name or 'ご担当者' }} 様\n"}
    )
    message = rendered(example, contact={"name": "  "})
    assert message.to_name == ""
    assert message.body.startswith("ご担当者 様\n")


def test_an_address_in_another_script_goes_as_punycode(company: Any) -> None:
    message = rendered(company(), contact={"email": "taro@例え.example.com"})
    assert message.to_email == "taro@xn--r8jz45g.example.com"
    assert "taro@例え.example.com" in message.body


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{{ account.days_silent }} days", "40 days"),
        ("{{ account.seats }} seats, {{ account.mrr }}", "10 seats, 1200.5"),
        ("{{ account.usage_reasons | join(', ') }}", "few users, no reports"),
        ("{{ account.last_active_at | day('%Y年%-m月%-d日') }}", "2026年5月1日"),
        ("{{ account.last_active_at | day('%-d %B %Y') }}", "1 May 2026"),
        ("{% if account.purpose %}x{% else %}none{% endif %}", "none"),
        ("{{ account.purpose or 'your goal' }}", "your goal"),
        ("{{ account.purpose | default('your goal') }}", "your goal"),
        ("{% if account.purpose is none and account.purpose == none %}null{% endif %}", "null"),
        ("{% if account.renewal_at %}x{% else %}NaN is null{% endif %}", "NaN is null"),
        ("{% if account.days_silent * 2 > 79 %}long{% endif %}", "long"),
        (
            "{% for why in account.usage_reasons %}\n- {{ why }}\n{% endfor %}\nend",
            "- few users\n- no reports\nend",
        ),
        ("a\n{% if true %}\nb\n{% endif %}\n{# for us #}\nc", "a\nb\nc"),
        ("a {% if true %}b{% endif %}\n\nc", "a b\n\nc"),
        ("{%- if true -%}\n\nb\n{%- endif %}", "b"),
    ],
)  # fmt: skip
def test_what_a_template_can_say(company: Any, body: str, text: str) -> None:
    assert body_of(company, body) == text


def test_lines_are_wrapped_and_addresses_are_not(company: Any) -> None:
    url = "https://app.example.com/" + "x" * 100
    lines = body_of(company, "あ" * 50 + "\n" + url).split("\n")
    assert lines == ["あ" * 35, "あ" * 15, url]


# What a CRM may hold. -----------------------------------------------------------------------

EVIL = "山田\r\nBcc: evil@example.com\n\n---\nSakura Works\nmailto:evil@example.com\x00\u202e\u200b"


def test_a_name_can_forge_neither_header_nor_footer(company: Any) -> None:
    message = rendered(company(), {"name": EVIL, "owner_name": EVIL}, {"name": EVIL})
    mail = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert mail["Bcc"] is None
    assert message.body.count("\n---\n") == 1
    assert message.body.startswith("Dear 山田 Bcc: evil@example.com --- Sakura Works")
    assert message.body.rstrip().endswith(message.list_unsubscribe)


def test_a_value_is_words_and_no_template(company: Any) -> None:
    text = body_of(company, "{{ account.purpose }}", purpose="{{ account.mrr }} {% raw %} {# x #}")
    assert text == "{{ account.mrr }} {% raw %} {# x #}"


@given(name=st.text(st.characters(), max_size=80), purpose=st.text(st.characters(), max_size=200))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_the_values_the_footer_stands_once_at_the_end(
    company: Any, name: str, purpose: str
) -> None:
    body = "{{ contact.name or '-' }}\n{{ account.purpose or '-' }}"
    example = company({"win_back/hello.ja.txt": f"Subject: s\n\n{body}\n"})
    message = rendered(example, {"purpose": purpose}, {"name": name})
    assert Message.from_bytes(message.as_bytes()) == message
    head, _, foot = message.body.rpartition("\n\n---\n")
    assert "\n---\n" not in head
    assert foot == (
        "Sakura Works\n1-2-3 Marunouchi, Chiyoda-ku, Tokyo 100-0005, Japan\n"
        f"For taro@example.com of 株式会社みなと\n{message.list_unsubscribe}\n"
    )


# What is refused, and how it is said. -------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("\n\n{{ account.purpose }}", ["hello.ja.txt:5: account.purpose is empty here; write {%"]),
        ("{{ contact.role | upper }}", ["hello.ja.txt:3", "contact.role is empty"]),
        ("{% if account.renewal_at > 3 %}{% endif %}", ["account.renewal_at is empty"]),
        ("{{ account.purpos }}", ["account.purpos does not exist", 'did you mean "purpose"']),
        ("{{ acount.name }}", ["'acount' is undefined"]),
        ("{{ account.is_dormant }}", ["a yes or no"]),
        ("{{ account.last_active_at }}", ["day("]),
        ("{{ account.usage_reasons }}", ["join("]),
        ("{{ account }}", ["a single value"]),
        ("{{ account.name | day('%Y') }}", ["is not a date"]),
        ("{{ account.name + 1 }}", ["hello.ja.txt:3"]),
        ("{{ 1 / 0 }}", ["division by zero"]),
        ("{% for a in account.name %}{% for b in account.name %}{% for c in account.name %}"
         "{% for d in account.name %}{% for e in account.name %}{% for f in account.name %}"
         "0123456789{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
         ["10,000 steps"]),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_said_is_named(company: Any, body: str, expected: list[str]) -> None:
    message = refused(company, body)
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    "body",
    [
        "{{ account._row }}",
        "{{ account['_row'] }}",
        "{{ account.__class__ }}",
        "{{ account.name.__class__.__mro__ }}",
        "{{ account.name.format }}",
        "{{ account.name.upper() }}",
        "{{ ''.join(['a']) }}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
        "{{ 'x' * 10 ** 10 }}",
        "{{ account.name * 1000000000 }}",
        "{{ '%1000000000d' % 5 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ account.name | center(1000000000) }}",
        "{{ self }}",
        "{{ lipsum() }}",
        "{% include 'other' %}",
        "{% import 'other' as x %}",
        "{% extends 'other' %}",
        "{% macro m() %}x{% endmacro %}{{ m() }}",
    ],
)
def test_a_template_reaches_nothing_but_values(company: Any, body: str) -> None:
    refused(company, body)


def test_a_value_longer_than_sane_is_refused_unless_unused(company: Any) -> None:
    huge = "x" * 10_000_000
    assert "account.purpose has 10,000,000 characters" in refused(
        company, "{{ account.purpose }}", purpose=huge
    )
    assert body_of(company, "hi", purpose=huge) == "hi"


@pytest.mark.parametrize("plan", ["", "\u200b", "あ" * 101])
def test_a_subject_has_a_sane_width(company: Any, plan: str) -> None:
    example = company({"win_back/hello.ja.txt": "Subject: {{ account.plan or '' }}\n\nbody\n"})
    with pytest.raises(TemplateError, match=r"hello\.ja\.txt:1: the subject is \d+ columns wide"):
        rendered(example, {"plan": plan})


def test_an_impossible_address_is_named(company: Any) -> None:
    with pytest.raises(TemplateError, match=r"to_email: 'a@b\.c, evil@x\.y' must not reach"):
        rendered(company(), contact={"email": "a@b.c, evil@x.y"})


# The footer. --------------------------------------------------------------------------------


def test_a_missing_footer_is_an_error(company: Any) -> None:
    with pytest.raises(TemplateError, match=r"_footer\.ja\.txt: is missing"):
        rendered(company({"_footer.ja.txt": None}))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("{{ company.name }}\n", "company.name"),
        ("{{ company.postal_address }}\n", "company.postal_address"),
        ("{{ unsubscribe_url }}\n", "unsubscribe_url"),
    ],
)
@pytest.mark.parametrize("instead", ["", "{% if account.purpose %}{{ company.name }}{% endif %}\n"])
def test_a_footer_that_leaves_something_out_is_an_error(
    company: Any, line: str, name: str, instead: str
) -> None:
    whole = "---\n{{ company.name }}\n{{ company.postal_address }}\n{{ unsubscribe_url }}\n"
    with pytest.raises(TemplateError, match=f"does not print {name}"):
        rendered(company({"_footer.ja.txt": whole.replace(line, instead)}))


# The language. ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact", "account", "chosen"),
    [
        ("en", "ja", ("en", "contact")),
        ("en-US", None, ("en", "contact")),
        ("en_GB.UTF-8", None, ("en", "contact")),
        ("EN", "ja", ("en", "contact")),
        ("fr", "en", ("en", "account")),
        (None, "en-AU", ("en", "account")),
        ("", "", ("ja", "company")),
        ("fr", "de", ("ja", "company")),
        ("zh-tw", None, ("zh-TW", "contact")),
        ("zh", None, ("ja", "company")),
        ("english", None, ("ja", "company")),
    ],
)
def test_the_language_falls_back_and_says_whose_it_is(
    company: Any, contact: str | None, account: str | None, chosen: tuple[str, str]
) -> None:
    renderer = Renderer(company({"win_back/hello.zh-TW.txt": "Subject: s\n\nb\n"}))
    assert renderer.choose_locale("win_back", "hello", contact, account) == chosen


def test_a_triggers_own_language_leaves_no_choice(company: Any) -> None:
    renderer = Renderer(company())
    assert renderer.choose_locale("win_back", "hello", "ja", "ja", "en-US") == ("en", "trigger")
    with pytest.raises(TemplateError, match=r"win_back/hello\.fr\.txt: is missing"):
        renderer.choose_locale("win_back", "hello", "ja", "ja", "fr")


def test_a_step_without_any_template_is_an_error(company: Any) -> None:
    with pytest.raises(TemplateError, match=r"win_back/gone\.ja\.txt: is missing"):
        Renderer(company()).choose_locale("win_back", "gone", "en", None)


def test_a_template_is_compiled_once(company: Any) -> None:
    example = company()
    renderer = Renderer(example)
    arguments: dict[str, Any] = {
        "send_id": SEND, "trigger": "win_back", "step": "hello", "locale": "ja",
        "account": ACCOUNT, "contact": CONTACT, "date": datetime(2026, 6, 10, tzinfo=UTC),
    }  # fmt: skip
    first = renderer.render(**arguments)
    with patch.object(SANDBOX, "compile", side_effect=AssertionError("compiled again")):
        assert renderer.render(**arguments) == first


# The day on which it leaves, and names. ------------------------------------------------------


def test_days_are_counted_for_the_day_on_which_the_mail_leaves(company: Any) -> None:
    body = (
        "{{ account.days_to_renewal }} {{ account.days_since_go_live }} {{ account.days_silent }}"
    )
    seen = datetime(2026, 6, 6, 14, 30)  # noqa: DTZ001  # Saturday 23:30 in Tokyo, as UTC
    counts = {"days_to_renewal": 5, "days_since_go_live": 10, "days_silent": None}
    line = "{{ account.days_to_renewal }} {{ account.days_since_go_live }}"
    assert body_of(company, line, as_of=seen, **counts) == "1 14"  # Wednesday 10:00 there
    assert "account.days_silent is empty" in refused(company, body, as_of=seen, **counts)
    later = datetime(2026, 6, 9, 15, 30)  # noqa: DTZ001  # Wednesday 00:30 there: the same day
    assert body_of(company, line, as_of=later, **counts) == "5 10"


@pytest.mark.parametrize("name", ["X" * 230, "株式会社" * 40, "👩‍👩‍👧" * 150])
def test_a_long_account_name_is_shortened_in_a_subject(company: Any, name: str) -> None:
    subject = rendered(company(), {"name": name}).subject
    assert subject.startswith("Hello " + name[0])
    assert subject.endswith("…")
    assert 60 <= width(subject) <= 66
    assert not subject.removesuffix("…").endswith("\u200d")


def test_an_account_name_that_fits_stays_whole(company: Any) -> None:
    name = "株式会社" * 20
    assert rendered(company(), {"name": name}).subject == f"Hello {name}"


def test_a_name_of_thousands_of_signs_is_no_reason_for_silence(company: Any) -> None:
    output = body_of(company, "{{ account.name }}", name="Y" * 5_000)
    assert output == "Y" * 199 + "…"


@pytest.mark.parametrize("name", ["می‌خواهم", "क्‍ष", "শ্র‍্যা", "👩‍👩‍👧 Ann", "ක්‍ෂ"])
def test_joiners_stay_where_a_script_writes_with_them(company: Any, name: str) -> None:
    assert rendered(company(), {"name": name}, {"name": name}).to_name == name


@pytest.mark.parametrize(
    "name", ["Jo\u200dhn", "J\u200cohn", "\u200dJohn", "John\u200d", "J\u200bohn"]
)
def test_joiners_that_no_script_needs_are_taken_out(company: Any, name: str) -> None:
    assert rendered(company(), {}, {"name": name}).to_name == "John"
