"""A reader is an address: contacts that share it, change it, or take one another's place."""

from __future__ import annotations

from journey import SILENT

TWO = "steps:\n  - {id: s0, after: 0d}\n  - {id: s1, after: 1d}\n"
ALL_DAY = 'send_window: {days: mon-sun, from: "00:00", to: "24:00", holidays: none}\n'


def test_who_takes_the_address_of_another_reader_keeps_the_distance_of_its_mails(live):
    """Ann's first mail was a day late; Bob, whose address is hers now, does not overtake it."""
    mails = live(
        SILENT + "caps: {contact: 1/1d}\n" + TWO,
        """
        2026-06-08        silent, bob: email_normalized = ann@example.com, no mail
        2026-06-09 05:00  mail
        """,
        until="2026-06-12",
        people="ann of a1, bob of a1",
    )
    assert mails == ["Tue 09 Jun 09:00 s0 to ann", "Wed 10 Jun 09:00 s1 to ann"]


def test_the_address_goes_on_under_the_contact_that_has_it_now(live):
    mails = live(
        SILENT + TWO,
        """
        2026-06-08        silent, no mail
        2026-06-09 05:00  mail
        2026-06-09 12:00  bob: email_normalized = ann@example.com, ann: deleted
        """,
        until="2026-06-12",
        people="ann of a1, bob of a1",
    )
    assert [mail for mail in mails if "s1" in mail] == ["Wed 10 Jun 09:00 s1 to bob"]


def test_one_place_is_taken_by_one_reader(live):
    mails = live(
        SILENT + TWO,
        """
        2026-06-08        silent, bob: role = user, cid: role = user
        2026-06-08 12:00  ann: unsubscribes, bob: role = admin, cid: role = admin
        """,
        until="2026-06-12",
        people="ann of a1, bob of a1, cid of a1",
    )
    assert mails == ["Mon 08 Jun 09:00 s0 to ann", "Tue 09 Jun 09:00 s1 to bob"]


def test_the_mail_of_another_account_that_never_left_does_not_count(live):
    """Both accounts' admin is one person; the first account leaves before its mail goes."""
    trigger = SILENT + "late: {after: 5d}\nsteps:\n  - {id: s0, after: 0d}\n"
    mails = live(
        trigger,
        """
        2026-06-08        silent, bob: email_normalized = ann@example.com, hold a1 24
        2026-06-08 06:30  no mail
        2026-06-09 05:00  a1: active, mail
        """,
        until="2026-06-12",
        people="ann of a1, bob of a2",
    )
    assert mails == ["Tue 09 Jun 09:00 s0 to bob"]


def test_a_planned_mail_of_another_account_is_waited_for(live):
    trigger = SILENT + "steps:\n  - {id: s0, after: 0d}\n"
    mails = live(
        trigger,
        """
        2026-06-08        silent, bob: email_normalized = ann@example.com, no mail
        2026-06-09        a1: active, mail
        """,
        until="2026-06-12",
        people="ann of a1, bob of a2",
    )
    assert mails == ["Wed 10 Jun 09:00 s0 to bob"]


def test_an_address_that_is_corrected_during_a_pause_is_the_one_that_is_mailed(live):
    mails = []
    trigger = SILENT + ALL_DAY + "steps:\n  - {id: s0, after: 6h}\n"
    for stop in ("pause win_back", "hold a1 12"):
        mails = live(
            trigger,
            f"""
            2026-06-08        silent
            2026-06-08 07:00  {stop}
            2026-06-08 08:00  ann: email_normalized = new@example.com, run
            2026-06-08 19:30  resume win_back, delivery
            """,
            until="2026-06-08",
            folder=stop.replace(" ", "_"),
        )
        assert mails == ["Mon 08 Jun 19:30 s0"], stop


def test_a_step_that_one_reader_does_not_get_is_not_lost_for_the_other(live):
    """On Wednesday, when it is Bob's turn, the condition is false; Ann's turn is still to come, so
    the step is not given up: both get it when the condition holds."""
    steps = "steps:\n  - {id: s0, after: 0d}\n  - {id: s1, after: 1d, when: ladder_step < 3}\n"
    mails = live(
        {
            "other": "audience: plan = 'pro'\nrecipients: contact_id = 'ann'\nlaunch: existing\n"
            "steps:\n  - {id: news, after: 0d}\n",
            "win_back": SILENT + "caps: {contact: 1/2d}\n" + steps,
        },
        """
        2026-06-08  plan = pro, ladder_step = 2
        2026-06-09  silent
        2026-06-10  ladder_step = 4
        2026-06-11  ladder_step = 2
        """,
        until="2026-06-13",
        people="ann of a1, bob of a1",
    )
    assert mails == [
        "Mon 08 Jun 09:00 news of other to ann",
        "Tue 09 Jun 09:00 s0 of win_back to bob",
        "Wed 10 Jun 09:00 s0 of win_back to ann",
        "Thu 11 Jun 09:00 s1 of win_back to bob",
        "Fri 12 Jun 09:00 s1 of win_back to ann",
    ]


def test_a_mail_that_is_withdrawn_stands_in_nobodys_way(live):
    """Ann moves to another account before the first one's mail left: the run that takes it back
    plans the other's."""
    mails = live(
        SILENT + "steps:\n  - {id: s0, after: 0d}\n",
        """
        2026-06-08        silent, bob: role = user, no mail
        2026-06-08 12:00  ann: account_id = a2
        2026-06-09 05:00  mail
        """,
        until="2026-06-12",
        people="ann of a1, bob of a2",
    )
    assert mails == ["Tue 09 Jun 09:00 s0 to ann"]
