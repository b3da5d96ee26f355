"""An account's story, told from hand-made marts and a ledger that a real plan filled."""

from __future__ import annotations

import json
from datetime import timedelta
from subprocess import run

import duckdb
import pytest
from sqlalchemy import delete, insert

from lifecycle.document import as_text
from lifecycle.errors import UnknownName, WarehouseError
from lifecycle.insight.explain import Explanation, explain
from lifecycle.ledger import runs
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
        "returns 27% within 28 days",
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


def test_a_contact_whose_address_left_at_another_account_is_marked(told) -> None:
    with duckdb.connect(str(told.settings.published_db)) as db:
        db.execute(
            "update marts.dim_contacts set address_unsubscribed_at = '2026-05-01'"
            " where contact_id = 'C1'"
        )
    assert "no: unsubscribed 2026-05-01, as another contact" in text(told)


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


# One trigger, with every rule. ---------------------------------------------------------------

RULES = """
audience: is_dormant and (touch_model = 'tech' or not (stage = 'mature' or days_silent >= 18))
recipients: role in ('admin', 'owner')
launch: existing
exit_when: not is_dormant
goal: {when: not is_dormant, within: 28d}
steps:
  - {id: check_in, after: 0d}
  - {id: case_study, after: 5bd, when: ladder_step < 3}
"""


def write(told, text: str = RULES) -> None:
    told.company.trigger("win_back", text, "check_in", "case_study")


def asked(told, wanted: str = "A1") -> str:
    """The page of one trigger, its spaces squeezed."""
    found = explain(told.settings, told.ledger, wanted, only="win_back")
    assert [one.name for one in found.triggers] == ["win_back"]
    return " ".join(as_text(found.as_document(), width=160).split())


def test_each_rule_is_a_tree_with_values_and_outcomes(told) -> None:
    write(told)
    with duckdb.connect(told.settings.published_db) as db:
        db.execute("update marts.account_360 set days_silent = 12, ladder_step = 3")
    assert (
        "audience all of: no is_dormant yes any of: no touch_model 'high' = 'tech' no not: no"
        " any of: yes stage 'mature' = 'mature' yes days_silent 12 ≥ 18 no"
        " exit_when not is_dormant no goal.when not is_dormant no"
        " steps.case_study.when ladder_step 3 < 3 no"
    ) in asked(told, "A2")


def test_each_contact_is_judged_by_the_recipients(told) -> None:
    page = asked(told)
    assert "recipients: 佐藤 愛子 role 'admin' in ('admin', 'owner') yes" in page
    assert "recipients: Bo role 'user' in ('admin', 'owner') no" in page


def test_steps_that_are_to_come_have_their_time(told) -> None:
    write(told)
    told.run()
    page = asked(told)
    assert "check_in Mon 2026-06-08 07:00 Mon 2026-06-08 09:00 planned" in page
    assert (
        "case_study Mon 2026-06-15 07:00 Mon 2026-06-15 09:00 to come if ladder_step < 3 then"
    ) in page
    (one,) = story(told).as_json()["triggers"]
    assert [step["fate"] for step in one["schedule"]] == ["planned", "to come"]
    assert one["schedule"][1]["due_at"] == "2026-06-14T22:00:00+00:00"


def test_a_step_whose_mail_went_says_so(told) -> None:
    told.run()
    sends = launches.metadata.tables["sends"]
    with told.ledger.write() as connection:
        connection.execute(sends.update().values(state="delivered"))
    assert "check_in Mon 2026-06-08 07:00 Mon 2026-06-08 09:00 delivered" in text(told)


def test_days_and_moments_are_the_accounts_own(told) -> None:
    write(told, RULES.replace("not is_dormant", "first_outcome_at is not null", 1))
    with duckdb.connect(told.settings.published_db) as db:
        db.execute("update marts.account_360 set first_outcome_at = '2026-05-31 20:00'")
        db.execute("update marts.account_360 set onboarding_status = 'achieved'")
    page = asked(told)
    assert "Times below are in Asia/Tokyo." in page
    assert "first outcome 2026-06-01" in page
    assert "not first_outcome_at 2026-06-01 05:00 Asia/Tokyo is null yes" in page


def test_steps_that_will_not_come_say_why(told) -> None:
    told.run()
    enrollments = launches.metadata.tables["enrollments"]
    with told.ledger.write() as connection:
        connection.execute(delete(launches.metadata.tables["steps"]))
        connection.execute(enrollments.update().values(held_out=True))
    assert "check_in Mon 2026-06-08 07:00 – held out held out without mails" in asked(told)
    with told.ledger.write() as connection:
        ended = {"ended_at": told.as_of, "end_reason": "exit"}
        connection.execute(enrollments.update().values(held_out=False, **ended))
    assert "check_in Mon 2026-06-08 07:00 – never came the sequence ended: exit" in asked(told)


def test_a_skipped_step_has_its_reason(told) -> None:
    write(told, RULES.replace("after: 0d", "after: 0d, when: ladder_step < 3"))
    with duckdb.connect(told.settings.published_db) as db:
        db.execute("update marts.account_360 set ladder_step = 3")
    told.run()
    reason = "the step's own condition does not hold"
    assert f"check_in Mon 2026-06-08 07:00 – skipped {reason}" in text(told)


def test_the_version_of_the_file_and_of_the_entry_are_named(told) -> None:
    told.run()
    (one,) = story(told).as_json()["triggers"]
    entered_by = one["enrollments"][0]["trigger_version"]
    assert (one["version"], one["git_commit"]) == (entered_by, None)
    page = asked(told)
    assert f"triggers/win_back.yaml, version {entered_by[:8]}, not committed as it stands." in page
    assert f"By version {entered_by[:8]}, decided by r1." in page


def test_the_commit_that_holds_the_file_is_named(told) -> None:
    who = ("-c", "user.name=T", "-c", "user.email=t@example.com")
    for command in (("init", "-q"), ("add", "triggers"), (*who, "commit", "-qm", "Add")):
        run(["git", *command], cwd=told.company.folder, check=True)
    (one,) = story(told).as_json()["triggers"]
    assert len(one["git_commit"]) == 40
    assert f"of commit {one['git_commit'][:8]}." in text(told)


def test_the_runs_behind_it_tell_what_their_gates_found(told) -> None:
    told.run()
    gate = {"raw": {"passed": 36, "failed": 0, "warnings": 1}}
    runs.finish(told.ledger, run_id="r1", status="done", report={"gate": gate})
    assert "r1 Mon 2026-06-08 07:00 done 36 passed, 0 failed not reached" in text(told)
    runs.begin(told.ledger, run_id="r2", as_of=told.as_of, source="files")
    stopped = {"gate": gate, "stopped": {"message": "stopped at the marts gate"}}
    runs.finish(told.ledger, run_id="r2", status="stopped", report=stopped)
    why = "The newest run decided nothing; the figures above are from r1: stopped at the marts gate"
    assert why in text(told)
    found = story(told).as_json()
    assert [one["run_id"] for one in found["runs"]] == ["r2", "r1"]
    assert found["published_by"] == "r1"


def test_a_trigger_that_nobody_knows_is_answered_with_the_nearest(told) -> None:
    with pytest.raises(UnknownName, match='did you mean "win_back"'):
        explain(told.settings, told.ledger, "A1", only="winback")
