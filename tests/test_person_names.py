"""Names as people type them, and what of them a mail may greet."""

from __future__ import annotations

import duckdb
import pytest

from lifecycle.person_names import (
    LONGEST_NAME,
    MAY_NEED_A_LOOK,
    checked,
    company_name,
    decoded,
    web_address,
)

TITLES = {
    "田中 様": "田中",
    "田中様": "田中",
    "田中　様": "田中",
    "田中 様 様": "田中",
    "田中さん": "田中",
    "佐藤 殿": "佐藤",
    "佐藤 先生": "佐藤",
    "Mr. John Smith": "John Smith",
    "mrs Jane Roe": "Jane Roe",
    "Dr.Mueller": "Mueller",
    "Ms Dr. Jane Roe": "Jane Roe",
    "Smith, Mr.": "Smith",
    "Frau Müller": "Müller",
    "Tanaka-san": "Tanaka",
    "김철수님": "김철수",
}
"""Each with the name that is left."""
NAMES = [
    *(
        "鵜殿",
        "王昭君",
        "ハッサン",
        "オサマ",
        "Park Ji-san",
        "Aung San",
        "Missy Elliott",
        "Herrmann",
    ),
    *("J.Li", "J.R.R. Tolkien", "St. John", "Martin Luther King Jr.", "Anne-Marie O'Brien"),
    *("山田.太郎", "John.Smith", "R&D Team", "Nguyễn Thị Mai", "محمد علي", "किरण", "Ph.D", "7"),
]
"""They stay as they are."""
LINKS = {
    "Anna https://evil.example/x click": "https://evil.example/x",
    "you won, see evil.com": "evil.com",
    "EVIL.COM": "EVIL.COM",
    "bit.ly/abc": "bit.ly/",
    "t.me/abc": "t.me/",
    "x.com": "x.com",
    "www.evil": "www.evil",
    "evil。com": "evil.com",
    "Ｅｖｉｌ．ｃｏｍ": "Evil.com",
    "ev\u200bil.com": "evil.com",
    "https&#58;//evil.example": "https://evil.example",
    "пример.рф": "пример.рф",
    "taro@example.co.jp": "example.co.jp",
    "203.0.113.9": "203.0.113.9",
    "mailto:a": "mailto:a",
}
"""Each with the address that is found in it."""
NO_NAMES = ["様", "さん", "Mr.", "---", "😀", "?"]


@pytest.mark.parametrize(("name", "left"), TITLES.items())
def test_a_title_that_a_template_writes_itself_is_taken_off(name: str, left: str) -> None:
    assert checked(name) == (left, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_as_it_is(name: str) -> None:
    assert checked(name) == (name, None)


@pytest.mark.parametrize(("name", "address"), LINKS.items())
def test_a_name_with_the_address_of_a_web_page_is_none(name: str, address: str) -> None:
    kept, why = checked(name)
    assert kept is None
    assert why == f"holds the address of a web page ({address}); no mail greets with it"


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_title_or_signs_alone_are_no_name(name: str) -> None:
    assert checked(name)[0] is None


def test_a_sentence_is_no_name() -> None:
    assert checked("あ" * LONGEST_NAME) == ("あ" * LONGEST_NAME, None)
    assert checked("あ" * (LONGEST_NAME + 1))[0] is None


def test_entities_are_the_signs_that_they_stand_for() -> None:
    assert decoded("M&uuml;ller &amp; S&#246;hne &lt;R&D&gt;") == "Müller & Söhne <R&D>"
    assert decoded("Caf&amp;eacute;") == "Café"  # encoded twice
    assert decoded("AT&T; R&D &nosuch;") == "AT&T; R&D &nosuch;"


def test_a_company_is_named_without_its_title() -> None:
    assert company_name("株式会社みなと 御中") == "株式会社みなと"
    assert company_name("みなと商店様") == "みなと商店"
    assert company_name("お花屋さん") == "お花屋さん"
    assert company_name("御中") == "御中"


def test_sql_looks_closely_at_every_name_that_is_changed_or_refused() -> None:
    odd = [*TITLES, *LINKS, *NO_NAMES, "M&uuml;ller"]
    with duckdb.connect() as db:
        rows = db.execute(
            "SELECT name FROM (SELECT unnest($1::VARCHAR[]) AS name)"
            " WHERE regexp_matches(trim(name), $2)",
            [[*odd, *NAMES], MAY_NEED_A_LOOK],
        ).fetchall()
    assert set(odd) <= {name for (name,) in rows}
    assert web_address("John Smith") is None
