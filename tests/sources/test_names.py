"""Names in a delivery: what a mail may not greet with is empty, and named."""

from __future__ import annotations

from sources.delivery import ACCOUNTS, CONTACTS, World

LINK = "Congratulations, claim your prize at evil.example.com"


def test_names_are_kept_as_a_mail_greets_them(world: World) -> None:
    titled = [{**CONTACTS[0], "name": "田中 様"}, {**CONTACTS[1], "name": "M&uuml;ller"}]
    world.csv("contacts", [*titled, {**CONTACTS[2], "name": LINK}])
    named = {"name": "みなと &amp; Co 御中", "owner_name": "佐藤さん", "purpose": "A &lt; B"}
    world.csv("accounts", [{**ACCOUNTS[0], **named}, *ACCOUNTS[1:]])
    result = world.pull()
    names = world.ask("SELECT name FROM raw.contacts ORDER BY contact_id")
    assert names == [("田中",), ("Müller",), (None,)]
    query = "SELECT name, owner_name, purpose FROM raw.accounts WHERE account_id = 'A1'"
    assert world.ask(query) == [("みなと & Co", "佐藤", "A < B")]
    assert result.rejected_cells["contacts"] == 1
    assert world.ask("SELECT key, column_name, value, reason FROM raw.rejected_cells") == [
        (
            "C3",
            "name",
            LINK,
            f'name: "{LINK}" holds the address of a web page (evil.example.com); '
            "no mail greets with it",
        )
    ]


def test_strangers_who_choose_such_names_stop_no_run(world: World) -> None:
    crowd = [
        {**CONTACTS[0], "contact_id": f"S{n}", "email": f"s{n}@example.com", "name": LINK}
        for n in range(20)
    ]
    world.csv("contacts", [*CONTACTS, *crowd])
    assert world.pull().rejected_cells["contacts"] == 20
