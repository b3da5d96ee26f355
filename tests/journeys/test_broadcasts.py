"""A newsletter: one mail, on its day, to all who match then."""

NEWS = """
audience: stage = 'mature'
recipients: role = 'admin'
on: 2026-06-12
steps:
  - {id: news, after: 0d}
"""
BOTH = "ann of a1, bob of a2"


def test_news_goes_on_its_day_and_to_nobody_who_comes_later(live):
    days = """
        2026-06-08  a2: stage = adoption
        2026-06-15  a2: stage = mature
    """
    assert live({"news": NEWS}, days, until="2026-06-18", people=BOTH) == [
        "Fri 12 Jun 09:00 news to ann"
    ]


def test_news_whose_day_was_missed_by_little_goes_late(live):
    days = """
        2026-06-08        no runs
        2026-06-13 10:00  runs
    """
    news = NEWS.replace("steps:", "late: {after: 4d, do: skip}\nsteps:")
    assert live({"news": news}, days, until="2026-06-18") == ["Mon 15 Jun 09:00 news"]


def test_news_whose_day_was_missed_by_a_week_does_not_go(live):
    days = """
        2026-06-08  no runs
        2026-06-19  runs
    """
    assert live({"news": NEWS}, days, until="2026-06-18") == []


def test_news_on_a_holiday_goes_when_people_are_back(live):
    news = NEWS.replace("2026-06-12", "2026-05-04")
    assert live({"news": news}, "2026-05-01  active", until="2026-05-12") == [
        "Thu 07 May 09:00 news"
    ]


def test_news_goes_each_place_at_its_own_nine(live):
    days = "2026-06-08  a2: time_zone = America/New_York, a2: country_code = US"
    assert live({"news": NEWS}, days, until="2026-06-15", people=BOTH) == [
        "Fri 12 Jun 09:00 news to ann",
        "Fri 12 Jun 22:00 news to bob",
    ]
