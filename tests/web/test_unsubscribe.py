"""Leaving by a link: looking changes nothing, one POST is enough, and nothing leaks."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode

import pytest
from sqlalchemy import func, select

from lifecycle.ledger.tables import State, feedback, suppressions
from lifecycle.mail.unsubscribe import Links
from sent import put, send, state_of

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
BUTTON = {**ONE_CLICK, "from": "page"}


def left(served) -> dict[str, str]:
    with served.ledger.read() as connection:
        rows = connection.execute(select(suppressions)).all()
    return {row.address: row.reason for row in rows}


def test_looking_at_the_page_changes_nothing(served):
    put(served.ledger, 1, State.PLANNED)
    path = served.path(send(1))
    for _ in range(3):
        assert served.client.get(path).status_code == 200
        head = served.client.head(path)
        assert (head.status_code, head.content) == (200, b"")
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert served.client.request(method, path).status_code == 405
    assert left(served) == {}
    assert state_of(served.ledger) == "planned"


@pytest.mark.parametrize(
    "sent",
    [
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {},
    ],
    ids=["form", "multipart", "empty"],
)
def test_one_post_of_a_mail_client_is_enough(served, sent):
    put(served.ledger, 1, State.ACCEPTED, address="shared@example.com")
    put(served.ledger, 2, State.PLANNED, address="shared@example.com")
    put(served.ledger, 3, State.QUEUED, address="shared@example.com")
    answer = served.client.post(served.path(send(1)), **sent)
    assert (answer.status_code, answer.text) == (200, "Unsubscribed.\n")
    assert answer.headers["content-type"].startswith("text/plain")
    assert left(served) == {"shared@example.com": "unsubscribed"}
    assert [state_of(served.ledger, n) for n in (1, 2, 3)] == [
        "accepted",
        "suppressed",
        "suppressed",
    ]


def test_the_button_of_the_page_leaves_and_says_so(served):
    put(served.ledger, 1, State.ACCEPTED)
    path = served.path(send(1))
    page = served.client.get(path).text
    assert re.search(r'<form method="post">', page)
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]+)"', page))
    assert fields == BUTTON
    done = served.client.post(path, data=fields)
    assert "You are unsubscribed" in done.text
    again = served.client.get(path)
    assert "You are unsubscribed" in again.text
    assert "<form" not in again.text


def test_leaving_again_is_harmless(served):
    put(served.ledger, 1, State.ACCEPTED)
    for _ in range(3):
        assert served.client.post(served.path(send(1)), data=ONE_CLICK).status_code == 200
    with served.ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(feedback)).scalar() == 1


@pytest.mark.parametrize(
    ("locale", "language", "word"),
    [
        ("ja", "ja", "配信を停止"),
        ("ja-JP", "ja", "配信を停止"),
        ("en", "en", "Unsubscribe"),
        ("en-US", "en", "Unsubscribe"),
        ("fr", "en", "Unsubscribe"),
    ],
)
def test_the_page_speaks_the_language_of_the_mail(served, locale, language, word):
    put(served.ledger, 1, State.ACCEPTED, locale=locale)
    page = served.client.get(served.path(send(1))).text
    assert f'<html lang="{language}">' in page
    assert word in page


def test_a_broken_link_speaks_the_language_of_the_browser(served):
    for accepted, language in (
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7", "ja"),
        ("fr-FR, fr;q=0.9, ja;q=0.4, en;q=0.6", "en"),
        ("ja;q=0, fr", "en"),  # the company's own
        ("*", "en"),
        ("ja;q=9, ;;q=, ,", "en"),
        ("", "en"),
    ):
        spoken = {"Accept-Language": accepted}
        for method, path in (("GET", "/u/cut-off"), ("POST", "/u/cut-off"), ("GET", "/")):
            answer = served.client.request(method, path, headers=spoken)
            assert answer.status_code == 404
            assert f'<html lang="{language}">' in answer.text, accepted


def test_no_page_is_kept_passed_on_or_framed(served):
    put(served.ledger, 1, State.ACCEPTED)
    path = served.path(send(1))
    for answer in (
        served.client.get(path),
        served.client.post(path, data=BUTTON),
        served.client.post(path, data=ONE_CLICK),
        served.client.get("/u/nothing"),
        served.client.get("/"),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "noindex" in answer.headers["x-robots-tag"]
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "server" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert not re.search(r"(src|href|action)=|url\(|@import|https?:", answer.text)
        assert "example.com" not in answer.text.replace("support@example.com", "")


def test_a_link_that_we_did_not_make_is_no_page(served):
    put(served.ledger, 1, State.QUEUED)
    good = served.links.token(send(1))
    strange = Links(["x" * 32]).token(send(1))
    unknown = served.links.token(send(2))
    changed = good[:-1] + ("A" if good[-1] != "A" else "B")
    nowhere = served.client.get("/nowhere")
    for token in (strange, unknown, changed, good[:-4], good + "AAAA", "x", "%00", "a/b", "é"):
        for answer in (
            served.client.get(f"/u/{token}"),
            served.client.post(f"/u/{token}", data=ONE_CLICK),
        ):
            assert answer.status_code == 404
            assert answer.text == nowhere.text
            assert answer.headers.keys() == nowhere.headers.keys()
    assert left(served) == {}
    assert state_of(served.ledger) == "queued"


def test_a_link_carries_no_address_and_outlives_a_change_of_keys(served):
    put(served.ledger, 1, State.ACCEPTED)
    old = Links(["o" * 32]).token(send(1))
    assert served.client.get(f"/u/{old}").status_code == 200
    token = served.links.token(send(1))
    assert token != old
    carried = [urlsafe_b64decode(part + "==") for part in token.split(".")]
    assert b"@" not in b"".join(carried)
    assert carried[0].hex() == send(1)


def test_a_click_is_small(served):
    put(served.ledger, 1, State.ACCEPTED)
    answer = served.client.post(served.path(send(1)), content=b"x" * 100_000)
    assert answer.status_code == 413
    assert left(served) == {}


def test_the_public_reaches_nothing_internal(served):
    assert served.client.get("/healthz").status_code == 404
    assert served.client.get("/metrics").status_code == 404
    assert served.client.get("/docs").status_code == 404
    assert served.client.get("/openapi.json").status_code == 404
