"""Lines break where a reader of Japanese or English would break them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import width

from lifecycle.mail.wrap import wrap

URL = "https://app.example.com/" + "reports/" * 12 + "?a=1&b=2"
words = st.lists(
    st.sampled_from(
        [
            "日本語の文章です。",
            "「引用（注）」、",
            "ダッシュボード",
            "report",
            "sharing,",
            "(see",
            "it)",
            "14日",
            "2,000件",
            "髙橋",
            "🎉",
            "…",
            "￥500",
            " ",
            "  ",
            "\n",
            "\n\n",
            "- ",
            "・",
            URL,
        ]
    ),
    max_size=60,
).map("".join)


def squeezed(text: str) -> str:
    return "".join(text.split())


@given(words)
@settings(max_examples=500, deadline=None)
def test_nothing_is_lost_and_no_rule_is_broken(text: str) -> None:
    wrapped = wrap(text)
    assert squeezed(wrapped) == squeezed(text)
    assert wrap(wrapped) == wrapped
    assert wrapped.count(URL) == text.count(URL)
    for line in wrapped.split("\n"):
        assert width(line) <= 80 or URL in line or "…" * 5 in line  # a glued comma may stick out


@pytest.mark.parametrize("columns", range(10, 40))
def test_a_line_neither_begins_with_a_comma_nor_ends_with_a_bracket(columns: int) -> None:
    text = "本日は（ご多忙のなか）お時間をいただき、誠に「ありがとう」ございました。ウェブッ、ー。"
    lines = wrap(text, columns).split("\n")
    assert "".join(lines) == text
    assert all(line[0] not in "、。」）ッェー" for line in lines)
    assert all(line[-1] not in "（「" for line in lines)


def test_width_is_counted_in_display_columns() -> None:
    lines = wrap("あ" * 80).split("\n")
    assert [width(line) for line in lines] == [70, 70, 20]
    assert max(map(width, wrap("word " * 80).split("\n"))) <= 70


def test_a_line_ends_where_a_phrase_does() -> None:
    text = "ご導入の際には「月次の営業レポート作成にかかる時間を半分にする」と伺っておりました。"
    assert wrap(text).split("\n") == [
        "ご導入の際には「月次の営業レポート作成にかかる時間を半分にする」と",
        "伺っておりました。",
    ]
    text = 'When you signed up, the goal was "Cut the time our sales team spends on it".'
    assert wrap(text).split("\n")[1] == 'on it".'


def test_line_breaks_of_the_template_stay() -> None:
    text = "一行目\n\n二行目\n  字下げ\n\n\n終わり\n"
    assert wrap(text) == text


def test_an_address_is_never_broken_and_stands_alone_when_too_wide() -> None:
    text = f"くわしくは{URL}をご覧ください。See {URL}."
    lines = wrap(text).split("\n")
    assert sum(URL in line for line in lines) == 2
    assert any(line == f"{URL}." for line in lines)


def test_a_list_item_hangs_under_its_text() -> None:
    lines = wrap("- " + "word " * 30).split("\n")
    assert lines[0].startswith("- word")
    assert all(line.startswith("  word") for line in lines[1:])
    lines = wrap("・" + "項目の説明文" * 12).split("\n")
    assert all(line.startswith("  ") for line in lines[1:])


def test_a_number_stays_with_its_counter() -> None:
    for columns in range(8, 30):
        assert "14日" in wrap("ご契約の更新まであと14日となりました", columns)


def test_variation_selectors_stay_with_their_kanji() -> None:
    name = "葛\U000e0100"
    assert wrap(name * 60).replace("\n", "") == name * 60
    assert all(line.startswith("葛") for line in wrap(name * 60).split("\n"))
