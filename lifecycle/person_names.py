"""What may stand in a greeting: names as people type them into a CRM or a sign-up form.

A stranger who signs up chooses the name that we greet, over our own signature. So a name that
carries the address of a web page, or a whole sentence, is no name.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache

import pycountry

LONGEST_NAME = 80
"""Characters of a person's name."""

ENTITY = r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
"""An HTML entity, as a pattern for Python and for SQL. Without its semicolon it is text: R&D."""

_BEFORE = (
    *("mr", "mrs", "ms", "miss", "mx", "messrs", "dr", "prof", "professor", "sir", "madam"),
    *("herr", "frau", "monsieur", "madame", "mme", "mlle", "señor", "señora", "señorita"),
    *("senhor", "senhora", "signor", "signora", "sig.ra", "sra", "srta"),
)
_AFTER_A_BLANK = (
    *("mr.", "mrs.", "ms.", "mr", "mrs", "ms", "dr.", "esq.", "esq"),
    *("殿", "氏", "くん", "ちゃん", "サマ", "サン", "님", "-san", "-sama"),
)
"""Attached, these may be part of a name: 鵜殿, ハッサン, オサマ, 이해님."""
_AFTER = ("様", "さま", "さん", "御中", "先生", "女士", "小姐")
_AFTER_THREE = "(?<=[가-힣]{3})님"

_TITLE_BEFORE = re.compile(rf"(?:{'|'.join(map(re.escape, _BEFORE))})(?:\.\s*|\s+)(?=\w)", re.I)
_TITLE_AFTER = re.compile(
    rf"(?:(?:^|[\s,、，]+)(?:{'|'.join(map(re.escape, _AFTER_A_BLANK))})"
    rf"|[\s,、，]*(?:{'|'.join(map(re.escape, _AFTER))})|{_AFTER_THREE})[\s.]*$",
    re.I,
)
_COMPANY_TITLE = re.compile(r"(?:[\s,、，]*(?:様|御中))+$")
_ONE_WORD_SAN = re.compile(r"(?P<name>[^\W\d_]+)-(?:san|sama)", re.I)

MAY_NEED_A_LOOK = (
    r"[&./:@。．｡]|^(?i:" + "|".join(map(re.escape, _BEFORE)) + r")[\s　]"
    r"|(?i:" + "|".join(map(re.escape, (*_AFTER, *_AFTER_A_BLANK))) + r")$|^[^\pL\pN]*$"
)
"""What a name has that is not plain, as a pattern for SQL; most names do not match it."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://|\b(?:mailto|tel|javascript|data):|\bwww\d?\.", re.I)
_HOST = re.compile(r"(?P<labels>(?:[\w-]+\.)+)(?P<end>[^\W\d_]{2,}|xn--[\w-]+)(?P<path>[/:?#])?")
_NUMBERS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
_GENERIC_ENDS = """
com net org info biz edu gov mil int name pro mobi app dev page web site website online shop
store club blog link click live life world today news top xyz icu vip win bid loan cloud
tech space fun work works zone email network group agency digital solutions support services
center company global media money cash finance bank bet casino games game tips guru rocks
ninja wiki chat social video stream download review trade date party science men lol buzz
monster quest cyou cfd sbs rest bond help host press run one ai onion zip mov
企業 公司 中国 香港 网络
みんな コム 世界 한국 рф бел укр
"""
_GENERIC = frozenset(_GENERIC_ENDS.split())
_SHORT_LINKS = ("t.co", "t.me", "g.co", "x.co", "n.pr", "x.com", "v.gd", "is.gd", "m.me", "t.ly")
_DOTS = str.maketrans({"。": ".", "．": ".", "｡": "."})


def decoded(text: str) -> str:
    """The text with its HTML entities as the signs that they stand for, encoded twice or once."""
    for _ in range(3):
        plain = re.sub(ENTITY, lambda entity: html.unescape(entity[0]), text)
        if plain == text:
            return text
        text = plain
    return text


def without_titles(name: str) -> str:
    """A person's name without 様, さん, Mr. and their like, which a template writes itself.

    Empty where nothing else is there.
    """
    name = name.strip()
    while True:
        shorter = _TITLE_BEFORE.sub("", name, count=1) if _TITLE_BEFORE.match(name) else name
        shorter = _TITLE_AFTER.sub("", shorter).strip()
        if alone := _ONE_WORD_SAN.fullmatch(shorter):
            shorter = alone["name"]
        if shorter == name:
            return "" if _is_a_title(name) else name
        name = shorter


def company_name(name: str) -> str:
    """A company's name without the 様 or 御中 that a template writes itself."""
    plain = decoded(name).strip()
    return _COMPANY_TITLE.sub("", plain) or plain


def _is_a_title(text: str) -> bool:
    return text.casefold().rstrip(".") in {title.rstrip(".") for title in _BEFORE}


def checked(name: str) -> tuple[str | None, str | None]:
    """A person's name as a mail may greet it, or None and why it may not.

    The reason completes "the name …".
    """
    plain = decoded(name)
    if where := web_address(plain):
        return None, f"holds the address of a web page ({where}); no mail greets with it"
    if len(plain) > LONGEST_NAME:
        return None, (
            f"is {len(plain)} characters long, over {LONGEST_NAME}; no mail greets with it"
        )
    plain = without_titles(plain)
    if not any(unicodedata.category(char)[0] in "LN" for char in plain):
        return None, "is no name without its title or signs; no mail greets with it"
    return plain, None


def web_address(text: str) -> str | None:
    """What a mail program would show as a link in the text, or None."""
    folded = unicodedata.normalize("NFKC", _without_shape(text)).translate(_DOTS)
    if scheme := _SCHEME.search(folded):
        return _cut(folded[scheme.start() :])
    if numbers := _NUMBERS.search(folded):
        return numbers[0]
    for host in _HOST.finditer(folded):
        label = max(host["labels"].split("."), key=len)
        end = host["end"].casefold()
        is_known = end.startswith("xn--") or end in _GENERIC or end in _countries()
        if not is_known:
            continue
        # "J.Li" and "Ph.D" are names; a path, or a label of some length, makes a web page.
        shortest = 2 if end in _GENERIC else 3
        if host["path"] or len(label) >= shortest or host[0].casefold() in _SHORT_LINKS:
            return _cut(host[0])
    return None


def _cut(text: str) -> str:
    word = text.split()[0]
    return word if len(word) <= 40 else word[:39] + "…"


def _without_shape(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Cc"))


@cache
def _countries() -> frozenset[str]:
    codes = {str(country.alpha_2).casefold() for country in pycountry.countries}
    return frozenset(codes | {"uk", "eu", "su"})
