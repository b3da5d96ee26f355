"""A trigger whose file or mails cannot be used waits by itself; all others go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from company import Company, utc
from lifecycle.authoring.files import Seen, read_to_plan
from lifecycle.ledger.tables import enrollments, launches, trigger_versions
from lifecycle.mail.deliver import deliver
from lifecycle.planning.plan import decide
from world import WIN_BACK, World

WEDNESDAY = "2026-06-10 01:00"  # 10:00 in Tokyo
THURSDAY = "2026-06-11 01:00"
THE_EVENING_BEFORE = "2026-06-16 20:00"  # last_call is planned for the next morning
A_WEEK_LATER = "2026-06-17 01:00"
THE_DAY_AFTER = "2026-06-18 01:00"
OTHER = WIN_BACK.replace("is_dormant", "plan = 'trial'").replace("steps:", "priority: 10\nsteps:")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    result = World(tmp_path / "company")
    result.win_back()
    yield result
    result.close()


@pytest.fixture
def company(tmp_path: Path) -> Company:
    result = Company(tmp_path / "company")
    result.trigger("win_back", WIN_BACK, "check_in", "last_call")
    return result


def nothing_waits(world: World) -> bool:
    return not any(row.waiting_since for row in world.rows(trigger_versions, "waiting_since"))


def trigger_file(world: World, name: str = "win_back") -> Path:
    return world.company.folder / "triggers" / f"{name}.yaml"


def mail_file(world: World, name: str = "last_call.en.txt") -> Path:
    return world.company.folder / "email_templates" / "win_back" / name


def half_saved(file: Path) -> None:
    file.write_text(WIN_BACK[: WIN_BACK.index("after: 0d")])


def misspelt(file: Path) -> None:
    file.write_text(WIN_BACK.replace("audience: is_dormant", "audience: is_dormnt"))


def empty(file: Path) -> None:
    file.write_text("")


def not_utf8(file: Path) -> None:
    file.write_bytes(WIN_BACK.encode() + "# 件名\n".encode("cp932"))


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_link_to_nothing(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.with_name("nowhere.txt"))


def a_link_to_itself(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def locked(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("no file is closed to root")
    file.chmod(0)


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (half_saved, ":8: not valid YAML"),
        (misspelt, ":2: audience: account_360 has no column 'is_dormnt' (did you mean \"is_dor"),
        (empty, ":1: has to be a mapping of keys to values (it is empty)"),
        (not_utf8, ":10: is not UTF-8 (save it as UTF-8)"),
        (a_folder, ": cannot be read: Is a directory"),
        (a_link_to_nothing, ": cannot be read: No such file or directory"),
        (a_link_to_itself, ": cannot be read: Too many levels of symbolic links"),
        (locked, ": cannot be read: Permission denied"),
    ],
)
def test_a_broken_file_is_named_and_its_trigger_still_there(
    company: Company, spoil: Callable[[Path], None], where: str
) -> None:
    company.trigger("other", OTHER, "check_in", "last_call")
    spoil(company.folder / "triggers" / "win_back.yaml")
    files = read_to_plan(company.settings)
    (problem,) = files.broken["win_back"]
    assert str(problem).startswith(f"triggers/win_back.yaml{where}")
    assert [trigger.name for trigger in files.usable] == ["other"]
    assert files.everywhere == ()


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda file: file.write_text("Subject: x\n\n{{ account.nme }}\n"), ":3: there is no acc"),
        (empty, ":1: has no Subject"),
        (Path.unlink, ": is missing (every step needs the company's locale)"),
        (a_folder, ": is missing"),
        (a_link_to_nothing, ": cannot be read: No such file or directory"),
        (a_link_to_itself, ": cannot be read: Too many levels of symbolic links"),
        (not_utf8, ":10: is not UTF-8"),
        (locked, ": cannot be read: Permission denied"),
    ],
)
def test_a_broken_mail_is_named_and_its_trigger_waits(
    company: Company, spoil: Callable[[Path], object], where: str
) -> None:
    company.trigger("other", OTHER, "check_in", "last_call")
    spoil(company.folder / "email_templates" / "win_back" / "last_call.en.txt")
    files = read_to_plan(company.settings)
    assert str(files.broken["win_back"][0]).startswith(
        f"email_templates/win_back/last_call.en.txt{where}"
    )
    assert [trigger.name for trigger in files.usable] == ["other"]


def test_nothing_of_a_broken_trigger_moves_until_a_run_finds_it_mended(world: World) -> None:
    world.company.trigger("other", OTHER, "check_in", "last_call")
    world.account()
    world.run(WEDNESDAY)
    world.run(THE_EVENING_BEFORE)
    assert world.mails()[-1] == ("a1", "last_call", "planned")
    world.marts.accounts([{"account_id": "a1"}, {"account_id": "a2", "plan": "trial"}])
    world.marts.contacts([{"contact_id": f"c{n}", "account_id": f"a{n}"} for n in (1, 2)])
    half_saved(trigger_file(world))

    result = world.run(A_WEEK_LATER)
    assert set(result.broken) == {"win_back"}
    assert result.withheld["trigger_unusable"] == 1
    assert result.enrolled == {"other": 1}, "the other trigger goes on"
    assert world.mails() == [
        ("a1", "check_in", "accepted"),
        ("a1", "last_call", "planned"),
        ("a2", "check_in", "accepted"),
    ]
    assert dict(world.rows(enrollments, "account_id", "end_reason")) == {"a1": None, "a2": None}
    waits = dict(world.rows(trigger_versions, "trigger", "waiting_for"))
    assert waits["win_back"].startswith("triggers/win_back.yaml:8: not valid YAML")
    assert waits["other"] is None

    world.win_back()
    result = world.run("2026-06-17 02:00")
    assert result.broken == {}
    assert result.enrolled == {"win_back": 1}
    assert ("a1", "last_call", "accepted") in world.mails()
    assert nothing_waits(world)


def test_a_broken_mail_skips_no_step(world: World) -> None:
    world.account()
    world.run(WEDNESDAY)
    empty(mail_file(world))
    world.run(A_WEEK_LATER)
    assert world.mails() == [("a1", "check_in", "accepted")]
    world.win_back()
    world.run("2026-06-17 02:00")
    assert world.mails()[-1] == ("a1", "last_call", "accepted")


def test_all_that_is_wrong_with_one_trigger_is_named(world: World) -> None:
    misspelt(trigger_file(world))
    mail_file(world).write_text("Subject: x\n\n{{ account.nme }}\n")
    trigger_file(world).with_suffix(".yml").write_text(WIN_BACK)
    answer = [str(problem) for problem in world.run(WEDNESDAY).broken["win_back"]]
    assert [problem.partition(" ")[0] for problem in answer] == [
        "triggers/win_back.yaml:2:",
        "triggers/win_back.yml:",
        "email_templates/win_back/last_call.en.txt:3:",
    ]
    assert "is a second trigger 'win_back' beside win_back.yaml (keep one of them)" in answer[1]


def test_a_broken_trigger_is_not_launched(world: World) -> None:
    world.win_back(("launch: existing", "launch: new_only"))
    world.account(is_dormant=False)
    half_saved(trigger_file(world))
    world.run(WEDNESDAY)
    assert world.rows(launches, "trigger") == []
    assert world.rows(trigger_versions, "version") == []
    world.win_back(("launch: existing", "launch: new_only"))
    world.account()  # dormant since
    world.run(THURSDAY)
    assert world.rows(launches, "launched_at") == [(utc(THURSDAY),)]
    assert world.mails() == [], "who matched when it was launched was there before"


def test_who_may_not_be_mailed_any_more_leaves_a_broken_trigger_at_once(world: World) -> None:
    world.win_back(("steps:", "goal: {when: plan = 'trial', within: 28d}\nsteps:"))
    ids = ("a1", "a2", "a3", "a4")
    people = [{"contact_id": f"c{key}", "account_id": key} for key in ids]
    world.marts.accounts([{"account_id": key} for key in ids])
    world.marts.contacts(people)
    world.run(WEDNESDAY)
    half_saved(trigger_file(world))
    world.marts.accounts(
        [
            {"account_id": "a1", "stage": "churned"},
            {"account_id": "a3", "is_dormant": False},
            {"account_id": "a4", "plan": "trial"},
        ]
    )
    world.run(THURSDAY)
    ended = dict(world.rows(enrollments, "account_id", "end_reason"))
    assert ended == {"a1": "churned", "a2": None, "a3": None, "a4": None}
    for day in (12, 13, 14):
        world.run(f"2026-06-{day} 01:00")
    ended = dict(world.rows(enrollments, "account_id", "end_reason"))
    assert ended == {"a1": "churned", "a2": "deleted", "a3": None, "a4": None}
    met = dict(world.rows(enrollments, "account_id", "goal_met_at"))
    assert [goal for goal, at in met.items() if at] == ["a4"]


def test_a_file_that_goes_during_a_run_waits_and_one_that_a_run_begins_without_is_removed(
    world: World,
) -> None:
    world.account()
    world.run(WEDNESDAY)
    seen = Seen.now(world.company.settings)
    trigger_file(world).unlink()
    result = world.run(THURSDAY, seen=seen)
    assert str(result.broken["win_back"][0]).startswith(
        "triggers/win_back.yaml: is gone since the run began"
    )
    assert world.rows(enrollments, "end_reason") == [(None,)]
    world.run("2026-06-12 01:00", seen=Seen.now(world.company.settings))
    assert world.rows(enrollments, "end_reason") == [("trigger_removed",)]
    assert nothing_waits(world)


@pytest.mark.parametrize("folder", ["triggers", "email_templates"])
def test_a_folder_that_goes_during_a_run_makes_every_trigger_wait(
    world: World, folder: str
) -> None:
    """The project has a win_back_dormant of its own, which is not the company's."""
    world.account(touch_model="tech")
    world.run(WEDNESDAY)
    seen = Seen.now(world.company.settings)
    (world.company.folder / folder).rename(world.company.folder / "elsewhere")
    result = world.run(A_WEEK_LATER, seen=seen)
    assert set(result.broken) == {"win_back"}
    assert result.enrolled == {}
    assert world.mails() == [("a1", "check_in", "accepted")]
    assert world.rows(enrollments, "end_reason") == [(None,)]


