"""Whom the mails of an account go to, and in which language."""

from journey import SILENT

TWO = """
steps:
  - {id: check_in,  after: 0d}
  - {id: last_call, after: 7d}
"""
BOTH = "ann of a1, bob of a1"


def test_everybody_whom_the_trigger_names_gets_a_mail(live):
    assert live(SILENT + TWO, "2026-06-10  silent", until="2026-06-12", people=BOTH) == [
        "Wed 10 Jun 09:00 check_in to ann",
        "Wed 10 Jun 09:00 check_in to bob",
    ]


def test_who_unsubscribes_gets_nothing_more_and_the_others_do(live):
    days = """
        2026-06-10        silent
        2026-06-12 15:00  ann: unsubscribes
    """
    assert live(SILENT + TWO, days, until="2026-06-18", people=BOTH) == [
        "Wed 10 Jun 09:00 check_in to ann",
        "Wed 10 Jun 09:00 check_in to bob",
        "Wed 17 Jun 09:00 last_call to bob",
    ]


def test_a_complaint_stops_even_a_mail_that_is_planned_already(live):
    days = """
        2026-06-10        silent
        2026-06-17 08:59  ann: complains
    """
    assert live(SILENT + TWO, days, until="2026-06-18") == ["Wed 10 Jun 09:00 check_in"]


def test_who_has_another_role_now_gets_nothing_more(live):
    days = """
        2026-06-10  silent
        2026-06-12  ann: role = user
    """
    assert live(SILENT + TWO, days, until="2026-06-18", people=BOTH) == [
        "Wed 10 Jun 09:00 check_in to ann",
        "Wed 10 Jun 09:00 check_in to bob",
        "Wed 17 Jun 09:00 last_call to bob",
    ]


def test_who_joins_later_does_not_enter_in_the_middle(live):
    days = """
        2026-06-10  silent, bob: role = user
        2026-06-12  bob: role = admin
    """
    assert live(SILENT + TWO, days, until="2026-06-18", people=BOTH) == [
        "Wed 10 Jun 09:00 check_in to ann",
        "Wed 17 Jun 09:00 last_call to ann",
    ]


def test_who_left_the_company_gets_nothing_more(prepare):
    days = """
        2026-06-10  silent
        2026-06-12  ann: deleted
    """
    journey = prepare(SILENT + TWO)
    assert journey.live(days, until="2026-06-18") == ["Wed 10 Jun 09:00 check_in"]
    assert "Wed 17 Jun contact_gone" in journey.withheld


def test_without_consent_no_mail(prepare):
    journey = prepare(SILENT + TWO)
    days = "2026-06-10  silent, ann: consent_basis = null"
    assert journey.live(days, until="2026-06-10") == []
    assert journey.withheld == ["Wed 10 Jun no_consent"]


def test_a_new_address_is_written_to_from_the_next_mail_on(prepare):
    journey = prepare(SILENT + TWO)
    days = """
        2026-06-10  silent
        2026-06-12  ann: email = ann.ito@example.com
    """
    assert len(journey.live(days, until="2026-06-18")) == 2
    assert [mail.send.address for mail in journey.left] == [
        "ann@example.com",
        "ann.ito@example.com",
    ]


LANGUAGES = {"check_in": "en ja"}
ONE = """
steps:
  - {id: check_in, after: 0d}
"""


def test_each_reads_their_own_language_else_the_accounts_else_the_companys(live):
    days = """
        2026-06-10  silent, a1: locale = ja, bob: locale = en-GB, eve: locale = fr
    """
    people = "ann of a1, bob of a1, eve of a2"
    assert live(SILENT + ONE, days, until="2026-06-10", people=people, mails_in=LANGUAGES) == [
        "Wed 10 Jun 09:00 check_in to ann in ja",  # the account's
        "Wed 10 Jun 09:00 check_in to bob in en",  # English will do for en-GB
        "Wed 10 Jun 09:00 check_in to eve in en",  # no French mail, no locale: the company's
    ]
