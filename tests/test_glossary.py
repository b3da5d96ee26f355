"""The glossary: complete rows, the same sentence as dbt's documents, and links that lead to it."""

from __future__ import annotations

import re
from pathlib import Path

from commands import CHECKOUT

GLOSSARY = CHECKOUT / "docs" / "glossary.md"
DBT = CHECKOUT / "dbt_project" / "models" / "lifecycle.md"
ROW = re.compile(r'^\| <a id="([^"]+)"></a>([^|]+) \| ([^|]+) \| ([^|]+) \|$', re.MULTILINE)
BLOCK = re.compile(r"{% docs (\w+) %}\n(.*?)\n{% enddocs %}", re.DOTALL)
SENTENCE_END = re.compile(r"\.(?=\s|$)")
LINK = re.compile(r"glossary\.md#([\w-]+)")


def rows() -> dict[str, tuple[str, str]]:
    """Term: Japanese, meaning."""
    matches = ROW.findall(GLOSSARY.read_text(encoding="utf-8"))
    return {term.strip(): (japanese, meaning) for _, term, japanese, meaning in matches}


def first_sentences() -> dict[str, str]:
    """Term of dbt's documents, in words: the first sentence of its block."""
    return {
        name.replace("_", " "): SENTENCE_END.split(" ".join(text.split()))[0] + "."
        for name, text in BLOCK.findall(DBT.read_text(encoding="utf-8"))
    }


def pages() -> list[Path]:
    return [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]


def test_every_row_has_an_anchor_japanese_and_one_sentence() -> None:
    lines = [
        line
        for line in GLOSSARY.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| term ")
    ]
    assert len(rows()) == len(lines) > 60, "a row without its three cells, or a term twice"
    assert sorted(rows()) == list(rows()), "terms in alphabetical order"
    for term, (japanese, meaning) in rows().items():
        assert re.search("[\u3040-\u30ff\u4e00-\u9fff]", japanese), term
        assert len(SENTENCE_END.findall(meaning)) == 1, term
        assert meaning.endswith("."), term
    for anchor, term, *_ in ROW.findall(GLOSSARY.read_text(encoding="utf-8")):
        assert anchor == term.strip().replace(" ", "-")


def test_dbt_says_the_same_in_its_first_sentence() -> None:
    shared = rows().keys() & first_sentences().keys()
    assert {"dormant", "stage", "course", "outcome", "touch model", "score version"} <= shared
    for term in shared:
        assert first_sentences()[term] == rows()[term][1], f"{DBT}: {term}"


def test_links_lead_to_a_term_and_every_term_is_linked() -> None:
    linked = {
        anchor for page in pages() for anchor in LINK.findall(page.read_text(encoding="utf-8"))
    }
    anchors = {term.replace(" ", "-") for term in rows()}
    assert linked - anchors == set(), "links to terms that the glossary does not have"
    assert anchors - linked == set(), "terms that no page links to"
