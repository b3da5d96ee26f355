"""The mails of the checkout itself, read as their customers would."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from wcwidth import width

from lifecycle.authoring.trigger_check import check
from lifecycle.mail.folder import Templates
from lifecycle.mail.render import Renderer
from lifecycle.settings import CHECKOUT, load
from lifecycle.triggers.folder import load_triggers

SETTINGS = load(CHECKOUT / "lifecycle.toml")
STEPS = [(trigger.name, step.id) for trigger in load_triggers(SETTINGS) for step in trigger.steps]
FILES = Templates(CHECKOUT / "email_templates").steps
MAILS = [(trigger, step, locale) for trigger, step in STEPS for locale in FILES[trigger, step]]

KNOWN: dict[str, Any] = {
    "name": "株式会社みなと商会",
    "owner_name": "佐藤 花子",
    "owner_email": "hanako@example.com",
    "purpose": "月次の営業レポート作成にかかる時間を半分にする",
    "last_active_at": datetime(2026, 4, 30, 16, 0),  # noqa: DTZ001  # as DuckDB gives it: UTC
    "time_zone": "Asia/Tokyo",
}
BARE = {**dict.fromkeys(KNOWN), "name": "Northwind", "time_zone": "Europe/London"}
LONG = {**KNOWN, "name": "株式会社" + "長" * 30, "purpose": "Cut reporting time, " * 60}
ACCOUNTS = {"known": KNOWN, "bare": BARE, "long": LONG}


def mail(trigger: str, step: str, locale: str, account: dict[str, Any]) -> EmailMessage:
    message = Renderer(SETTINGS).render(
        send_id="0123456789abcdef0123456789abcdef",
        trigger=trigger,
        step=step,
        locale=locale,
        account=account,
        contact={"email": "taro@example.com", "name": account["owner_name"] and "山田 太郎"},
        date=datetime(2026, 6, 10, 1, tzinfo=UTC),
    )
    parsed = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def text_of(parsed: EmailMessage) -> str:
    return str(parsed.get_content()).replace("\r\n", "\n")


def test_nothing_is_wrong_with_triggers_and_templates() -> None:
    assert [str(problem) for problem in check(SETTINGS)] == []


def test_each_trigger_has_three_steps_in_japanese_and_english() -> None:
    for name in ("onboarding", "win_back_dormant"):
        assert sum(trigger == name for trigger, _ in STEPS) >= 3
    assert all({"ja", "en"} <= set(FILES[step]) for step in STEPS)


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize(("trigger", "step", "locale"), MAILS)
def test_a_mail_reads_well(trigger: str, step: str, locale: str, account: str) -> None:
    parsed = mail(trigger, step, locale, ACCOUNTS[account])
    text = text_of(parsed)
    words, _, footer = text.partition("-" * 60)
    assert 0 < width(parsed["Subject"]) <= (100 if account == "long" else 70)
    for line in text.split("\n"):
        assert width(line) <= 72 or line.startswith("mailto:")
        assert line == line.rstrip()
    assert "\n\n\n" not in text
    assert not re.search(r"None|nan|undefined|\{[{%]|「」|\"\"|  様|\(\)", text)
    assert len(re.findall("https?://", words)) <= 1
    assert all(url.startswith("//app.example.com/") for url in re.findall(r"https?:(//\S+)", words))
    if locale == "en":
        assert len(words.split()) <= 150 or account == "long"
    else:
        assert len(words) <= 450 or account == "long"
    assert SETTINGS.company.name in footer
    assert SETTINGS.company.postal_address in footer
    assert "taro@example.com" in footer
    assert parsed["List-Unsubscribe"].strip("<>") in footer
    assert (parsed["Reply-To"] is None) == (account == "bare")


@pytest.mark.parametrize(("trigger", "step", "locale"), MAILS)
def test_a_mail_greets_by_name_only_whom_it_knows(trigger: str, step: str, locale: str) -> None:
    known = text_of(mail(trigger, step, locale, KNOWN))
    bare = text_of(mail(trigger, step, locale, BARE))
    assert ("山田 太郎 様" if locale == "ja" else "Hi 山田 太郎,") in known
    assert ("ご担当者様" if locale == "ja" else "Hello,") in bare
    assert "佐藤 花子" in known


@pytest.mark.parametrize("locale", ["ja", "en"])
def test_win_back_says_nothing_false_to_who_never_logged_in(locale: str) -> None:
    never = {**KNOWN, "last_active_at": None}
    for trigger, step, language in MAILS:
        if trigger == "win_back_dormant" and language == locale:
            parsed = mail(trigger, step, locale, never)
            output = parsed["Subject"] + text_of(parsed).partition("-" * 60)[0]
            assert not re.search(r"再開|最後にご利用|間が空|last time|break|20\d\d", output), output


def test_win_back_tells_the_last_day_on_the_accounts_own_calendar() -> None:
    assert "2026年5月1日" in text_of(mail("win_back_dormant", "check_in", "ja", KNOWN))
    london = {**KNOWN, "time_zone": "Europe/London"}
    assert "30 April 2026" in text_of(mail("win_back_dormant", "check_in", "en", london))
