"""An account's story, told from hand-made marts and a ledger that a real plan filled."""

from __future__ import annotations

import json
from datetime import timedelta

import duckdb
import pytest
from sqlalchemy import delete, insert

from lifecycle.errors import UnknownName, WarehouseError
from lifecycle.insight.document import as_text
from lifecycle.insight.explain import Explanation, explain
from lifecycle.ledger.tables import launch_baseline, launches, suppressions


def story(told: object, wanted: str = "A1") -> Explanation:
    return explain(told.settings, told.ledger, wanted)  # type: ignore[attr-defined]


def text(told: object, wanted: str = "A1") -> str:
    page = as_text(story(told, wanted).as_document(), width=120)
    return " ".join(page.split())


@pytest.fixture(autouse=True)
def _published(told) -> None:
    told.publish()


def test_it_tells_how_the_account_stands(told) -> None:
    page = text(told)
    for said in (
        "若竹設備株式会社 (A1)",
        "renews in 10 days, within 90",
        "34 of 100, red",
        "active on 2 of 28 days",
        "silent for 41 days; its limit is 18",
        "The usage feed is fresh",
        "time zone Asia/Tokyo (of the account)",
        "contacts.csv",
    ):
        assert said in page


def test_it_tells_each_part_of_the_audience(told) -> None:
    (one,) = story(told, "A2").as_json()["triggers"]
    assert one["matches"] is False
    assert [part["holds"] for part in one["because"]["parts"]] == [True, False]
    assert "touch_model 'high' = 'tech' no" in text(told, "A2")


def test_before_the_first_run_it_says_what_would_come(told) -> None:
    assert "it enters with the next run" in text(told)
    assert "it enters when it comes to match" in text(told, "A2")


def test_a_planned_mail_is_told_in_the_accounts_own_time(told) -> None:
    told.run()
    page = text(told)
    assert "win_back: matches" in page
    assert "Entered Mon 2026-06-08 07:00 Asia/Tokyo (cycle 1)." in page
    assert "check_in 佐藤 愛子 planned Mon 2026-06-08 09:00" in page
    assert "Next: check_in goes Mon 2026-06-08 09:00 Asia/Tokyo at the earliest." in page
    (one,) = story(told).as_json()["triggers"]
    assert one["sends"][0]["log"][0]["to_state"] == "planned"
    json.dumps(story(told).as_json())


def test_what_was_withheld_has_its_reason(told) -> None:
    told.run()
    page = text(told, "A3")
    assert "no: gave no consent" in page
    assert "entry Aiko Sato no_consent Mon 2026-06-08 07:00" in page


def test_a_suppressed_contact_is_marked(told) -> None:
    with told.ledger.write() as connection:
        connection.execute(
            insert(suppressions).values(
                address="c1@example.com", reason="complained", at=told.as_of, source="test"
            )
        )
    assert "no: complained" in text(told)


def test_a_churned_account_matches_no_trigger(told) -> None:
    page = text(told, "A4")
    assert "win_back: does not match" in page
    assert "a churned account matches no trigger" in page


def test_under_a_late_feed_nothing_is_known_and_the_trigger_waits(told) -> None:
    told.run()
    told.as_of += timedelta(days=1)
    told.publish(feed="late")
    told.run("r2")
    page = text(told)
    assert "The usage feed is late" in page
    assert "Next: it waits:" in page


def test_who_matched_before_launch_is_told_so(told) -> None:
    told.run()
    with told.ledger.write() as connection:
        for name in ("recipients", "messages", "send_log", "sends", "steps", "enrollments"):
            table = launches.metadata.tables[name]
            connection.execute(delete(table))
        connection.execute(insert(launch_baseline).values(trigger="win_back", account_id="A1"))
    assert "it matched before the trigger was launched" in text(told)


def test_a_trigger_whose_file_is_gone_is_still_remembered(told) -> None:
    told.run()
    (told.company.folder / "triggers" / "win_back.yaml").unlink()
    assert "win_back: its file is gone" in text(told)


def test_an_account_that_left_the_crm_is_still_remembered(told) -> None:
    told.run()
    with duckdb.connect(told.settings.published_db) as db:
        db.execute("delete from marts.account_360 where account_id = 'A1'")
    page = text(told)
    assert "The CRM does not hold this account" in page
    assert "check_in" in page


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("A1", "A1"),
        ("a1", "A1"),
        ("若竹設備株式会社", "A1"),
        ("若竹", "A1"),
        ("oakhaven foods", "A3"),
    ],
)
def test_an_account_is_found_by_id_and_name(told, wanted: str, found: str) -> None:
    assert story(told, wanted).account_id == found


def test_several_matches_are_listed(told) -> None:
    with pytest.raises(UnknownName, match=r"(?s)A2.*A3|A3.*A2"):
        story(told, "Oakhaven")


def test_a_misspelt_name_is_answered_with_the_nearest(told) -> None:
    with pytest.raises(UnknownName, match=r"(?s)did you mean.*Oakhaven Travel"):
        story(told, "Oakhavn Travel Pty")


def test_nothing_published_is_said_so(told) -> None:
    told.settings.published_db.unlink()
    with pytest.raises(WarehouseError, match="lifecycle run"):
        story(told)
