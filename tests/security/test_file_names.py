"""A file's name is a name: never a pattern, never a column, and no way out of the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError, SettingsError, SourceError
from lifecycle.ledger.store import Ledger
from lifecycle.sources.ledger import snapshot
from sources.delivery import ACCOUNTS, COMPANY, CONTACTS, EVENTS, World

ODD = ("[a]", "?", "*", "a[0-9]", "**", "{a,b}", "a'b", 'a"b', "a;b")
SECRET = "root:x:0:0:canary-of-another-file,a.person@example.com,canary"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_every_row_comes_from_its_own_file(world: World) -> None:
    (world.data / "contacts.csv").unlink()
    (world.data / "usage_events.csv").unlink()
    world.csv("contacts/a", [{**CONTACTS[0], "manager": "boss@example.com"}])
    world.csv("contacts/a1", [{"manager": "boss2@example.com", **CONTACTS[1]}])
    for number, odd in enumerate(ODD):
        contact = {"contact_id": f"odd{number}", "email": f"odd{number}@example.com"}
        world.csv(f"contacts/{odd}", [{**CONTACTS[2], **contact}])
    world.csv("usage_events/export1", EVENTS[:2])
    world.csv("usage_events/export[1]", EVENTS[2:4])
    world.csv("usage_events/export?", EVENTS[4:])
    assert world.pull().rows["usage_events"] == len(EVENTS)
    rows = world.ask("SELECT contact_id, email FROM raw.contacts ORDER BY 1")
    assert sorted(rows) == sorted(
        [
            ("C1", "person1@example.com"),
            ("C2", "person2@example.com"),
            *((f"odd{n}", f"odd{n}@example.com") for n in range(len(ODD))),
        ]
    )


def test_a_folder_is_no_column(world: World) -> None:
    folder = "email=x@evil.example/account_id=A9/unsubscribed_at=2020-01-01"
    (world.data / "contacts.csv").rename(world.data / "all.csv")
    (world.data / "contacts" / folder).mkdir(parents=True)
    (world.data / "all.csv").rename(world.data / "contacts" / folder / "all.csv")
    world.pull()
    rows = world.ask("SELECT contact_id, email, account_id, unsubscribed_at FROM raw.contacts")
    assert sorted(row[1] for row in rows) == [contact["email"] for contact in CONTACTS]
    assert not [row for row in rows if row[2] == "A9" or row[3] is not None]


def test_a_missing_column_is_not_taken_from_a_folder(world: World) -> None:
    (world.data / "contacts.csv").unlink()
    rows = [{key: row[key] for key in row if key != "email"} for row in CONTACTS]
    world.csv("contacts/email=x@evil.example/all", rows)
    with pytest.raises(SourceError, match="required column email is missing"):
        world.pull()


def test_a_state_folder_of_any_name(tmp_path: Path) -> None:
    world = World(tmp_path)
    state = tmp_path / "email=x@evil.example" / "run_id=9 [new]*'s"
    world.config(f'{COMPANY}[state]\ndir = "{state}"\n')
    world.pull()
    assert len(world.ask("SELECT email FROM raw.contacts WHERE email LIKE 'person%'")) == len(
        CONTACTS
    )
    with Ledger.open(world.settings.ledger_url):
        snapshot(world.settings)
    columns = world.ask("SELECT DISTINCT column_name FROM information_schema.columns")
    assert not {("run_id=9 [new]*'s",)} & set(columns)
    assert world.ask("SELECT count(*) FROM context.ledger_sends WHERE run_id = '9'") == [(0,)]


def test_a_state_folder_that_no_ledger_can_lie_in_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.config(f'{COMPANY}[state]\ndir = "{tmp_path}/why?"\n')
    with pytest.raises(SettingsError, match=r"\?"):
        _ = world.settings


def test_links_inside_are_followed_and_those_outside_are_named(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "company", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    world = World(root)
    (world.data / "contacts.csv").rename(world.data / "kept.csv")
    (world.data / "contacts.csv").symlink_to(world.data / "kept.csv")
    world.pull()
    (world.data / "kept.csv").rename(elsewhere / "kept.csv")
    (world.data / "contacts.csv").unlink()
    (world.data / "contacts.csv").symlink_to(elsewhere / "kept.csv")
    with pytest.raises(SourceError, match=r"contacts\.csv .*follow_links = true"):
        world.pull()
    (world.data / "contacts.csv").unlink()
    (world.data / "contacts").symlink_to(elsewhere)
    with pytest.raises(SourceError, match=r"contacts.*follow_links = true"):
        world.pull()
    world.config(COMPANY.replace("[source]", "[source]\nfollow_links = true"))
    assert world.pull().rows["contacts"] == len(CONTACTS)


@pytest.mark.parametrize("name", ["accounts.csv", "accounts.jsonl", "accounts.parquet"])
def test_an_error_quotes_a_masked_head_alone(world: World, name: str) -> None:
    (world.data / "accounts.csv").unlink()
    (world.data / name).write_text(f"{SECRET * 40}\n{SECRET * 40}\n", encoding="utf-8")
    with pytest.raises(LifecycleError) as refusal:
        world.pull()
    assert len(str(refusal.value)) < 1_000
    assert "a.person@" not in str(refusal.value)
    assert ACCOUNTS
