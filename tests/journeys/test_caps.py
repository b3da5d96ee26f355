"""How much a person and an account get at most, over all triggers."""

from journey import SILENT


def trigger(*lines: str, steps: str = "{id: check_in, after: 0d}") -> str:
    return SILENT + "\n".join(lines) + f"\nsteps:\n  - {steps}\n"


def test_where_there_is_room_for_one_the_higher_priority_goes(prepare):
    cap = "caps: {contact: 1/7d}"
    journey = prepare(
        {"news": trigger(cap, "priority: 10"), "rescue": trigger(cap, "priority: 90")}
    )
    assert journey.live("2026-06-10  silent", until="2026-06-12") == [
        "Wed 10 Jun 09:00 check_in of rescue"
    ]
    assert "Wed 10 Jun capped" in journey.withheld


def test_a_capped_mail_goes_when_there_is_room_again_unless_that_is_too_late(live):
    cap = "caps: {contact: 1/7d}"
    rescue = trigger(cap, "priority: 90")
    assert live(
        {"news": trigger(cap, "late: {after: 14d, do: skip}"), "rescue": rescue},
        "2026-06-10  silent",
        until="2026-06-18",
    ) == ["Wed 10 Jun 09:00 check_in of rescue", "Wed 17 Jun 09:00 check_in of news"]
    assert live(
        {"news": trigger(cap, "late: {after: 3d, do: skip}"), "rescue": rescue},
        "2026-06-10  silent",
        until="2026-06-18",
        folder="short patience",
    ) == ["Wed 10 Jun 09:00 check_in of rescue"]


def test_three_mails_a_week_to_an_account_are_three(live):
    people = ", ".join(f"p{number} of a1" for number in range(5))
    capped = trigger("caps: {account: 3/7d}")
    assert live(capped, "2026-06-10  silent", until="2026-06-18", people=people) == [
        "Wed 10 Jun 09:00 check_in to p0",
        "Wed 10 Jun 09:00 check_in to p1",
        "Wed 10 Jun 09:00 check_in to p2",
    ]


def test_one_person_in_two_accounts_is_one_address(live):
    days = (
        "2026-06-10  silent, bob: email = Ann@example.com, bob: email_normalized = ann@example.com"
    )
    capped = trigger("caps: {contact: 1/7d}")
    assert live(capped, days, until="2026-06-12", people="ann of a1, bob of a2") == [
        "Wed 10 Jun 09:00 check_in to ann"
    ]


def test_a_cap_counts_what_other_triggers_sent_before(live):
    days = """
        2026-06-10  silent
        2026-06-12  plan = trial
    """
    trial = """
audience: plan = 'trial'
recipients: role = 'admin'
launch: existing
caps: {contact: 1/7d}
late: {after: 7d, do: skip}
steps:
  - {id: welcome, after: 0d}
"""
    triggers = {"win_back": trigger(), "trial": trial}
    assert live(triggers, days, until="2026-06-18") == [
        "Wed 10 Jun 09:00 check_in of win_back",
        "Wed 17 Jun 09:00 welcome of trial",
    ]
