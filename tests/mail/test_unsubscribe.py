"""The unsubscribe address of a mail: signed, without an e-mail address, and safe by default."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import SettingsError
from lifecycle.mail.message import Message
from lifecycle.mail.render import Renderer
from lifecycle.mail.unsubscribe import NO_SEND, TOKEN, Links, UnsubscribeAddress
from lifecycle.settings import load

KEY, OLD = "k" * 40, "o" * 40
send_ids = st.binary(min_size=16, max_size=16).map(bytes.hex)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(send_ids)
def test_a_link_leads_back_to_its_send(send_id: str) -> None:
    assert Links([KEY]).send_id(Links([KEY]).token(send_id)) == send_id


@given(send_ids, st.integers(0, 65), st.sampled_from(ALPHABET + "."))
def test_a_changed_link_leads_nowhere(send_id: str, place: int, char: str) -> None:
    token = Links([KEY]).token(send_id)
    changed = token[:place] + char + token[place + 1 :]
    result = Links([KEY]).send_id(changed)
    assert result == (send_id if changed == token else None)


@given(
    st.text(max_size=70)
    | st.text(ALPHABET, min_size=48, max_size=48)
    | st.from_regex(TOKEN, fullmatch=True)
)
def test_what_we_did_not_make_leads_nowhere(token: str) -> None:
    assert Links([KEY]).send_id(token) is None


@given(send_ids)
def test_keys_change_and_old_links_go_on_to_work(send_id: str) -> None:
    old = Links([OLD]).token(send_id)
    both = Links([KEY, OLD])
    assert both.send_id(old) == send_id
    assert both.token(send_id) == Links([KEY]).token(send_id) != old
    assert Links([KEY]).send_id(old) is None
    assert Links([]).send_id(old) is None


OLD_LINKS = [
    ("_4iQRQEjRWeJq83vASNFZ4mrze_IYOtWuJkOjhxarpF4Q5CH", "0123456789abcdef" * 2, KEY),
    ("_4iQRf____________________9nOqEc3UDC1nKWdgZO_Q1N", "ff" * 16, KEY),
    ("1s59zgEjRWeJq83vASNFZ4mrze8jFOW4dU2q4k1IgXLHEODK", "0123456789abcdef" * 2, OLD),
]
"""Tokens that version 0.1 made, the sends that they are about, and the keys that signed them."""


@pytest.mark.parametrize(("token", "send_id", "key"), OLD_LINKS)
def test_the_links_of_mails_that_left_long_ago_still_work(token, send_id, key) -> None:
    assert Links([key]).send_id(token) == send_id
    assert Links(["n" * 40, KEY, OLD]).send_id(token) == send_id
    assert Links(["n" * 40]).send_id(token) is None
    assert Links([]).send_id(token) is None
    for place in range(len(token)):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert Links([KEY, OLD]).send_id(changed) is None
    assert TOKEN.fullmatch(token), "the service's log hides it"


def test_a_send_without_a_key_or_an_id_that_is_none_has_no_link() -> None:
    with pytest.raises(ValueError, match="no key"):
        Links([]).token("0" * 32)
    for odd in ("", "x" * 32, "0" * 31, "../../etc/passwd"):
        with pytest.raises(ValueError, match=r"id of a send|hexadecimal"):
            Links([KEY]).token(odd)


def carried(token: str) -> bytes:
    """All bytes that a token carries."""
    return b"".join(urlsafe_b64decode(part + "==") for part in token.split("."))


# In a mail. -------------------------------------------------------------------------------


def rendered(settings, *, is_preview: bool = False) -> Message:
    return Renderer(settings, is_preview=is_preview).render(
        send_id="0123456789abcdef" * 2,
        trigger="win_back",
        step="hello",
        locale="en",
        account={"name": "Minato Ltd", "owner_email": None, "owner_name": None},
        contact={"name": "Taro", "email": "taro@example.com"},
        date=datetime(2026, 6, 10, tzinfo=UTC),
    )


def test_without_an_address_of_ours_a_mail_leaves_by_mail(company) -> None:
    mail = rendered(company(locale="en"))
    assert mail.list_unsubscribe.startswith("mailto:success@example.com?subject=unsubscribe")
    assert b"List-Unsubscribe-Post" not in mail.as_bytes()


def test_with_one_it_leaves_by_one_click(company, monkeypatch) -> None:
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__BASE_URL", "https://mail.example.com/lifecycle/")
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__SECRET", KEY)
    mail = rendered(company(locale="en"))
    start, _, token = mail.list_unsubscribe.rpartition("/")
    assert start == "https://mail.example.com/lifecycle/u"
    assert Links([KEY]).send_id(token) == mail.send_id
    assert mail.list_unsubscribe in mail.body.splitlines(), "not cut over lines"
    assert "taro" not in mail.list_unsubscribe
    assert b"taro" not in carried(token)
    mime = mail.as_bytes()
    assert f"\r\nList-Unsubscribe: <{mail.list_unsubscribe}>\r\n".encode() in mime
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in mime
    assert Message.from_bytes(mime) == mail


def test_who_looks_at_a_preview_cannot_leave_for_the_customer(company, monkeypatch) -> None:
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__BASE_URL", "https://mail.example.com")
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__SECRET", KEY)
    shown = rendered(company(locale="en"), is_preview=True)
    token = shown.list_unsubscribe.rpartition("/")[2]
    assert Links([KEY]).send_id(token) == NO_SEND
    assert bytes.fromhex(shown.send_id) not in carried(token)


def test_every_attempt_names_the_same_way_out(company, monkeypatch) -> None:
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__BASE_URL", "https://mail.example.com")
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__SECRET", f"{KEY} {OLD}")
    settings = company(locale="en")
    ways = settings.unsubscribe, settings.company.from_email
    assert UnsubscribeAddress(*ways).url("0" * 32) == UnsubscribeAddress(*ways).url("0" * 32)


# Settings. --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "secret", "expected"),
    [
        ("https://mail.example.com", "", "needs a secret"),
        ("https://mail.example.com", "short", "at least 32 characters"),
        ("https://mail.example.com", f"{KEY} short", "at least 32 characters"),
        ("http://mail.example.com", KEY, "does not begin with https://"),
        ("mail.example.com", KEY, "does not begin with https://"),
        ("javascript:alert(1)", KEY, "does not begin with https://"),
        ("https://", KEY, "is not the beginning of a link"),
        ("https://mail.example.com/?a=b", KEY, "is not the beginning of a link"),
        ("https://mail.example.com/#x", KEY, "is not the beginning of a link"),
        ("https://me:secret@mail.example.com", KEY, "is not the beginning of a link"),
    ],
)
def test_settings_that_would_make_dead_links_are_refused(
    company, monkeypatch, base_url, secret, expected
) -> None:
    config = company().root / "lifecycle.toml"
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__BASE_URL", base_url)
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__SECRET", secret)
    with pytest.raises(SettingsError, match=expected) as refused:
        load(config)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "base_url", ["https://mail.example.com", "http://127.0.0.1:8025", "http://localhost:1/x"]
)
def test_settings_that_work(company, monkeypatch, base_url) -> None:
    config = company().root / "lifecycle.toml"
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__BASE_URL", base_url)
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__SECRET", KEY)
    assert load(config).unsubscribe.base_url == base_url
