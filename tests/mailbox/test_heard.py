"""What is heard is shown, reaches the right people, and is forgotten with a person."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from company import utc
from lifecycle.authoring.validate import validate
from lifecycle.cli import app
from lifecycle.errors import UnknownName
from lifecycle.ledger import erased
from lifecycle.ledger.erased_person import Person
from lifecycle.ledger.tables import State, messages, replies, sends
from lifecycle.mail.answer_token import AnswerTokens
from lifecycle.mail.message import Message
from lifecycle.mail.render import Renderer
from lifecycle.mailbox.inbound import Inbound
from lifecycle.mailbox.taking import Arrived, Taking
from lifecycle.settings import load
from mailbox_letters import letter, styled
from planned import Workspace
from sent import put, send

KEY = "k" * 40
AIKO = ("--by", "aiko", "--why", "called them")


@pytest.fixture(autouse=True)
def _planned(workspace: Workspace) -> None:
    workspace.publish()
    workspace.run()
    now = datetime.now(UTC)
    put(
        workspace.ledger,
        1,
        State.ACCEPTED,
        account_id="A1",
        step="check_in",
        accepted_at=now,
        state_at=now,
        address="c1@example.com",
        trigger="other",
    )


def take(workspace: Workspace, *raw: bytes) -> dict[str, int]:
    now = datetime.now(UTC)
    arrived = [Arrived(replace(Inbound.read(message), received_at=now)) for message in raw]
    with workspace.ledger.write() as connection:
        return dict(Taking(workspace.settings, connection, now).take(arrived))


def ask(workspace: Workspace, *arguments: str) -> str:
    config = str(workspace.company.folder / "lifecycle.toml")
    done = CliRunner().invoke(app, ["--config", config, *arguments], env={"COLUMNS": "200"})
    if done.exception is not None:
        raise done.exception
    return " ".join(done.stdout.split())


def as_json(workspace: Workspace, *arguments: str) -> Any:
    return json.loads(ask(workspace, *arguments, "--json"))


def test_an_answer_waits_until_somebody_has_answered(workspace: Workspace) -> None:
    take(workspace, letter(styled("Please call me", "gmail"), answers=send(1)))
    (waiting,) = as_json(workspace, "answers")["answers"]
    assert (waiting["account_id"], waiting["text"]) == ("A1", "Please call me")
    assert "1 answered by customers; `lifecycle answers` lists them" in ask(workspace, "status")
    assert "Please call me nobody yet" in ask(workspace, "explain", "A1")
    assert as_json(workspace, "explain", "A1")["replies"][0]["kind"] == "answer"
    assert "is settled" in ask(workspace, "answered", waiting["answer"], *AIKO)
    assert as_json(workspace, "answers")["answers"] == []
    assert "Please call me aiko" in ask(workspace, "explain", "A1")
    with pytest.raises(UnknownName, match="no answer 'nothing' waits"):
        ask(workspace, "answered", "nothing", *AIKO)


def test_of_an_erased_person_no_word_stays(workspace: Workspace) -> None:
    key = "e" * 40
    take(workspace, letter("my secret", answers=send(1)))
    with workspace.ledger.write() as connection:
        erased.erase(connection, Person.of("c1@example.com", key), by="m", why="asked")
        (row,) = connection.execute(select(replies)).all()
        stored = connection.execute(select(messages.c.mime)).scalars().all()
    assert (row.text, row.subject) == (None, None)
    assert row.address.startswith("hmac:")
    assert not any(b"my secret" in mime or b"c1@example.com" in mime for mime in stored)
    privacy = workspace.settings.privacy.model_copy(update={"erasure_key": _secret(key)})
    workspace.settings = workspace.settings.model_copy(update={"privacy": privacy})
    take(workspace, letter("and again", answers=send(1), message_id="<2@x.example.com>"))
    with workspace.ledger.read() as connection:
        rows = connection.execute(select(replies)).all()
    assert [row.text for row in rows] == [None, None]
    assert {row.address[:5] for row in rows} == {"hmac:"}


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


@pytest.mark.parametrize(("subaddress", "tagged"), [("false", False), ("true", True)])
def test_answers_and_unsubscribes_go_to_the_mailbox(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, subaddress: str, tagged: bool
) -> None:
    monkeypatch.setenv("LIFECYCLE__MAILBOX__SECRET", KEY)
    with (workspace.company.folder / "lifecycle.toml").open("a") as file:
        file.write(
            '\n[mailbox]\nhost = "imap.example.com"\naddress = "answers@example.com"\n'
            f"subaddress = {subaddress}\n"
        )
    mail = _rendered(workspace)
    token = AnswerTokens([KEY]).token("a" * 32)
    assert len(token) == 24
    assert mail.list_unsubscribe == f"mailto:answers@example.com?subject=unsubscribe%20{token}"
    address = f"answers+{token}@example.com" if tagged else "answers@example.com"
    assert mail.reply_to == ("Sakura Works", address)


def test_without_a_mailbox_the_owner_is_answered(workspace: Workspace) -> None:
    mail = _rendered(workspace)
    assert mail.reply_to == ("Ken", "owner@example.com")
    assert mail.list_unsubscribe == f"mailto:success@example.com?subject=unsubscribe%20{'a' * 32}"


def _rendered(workspace: Workspace) -> Message:
    account = {"account_id": "A1", "name": "A", "owner_email": "owner@example.com"}
    account |= {"owner_name": "Ken", "time_zone": "Asia/Tokyo", "as_of": None}
    return Renderer(workspace.company.settings).render(
        send_id="a" * 32,
        trigger="win_back",
        step="check_in",
        locale="en",
        account=account,
        contact={"name": "Aiko", "email": "c1@example.com"},
        date=utc("2026-06-10 01:00"),
    )


@pytest.mark.parametrize(
    ("section", "is_heard"),
    [
        ("", False),
        ('[mailbox]\nhost = "imap.example.com"\n', True),
        ('[unsubscribe]\nbase_url = "https://mail.example.com"\n', True),
    ],
)
def test_nobody_is_mailed_where_nobody_would_hear_an_unsubscribe(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, section: str, is_heard: bool
) -> None:
    monkeypatch.setenv("LIFECYCLE__UNSUBSCRIBE__SECRET", KEY)
    file = workspace.company.folder / "lifecycle.toml"
    file.write_text(f"{file.read_text()}\n{section}", encoding="utf-8")
    live = load(file, delivery={"provider": "smtp"})
    problems = [problem.what for problem in validate(live).stops_a_run]
    heard = [what for what in problems if "nobody would hear an unsubscribe" in what]
    assert bool(heard) is not is_heard
    assert [p.what for p in validate(load(file)).stops_a_run] == []


def test_nothing_is_sent_but_to_the_owner_and_the_customer_is_never_answered(
    workspace: Workspace,
) -> None:
    for number, headers in enumerate(({}, {"Auto-Submitted": "auto-replied"}, {})):
        take(
            workspace,
            letter(
                f"note {number}",
                answers=send(1),
                headers=headers,
                message_id=f"<{number}@x.example.com>",
            ),
        )
    with workspace.ledger.read() as connection:
        forwards = connection.execute(select(sends).where(sends.c.account_id == "")).all()
    assert {row.address for row in forwards} <= {"owner@example.com"}
