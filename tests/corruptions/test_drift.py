"""A delivery that breaks overnight: through the real command, on a state of a good day.

Each corruption is of the second day's delivery. Nobody may be mailed whom the clean second day
would not have mailed, and what stops says which column moved, and from what share to what.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

import small_export
from commands import environment, run_json
from company import Company
from flows import stages
from lifecycle.errors import DeliveryHeld

# A deprecated argument, and the only one there is for a schema with SQLAlchemy addresses.
pytestmark = pytest.mark.filterwarnings("ignore:`schema_name` is deprecated:DeprecationWarning")

DAY_1, DAY_2 = "2026-06-10 01:00", "2026-06-11 01:00"

# An ordinary day of a growing company: a customer more, one that leaves, a rename, a new address.
ORDINARY = {
    "accounts": """
        select * replace (
          case when account_id = 'A007' then 'Firm Seven' else name end as name,
          case when account_id = 'A008' then timestamp '2026-06-10' else churned_at
          end as churned_at)
        from t
        union all by name
        select * replace ('A061' as account_id, 'Firm 61 Ltd' as name,
          timestamp '2026-06-09' as created_at, timestamp '2026-06-10' as went_live_at)
        from t where account_id = 'A001'
    """,
    "contacts": """
        select * replace (
          case when contact_id = 'C007' then 'new.seven@firm4.example.com' else email end as email,
          case when contact_id = 'C011' then timestamp '2026-06-10' else unsubscribed_at
          end as unsubscribed_at)
        from t
        union all by name
        select * replace ('C121' as contact_id, 'A061' as account_id,
          'person121@firm61.example.com' as email)
        from t where contact_id = 'C001'
    """,
}


@dataclass(frozen=True)
class Home:
    """The company, its export and one state folder."""

    folder: Path
    state: Path
    env: dict[str, str]

    def deliver(self, until: str = DAY_2, **changes: str) -> None:
        small_export.write(self.folder / "export", until=until, **changes)

    def run(self, as_of: str = DAY_2, *, status: int = 0) -> dict[str, Any]:
        return self.command("run", "--as-of", as_of, status=status)

    def command(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        config = str(self.folder / "lifecycle.toml")
        return run_json("--config", config, *arguments, env=self.env, status=status)

    def refused(self) -> DeliveryHeld:
        """Of a run in this process, which gets no further than the first gate."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("LIFECYCLE")]:
                patch.delenv(name)
            for name, value in self.env.items():
                if name.startswith("LIFECYCLE"):
                    patch.setenv(name, value)
            config = str(self.folder / "lifecycle.toml")
            with pytest.raises(DeliveryHeld) as held:
                run_to_the_gate(config)
            return held.value

    def mails(self) -> set[str]:
        return {path.name for path in (self.state / "outbox").glob("*.eml")}


def run_to_the_gate(config: str) -> None:
    with stages.begin(as_of=DAY_2, config=config) as run:
        stages.pull.fn(run)
        stages.check_door.fn(run, "raw")


