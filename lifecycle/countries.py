"""Countries as people write them, in their own language or ours, and their ISO 3166 codes."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import pycountry
from babel import Locale

_LANGUAGES = (
    *("en", "ja", "de", "fr", "es", "pt", "it", "nl", "zh", "zh_Hant", "ko", "ru", "tr", "ar"),
    *("pl", "sv", "da", "nb", "fi", "cs", "sk", "hu", "ro", "bg", "el", "uk", "he", "fa", "hi"),
    *("th", "vi", "id", "ms", "fil", "hr", "sr", "sl", "lt", "lv", "et", "is", "ca", "ur", "bn"),
)
"""Languages whose names of countries are looked through, in this order."""

_ALIASES = {
    "AE": "UAE; Emirates; the Emirates; Dubai; Abu Dhabi; Sharjah",
    "BA": "Bosnia",
    "BO": "Bolivia",
    "CD": "DRC; DR Congo; Congo Kinshasa; Democratic Republic of Congo; Zaire",
    "CG": "Congo Brazzaville; Republic of Congo",
    "CI": "Ivory Coast",
    "CN": "PRC; PR China; P.R. China; Mainland China; China mainland; People's Republic of China;"
    " 中華人民共和国; 中国大陆; 中国大陸; 中华人民共和国",
    "CV": "Cape Verde",
    "CZ": "Czech Republic; Czechia; Tschechische Republik",
    "DE": "FRG; Federal Republic of Germany; BRD; ドイツ連邦共和国",
    "GB": "UK; Great Britain; Britain; England; Scotland; Wales; Northern Ireland;"
    " England and Wales; Großbritannien; Grande-Bretagne; Gran Bretaña; Gran Bretagna; Inglaterra;"
    " Angleterre; Inghilterra; Schottland; Écosse; 英国; 英國; イングランド; スコットランド;"
    " ウェールズ; 영국",
    "GR": "EL; Hellas",
    "HK": "Hong Kong; Hongkong; 香港; Hong Kong SAR",
    "IE": "Eire; Republic of Ireland; Southern Ireland",
    "IR": "Persia",
    "JP": "Nippon; Nihon; 日本国; ニッポン; にほん",
    "KP": "North Korea; DPRK; Korea, North",
    "KR": "Korea; South Korea; S. Korea; Republic of Korea; ROK; Korea (South); Korea, South; 韓国;"
    " 大韓民国; 한국; 대한민국; 韩国; 韓國; Korea Republic; Südkorea",
    "MK": "Macedonia; FYROM",
    "MM": "Burma",
    "MO": "Macau; Macao; 澳門; 澳门; マカオ",
    "NL": "Holland; Netherland; オランダ王国",
    "PH": "Phils",
    "PS": "Palestine",
    "RU": "Russia; Russian Fed.",
    "SA": "KSA",
    "SZ": "Swaziland",
    "TH": "ประเทศไทย",
    "TL": "East Timor",
    "TR": "Turkey; Türkiye; Turkiye",
    "TW": "Taiwan; R.O.C.; 台灣; 臺灣; 中華民国",
    "US": "USA; U.S.; United States of America; America; the States; US of A; 米国; アメリカ;"
    " アメリカ合衆国; 美国; 美國; 미국; Amerika; Estados Unidos; EE. UU.; EEUU; EUA; États-Unis;"
    " Etats Unis; Vereinigte Staaten von Amerika; Stati Uniti d'America; VS",
    "VA": "Vatican",
    "VN": "Vietnam; Viet Nam",
    "ZA": "RSA",
}
"""Names that neither ISO 3166 nor Unicode's own list has."""


@cache
def country_code(name: str | None) -> str | None:
    """The ISO 3166 alpha-2 code of a country, or None where nobody can tell which it is.

    A CRM holds "JP", "Japan", "日本", "Deutschland", "U.S.A.", "Korea" or "Berlin, Germany".
    """
    if not name or not (plain := name.strip()):
        return None
    if flag := _flag(plain):
        return flag
    outside, _, inside = plain.partition("(")
    spellings = [plain, outside, inside.rstrip(") ")]
    spellings.append(re.split(r"[,、，]", plain)[-1])
    if re.fullmatch(r"[A-Z]{2}-[A-Z0-9]{1,3}", plain):  # a part of a country, as US-CA
        spellings.append(plain[:2])
    for spelling in spellings:
        if code := _known(spelling):
            return code
    return None


def _known(name: str) -> str | None:
    """The code of one spelling."""
    folded = _folded(name)
    if not folded:
        return None
    if code := _aliases().get(folded):
        return code
    letters = re.sub(r"[.\s]", "", name) if re.fullmatch(r"[\w.\s]+", name) else ""
    for word in (name.strip(), folded, letters if len(letters) <= 3 else ""):
        try:
            return str(pycountry.countries.lookup(word).alpha_2)
        except LookupError:
            continue
    return next(
        (code for language in _LANGUAGES if (code := _names(language).get(folded))),
        None,
    )


def _folded(name: str) -> str:
    """A name without case, accents, dots, "the", and what else people write or leave out."""
    text = unicodedata.normalize("NFKD", name).casefold()
    text = re.sub(r"[\u0300-\u036f.'’`]", "", text)
    text = unicodedata.normalize("NFC", text)
    words = re.sub(r"[^\w\u0300-\U0010ffff]+|[_\s・·]+", " ", text).split()
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    return " ".join("and" if word == "&" else word for word in words)


def _flag(text: str) -> str | None:
    letters = [chr(ord(sign) - 0x1F1E6 + ord("A")) for sign in text if "🇦" <= sign <= "🇿"]
    code = "".join(letters)
    return code if len(code) == 2 and pycountry.countries.get(alpha_2=code) else None


@cache
def _aliases() -> dict[str, str]:
    return {
        _folded(alias): code for code, aliases in _ALIASES.items() for alias in aliases.split(";")
    }


@cache
def _names(language: str) -> dict[str, str]:
    """The names of countries in a language, folded."""
    names: dict[str, str] = {}
    for code, name in Locale.parse(language).territories.items():
        if pycountry.countries.get(alpha_2=code) is not None:
            names.setdefault(_folded(name), code)
            names.setdefault(_folded(name.partition("(")[0]), code)
    names.pop("", None)
    return names
