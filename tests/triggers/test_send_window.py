"""When a mail may go, in the account's own local time."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lifecycle.calendar import weekend_of
from lifecycle.triggers.send_window import Delay, SendWindow, first_moment

BERLIN, NEW_YORK, SYDNEY, TOKYO = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Asia/Tokyo",
)


def local(zone, text):
    """A local time, as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def shown(moment, zone):
    """A moment as the clock on the wall shows it there."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M")


def window(**keys):
    return SendWindow.model_validate(keys)


# Delays. ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "zone", "country", "start", "end"),
    [
        ("0d", TOKYO, "JP", "2026-06-10 10:00", "Wed 2026-06-10 10:00"),
        ("3d", TOKYO, "JP", "2026-06-10 10:00", "Sat 2026-06-13 10:00"),
        ("6h", TOKYO, "JP", "2026-06-10 22:00", "Thu 2026-06-11 04:00"),
        # Leap day.
        ("1d", TOKYO, "JP", "2028-02-28 10:00", "Tue 2028-02-29 10:00"),
        ("365d", TOKYO, "JP", "2028-02-29 10:00", "Wed 2029-02-28 10:00"),
        ("1bd", TOKYO, "JP", "2028-02-29 10:00", "Wed 2028-03-01 10:00"),
        # Business days: the day of the start never counts.
        ("1bd", TOKYO, "JP", "2026-06-12 10:00", "Mon 2026-06-15 10:00"),
        ("1bd", TOKYO, "JP", "2026-06-14 10:00", "Mon 2026-06-15 10:00"),
        ("5bd", TOKYO, "JP", "2026-06-10 10:00", "Wed 2026-06-17 10:00"),
        ("0bd", TOKYO, "JP", "2026-06-14 10:00", "Sun 2026-06-14 10:00"),
        # Golden Week: 29 April, 3 to 6 May 2026.
        ("1bd", TOKYO, "JP", "2026-05-01 10:00", "Thu 2026-05-07 10:00"),
        ("5bd", TOKYO, "JP", "2026-04-28 10:00", "Mon 2026-05-11 10:00"),
        ("5bd", TOKYO, "DE", "2026-04-28 10:00", "Wed 2026-05-06 10:00"),
        ("5bd", TOKYO, None, "2026-04-28 10:00", "Tue 2026-05-05 10:00"),
        # Spring forward: days keep the clock's time, hours do not.
        ("1d", BERLIN, "DE", "2026-03-28 09:00", "Sun 2026-03-29 09:00"),
        ("24h", BERLIN, "DE", "2026-03-28 09:00", "Sun 2026-03-29 10:00"),
        ("1d", BERLIN, "DE", "2026-03-28 02:30", "Sun 2026-03-29 03:00"),
        ("1d", NEW_YORK, "US", "2026-03-07 02:30", "Sun 2026-03-08 03:00"),
        ("24h", NEW_YORK, "US", "2026-03-07 09:00", "Sun 2026-03-08 10:00"),
        ("1d", SYDNEY, "AU", "2026-10-03 02:15", "Sun 2026-10-04 03:00"),
        ("1bd", SYDNEY, "AU", "2026-10-02 09:00", "Mon 2026-10-05 09:00"),
        # Fall back.
        ("1d", BERLIN, "DE", "2026-10-24 09:00", "Sun 2026-10-25 09:00"),
        ("24h", BERLIN, "DE", "2026-10-24 09:00", "Sun 2026-10-25 08:00"),
        ("24h", NEW_YORK, "US", "2026-10-31 09:00", "Sun 2026-11-01 08:00"),
        ("24h", SYDNEY, "AU", "2026-04-04 09:00", "Sun 2026-04-05 08:00"),
    ],
)
def test_a_delay_ends_when_people_expect(delay, zone, country, start, end):
    after = Delay.parse(delay).add_to(local(zone, start), zone, country)
    assert after.tzinfo is UTC
    assert shown(after, zone) == end


def test_a_local_time_that_happens_twice_is_its_first_occurrence():
    start = local(BERLIN, "2026-10-24 02:30")
    after = Delay.parse("1d").add_to(start, BERLIN, "DE")
    assert after == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 again
    assert shown(Delay.parse("7d").add_to(second, BERLIN, "DE"), BERLIN) == "Sun 2026-11-01 02:30"
    next_year = Delay.parse("371d").add_to(second, BERLIN, "DE")
    assert next_year == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)


def test_a_local_time_that_is_skipped_is_the_end_of_the_gap():
    gap = first_moment(date(2026, 3, 29), time(2, 0), ZoneInfo(BERLIN))
    assert gap == first_moment(date(2026, 3, 29), time(2, 59), ZoneInfo(BERLIN))
    assert gap == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    # A whole day that an island skipped.
    skipped = first_moment(date(2011, 12, 30), time(9), ZoneInfo("Pacific/Apia"))
    assert shown(skipped, "Pacific/Apia") == "Sat 2011-12-31 00:00"
    # Half an hour, at Lord Howe.
    howe = first_moment(date(2026, 10, 4), time(2, 10), ZoneInfo("Australia/Lord_Howe"))
    assert shown(howe, "Australia/Lord_Howe") == "Sun 2026-10-04 02:30"


@pytest.mark.parametrize("text", ["5", "3w", "-1d", "1.5d", "", "d", "5 days", None, 5, "1d2h"])
def test_what_is_no_delay_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a delay; write .* as 6h, 3d or 5bd"):
        Delay.parse(text)


@pytest.mark.parametrize("text", ["3661d", "2611bd", "8785h", "999999d"])
def test_a_delay_of_more_than_ten_years_is_refused(text):
    with pytest.raises(ValueError, match="is too long; at most"):
        Delay.parse(text)


# Windows. ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "zone", "country", "moment", "opens"),
    [
        ({}, TOKYO, "JP", "2026-06-10 06:00", "Wed 2026-06-10 09:00"),
        ({}, TOKYO, "JP", "2026-06-10 09:00", "Wed 2026-06-10 09:00"),
        ({}, TOKYO, "JP", "2026-06-10 16:59", "Wed 2026-06-10 16:59"),
        ({}, TOKYO, "JP", "2026-06-10 17:00", "Thu 2026-06-11 09:00"),
        ({}, TOKYO, "JP", "2026-06-12 17:00", "Mon 2026-06-15 09:00"),
        # Golden Week is shut for Japan, not for others, and not where nobody's holidays count.
        ({}, TOKYO, "JP", "2026-05-01 18:00", "Thu 2026-05-07 09:00"),
        ({}, TOKYO, "DE", "2026-05-01 08:00", "Mon 2026-05-04 09:00"),
        ({}, TOKYO, None, "2026-05-01 08:00", "Fri 2026-05-01 09:00"),
        ({"holidays": "none"}, TOKYO, "JP", "2026-05-04 08:00", "Mon 2026-05-04 09:00"),
        ({"holidays": "JP"}, BERLIN, "DE", "2026-05-04 08:00", "Thu 2026-05-07 09:00"),
        # New Year.
        ({}, NEW_YORK, "US", "2026-12-31 17:00", "Mon 2027-01-04 09:00"),
        # Days and hours of one's own.
        ({"days": ["tue"]}, TOKYO, "JP", "2026-06-10 09:00", "Tue 2026-06-16 09:00"),
        ({"days": "sat-mon"}, TOKYO, "JP", "2026-06-10 09:00", "Sat 2026-06-13 09:00"),
        ({"to": "24:00"}, TOKYO, "JP", "2026-06-10 23:59", "Wed 2026-06-10 23:59"),
        # Nights of a clock change.
        (
            {"days": "sun", "from": "02:30", "to": "05:00"},
            BERLIN, "DE", "2026-03-28 12:00", "Sun 2026-03-29 03:00",
        ),
        (
            {"days": "sun", "from": "02:00", "to": "03:00"},
            BERLIN, "DE", "2026-03-28 12:00", "Sun 2026-04-05 02:00",
        ),
        (
            {"days": "sun", "from": "09:00"},
            SYDNEY, "AU", "2026-10-03 12:00", "Sun 2026-10-04 09:00",
        ),
        (
            {"days": "sun", "from": "02:15", "to": "05:00", "holidays": "none"},
            NEW_YORK, "US", "2026-03-07 12:00", "Sun 2026-03-08 03:00",
        ),
        # Leap day.
        ({}, TOKYO, "JP", "2028-02-28 17:00", "Tue 2028-02-29 09:00"),
    ],
)  # fmt: skip
def test_the_window_opens_when_people_expect(keys, zone, country, moment, opens):
    result = window(**keys).next_open(local(zone, moment), zone, country)
    assert result.tzinfo is UTC
    assert shown(result, zone) == opens


def test_an_hour_that_happens_twice_is_open_without_a_break():
    night = window(days="sun", **{"from": "02:30"}, to="05:00")
    assert night.next_open(local(BERLIN, "2026-10-25 00:00"), BERLIN, "DE") == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )
    assert night.is_open(datetime(2026, 10, 25, 1, 10, tzinfo=UTC), BERLIN, "DE")  # 02:10 again


def test_to_is_exclusive():
    end = local(TOKYO, "2026-06-10 17:00")
    assert not SendWindow().is_open(end, TOKYO, "JP")
    assert SendWindow().is_open(end - timedelta(microseconds=1), TOKYO, "JP")


def test_a_window_that_never_opens_says_so():
    never = SendWindow.model_construct(
        days=frozenset(), from_=time(9), to=time(17), holidays="none"
    )
    assert never.next_open(local(TOKYO, "2026-06-10 10:00"), TOKYO, "JP") is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"days": []}, "names no day, so the window never opens"),
        ({"days": "mon-fry"}, "'fry' is not a day; write mon, tue"),
        ({"days": "weekdays"}, "'weekdays' is not a day"),
        ({"from": "9am"}, 'is not a time of day; write it as "09:00"'),
        ({"from": 540}, "is not a time of day"),
        ({"from": "24:00"}, "is not a time of day"),
        ({"to": "25:00"}, "is not a time of day"),
        ({"to": "09:61"}, "is not a time of day"),
        ({"to": "00:00"}, 'write the end of the day as "24:00"'),
        ({"from": "17:00"}, "from 17:00 is not before to 17:00"),
        ({"from": "22:00", "to": "02:00"}, "a window over midnight is not supported"),
        ({"holidays": "Japan"}, "neither account nor none nor a country code such as JP"),
        ({"holidays": "acount"}, 'did you mean "account"?'),
        ({"zone": "UTC"}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_no_window_is_refused(keys, message):
    with pytest.raises(ValidationError) as caught:
        window(**keys)
    assert message in str(caught.value)


def test_a_window_reads_as_it_was_meant():
    assert str(SendWindow()) == "mon, tue, wed, thu, fri 09:00-17:00, holidays: account"
    assert str(window(days="sat,sun", to="24:00")) == "sat, sun 09:00-24:00, holidays: account"


# For all moments. ------------------------------------------------------------------------

ZONES = [BERLIN, NEW_YORK, SYDNEY, TOKYO, "Pacific/Apia", "Australia/Lord_Howe", "UTC",
         "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Casablanca"]  # fmt: skip
moments = st.one_of(
    st.datetimes(datetime(2024, 1, 1), datetime(2029, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    # Around the clock changes of Europe, America and Australia in 2026.
    st.builds(
        lambda day, seconds: datetime.fromisoformat(day + "T00:00Z") + timedelta(seconds=seconds),
        st.sampled_from(["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05"]),
        st.integers(-90_000, 90_000),
    ),
)
zones = st.sampled_from(ZONES)
countries = st.sampled_from(["DE", "US", "AU", "JP", "SA", None])
units = st.sampled_from(["h", "d", "bd"])


@st.composite
def windows(draw):
    first, last = sorted(draw(st.lists(st.integers(0, 96), min_size=2, max_size=2, unique=True)))
    days = draw(st.lists(st.sampled_from(["mon", "wed", "fri", "sat", "sun"]), min_size=1))
    return window(
        days=[*days, "mon"] if set(days) == {"fri"} else days,  # where Fridays are free, never
        holidays=draw(st.sampled_from(["account", "none", "JP"])),
        to=f"{last // 4}:{last % 4 * 15:02}",
        **{"from": f"{first // 4}:{first % 4 * 15:02}"},
    )


def test_a_window_of_fridays_never_opens_where_fridays_are_free():
    fridays = window(days=["fri"], holidays="none")
    assert fridays.next_open(local(BERLIN, "2026-06-10 09:00"), "Asia/Riyadh", "SA") is None
    assert fridays.next_open(local(BERLIN, "2026-06-10 09:00"), BERLIN, "DE") is not None


@given(windows(), moments, zones, countries)
def test_the_next_opening_is_open_and_nothing_before_it_is(hours, moment, zone, country):
    opens = hours.next_open(moment, zone, country)
    assert opens is not None
    assert opens >= moment
    assert hours.is_open(opens, zone, country)
    assert hours.next_open(opens, zone, country) == opens
    assert hours.is_open(moment, zone, country) == (opens == moment)
    if opens > moment:
        assert not hours.is_open(opens - timedelta(microseconds=1), zone, country)
        between = moment + (opens - moment) / 2
        assert hours.next_open(between, zone, country) == opens


@given(windows(), moments, st.timedeltas(timedelta(0), timedelta(days=9)), zones, countries)
def test_a_later_moment_never_opens_sooner(hours, moment, later, zone, country):
    first = hours.next_open(moment, zone, country)
    second = hours.next_open(moment + later, zone, country)
    assert first <= second


@given(windows(), moments, zones, countries)
def test_an_opening_is_within_the_hours_on_the_wall(hours, moment, zone, country):
    opens = hours.next_open(moment, zone, country).astimezone(ZoneInfo(zone))
    assert opens.weekday() in hours.days
    assert opens.time() >= hours.from_ or opens.fold == 1


@given(moments, zones, countries, units, st.integers(0, 40), st.integers(0, 40))
def test_a_longer_delay_never_ends_sooner(start, zone, country, unit, first, other):
    shorter, longer = sorted((first, other))
    ends = [Delay(count, unit).add_to(start, zone, country) for count in (shorter, longer)]
    assert start <= ends[0] <= ends[1]


@given(moments, zones, countries, st.integers(1, 20))
def test_business_days_end_on_a_day_of_work_and_are_never_shorter_than_days(
    start, zone, country, count
):
    end = Delay(count, "bd").add_to(start, zone, country)
    assert end.astimezone(ZoneInfo(zone)).weekday() not in weekend_of(country)
    assert end >= Delay(count, "d").add_to(start, zone, country)


@given(moments, st.timedeltas(timedelta(0), timedelta(days=3)), zones, countries, units)
def test_who_starts_later_never_ends_on_an_earlier_day(start, later, zone, country, unit):
    delay = Delay(3, unit)
    first, second = (
        delay.add_to(at, zone, country).astimezone(ZoneInfo(zone)).date()
        for at in (start, start + later)
    )
    assert first <= second


# Several zones. -----------------------------------------------------------------------------

US = ("America/New_York", "America/Los_Angeles", "Pacific/Honolulu")


def test_a_window_over_several_zones_is_open_where_all_are() -> None:
    window = SendWindow()
    morning = datetime(2026, 6, 10, 13, tzinfo=UTC)  # 9 in New York
    opens = window.next_open(morning, US, "US")
    assert opens == datetime(2026, 6, 10, 19, tzinfo=UTC)  # 9 in Honolulu
    assert window.closes(opens, US, "US") == datetime(2026, 6, 10, 21, tzinfo=UTC)  # 17 in New York
    assert not window.is_open(morning, US, "US")


@given(
    hour=st.integers(0, 24 * 300),
    hours=st.integers(1, 23),
)
def test_every_moment_that_it_gives_is_inside_the_window_in_every_zone(
    hour: int, hours: int
) -> None:
    window = SendWindow.model_validate({"from": "00:00", "to": f"{hours}:30", "holidays": "none"})
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    opens = window.next_open(moment, US, "US")
    if opens is None:
        assert hours < 7
        return
    closes = window.closes(opens, US, "US")
    assert closes is not None
    for zone in US:
        for at in (opens, closes - timedelta(seconds=1)):
            there = at.astimezone(ZoneInfo(zone))
            assert (there.weekday() < 5, there.hour * 60 + there.minute < hours * 60 + 30) == (
                True,
                True,
            )


def test_zones_that_share_no_hour_never_open() -> None:
    russia = ("Europe/Kaliningrad", "Asia/Kamchatka")
    assert SendWindow().next_open(datetime(2026, 6, 10, tzinfo=UTC), russia, "RU") is None
