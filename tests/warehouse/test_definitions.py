"""Every definition stands once: in a doc block, which the columns that use it refer to."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from ruamel.yaml import YAML

from lifecycle.warehouse.build import PROJECT

REFERENCE = re.compile(r"\{\{ doc\('(\w+)'\) \}\}")
BLOCK = re.compile(r"\{% docs (\w+) %\}\n(.*?)\n\{% enddocs %\}", re.DOTALL)

HOMONYMS = {
    # of an account, or of a contact; of whatever a model counts, lists or was given
    *("name", "role", "active_days", "age_days", "days", "events", "features_used"),
    *("loaded_at", "mrr", "reason", "time_zone", "value", "feature", "segment"),
    *("accounts", "day", "version", "kind", "file", "ended_on", "part"),
}
"""Names that mean different things in different models, and so may be described differently."""


def columns() -> list[tuple[str, str, str]]:
    """Model, column and description, of every model's YAML."""
    collected: list[tuple[str, str, str]] = []
    for file in sorted(PROJECT.glob("models/**/*.yml")):
        content: dict[str, Any] = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
        for model in content.get("models", []):
            collected.extend(
                (model["name"], column["name"], column.get("description", ""))
                for column in model.get("columns", [])
            )
    return collected


def blocks() -> list[tuple[str, str]]:
    texts = (file.read_text("utf-8") for file in PROJECT.glob("models/**/*.md"))
    return [(name, " ".join(text.split())) for all_ in texts for name, text in BLOCK.findall(all_)]


def meaning(description: str) -> tuple[str, ...]:
    """The definitions it refers to, or its own words."""
    return tuple(REFERENCE.findall(description)) or (description,)


def test_a_column_of_one_name_means_one_thing() -> None:
    meanings: dict[str, dict[tuple[str, ...], str]] = defaultdict(dict)
    for model, column, description in columns():
        meanings[column].setdefault(meaning(description), model)
    differ = {name: item for name, item in meanings.items() if len(item) > 1}
    assert {name: item for name, item in differ.items() if name not in HOMONYMS} == {}
    assert HOMONYMS - set(differ) == set(), "they mean one thing: take them off the list"


def test_no_words_are_written_twice() -> None:
    own = Counter(REFERENCE.sub("", description).strip() for *_, description in columns())
    assert [words for words, times in own.items() if words and times > 1] == []
    defined = blocks()
    assert [words for words, times in Counter(t for _, t in defined).items() if times > 1] == []
    assert [t for _, t in defined if t in own] == [], "a column repeats a block instead of using it"


def test_every_definition_is_used_and_every_column_described() -> None:
    used = {name for *_, text in columns() for name in REFERENCE.findall(text)}
    assert {name for name, _ in blocks()} - used == set()
    assert [(model, column) for model, column, text in columns() if not text.strip()] == []
