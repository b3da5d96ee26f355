"""Consent is a word on a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle import settings
from lifecycle.consent import BASES, ConsentWords
from lifecycle.errors import SettingsError
from sources.delivery import COMPANY

USUAL = ConsentWords(BASES)


@pytest.mark.parametrize(
    "word",
    ["contract", "Contract ", "ＣＯＮＴＲＡＣＴ", "opt_in", "Opt-In", "opt  in",
     "existing_customer", "Existing customer", "Legitimate interest – existing customer", "同意",
     "同意済み", "契約", "既存顧客"],
)  # fmt: skip
def test_the_usual_words_count(word: str) -> None:
    assert USUAL.verdict(word) == "consent"
    assert USUAL.count(word)


@pytest.mark.parametrize(
    "word",
    ["none", "false", "No", "0", "withdrawn", "Not applicable", "n/a", "未同意", "ＮＯ", "-",
     "なし", "opt_out", "Opted-Out", "NULL", "不明", "拒否", "いいえ"],
)  # fmt: skip
def test_words_for_no_never_count(word: str) -> None:
    assert USUAL.verdict(word) == "refusal"
    assert not ConsentWords([*BASES, word]).count(word)


@pytest.mark.parametrize("word", ["handshake", "yes?", "not contract", "契約なし"])
def test_an_unknown_word_does_not(word: str) -> None:
    assert USUAL.verdict(word) == "unknown"
    assert not USUAL.count(word)


def test_nothing_is_no_consent() -> None:
    assert not USUAL.count(None)
    assert not USUAL.count("")


def test_the_list_is_a_setting(tmp_path: Path) -> None:
    file = tmp_path / "lifecycle.toml"
    file.write_text(f'{COMPANY}\n[consent]\nbases = ["Handshake"]\n', encoding="utf-8")
    own = ConsentWords(settings.load(file).consent.bases)
    assert (own.count("handshake"), own.count("contract")) == (True, False)


def test_a_word_for_no_cannot_be_listed(tmp_path: Path) -> None:
    file = tmp_path / "lifecycle.toml"
    file.write_text(f'{COMPANY}\n[consent]\nbases = ["opt_in", "None"]\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"consent.bases: 'None' can be no consent"):
        settings.load(file)
