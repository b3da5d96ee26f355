"""Pages for a person: aligned in any script, the same in three forms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from wcwidth import wcswidth

from lifecycle.document import Id, Section, as_markdown, as_text, counted, moment, table

ROWS = [("若竹設備株式会社", 1200, 0.5), ("Oakhaven Travel Pty Ltd", 3, None)]
PAGE = [Section("Who gets what", ("Two accounts.", table(("account", "mails", "share"), ROWS)))]


def test_columns_stand_in_line_whatever_the_script() -> None:
    lines = as_text(PAGE).splitlines()
    first, second = lines[-2:]
    assert wcswidth(first[: first.index("1,200") + 5]) == wcswidth(second[: second.index(" 3") + 2])
    assert first.endswith("0.5")
    assert second.endswith("–")


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    long = table(("name", "why"), [("株式会社" * 20, "because " * 30)])
    text = as_text([Section("T", ("word " * 60, long))], width=width)
    assert max(map(wcswidth, text.splitlines())) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_a_path_in_a_title_stays_whole() -> None:
    title = f"State folder {'/deep' * 40}"
    assert as_text([Section(title, ("one",))]).splitlines()[0] == title


def test_what_is_copied_into_a_command_stays_whole() -> None:
    send = Id("0123456789abcdef" * 2)
    rows = [(send, *["some words of it"] * 5), ("–", *["because"] * 5)]
    text = as_text([Section("T", (table("abcdef", rows),))])
    assert send in text
    assert max(map(len, text.splitlines())) <= 80


def test_markup_of_a_customer_is_text() -> None:
    hostile = "[bold red]a|b[/]"
    page = [Section(hostile, (hostile, table(("x",), [(hostile,)])))]
    assert as_text(page).count(hostile) == 3
    assert "| \\[bold red\\]a\\|b\\[/\\] |" in as_markdown(page)


def test_markdown_has_the_same_rows() -> None:
    assert as_markdown(PAGE).splitlines()[-3:] == [
        "| --- | ---: | ---: |",
        "| 若竹設備株式会社 | 1,200 | 0.5 |",
        "| Oakhaven Travel Pty Ltd | 3 | – |",
    ]


def test_a_moment_names_its_zone() -> None:
    at = datetime(2026, 6, 10, 1, tzinfo=UTC)
    assert moment(at, "Asia/Tokyo") == "Wed 2026-06-10 10:00 Asia/Tokyo"
    assert moment(at) == "Wed 2026-06-10 01:00 UTC"
    assert moment(None) == "–"


def test_numbers_have_their_noun() -> None:
    assert (counted(1, "mail"), counted(1200, "mail")) == ("1 mail", "1,200 mails")