def test_a_footer_that_breaks_during_a_run_makes_every_trigger_wait(world: World) -> None:
    world.account()
    world.run(WEDNESDAY)
    footer = world.company.folder / "email_templates" / "_footer.en.txt"
    whole = footer.read_text()
    footer.write_text("{{ compny.name }}\n")
    result = world.run(A_WEEK_LATER)
    assert str(result.broken["win_back"][0]).startswith("email_templates/_footer.en.txt:1:")
    assert world.mails() == [("a1", "check_in", "accepted")]
    footer.write_text(whole)
    world.run("2026-06-17 02:00")
    assert world.mails()[-1] == ("a1", "last_call", "accepted")


def test_the_broken_mail_of_a_step_that_only_an_older_version_has_makes_that_version_wait(
    world: World,
) -> None:
    world.account()
    world.run(WEDNESDAY)
    world.win_back(("  - {id: last_call, after: 7d}\n", ""))
    mail_file(world).write_text("Subject: x\n\n{{ account.nme }}\n")
    result = world.run(A_WEEK_LATER)
    assert result.broken == {}
    assert "last_call.en.txt:3: there is no account.nme" in result.waiting[0]
    assert world.mails() == [("a1", "check_in", "accepted")]
    mail_file(world).write_text("Subject: x\n\nGoodbye.\n")
    world.run("2026-06-17 02:00")
    assert world.mails()[-1] == ("a1", "last_call", "accepted")


