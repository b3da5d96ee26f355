"""Who left, by the word of any row of a delivery."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from lifecycle.errors import GateStopped
from lifecycle.ledger.departures import Departure
from lifecycle.sources.pull import pull
from sources.delivery import COMPANY, CONTACTS, NOW, World


def departures(world: World, at: datetime = NOW) -> dict[str, Departure]:
    """What a pull hears, also one that is stopped."""
    heard: list[Departure] = []
    with suppress(GateStopped):
        pull(world.settings, loaded_at=at, remember=heard.extend)
    return {request.address: request for request in heard}


def deliver(world: World, *rows: dict[str, Any]) -> None:
    """The contacts, with columns that say who left, and these rows below them."""
    columns = {"unsubscribed_at": "", "is_unsubscribed": "", "consent_basis": "contract"}
    world.csv("contacts", [{**columns, "consented_at": "", **item} for item in (*CONTACTS, *rows)])


OTHER = {"contact_id": "C9", "account_id": "A1", "email": "gone@example.com"}


@pytest.mark.parametrize(
    "row",
    [
        {"unsubscribed_at": "2026-05-01"},
        {"unsubscribed_at": "31/05/2026"},
        {"unsubscribed_at": "yes"},
        {"unsubscribed_at": "2026-05-01", "account_id": "A99"},
        {"unsubscribed_at": "2026-05-01", "contact_id": ""},
        {"unsubscribed_at": "2026-05-01", "contact_id": "C1"},
        {"unsubscribed_at": "2026-05-01", "email": "Gone <GONE@example.com>"},
        {"unsubscribed_at": "2026-05-01", "email": "gone@example.com; other@example.com"},
        {"unsubscribed_at": "9999999999"},
        {"is_unsubscribed": "はい"},
        {"is_unsubscribed": "ＴＲＵＥ"},
        {"is_unsubscribed": "1"},
        {"is_unsubscribed": "who knows"},
        {"is_unsubscribed": "2026-05-01"},
    ],
    ids=str,
)
def test_any_row_counts(world: World, row: dict[str, Any]) -> None:
    deliver(world, {**OTHER, **row})
    result = departures(world)
    assert "gone@example.com" in result
    assert (result["gone@example.com"].file, result["gone@example.com"].row_number) == (
        "contacts.csv",
        4,
    )
    assert world.ask("SELECT count(*) FROM raw.departures WHERE address = 'gone@example.com'") == [
        (1,)
    ]


def test_words_for_no_and_for_nothing_do_not(world: World) -> None:
    words = [
        "false",
        "No",
        "0",
        "",
        "いいえ",
        "NULL",
        "ｆａｌｓｅ",
        "-",
        "n/a",
        "なし",
        "0000-00-00",
    ]
    rows = [
        {**OTHER, "contact_id": f"X{n}", column: word, "email": f"x{n}{column}@example.com"}
        for n, word in enumerate(words)
        for column in ("unsubscribed_at",)
    ] + [
        {**OTHER, "contact_id": f"Y{n}", "is_unsubscribed": word, "email": f"y{n}@example.com"}
        for n, word in enumerate(words)
    ]
    deliver(world, *rows)
    assert departures(world) == {}
    assert world.rejected() == []


def test_an_address_is_known_by_the_contact_where_the_row_has_none(world: World) -> None:
    world.pull()
    deliver(world)
    rows = [{**CONTACTS[1], "email": "", "unsubscribed_at": "2026-05-01"}]
    world.csv("contacts", [CONTACTS[0] | {"unsubscribed_at": ""}, *rows])
    assert list(departures(world)) == ["person2@example.com"]


@pytest.mark.parametrize(
    "line",
    [
        "C9,A1,gone@example.com,Doe, John,admin,,contract,,2026-05-01,",
        "C9,A1,gone@example.com,John,admin,,contract,,2026-05-01,,,,",
        "C9,A1,gone@example.com,John,admin,,contract,,,true,too,many".replace(",too,many", ",,"),
    ],
)
def test_a_line_that_cannot_be_taken_apart_counts(world: World, line: str) -> None:
    head = (
        "contact_id,account_id,email,name,role,locale,consent_basis,consented_at,unsubscribed_at,"
        "is_unsubscribed"
    )
    rows = [
        f"{contact['contact_id']},{contact['account_id']},{contact['email']},,,,,,,"
        for contact in CONTACTS
    ]
    (world.data / "contacts.csv").write_text("\n".join([head, *rows, line]) + "\n")
    assert list(departures(world)) == ["gone@example.com"]


def test_it_is_told_before_anything_of_the_delivery_is_applied(world: World) -> None:
    deliver(world, {**OTHER, "unsubscribed_at": "2026-05-01"})
    world.csv("usage_events", [{"event_id": "E1"}])
    heard: list[Sequence[Departure]] = []
    with pytest.raises(Exception, match="required column"):
        pull(world.settings, loaded_at=NOW, remember=heard.append)
    assert [[row.address for row in batch] for batch in heard] == [["gone@example.com"]]


@pytest.mark.parametrize(
    ("consent", "has_left"),
    [
        ({"consented_at": "2026-05-01T14:59:00Z"}, True),  # the same day in Tokyo
        ({"consented_at": "2026-05-01T15:01:00Z"}, False),
        ({"consented_at": "2026-05-02T00:00:00Z", "consent_basis": "none"}, True),
        ({"consented_at": "2026-05-02T00:00:00Z", "consent_basis": "what?"}, True),
        ({"consented_at": "2026-06-11T00:00:00Z"}, True),  # the future
        ({"consented_at": "2026-05-02T00:00:00Z", "is_unsubscribed": "true"}, True),
        ({"consented_at": "2026-05-02T00:00:00Z", "unsubscribed_at": "soon"}, True),
    ],
    ids=str,
)
def test_only_a_consent_of_a_later_day_outdoes_it(
    world: World, consent: dict[str, str], has_left: bool
) -> None:
    deliver(world, {**OTHER, "unsubscribed_at": "2026-05-01T03:00:00Z", **consent})
    assert bool(departures(world)) == has_left


def test_an_opt_out_of_yes_and_no_is_mapped_as_it_is(world: World) -> None:
    world.config(COMPANY + '[source.columns.contacts]\nunsubscribed_at = "HasOptedOutOfEmail"\n')
    rows = [
        {**CONTACTS[0], "contact_id": f"C{n}", "email": f"person{n}@example.com"}
        | {"HasOptedOutOfEmail": "true" if n < 4 else "false"}
        for n in range(1, 41)
    ]
    world.csv("contacts", rows)
    assert sorted(departures(world)) == [f"person{n}@example.com" for n in (1, 2, 3)]
    assert world.ask("SELECT count(*), count(*) FILTER (is_unsubscribed) FROM raw.contacts") == [
        (40, 3)
    ]
    assert world.rejected() == world.ask("SELECT 1 FROM raw.rejected_cells") == []


def test_times_are_aware(world: World) -> None:
    deliver(world, {**OTHER, "unsubscribed_at": "2026-05-01T03:00:00Z"})
    [first] = departures(world).values()
    assert (first.left_at, first.seen_at) == (datetime(2026, 5, 1, 3, tzinfo=UTC), NOW)
