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


def story(values: object, wanted: str = "A1") -> Explanation:
    return explain(values.settings, values.ledger, wanted)  # type: ignore[attr-defined]


def text(values: object, wanted: str = "A1") -> str:
    page = as_text(story(values, wanted).as_document(), width=120)
    return " ".join(page.split())


@pytest.fixture(autouse=True)
def _published(workspace) -> None:
    workspace.publish()


def test_it_tells_how_the_account_stands(workspace) -> None:
    page = text(workspace)
    for message in (
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
        assert message in page


def test_it_tells_each_part_of_the_audience(workspace) -> None:
    (first,) = story(workspace, "A2").as_json()["triggers"]
    assert first["matches"] is False
    assert [part["holds"] for part in first["because"]["parts"]] == [True, False]
    assert "touch_model 'high' = 'tech' no" in text(workspace, "A2")


def test_before_the_first_run_it_says_what_would_come(workspace) -> None:
    assert "it enters with the next run" in text(workspace)
    assert "a high-touch account is its owner's" in text(workspace, "A2")


def test_a_planned_mail_is_told_in_the_accounts_own_time(workspace) -> None:
    workspace.run()
    page = text(workspace)
    assert "win_back: matches" in page
    assert "Entered Mon 2026-06-08 07:00 Asia/Tokyo (cycle 1)." in page
    assert "check_in 佐藤 愛子 planned Mon 2026-06-08 09:00" in page
    assert "Next: check_in goes Mon 2026-06-08 09:00 Asia/Tokyo at the earliest." in page
    (first,) = story(workspace).as_json()["triggers"]
    assert first["sends"][0]["log"][0]["to_state"] == "planned"
    json.dumps(story(workspace).as_json())


def test_what_was_withheld_has_its_reason(workspace) -> None:
    workspace.run()
    page = text(workspace, "A3")
    assert "no: gave no consent" in page
    assert "entry Aiko Sato no_consent Mon 2026-06-08 07:00" in page


def test_a_suppressed_contact_is_marked(workspace) -> None:
    with workspace.ledger.write() as connection:
        connection.execute(
            insert(suppressions).values(
                address="c1@example.com", reason="complained", at=workspace.as_of, source="test"
            )
        )
    assert "no: complained" in text(workspace)


def test_a_contact_whose_address_left_at_another_account_is_marked(workspace) -> None:
    with duckdb.connect(str(workspace.settings.published_db)) as db:
        db.execute(
            "update marts.dim_contacts set address_unsubscribed_at = '2026-05-01'"
            " where contact_id = 'C1'"
        )
    assert "no: unsubscribed 2026-05-01, as another contact" in text(workspace)


def test_a_churned_account_matches_no_trigger(workspace) -> None:
    page = text(workspace, "A4")
    assert "win_back: does not match" in page
    assert "a churned account matches no trigger" in page


def test_under_a_late_feed_nothing_is_known_and_the_trigger_waits(workspace) -> None:
    workspace.run()
    workspace.as_of += timedelta(days=1)
    workspace.publish(feed="late")
    workspace.run("r2")
    page = text(workspace)
    assert "The usage feed is late" in page
    assert "Next: it waits:" in page


def test_who_matched_before_launch_is_told_so(workspace) -> None:
    workspace.run()
    with workspace.ledger.write() as connection:
        for name in ("recipients", "messages", "send_log", "sends", "steps", "enrollments"):
            table = launches.metadata.tables[name]
            connection.execute(delete(table))
        connection.execute(insert(launch_baseline).values(trigger="win_back", account_id="A1"))
    assert "it matched before the trigger was launched" in text(workspace)


def test_a_trigger_whose_file_is_gone_is_still_remembered(workspace) -> None:
    workspace.run()
    (workspace.company.folder / "triggers" / "win_back.yaml").unlink()
    assert "win_back: its file is gone" in text(workspace)


def test_an_account_that_left_the_crm_is_still_remembered(workspace) -> None:
    workspace.run()
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute("delete from marts.account_360 where account_id = 'A1'")
    page = text(workspace)
    assert "The CRM does not hold this account" in page
    assert "check_in" in page


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("A1", "A1"),
        ("a1", "A1"),
        ("若竹設備株式会社", "A1"),
        ("若竹", "A1"),
        ("oakhaven foods", "A3"),
    ],
)
def test_an_account_is_found_by_id_and_name(workspace, wanted: str, expected: str) -> None:
    assert story(workspace, wanted).account_id == expected


def test_several_matches_are_listed(workspace) -> None:
    with pytest.raises(UnknownName, match=r"(?s)A2.*A3|A3.*A2"):
        story(workspace, "Oakhaven")


def test_a_misspelt_name_is_answered_with_the_nearest(workspace) -> None:
    with pytest.raises(UnknownName, match=r"(?s)did you mean.*Oakhaven Travel"):
        story(workspace, "Oakhavn Travel Pty")


def test_nothing_published_is_said_so(workspace) -> None:
    workspace.settings.published_db.unlink()
    with pytest.raises(WarehouseError, match="lifecycle run"):
        story(workspace)


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


def write(workspace, text: str = RULES) -> None:
    workspace.company.trigger("win_back", text, "check_in", "case_study")


def asked(workspace, wanted: str = "A1") -> str:
    """The page of one trigger, its spaces squeezed."""
    account_story = explain(workspace.settings, workspace.ledger, wanted, only="win_back")
    assert [trigger.name for trigger in account_story.triggers] == ["win_back"]
    return " ".join(as_text(account_story.as_document(), width=160).split())


