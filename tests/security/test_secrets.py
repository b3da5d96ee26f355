"""No secret leaves: not in what is kept, printed, logged or posted, nor into a child process."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

import planned_sends
from commands import CHECKOUT
from company import Company
from lifecycle import settings as settings_file
from lifecycle.child_environment import child_environment
from lifecycle.errors import InputError, SettingsError, SourceError
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import sends
from lifecycle.logs import write_log
from lifecycle.masking import hide_secrets, know_environment, mask_addresses
from lifecycle.triggers.commit import commit_of

NOW = datetime(2026, 6, 10, 1, tzinfo=UTC)
CANARY = "canary-3f9a2b7c"

OUTSIDE = [
    f"postgresql://app:{CANARY}@db.example.com/ledger",
    f"postgresql://db.example.com/ledger?user=app&password={CANARY}",
    f"s3://bucket/export?key=AKIA1234567890ABCD&secret={CANARY}",
    f"https://files.example.com/export?sv=1&sig={CANARY}&x=1",
    f"https://files.example.com/export?X-Amz-Signature={CANARY}",
    f"https://files.example.com/export?api_key={CANARY}",
    f"https://files.example.com/export?access_token={CANARY}#top",
    f"abfs://c@a.example.com/export;account_key={CANARY}",
    f'connection to "host=db user=app password={CANARY}" failed',
    f"Authorization: Bearer {CANARY}",
    f"the provider says SG.{CANARY}.{CANARY} is no key",
    f"https://hooks.slack.com/services/T0/B0/{CANARY}",
]


@pytest.fixture
def company(tmp_path) -> Company:
    return Company(tmp_path / "company")


@pytest.mark.parametrize("text", OUTSIDE)
def test_what_looks_like_a_credential_goes_from_every_text(text, company):
    assert CANARY not in hide_secrets(text)
    assert CANARY not in mask_addresses(text)
    assert CANARY not in str(SourceError(text))
    with Ledger.open(company.settings.ledger_url) as ledger:
        planned_sends.plan(ledger, planned_sends.planned(1, at=NOW))
        with ledger.write() as connection:
            connection.execute(update(sends).values(detail=text))
        with ledger.read() as connection:
            assert CANARY not in connection.scalar(select(sends.c.detail))


@pytest.mark.parametrize(
    "text",
    [
        "monkey=1 and plan='pro'",
        "stopped: renewal_at = 2026-06-10, see https://example.com/a?page=2&stage=mature",
        "it left on 2026-06-10: key account",
        '{"by_trigger": {"win_back": 3}}',
    ],
)
def test_other_words_stay(text):
    assert hide_secrets(text) == text


VARIABLES = {
    "LIFECYCLE__SENDGRID__API_KEY": CANARY,
    "LIFECYCLE__SMTP__PASSWORD": CANARY,
    "LIFECYCLE__UNSUBSCRIBE__SECRET": f"{CANARY}-0123456789abcdef-0123",
    "LIFECYCLE__PRIVACY__ERASURE_KEY": f"{CANARY}-0123456789abcdef-0123",
    "LIFECYCLE__NOTIFY__WEBHOOK_URL": f"https://chat.example.com/{CANARY}",
    "LIFECYCLE__LEDGER__URL": f"postgresql://app:{CANARY}@db.example.com/ledger",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "PGPASSWORD": CANARY,
}


@pytest.mark.parametrize(("variable", "value"), VARIABLES.items())
def test_a_provider_that_echoes_a_secret_learns_nobody_of_it(
    variable, value, company, monkeypatch, tmp_path
):
    monkeypatch.setenv(variable, value)
    know_environment()
    _ = company.settings
    echo = f"403: the key {value.rpartition('/')[2]} may not do this"
    assert CANARY not in str(InputError(echo))
    write_log(tmp_path / "logs")
    logging.getLogger("lifecycle.test").warning("it says %s", echo)
    write_log(tmp_path / "elsewhere")
    assert CANARY not in (tmp_path / "logs" / "lifecycle.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("sendgrid", "api_key", CANARY),
        ("smtp", "password", CANARY),
        ("unsubscribe", "secret", CANARY * 3),
        ("privacy", "erasure_key", CANARY * 3),
        ("notify", "webhook_url", f"https://chat.example.com/{CANARY}"),
        ("ledger", "url", f"postgresql://app:{CANARY}@db.example.com/ledger"),
        ("ledger", "url", f"postgresql://db.example.com/ledger?password={CANARY}"),
        ("source", "path", f"s3://bucket/export?key={CANARY}"),
    ],
)
def test_a_secret_in_the_file_is_refused_by_its_variables_name(section, key, value, tmp_path):
    file = tmp_path / "lifecycle.toml"
    base = Company(tmp_path / "company").settings.root / "lifecycle.toml"
    lines = base.read_text(encoding="utf-8").split("\n")
    if f"[{section}]" in lines:
        at = lines.index(f"[{section}]")
        end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith("[")), len(lines))
        lines[at + 1 : end] = [
            line for line in lines[at + 1 : end] if not line.startswith(f"{key} ")
        ]
        lines.insert(at + 1, f"{key} = {json.dumps(value)}")
    else:
        lines += [f"[{section}]", f"{key} = {json.dumps(value)}"]
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(SettingsError, match=f"LIFECYCLE__{section}__{key}".upper()) as refusal:
        settings_file.load(file)
    assert CANARY not in str(refusal.value)


def test_a_ledger_without_a_password_may_stand_in_the_file(tmp_path):
    company = Company(tmp_path / "company")
    file = company.settings.root / "lifecycle.toml"
    text = file.read_text(encoding="utf-8")
    url = f"sqlite:///{tmp_path}/other.db"
    file.write_text(f'{text}\n[ledger]\nurl = "{url}"\n', encoding="utf-8")
    assert company.settings.ledger_url == url


def test_children_get_no_secret(monkeypatch, tmp_path):
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    git = tmp_path / "git"
    git.write_text(f'#!/bin/sh\nenv > "{tmp_path}/seen"\n', encoding="utf-8")
    git.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    commit_of(CHECKOUT / "README.md")
    assert CANARY not in (tmp_path / "seen").read_text(encoding="utf-8")
    assert not [name for name in VARIABLES if name in child_environment("PREFECT")]