def test_what_waits_may_grow_too_late_and_is_never_sent_then(world: World) -> None:
    world.account()
    world.run(WEDNESDAY)
    world.run(THE_EVENING_BEFORE)
    half_saved(trigger_file(world))
    world.run(A_WEEK_LATER)
    world.run("2026-06-30 01:00")
    assert world.mails()[-1] == ("a1", "last_call", "expired")
    world.win_back()
    world.run("2026-06-30 02:00")
    assert world.outbox() == 1


def test_deliveries_between_runs_read_no_trigger_file(world: World) -> None:
    world.account()
    world.run(WEDNESDAY)
    world.run(THE_EVENING_BEFORE)
    half_saved(trigger_file(world))
    done = deliver(world.company.settings, world.ledger, now=utc(A_WEEK_LATER))
    assert done.accepted == 1


def test_a_dry_run_says_it_and_writes_nothing(world: World) -> None:
    world.account()
    world.run(WEDNESDAY)
    half_saved(trigger_file(world))
    assert set(world.run(THURSDAY, dry_run=True).broken) == {"win_back"}
    assert nothing_waits(world)


def test_what_was_checked_is_what_is_mailed(world: World) -> None:
    world.account()
    settings = world.company.settings
    files = read_to_plan(settings)
    for name in ("win_back/check_in.en.txt", "_footer.en.txt"):
        (world.company.folder / "email_templates" / name).write_text("")
    with world.ledger.read() as memory:
        result = decide(
            settings,
            world.warehouse,
            memory,
            files.usable,
            as_of=utc(WEDNESDAY),
            broken=files.broken,
            templates=files.templates,
        )
    (send,) = result.decisions.sends
    assert b"Hello Aiko Sato, check_in." in send.mime
    (first,) = result.decisions.first_uses
    assert first.templates["check_in"]["en"].startswith("Subject: check_in")
