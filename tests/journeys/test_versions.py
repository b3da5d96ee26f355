"""A trigger file that changes while accounts are inside."""

from journey import SILENT

ENTERED = (
    SILENT
    + """
steps:
  - {id: check_in,   after: 0d}
  - {id: case_study, after: 7d}
"""
)
SOONER = (
    SILENT
    + """
steps:
  - {id: check_in,   after: 0d}
  - {id: last_call,  after: 2d}
"""
)
THE_FILE_CHANGES = """
    2026-06-08  silent
    2026-06-09  file changed
"""


def test_who_is_inside_finishes_the_version_that_they_entered(live):
    assert live(ENTERED, THE_FILE_CHANGES, until="2026-06-16", files={"changed": SOONER}) == [
        "Mon 08 Jun 09:00 check_in",
        "Mon 15 Jun 09:00 case_study",
    ]


def test_who_enters_later_enters_the_new_version(live):
    days = (
        THE_FILE_CHANGES
        + """
        2026-06-10  active
        2026-06-11  silent
    """
    )
    assert live(ENTERED, days, until="2026-06-18", files={"changed": SOONER}) == [
        "Mon 08 Jun 09:00 check_in",
        "Thu 11 Jun 09:00 check_in",
        "Mon 15 Jun 09:00 last_call",  # due on Saturday
    ]


def test_both_versions_go_on_side_by_side(live):
    days = """
        2026-06-08  a1: silent
        2026-06-09  file changed
        2026-06-10  a2: silent
    """
    people = "ann of a1, bob of a2"
    assert live(ENTERED, days, until="2026-06-16", files={"changed": SOONER}, people=people) == [
        "Mon 08 Jun 09:00 check_in to ann",
        "Wed 10 Jun 09:00 check_in to bob",
        "Fri 12 Jun 09:00 last_call to bob",
        "Mon 15 Jun 09:00 case_study to ann",
    ]


def test_with_migrate_they_go_on_by_the_new_version(live):
    moved = SOONER.replace("steps:", "migrate: true\nsteps:")
    assert live(ENTERED, THE_FILE_CHANGES, until="2026-06-16", files={"changed": moved}) == [
        "Mon 08 Jun 09:00 check_in",
        "Wed 10 Jun 09:00 last_call",
    ]


def test_a_new_exit_is_for_those_who_enter_by_it(live):
    days = """
        2026-06-08  silent, plan = trial
        2026-06-09  file changed
        2026-06-10  plan = team
    """
    changed = ENTERED.replace("exit_when: not is_dormant", "exit_when: plan = 'team'")
    assert live(ENTERED, days, until="2026-06-16", files={"changed": changed}) == [
        "Mon 08 Jun 09:00 check_in",
        "Mon 15 Jun 09:00 case_study",
    ]


def test_a_new_comment_or_layout_is_no_new_version(live):
    same = ENTERED.replace("steps:", "# asked for by sales\nsteps:\n")
    assert live(ENTERED, THE_FILE_CHANGES, until="2026-06-16", files={"changed": same}) == [
        "Mon 08 Jun 09:00 check_in",
        "Mon 15 Jun 09:00 case_study",
    ]
