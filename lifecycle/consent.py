"""Which words of `consent_basis` are a consent: those on the company's list and no others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

BASES = (
    *("opt_in", "opted_in", "optin", "double_opt_in", "single_opt_in", "soft_opt_in"),
    *("consent", "consented", "explicit_consent", "express_consent", "subscribed", "subscriber"),
    *("contract", "contractual", "performance_of_a_contract", "agreement", "signed_contract"),
    *("customer", "existing_customer", "legitimate_interest", "legitimate_interests"),
    *("legitimate interest existing customer", "legitimate interest prospect lead"),
    *("freely given consent from contact", "terms_of_service", "business_card", "inquiry"),
    *("同意", "同意済み", "同意済", "同意あり", "同意有", "オプトイン", "承諾", "承諾済み", "許諾"),
    *("契約", "契約中", "契約者", "契約済み", "契約顧客", "既存顧客", "取引先", "利用規約同意"),
    *("名刺交換", "名刺", "資料請求", "申込", "申し込み", "お申し込み", "会員登録", "正当な利益"),
)
"""The usual words, in English and Japanese: what `[consent] bases` is by default."""

NEVER = (
    *("none", "no", "n", "false", "f", "0", "null", "nil", "nan", "n/a", "na", "-", "–", "unknown"),
    *("not applicable", "withdrawn", "revoked", "refused", "declined", "denied", "rejected"),
    *("opt_out", "opted_out", "optout", "unsubscribed", "no consent", "not given"),
    *(
        "not consented",
        "no opt in",
        "not opted in",
        "expired",
        "pending",
        "never",
        "missing",
        "undefined",
        "off",
    ),
    *(
        "未同意",
        "同意なし",
        "同意無し",
        "同意無",
        "不同意",
        "非同意",
        "同意しない",
        "未取得",
        "未確認",
    ),
    *("なし", "無し", "無", "いいえ", "拒否", "撤回", "取消", "不明", "オプトアウト", "配信停止"),
    *("退会", "解約", "該当なし", "未設定", "保留", "未確認"),
)
"""Words that no list can make a consent."""

Verdict = Literal["consent", "refusal", "unknown"]


def normalised(word: str) -> str:
    """The form that the words are compared in: no case, no full width, no signs."""
    plain = unicodedata.normalize("NFKC", word).casefold()
    return re.sub(r"[\W_]+", " ", plain).strip()


_NEVER = frozenset(map(normalised, NEVER))


def never_counts(word: str) -> bool:
    """Whether a word says that there is no consent, or says nothing."""
    return normalised(word) in _NEVER


class ConsentWords:
    """The words that count for a company."""

    def __init__(self, bases: Iterable[str]) -> None:
        self._bases = frozenset(map(normalised, bases)) - _NEVER

    def verdict(self, word: str) -> Verdict:
        """What a word of `consent_basis` says."""
        plain = normalised(word)
        if plain in self._bases:
            return "consent"
        return "refusal" if plain in _NEVER else "unknown"

    def count(self, word: str | None) -> bool:
        """Whether a word of `consent_basis` is a consent; an empty one is none."""
        return bool(word) and self.verdict(str(word)) == "consent"
