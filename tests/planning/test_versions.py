"""A trigger file changes while people are inside."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from company import utc
from lifecycle.ledger.tables import enrollments, sends, trigger_versions
from lifecycle.triggers.commit import commit_of
from world import WIN_BACK, World

WEDNESDAY = "2026-06-10 01:00"  # 10:00 in Tokyo
THURSDAY = "2026-06-11 01:00"
FRIDAY = "2026-06-12 01:00"
A_WEEK_LATER = "2026-06-17 01:00"
MIGRATE = ("steps:", "migrate: true\nsteps:")
NEW_STEP = ("  - {id: last_call", "  - {id: extra, after: 2d}\n  - {id: last_call")


@pytest.fixture
def world(tmp_path, ledger_url) -> Iterator[World]:
    result = World(tmp_path / "company", ledger_url)
    yield result
    result.close()


def change(world: World, *changes: tuple[str, str], steps: tuple[str, ...] = ()) -> None:
    world.win_back(*changes)
    text = (world.company.folder / "triggers" / "win_back.yaml").read_text()
    world.company.trigger("win_back", text, *steps)


def versions(world: World) -> list[str]:
    return [row.trigger_version for row in world.rows(enrollments, "trigger_version")]


def two(world: World) -> None:
    """a2 joins a1, with an admin of its own."""
    world.marts.accounts([{"account_id": "a1"}, {"account_id": "a2"}])
    world.marts.contacts([{"contact_id": f"c{n}", "account_id": f"a{n}"} for n in (1, 2)])


def test_who_is_inside_finishes_the_version_that_they_entered(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    change(world, NEW_STEP, ("after: 7d", "after: 30d"), steps=("extra",))
    two(world)
    world.run(THURSDAY)
    for day in (FRIDAY, "2026-06-15 01:00", "2026-06-16 01:00", A_WEEK_LATER):
        world.run(day)
    assert [mail for mail in world.mails() if mail[0] == "a1"] == [
        ("a1", "check_in", "accepted"),
        ("a1", "last_call", "accepted"),
    ]
    assert [mail[1] for mail in world.mails() if mail[0] == "a2"] == ["check_in", "extra"]
    assert len(set(versions(world))) == 2
    kept = {row.version: row for row in world.rows(trigger_versions, "version", "content")}
    assert set(kept) == set(versions(world))
    assert WIN_BACK in {row.content for row in kept.values()}


def test_an_old_version_keeps_its_own_exit(world):
    world.win_back(("exit_when: not is_dormant", "exit_when: plan = 'trial'"))
    world.account()
    world.run(WEDNESDAY)
    world.win_back()  # exit_when: not is_dormant
    two(world)
    world.run(THURSDAY)
    world.marts.accounts(
        [{"account_id": "a1", "is_dormant": False}, {"account_id": "a2", "is_dormant": False}]
    )
    world.run(FRIDAY)
    ended = dict(world.rows(enrollments, "account_id", "end_reason"))
    assert ended == {"a1": None, "a2": "exit"}
    world.account(plan="trial")
    world.run("2026-06-15 01:00")
    assert dict(world.rows(enrollments, "account_id", "end_reason"))["a1"] == "exit"


def test_a_removed_step_goes_all_the_same_with_the_words_that_were_kept(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    change(world, ("  - {id: last_call, after: 7d}\n", ""))
    mails = world.company.folder / "email_templates" / "win_back"
    (mails / "last_call.en.txt").unlink()
    world.run(A_WEEK_LATER)
    assert world.mails()[-1] == ("a1", "last_call", "accepted")
    (text,) = [
        mail.read_text()
        for mail in world.company.settings.outbox_dir.glob("*.eml")
        if "Subject: last_call" in mail.read_text()
    ]
    assert "Hello Aiko Sato, last_call." in text


def test_a_corrected_typo_reaches_who_is_inside_an_old_version(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    change(world, NEW_STEP, steps=("extra",))
    mails = world.company.folder / "email_templates" / "win_back"
    (mails / "last_call.en.txt").write_text("Subject: The last one\n\nGoodbye.\n")
    world.run(A_WEEK_LATER)
    outbox = [mail.read_text() for mail in world.company.settings.outbox_dir.glob("*.eml")]
    assert any("Subject: The last one" in text for text in outbox)


def test_the_goal_is_that_of_the_version(world):
    goal = "goal: {when: plan = 'trial', within: 28d}\nsteps:"
    world.win_back(("exit_when: not is_dormant\n", ""), ("steps:", goal))
    world.account()
    world.run(WEDNESDAY)
    world.win_back(("exit_when: not is_dormant\n", ""))  # no goal any more
    world.account(plan="trial")
    world.run(THURSDAY)
    assert world.rows(enrollments, "goal_met_at") == [(utc(THURSDAY),)]


def test_a_version_that_cannot_be_read_any_more_keeps_its_people_waiting(world):
    world.win_back()
    world.account()
    world.run("2026-06-10 01:00")
    world.run("2026-06-16 20:00")  # plans last_call for the next morning
    with world.ledger.write() as connection:
        old = WIN_BACK.replace("not is_dormant", "colour_of_logo = 'red'")
        connection.execute(update(trigger_versions).values(content=old))
    change(world, NEW_STEP, steps=("extra",))
    result = world.run(A_WEEK_LATER)
    assert result.withheld["version_unreadable"] == 1
    assert "colour_of_logo" in result.waiting[0]
    assert world.mails()[-1] == ("a1", "last_call", "planned"), "it may be due to leave"
    assert world.rows(enrollments, "end_reason") == [(None,)]
    change(world, NEW_STEP, MIGRATE, steps=("extra",))
    assert world.run("2026-06-17 02:00").withheld["version_unreadable"] == 0
    assert world.mails()[-1] == ("a1", "last_call", "accepted")


def test_with_migrate_all_who_are_inside_move_on_by_the_new_file(world):
    world.win_back(("steps:", "holdout: 50%\ngoal: {when: plan = 'trial', within: 28d}\nsteps:"))
    ids = [f"a{number}" for number in range(12)]
    world.marts.accounts([{"account_id": key} for key in ids])
    world.marts.contacts([{"contact_id": f"c-{key}", "account_id": key} for key in ids])
    world.run(WEDNESDAY)
    out = {row.account_id for row in world.rows(enrollments, "account_id", "held_out") if row[1]}
    reached = set(ids) - out
    assert out
    assert reached
    new = (
        MIGRATE,
        ("steps:", "goal: {when: plan = 'trial', within: 10d}\nsteps:"),  # and nobody held out
        ("  - {id: last_call, after: 7d}", "  - {id: extra, after: 2d}"),
    )
    change(world, *new, steps=("extra",))
    result = world.run(THURSDAY)
    assert {migration.account_id for migration in result.decisions.migrations} == set(ids)
    world.run(FRIDAY)
    mails = world.mails()
    assert {account for account, step, _ in mails if step == "extra"} == reached
    assert {account for account, step, _ in mails if step == "check_in"} == reached
    assert len(mails) == 2 * len(reached)
    assert set(versions(world)) == {result.decisions.migrations[0].to_version}
    assert set(world.rows(enrollments, "goal_until")) == {(utc("2026-06-20 14:59:59"),)}
    assert world.run("2026-06-15 01:00").decisions.migrations == []
    assert {row.end_reason for row in world.rows(enrollments, "end_reason")} == {"completed"}


def test_a_planned_mail_of_a_step_that_migration_drops_is_cancelled(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.run("2026-06-16 20:00")  # plans last_call
    other = ("  - {id: last_call, after: 7d}", "  - {id: other, after: 20d}")
    change(world, MIGRATE, other, steps=("other",))
    world.run("2026-06-16 21:00")
    assert world.mails()[-1] == ("a1", "last_call", "cancelled")
    assert world.rows(sends, "step", "detail")[-1] == (
        "last_call",
        "its step is not in the trigger any more",
    )


def test_a_step_that_is_too_late_when_migration_brings_it_is_skipped(world):
    world.win_back(("after: 7d", "after: 20d"))
    world.account()
    world.run(WEDNESDAY)
    change(world, MIGRATE, NEW_STEP, ("after: 7d", "after: 20d"), steps=("extra",))
    result = world.run("2026-06-18 01:00")  # extra was due on the 12th
    assert result.withheld == {"late": 1}
    assert [step for _, step, _ in world.mails()] == ["check_in"]


def test_migration_waits_for_no_feed_and_what_was_planned_still_does(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    world.run("2026-06-16 20:00")  # plans last_call
    world.marts.feed("late")
    world.account(is_dormant=None)
    change(world, MIGRATE, ("role = 'admin'", "role in ('admin', 'owner')"))
    world.run(A_WEEK_LATER)
    assert world.mails()[-1] == ("a1", "last_call", "planned")
    world.marts.feed("fresh")
    world.account()
    world.run("2026-06-17 03:00")
    assert world.mails()[-1] == ("a1", "last_call", "accepted")
    assert len(set(versions(world))) == 1


def test_a_preview_shows_a_migration_and_makes_none(world):
    world.win_back()
    world.account()
    world.run(WEDNESDAY)
    change(world, MIGRATE, NEW_STEP, steps=("extra",))
    before = versions(world)
    (moved,) = world.run(THURSDAY, dry_run=True).decisions.migrations
    assert (moved.account_id, moved.from_version) == ("a1", before[0])
    assert versions(world) == before


def test_the_commit_is_known_only_of_a_file_that_is_in_it_as_it_stands(tmp_path):
    def git(*words: str) -> str:
        who = ("-c", "user.name=aiko", "-c", "user.email=aiko@example.com")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    file = tmp_path / "win_back.yaml"
    file.write_text("a: 1\n")
    assert commit_of(file) is None, "no checkout"
    git("init", "-q")
    assert commit_of(file) is None, "git does not know it"
    git("add", file.name)
    git("commit", "-qm", "Add")
    assert commit_of(file) == git("rev-parse", "HEAD")
    (tmp_path / "other").write_text("")
    assert commit_of(file), "another file is no matter"
    file.write_text("a: 2\n")
    assert commit_of(file) is None, "not committed"
