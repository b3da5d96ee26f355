"""What the CRM says is text: in a terminal, a report, Markdown, a spreadsheet and a log."""

from __future__ import annotations

import csv
import json
import logging
import re

import pytest
from markdown_it import MarkdownIt

from lifecycle.cli import answer
from lifecycle.document import Section, as_markdown, as_text, table
from lifecycle.logs import Private
from lifecycle.outside_text import for_csv, for_json, for_log, for_markdown, for_terminal
from lifecycle.whatif.preview_folder import _write_csv

ESCAPES = [
    "\x1b]0;owned\x07Aiko",
    "\x1b[2J\x1b[1;1HAiko",
    "\x9b31mAiko",
    "Aiko\x08\x08\x08\x08Eve",
    "Aiko\rEve",
    "Aiko \u202eokia",
    "Aiko\u2066\u2069\u2028Eve",
    "Aiko \U000e0041\U000e0042",
    "\x00\x7fAiko",
]
MARKDOWN = [
    "![x](https://evil.example/pixel.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "[a]: https://evil.example",
    "https://evil.example/login",
    "www.evil.example",
    "<https://evil.example>",
    "`code` **bold** ~~gone~~ _it_",
    "a | b | c",
    "&lt;b&gt; &#x3c;",
    "# Title",
    "- item",
    "> quote",
    "1. first",
    "---",
    "\\[x](https://evil.example)",
]
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


@pytest.mark.parametrize("name", ESCAPES)
def test_no_escape_reaches_a_terminal_a_report_or_a_log(name, capsys):
    page = [Section(name, (f"{name} entered", table(("name",), [(name,)])))]
    record = logging.LogRecord("lifecycle", logging.INFO, "", 0, "%s", (name,), None)
    shown = [
        for_terminal(name),
        for_log(name),
        for_csv(name),
        as_text(page),
        as_markdown(page),
        Private("%(message)s").format(record),
    ]
    answer.write(name)
    answer.write_json({"name": name})
    shown.append(capsys.readouterr().out)
    for text in shown:
        assert not RAW.search(text), text


@pytest.mark.parametrize("name", ESCAPES)
def test_json_says_the_same_with_escapes(name):
    document = for_json(json.dumps({"name": name}, ensure_ascii=False, indent=2))
    assert not RAW.search(document)
    assert json.loads(document) == {"name": name}


@pytest.mark.parametrize("name", MARKDOWN)
def test_markdown_shows_the_words_alone(name):
    page = as_markdown([Section(name, (name, table(("name", "n"), [(name, 1)])))])
    html = MarkdownIt("commonmark").enable("table").render(page)
    tags = set(re.findall(r"<(\w+)", html))
    assert tags <= {"h2", "p", "table", "thead", "tbody", "tr", "th", "td"}, html
    assert html.count("<td") == 2


@pytest.mark.parametrize("scheme", ["https://evil.example", "WWW.evil.example", "javascript:x"])
def test_no_address_becomes_a_link_by_itself(scheme):
    assert scheme.lower() not in for_markdown(scheme).lower()


@pytest.mark.parametrize("name", ["@everyone", "ask @channel", "(@team/admins)"])
def test_nobody_is_called_by_a_name(name):
    assert not re.search(r"@\w", for_markdown(name))


def test_our_own_words_stay_readable():
    for words in (
        "win_back",
        "3 mails to a***@example.com",
        "due 2026-06-10, −3 °C",
        "佐藤 愛子様",
    ):
        assert for_terminal(words) == words
    assert for_markdown("win_back: 3 of 4 (75 %)") == "win_back: 3 of 4 (75 %)"


@pytest.mark.parametrize(
    "name", ["=cmd()", "+1", "-1", "@sum(a1)", "\t=1+1", "\r=1", "\x1b=1", "＝1"]
)
def test_no_spreadsheet_reads_a_formula(name, tmp_path):
    _write_csv(tmp_path / "x.csv", ["name"], [[name]])
    with (tmp_path / "x.csv").open(encoding="utf-8-sig", newline="") as file:
        ((cell,),) = list(csv.reader(file))[1:]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