@pytest.fixture(scope="module")
def good_day(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Home:
    """A state of one good day."""
    folder = tmp_path_factory.mktemp("company")
    company = Company(folder)
    company.trigger("welcome", small_export.WELCOME, "hello", "second")
    company.trigger("win_back", small_export.WIN_BACK, "check_in", "last_call")
    toml = folder / "lifecycle.toml"
    toml.write_text(
        toml.read_text(encoding="utf-8")
        + '[source]\nkind = "files"\npath = "export"\n[owners]\nmorning_list = false\n'
    )
    home = Home(
        folder, folder / "state", environment(folder / "state", PREFECT_API_URL=prefect_api)
    )
    home.deliver(until=DAY_1)
    report = home.run(DAY_1)
    assert report["status"] == "done"
    assert report["accepted"] > 5
    return home


@pytest.fixture
def home(good_day: Home, tmp_path: Path) -> Home:
    """The company on the morning of the second day, in a state of its own."""
    return copied(good_day, tmp_path)


def copied(home: Home, folder: Path) -> Home:
    state = folder / "state"
    shutil.copytree(home.state, state)
    shutil.copytree(home.folder, folder / "company", ignore=lambda *_: {"state", "export"})
    return Home(folder / "company", state, {**home.env, "LIFECYCLE__STATE__DIR": str(state)})


@pytest.fixture(scope="module")
def clean_mails(good_day: Home, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the clean second day sends, and that it passes."""
    home = copied(good_day, tmp_path_factory.mktemp("clean"))
    home.deliver(**ORDINARY)
    report = home.run()
    assert report["status"] == "done"
    assert report["gate"]["raw"]["failed"] == 0
    assert [text for text in report["warnings"] if "raw." in text] == []
    assert home.mails() > good_day.mails()
    return home.mails()


CORRUPTIONS: dict[str, tuple[dict[str, str], list[str]]] = {
    "a column that is called otherwise": (
        {"contacts": "select * rename (unsubscribed_at as opted_out_at) from t"},
        [
            "raw.contacts.unsubscribed_at",
            "24 of 24 values",
            "filled in 0.0% now, 20.0% before",
            "the column unsubscribed_at is gone; contacts.csv has opted_out_at",
        ],
    ),
    "a column blanked by half": (
        {
            "contacts": "select * replace (case when contact_id < 'C060' then name end as name)"
            " from t"
        },
        ["raw.contacts.name", "61 of 120 values", "filled in 49.2% now, 100.0% before"],
    ),
    "no consent anywhere": (
        {"contacts": "select * replace (null as consent_basis, null as consented_at) from t"},
        ["raw.contacts.consent_basis", "raw.contacts.consented_at", "0.0% now, 100.0% before"],
    ),
    "22 of 24 who left are blank": (
        {
            "contacts": "select * replace (case when contact_id in ('C005', 'C010')"
            " then unsubscribed_at end as unsubscribed_at) from t"
        },
        [
            "raw.contacts.unsubscribed_at",
            "22 of 24 values",
            "1.7% now, 20.0% before",
            "contact_id=C015: 2026-01-16 00:00:00 → empty",
        ],
    ),
    "one who left is blank": (
        {
            "contacts": "select * replace (case when contact_id <> 'C005' then unsubscribed_at"
            " end as unsubscribed_at) from t"
        },
        ["raw.contacts.unsubscribed_at", "1 of 24 values"],
    ),
    "addresses shuffled between contacts": (
        {
            "contacts": "select t.* replace (o.email as email) from t join all_contacts as o on"
            " o.contact_id = 'C' || lpad((1 + (substr(t.contact_id, 2)::int + 6) % 120)"
            "::varchar, 3, '0')"
        },
        [
            "raw.contacts.email",
            "120 of 120 values",
            "contact_id=C001: p***@firm1.example.com → p***@firm4.example.com",
            "rows or ids may be shuffled",
        ],
    ),
    "ids shuffled between accounts": (
        {
            "contacts": "select * replace ('A' || lpad((1 + (substr(account_id, 2)::int + 6) % 60)"
            "::varchar, 3, '0') as account_id) from t"
        },
        ["raw.contacts.account_id", "120 of 120 values"],
    ),
    "one address everywhere": (
        {"contacts": "select * replace ('info@firm.example.com' as email) from t"},
        ["raw.contacts.email", "120 rows", "100.0% now, 0.0% before"],
    ),
    "all churned": (
        {"accounts": "select * replace (timestamp '2026-06-10' as churned_at) from t"},
        ["raw.accounts.churned_at", "50 of 50 rows", "100.0% now, 16.7% before"],
    ),
    "nobody churned": (
        {"accounts": "select * replace (null as churned_at) from t"},
        ["raw.accounts.churned_at", "10 of 10 values", "0.0% now, 16.7% before"],
    ),
    "contacts cut to a tenth": (
        {"contacts": "from t order by contact_id limit 12"},
        ["raw.contacts.contact_id", "108 of 120 contacts vanished", "may be cut short"],
    ),
    "every account has a new id": (
        {
            "accounts": "select * replace ('N' || account_id as account_id) from t",
            "contacts": "select * replace ('N' || account_id as account_id) from t",
            "usage_events": "select * replace ('N' || account_id as account_id) from t",
        },
        ["60 of 60 accounts vanished", "60 others are new: the ids may have been given anew"],
    ),
    "high touch becomes tech": (
        {"accounts": "select * replace ('tech' as touch_model) from t"},
        ["raw.accounts.touch_model", "15 of 60 values", "25.0%"],
    ),
    "created on one day": (
        {"accounts": "select * replace (timestamp '2026-06-10' as created_at) from t"},
        ["raw.accounts.created_at", "60 of 60 values", "'2026-06-10' is the value of 60 rows"],
    ),
    "all went live at once": (
        {"accounts": "select * replace (timestamp '2026-06-10' as went_live_at) from t"},
        ["raw.accounts.went_live_at"],
    ),
    "all events have other names": (
        {"usage_events": "select * replace ('app.' || event_name as event_name,"
         " 'x' || event_id as event_id) from t"},
        ["raw.usage_events.event_name", "names that never came before"],
    ),
    "events come again with other accounts": (
        {
            "usage_events": "select * replace ('A' || lpad((1 + substr(account_id, 2)::int % 50)"
            "::varchar, 3, '0') as account_id) from t"
        },
        ["raw.usage_events.event_id", "something else now"],
    ),
}  # fmt: skip


QUICK = ("a column that is called otherwise", "all events have other names")
"""What `make test` tries; `make corruptions` tries all."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(corruption, marks=() if corruption in QUICK else pytest.mark.long)
        for corruption in CORRUPTIONS
    ],
)
def test_a_broken_delivery_stops_at_the_gate(name: str, home: Home) -> None:
    changes, words = CORRUPTIONS[name]
    home.deliver(**changes)
    held = home.refused()
    assert (held.exit_status, held.door) == (3, "raw")
    message = str(held)
    for word in words:
        assert word in message
    assert "--by NAME --why TEXT lets exactly this delivery through" in message
    assert "person1@" not in message, "addresses are masked"


