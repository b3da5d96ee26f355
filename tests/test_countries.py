"""Countries as people write them."""

from __future__ import annotations

import pytest

from lifecycle.countries import country_code

WRITTEN = {
    "DE": "DE; de; DEU; Deutschland; Germany; Germany (DE); ドイツ; Allemagne; Berlin, Germany; 🇩🇪",
    "TR": "Turkey; TURKEY; Türkiye; Turkiye; トルコ",
    "US": "US; USA; U.S.A.; U. S. A.; u.s.; United States; the United States of America; 米国;"
    " アメリカ合衆国; Estados Unidos; Vereinigte Staaten; Austin, USA; Georgia, USA; US-CA",
    "JP": "日本; Japan; JPN; Ｊａｐａｎ; 日本国; 🇯🇵 Japan; Japon; 392",
    "GB": "UK; U.K.; England; Scotland; Wales; Great Britain; United Kingdom; イギリス; 英国",
    "KR": "Korea; South Korea; Korea, Republic of; 韓国; 대한민국; Republic of Korea; Südkorea",
    "KP": "North Korea; Korea, Democratic People's Republic of",
    "AE": "UAE; U.A.E.; United Arab Emirates; الإمارات العربية المتحدة",
    "BR": "Brasil; Brazil; BRASIL; ブラジル",
    "CI": "Côte d’Ivoire; Cote d'Ivoire; Ivory Coast",
    "HK": "Hong Kong; 香港; Hong Kong SAR China",
    "TW": "Taiwan; 台灣; 台湾",
    "CN": "中国; 中國; PRC; Mainland China; People's Republic of China",
    "NL": "Holland; The Netherlands; Nederland",
    "AT": "Österreich; Osterreich; Austria",
    "CZ": "Czech Republic; Czechia; Česko",
    "GQ": "Guinea, Equatorial; Equatorial Guinea",
    "GN": "Guinea",
    "GE": "Georgia",
    "NA": "Namibia; NA",
    "RU": "Россия; Russian Federation",
    "IL": "ישראל; Israel",
    "TH": "ไทย; ประเทศไทย",
    "IN": "भारत; Indien",
}
"""By code, some of the ways to write it."""


@pytest.mark.parametrize("code", WRITTEN)
def test_a_country_is_understood_as_people_write_it(code: str) -> None:
    understood = {name: country_code(name) for name in WRITTEN[code].split("; ")}
    assert understood == dict.fromkeys(understood, code)


@pytest.mark.parametrize(
    "name",
    ["", "  ", None, "N/A", "EMEA", "Narnia", "EU", "??", "-", "Asia", "Korea, East", "XX-1"],
)
def test_what_nobody_can_tell_is_no_country(name: str | None) -> None:
    assert country_code(name) is None
