"""An account's place is corrected; a feed is late that the trigger does not ask about."""

from __future__ import annotations

from journey import SILENT


def test_a_country_without_the_holiday_brings_the_next_step_forward(live):
    """The 29th of April is a holiday in Japan, and none in Germany."""
    mails = live(
        SILENT + "late: {after: 8h}\nsteps:\n  - {id: s0, after: 0d}\n  - {id: s1, after: 1d}\n",
        """
        2026-04-28        silent
        2026-04-28 12:00  country_code = DE
        """,
        until="2026-05-01",
    )
    assert mails == ["Tue 28 Apr 09:00 s0", "Wed 29 Apr 09:00 s1"]


def test_a_late_feed_hides_nobody_from_a_trigger_that_does_not_ask_for_it(live):
    trigger = (
        "audience: plan = 'pro'\nrecipients: role = 'admin'\nlaunch: existing\n"
        "steps:\n  - {id: s0, after: 0d}\n"
    )
    days = """
        2026-06-08  plan = pro
        2026-06-09  plan = trial, feed late
        2026-06-10  plan = pro, feed fresh
    """
    mails = live(trigger, days, until="2026-06-11")
    assert mails == ["Mon 08 Jun 09:00 s0", "Wed 10 Jun 09:00 s0"]