@pytest.mark.long
def test_a_delivery_that_stops_mails_nobody_and_the_repaired_one_all(
    home: Home, clean_mails: set[str]
) -> None:
    before = home.mails()
    home.deliver(**CORRUPTIONS["22 of 24 who left are blank"][0])
    report = home.run(status=3)
    assert (report["stopped"]["error"], report["stopped"]["door"]) == ("DeliveryHeld", "raw")
    assert report["planned"] == 0
    assert home.mails() == before
    home.deliver(**ORDINARY)
    assert home.run()["status"] == "done"
    assert home.mails() == clean_mails


@pytest.mark.long
def test_an_approved_delivery_goes_on_and_no_other_does(home: Home) -> None:
    blanked = {"accounts": "select * replace (null as churned_at) from t"}
    home.deliver(**blanked)
    first = home.run(status=3)["run_id"]
    [waits] = home.command("status")["needs_approval"]
    assert waits["run_id"] == first
    assert "raw.accounts.churned_at" in waits["why"]
    assert home.command("approve", first, "--by", "aiko", "--why", "a migration")["delivery"]
    assert home.command("status")["needs_approval"] == []

    home.deliver(accounts="select * replace (null as churned_at, 'x' as plan) from t")
    assert "churned_at" in str(home.refused()), "another delivery"
    home.deliver(**blanked)
    report = home.run()
    assert any("let through by aiko: a migration" in text for text in report["warnings"])
    home.deliver(accounts="select * replace (null as churned_at, null as segment) from t")
    assert "churned_at" not in str(home.refused()), "the approved one is what it is held against"


@pytest.mark.long
def test_a_rejected_delivery_is_dropped_and_read_again(home: Home) -> None:
    renamed, _ = CORRUPTIONS["all events have other names"]
    home.deliver(**renamed)
    first = str(home.refused())
    # Without a decision the next run is held up by the same rows, though it reads no file.
    second = home.run(status=3)
    assert "raw.usage_events.event_name" in first
    assert "raw.usage_events.event_name" in second["stopped"]["message"]
    assert home.command("reject", second["run_id"], "--by", "bo", "--why", "a bug")["delivery"]
    home.deliver()
    report = home.run()
    assert report["status"] == "done"
    with duckdb.connect(str(home.state / "work.duckdb"), read_only=True) as work:
        names = work.execute("select distinct event_name from raw.usage_events").fetchall()
    assert not [name for (name,) in names if name.startswith("app.")]
    assert home.command("status")["needs_approval"] == []


@pytest.mark.long
def test_a_refused_delivery_is_not_what_the_next_is_held_against(home: Home) -> None:
    home.deliver(contacts="from t order by contact_id limit 100")
    for _ in range(2):
        assert "20 of 120 contacts vanished" in str(home.refused())
    page = (home.state / "reports" / "latest.txt").read_text(encoding="utf-8")
    assert "20 of 120 contacts vanished" in " ".join(page.split())


FIRST: dict[str, tuple[dict[str, str], str]] = {
    "created on one day": (
        {"accounts": "select * replace (timestamp '2026-06-10' as created_at) from t"},
        "raw.accounts.created_at",
    ),
    "one address": (
        {"contacts": "select * replace ('info@firm.example.com' as email) from t"},
        "raw.contacts.email",
    ),
    "no touch model though triggers ask": (
        {"accounts": "select * replace (null as touch_model) from t"},
        "raw.accounts.touch_model",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", FIRST)
def test_a_first_delivery_is_looked_at_by_itself(name: str, home: Home) -> None:
    shutil.rmtree(home.state)
    changes, column = FIRST[name]
    home.deliver(**changes)
    assert column in str(home.refused())