def test_each_rule_is_a_tree_with_values_and_outcomes(workspace) -> None:
    write(workspace)
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute("update marts.account_360 set days_silent = 12, ladder_step = 3")
    assert (
        "audience all of: no is_dormant yes any of: no touch_model 'high' = 'tech' no not: no"
        " any of: yes stage 'mature' = 'mature' yes days_silent 12 ≥ 18 no"
        " exit_when not is_dormant no goal.when not is_dormant no"
        " steps.case_study.when ladder_step 3 < 3 no"
    ) in asked(workspace, "A2")


def test_each_contact_is_judged_by_the_recipients(workspace) -> None:
    page = asked(workspace)
    assert "recipients: 佐藤 愛子 role 'admin' in ('admin', 'owner') yes" in page
    assert "recipients: Bo role 'user' in ('admin', 'owner') no" in page


def test_steps_that_are_to_come_have_their_time(workspace) -> None:
    write(workspace)
    workspace.run()
    page = asked(workspace)
    assert "check_in Mon 2026-06-08 07:00 Mon 2026-06-08 09:00 planned" in page
    assert (
        "case_study Mon 2026-06-15 07:00 Mon 2026-06-15 09:00 to come if ladder_step < 3 then"
    ) in page
    (first,) = story(workspace).as_json()["triggers"]
    assert [step["fate"] for step in first["schedule"]] == ["planned", "to come"]
    assert first["schedule"][1]["due_at"] == "2026-06-14T22:00:00+00:00"


def test_a_step_whose_mail_went_says_so(workspace) -> None:
    workspace.run()
    sends = launches.metadata.tables["sends"]
    with workspace.ledger.write() as connection:
        connection.execute(sends.update().values(state="delivered"))
    assert "check_in Mon 2026-06-08 07:00 Mon 2026-06-08 09:00 delivered" in text(workspace)


def test_days_and_moments_are_the_accounts_own(workspace) -> None:
    write(workspace, RULES.replace("not is_dormant", "first_outcome_at is not null", 1))
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute("update marts.account_360 set first_outcome_at = '2026-05-31 20:00'")
        db.execute("update marts.account_360 set onboarding_status = 'achieved'")
    page = asked(workspace)
    assert "Times below are in Asia/Tokyo." in page
    assert "first outcome 2026-06-01" in page
    assert "not first_outcome_at 2026-06-01 05:00 Asia/Tokyo is null yes" in page


def test_steps_that_will_not_come_say_why(workspace) -> None:
    workspace.run()
    enrollments = launches.metadata.tables["enrollments"]
    with workspace.ledger.write() as connection:
        connection.execute(delete(launches.metadata.tables["steps"]))
        connection.execute(enrollments.update().values(held_out=True))
    assert "check_in Mon 2026-06-08 07:00 – held out held out without mails" in asked(workspace)
    with workspace.ledger.write() as connection:
        ended = {"ended_at": workspace.as_of, "end_reason": "exit"}
        connection.execute(enrollments.update().values(held_out=False, **ended))
    assert "check_in Mon 2026-06-08 07:00 – never came the sequence ended: exit" in asked(workspace)


def test_a_skipped_step_has_its_reason(workspace) -> None:
    write(workspace, RULES.replace("after: 0d", "after: 0d, when: ladder_step < 3"))
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute("update marts.account_360 set ladder_step = 3")
    workspace.run()
    reason = "the step's own condition does not hold"
    assert f"check_in Mon 2026-06-08 07:00 – skipped {reason}" in text(workspace)


def test_the_version_of_the_file_and_of_the_entry_are_named(workspace) -> None:
    workspace.run()
    (first,) = story(workspace).as_json()["triggers"]
    entered_by = first["enrollments"][0]["trigger_version"]
    assert (first["version"], first["git_commit"]) == (entered_by, None)
    page = asked(workspace)
    assert f"triggers/win_back.yaml, version {entered_by[:8]}, not committed as it stands." in page
    assert f"By version {entered_by[:8]}, decided by r1." in page


def test_the_commit_that_holds_the_file_is_named(workspace) -> None:
    who = ("-c", "user.name=T", "-c", "user.email=t@example.com")
    for command in (("init", "-q"), ("add", "triggers"), (*who, "commit", "-qm", "Add")):
        run(["git", *command], cwd=workspace.company.folder, check=True)
    (first,) = story(workspace).as_json()["triggers"]
    assert len(first["git_commit"]) == 40
    assert f"of commit {first['git_commit'][:8]}." in text(workspace)


def test_the_runs_behind_it_tell_what_their_gates_found(workspace) -> None:
    workspace.run()
    gate = {"raw": {"passed": 36, "failed": 0, "warnings": 1}}
    runs.finish(workspace.ledger, run_id="r1", status="done", report={"gate": gate})
    assert "r1 Mon 2026-06-08 07:00 done 36 passed, 0 failed not reached" in text(workspace)
    runs.begin(workspace.ledger, run_id="r2", as_of=workspace.as_of, source="files")
    stopped = {"gate": gate, "stopped": {"message": "stopped at the marts gate"}}
    runs.finish(workspace.ledger, run_id="r2", status="stopped", report=stopped)
    why = "The newest run decided nothing; the figures above are from r1: stopped at the marts gate"
    assert why in text(workspace)
    result = story(workspace).as_json()
    assert [item["run_id"] for item in result["runs"]] == ["r2", "r1"]
    assert result["published_by"] == "r1"


def test_a_trigger_that_nobody_knows_is_answered_with_the_nearest(workspace) -> None:
    with pytest.raises(UnknownName, match='did you mean "win_back"'):
        explain(workspace.settings, workspace.ledger, "A1", only="winback")
