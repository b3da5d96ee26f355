"""What account owners are told in the morning: once, in their language, and never half."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copytree, rmtree

import duckdb
import pytest
from sqlalchemy import select

from company import Company, Marts, utc
from lifecycle.authoring.trigger_check import check
from lifecycle.document import as_text
from lifecycle.ledger import runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.suppressions import suppress
from lifecycle.ledger.tables import State, owner_news, sends
from lifecycle.mail.deliver import deliver
from lifecycle.mail.message import Message
from lifecycle.planning.owner_lists import OwnerLists, plan_lists
from lifecycle.planning.owner_news import LONGEST
from lifecycle.planning.plan import plan
from lifecycle.settings import CHECKOUT, Settings, load
from lifecycle.whatif.owner_lists import owners

WEDNESDAY = utc("2026-06-10 01:00")
"""10:00 in Tokyo."""

ACCOUNT = {
    "owner_name": "Mei Kondo",
    "owner_email": "Mei.Kondo@example.com",
    "is_churned": False,
    "days_silent": 26,
    "dormancy_limit_days": 18,
    "last_active_at": utc("2026-05-14 18:00").replace(tzinfo=None),
    "stage": "mature",
}
A1 = {**ACCOUNT, "account_id": "A1", "name": "若竹設備株式会社", "mrr": 10.0}
A2 = {
    **ACCOUNT,
    "account_id": "A2",
    "name": "Oakhaven Travel",
    "mrr": 900.0,
    "touch_model": "high",
    "stage": "renewal",
    "days_to_renewal": 8,
    "renewal_at": utc("2026-06-18 00:00").replace(tzinfo=None),
}
BO = {**ACCOUNT, "account_id": "B1", "owner_name": "Bo", "owner_email": "bo@example.com"}
NOBODY = {**ACCOUNT, "account_id": "N1", "owner_email": None, "owner_name": None}

News = Sequence[tuple[str, str]]


class Owned:
    """A company with owners, on a ledger of either engine."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder = folder
        Company(folder)
        copytree(CHECKOUT / "email_templates" / "_owner_list", self.templates)
        self.ledger = ledger
        self.runs = 0
        self.settings.state_dir.mkdir(parents=True)

    @property
    def templates(self) -> Path:
        return self.folder / "email_templates" / "_owner_list"

    @property
    def settings(self) -> Settings:
        return load(self.folder / "lifecycle.toml")

    def publish(
        self, news: News, *accounts: dict[str, object], feed: str = "fresh", days_old: int = 0
    ) -> None:
        with duckdb.connect(self.settings.published_db) as db:
            marts = Marts(db)
            marts.accounts({**item, "feed_status": feed} for item in accounts or (A1, A2, BO))
            marts.feed(feed)
            db.execute(
                "create or replace table marts.account_news (account_id varchar, kind varchar,"
                " urgency integer, days_old integer, usage_band_before varchar,"
                " satisfaction_band_before varchar)"
            )
            order = ("dormant", "usage_red", "renewal", "upsell")
            for account_id, kind in news:
                db.execute(
                    "insert into marts.account_news values (?, ?, ?, ?, 'green', null)",
                    [account_id, kind, order.index(kind), days_old if kind == "dormant" else None],
                )

    def run(self, at: datetime = WEDNESDAY, **asked: bool) -> OwnerLists:
        self.runs += 1
        name = f"r{self.runs}"
        runs.begin(self.ledger, run_id=name, as_of=at, source="files")
        owner_lists = plan_lists(self.settings, self.ledger, run_id=name, as_of=at, **asked)
        runs.finish(self.ledger, run_id=name, status="done", report={})
        return owner_lists

    def deliver(self, at: datetime = WEDNESDAY) -> list[Message]:
        """Deliver; the mails that came into the outbox."""
        before = set(self.settings.outbox_dir.glob("*.eml"))
        deliver(self.settings, self.ledger, now=at)
        new = set(self.settings.outbox_dir.glob("*.eml")) - before
        return sorted((Message.from_bytes(entry.read_bytes()) for entry in new), key=_to)

    def states(self) -> dict[str, str]:
        with self.ledger.read() as connection:
            return {row.address: row.state for row in connection.execute(select(sends))}


def _to(message: Message) -> str:
    return message.to_email


def summary(owner_lists: OwnerLists) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    return {
        owner_list.news.address: [
            (entry.account_id, entry.news) for entry in owner_list.news.entries
        ]
        for owner_list in owner_lists.lists
    }


@pytest.fixture
def owned(ledger_url: str, tmp_path: Path) -> Iterator[Owned]:
    with Ledger.open(ledger_url) as ledger:
        yield Owned(tmp_path / "company", ledger)


def test_each_owner_gets_one_mail_with_what_is_new_most_urgent_first(owned: Owned) -> None:
    owned.publish([("A1", "dormant"), ("A2", "renewal"), ("A2", "dormant"), ("B1", "upsell")])
    result = owned.run()
    assert summary(result) == {
        "bo@example.com": [("B1", ("upsell",))],
        # Both are dormant; the one that pays more comes first, with all that is new about it.
        "mei.kondo@example.com": [("A2", ("dormant", "renewal")), ("A1", ("dormant",))],
    }
    bo, mei = owned.deliver()
    assert (mei.to_name, mei.to_email, mei.locale) == ("Mei Kondo", "mei.kondo@example.com", "en")
    assert mei.subject == "2 to look at today: Oakhaven Travel and more"
    assert "Dormant: silent for 26 days; its limit is 18." in mei.body
    assert "Renewal near: in 8 days, on 18 June 2026." in mei.body
    assert "High touch: no step mails go to it" in mei.body
    assert "Look first: the renewal. It comes in 8 days" in mei.body
    assert mei.list_unsubscribe is None, "who works here cannot unsubscribe"
    assert b"List-Unsubscribe" not in mei.as_bytes()
    assert "Leave:" not in mei.body, "no footer"
    assert bo.subject == "1 to look at today: Example Inc"


def test_of_the_dormant_those_that_do_not_come_back_by_themselves_are_first(owned: Owned) -> None:
    chances = {"likely": 0.72, "pays little": 0.18, "pays": 0.22, "hardly": 0.0, "never came": None}
    accounts = [
        {**A1, "account_id": name, "p_return_28d": chance, "mrr": 900.0 if name == "pays" else 10.0}
        for name, chance in chances.items()
    ]
    owned.publish([(name, "dormant") for name in chances], *accounts)
    owned.run()
    (mail,) = owned.deliver()
    places = [mail.body.index(f"({name})") for name in reversed(chances)]
    assert places == sorted(places)
    lines = " ".join(mail.body.split())
    for words in ("less than 1 in 20.", "about 2 in 10.", "about 7 in 10."):
        assert f"That it comes back by itself within four weeks: {words}" in lines


def test_nothing_new_no_mail(owned: Owned) -> None:
    owned.publish([("A1", "dormant")])
    owned.run()
    assert len(owned.deliver()) == 1
    assert owned.run(WEDNESDAY + timedelta(days=1)).lists == []
    assert owned.deliver(WEDNESDAY + timedelta(days=1)) == []


def test_what_was_over_and_comes_back_is_new(owned: Owned) -> None:
    for day, news in enumerate([["dormant"], [], ["dormant"]]):
        owned.publish([("A1", kind) for kind in news])
        result = owned.run(WEDNESDAY + timedelta(days=day))
        assert len(result.lists) == len(news)
        assert len(owned.deliver(WEDNESDAY + timedelta(days=day))) == len(news)


def test_a_new_owner_is_told_what_the_one_before_knew(owned: Owned) -> None:
    owned.publish([("A1", "dormant")], days_old=7)
    owned.run()
    assert len(owned.deliver()) == 1
    handed_over = {**A1, "owner_name": "Bo", "owner_email": " Bo@example.com"}
    for day, lists in (1, [("A1", ("dormant",))]), (2, None):
        owned.publish([("A1", "dormant")], handed_over, days_old=7 + day)
        result = owned.run(WEDNESDAY + timedelta(days=day))
        assert summary(result) == ({"bo@example.com": lists} if lists else {})
        assert len(owned.deliver(WEDNESDAY + timedelta(days=day))) == len(result.lists)


def test_the_first_list_leaves_out_what_began_long_ago(owned: Owned) -> None:
    old = [("A1", "dormant"), ("A2", "renewal")]
    owned.publish(old, days_old=8)
    assert summary(owned.run()) == {"mei.kondo@example.com": [("A2", ("renewal",))]}
    owned.deliver()
    owned.publish(old, days_old=9)
    assert owned.run(WEDNESDAY + timedelta(days=1)).lists == []
    owned.publish([("A1", "dormant")], days_old=8)  # it came back, and fell silent since
    assert len(owned.run(WEDNESDAY + timedelta(days=1)).lists) == 1


def test_a_late_feed_ends_nothing_but_what_does_not_need_it(owned: Owned) -> None:
    owned.publish([("A1", "dormant"), ("A2", "renewal")])
    owned.run()
    owned.publish([], feed="late")
    assert owned.run(WEDNESDAY + timedelta(hours=1)).over == [("A2", "renewal")]
    owned.publish([("A1", "dormant")])
    assert owned.run(WEDNESDAY + timedelta(days=1)).lists == []


def test_more_on_the_same_day_waits_for_the_next_list(owned: Owned) -> None:
    owned.publish([("A1", "dormant")])
    owned.run()
    owned.publish([("A1", "dormant"), ("A2", "renewal")])
    result = owned.run(WEDNESDAY + timedelta(hours=2))
    assert (result.lists, result.waiting) == ([], 1)
    tomorrow = owned.run(WEDNESDAY + timedelta(days=1))
    assert summary(tomorrow) == {"mei.kondo@example.com": [("A2", ("renewal",))]}


def test_what_a_list_has_no_room_for_comes_with_the_next(owned: Owned) -> None:
    many = [{**A1, "account_id": f"M{number:02}", "mrr": -number} for number in range(LONGEST + 2)]
    owned.publish([(str(row["account_id"]), "dormant") for row in many], *many)
    assert owned.run().accounts == LONGEST
    (mail,) = owned.deliver()
    assert f"(M{LONGEST - 1:02})" in mail.body
    assert f"(M{LONGEST:02})" not in mail.body
    assert "… and 2 more" in mail.body
    tomorrow = owned.run(WEDNESDAY + timedelta(days=1))
    assert [account for account, _ in summary(tomorrow)["mei.kondo@example.com"]] == [
        f"M{LONGEST:02}",
        f"M{LONGEST + 1:02}",
    ]


def test_what_nobody_read_is_told_again(owned: Owned) -> None:
    owned.publish([("A1", "dormant")])
    owned.run()
    thursday = WEDNESDAY + timedelta(days=1)
    assert owned.deliver(thursday) == [], "yesterday's list is no list for today"
    assert owned.states() == {"mei.kondo@example.com": "expired"}
    assert summary(owned.run(thursday)) == {"mei.kondo@example.com": [("A1", ("dormant",))]}
    assert len(owned.deliver(thursday)) == 1


def test_a_list_goes_at_its_hour_on_business_days(owned: Owned) -> None:
    owned.publish([("A1", "dormant")])
    saturday = utc("2026-06-13 01:00")
    assert owned.run(saturday).resting == "it is no business day"
    six = utc("2026-06-14 21:00")  # Monday in Tokyo
    assert len(owned.run(six).lists) == 1
    assert owned.deliver(six) == []
    assert len(owned.deliver(six + timedelta(hours=2))) == 1


def test_a_bounced_or_missing_address_is_said_and_never_mailed(owned: Owned) -> None:
    suppress(owned.ledger, "bo@example.com", reason="bounced", by="test")
    owned.publish([("N1", "dormant"), ("B1", "dormant")], NOBODY, BO)
    result = owned.run()
    assert result.lists == []
    assert [(address.entries[0].account_id, why) for address, why in result.unreached] == [
        ("N1", "it has no owner's address"),
        ("B1", "the owner's address is suppressed: bounced"),
    ]
    page = as_text(owners(owned.settings, owned.ledger, as_of=WEDNESDAY).as_document())
    assert "Example Inc  N1  dormant  it has no owner's address" in page


def test_an_address_that_bounces_after_planning_is_not_mailed(owned: Owned) -> None:
    owned.publish([("A1", "dormant")])
    owned.run()
    suppress(owned.ledger, "mei.kondo@example.com", reason="bounced", by="test")
    assert owned.deliver() == []
    assert owned.states() == {"mei.kondo@example.com": "suppressed"}


def test_a_crash_never_sends_it_twice(owned: Owned) -> None:
    owned.publish([("A1", "dormant")])
    owned.run()
    assert len(owned.deliver()) == 1
    with owned.ledger.write() as connection:  # the process died before it wrote this down
        connection.execute(
            sends.update().values(
                state=State.ATTEMPTING, lease_owner="gone:1:0.00", lease_until=WEDNESDAY
            )
        )
    assert owned.deliver() == []
    assert owned.states() == {"mei.kondo@example.com": "accepted"}
    assert owned.run(WEDNESDAY + timedelta(hours=1)).lists == []


def test_a_crash_while_planning_leaves_nothing_half(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned.publish([("A1", "dormant")])

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("lifecycle.planning.owner_lists._forget", dies)
        with pytest.raises(KeyboardInterrupt):
            owned.run()
    assert owned.states() == {}
    assert len(owned.run().lists) == 1


def test_a_dry_run_and_a_look_write_nothing(owned: Owned) -> None:
    owned.publish([("A1", "dormant")])
    assert len(owned.run(dry_run=True).lists) == 1
    seen = owners(owned.settings, owned.ledger, as_of=WEDNESDAY)
    assert [owner_list["to"] for owner_list in seen.as_json()["lists"]] == ["mei.kondo@example.com"]
    assert "若竹設備株式会社" in as_text(seen.as_document())
    with owned.ledger.read() as connection:
        for table in (sends, owner_news):
            assert connection.execute(select(table)).all() == []
    owned.run()
    seen = owners(owned.settings, owned.ledger, as_of=WEDNESDAY)
    assert [owner_list["state"] for owner_list in seen.as_json()["lists"]] == ["planned"]


def test_an_owner_reads_the_language_of_their_accounts(owned: Owned) -> None:
    owned.publish([("A1", "dormant"), ("B1", "upsell")], {**A1, "locale": "ja-JP"}, BO)
    owned.run()
    bo, mei = owned.deliver()
    assert (bo.locale, mei.locale) == ("en", "ja")
    assert mei.subject == "本日ご確認いただきたい1社：若竹設備株式会社"
    assert "休眠：26日間ご利用がありません（この会社の上限は18日）" in mei.body
    assert "まず確認：最後のご利用日（2026年5月15日）の前後で何が変わったか" in mei.body


def test_the_setting_says_otherwise(owned: Owned) -> None:
    toml = owned.folder / "lifecycle.toml"
    toml.write_text(toml.read_text() + '\n[owners]\nlocales = {"bo@example.com" = "ja"}\n')
    owned.publish([("B1", "upsell")])
    assert [owner_list.send.locale for owner_list in owned.run().lists] == ["ja"]
    toml.write_text(toml.read_text().replace("locales =", "morning_list = false\nlocales ="))
    owned.publish([("A1", "upsell")])
    assert owned.run(WEDNESDAY + timedelta(days=1)).resting == "owners.morning_list is off"


def test_a_company_without_a_list_of_its_own_has_this_projects(owned: Owned) -> None:
    rmtree(owned.templates)
    toml = owned.folder / "lifecycle.toml"
    toml.write_text(toml.read_text().replace('locale = "en"', 'locale = "fr"'))
    owned.publish([("A1", "dormant")])
    assert [owner_list.send.locale for owner_list in owned.run().lists] == ["en"]


def test_a_list_that_cannot_be_written_is_said_and_stops_nothing(owned: Owned) -> None:
    (owned.templates / "morning.en.txt").write_text("Subject: hi\n\n{{ owner.nam }}\n")
    owned.publish([("A1", "dormant")])
    result = owned.run()
    assert result.lists == []
    assert "morning.en.txt:3: owner.nam does not exist" in result.unreached[0][1]
    problems = check(owned.settings)
    assert any("there is no owner.nam" in str(problem) for problem in problems)


def test_the_planner_leaves_the_lists_alone(owned: Owned) -> None:
    owned.publish([("A1", "dormant")])
    at = utc("2026-06-09 21:00")  # 06:00 in Tokyo: it waits for eight
    owned.run(at)
    plan_result = plan(owned.settings, owned.ledger, run_id="r1", as_of=at)
    assert not plan_result.decisions.withdrawals
    assert len(owned.deliver(at + timedelta(hours=2))) == 1


@pytest.mark.parametrize("outcome_at", [None, utc("2026-06-01 00:00").replace(tzinfo=None)])
def test_an_outcome_that_came_late_is_no_risk_to_the_renewal(
    outcome_at: datetime | None, render_news: Callable[..., str]
) -> None:
    text = render_news(
        "renewal", "en", onboarding_status="missed", first_outcome_at=outcome_at, usage_band="green"
    )
    assert ("the account is not well" in " ".join(text.split())) is (outcome_at is None)


def test_a_date_is_the_accounts_own_and_agrees_with_the_days_to_it(
    render_news: Callable[..., str],
) -> None:
    there = {"time_zone": "America/New_York", "days_to_renewal": 9, "first_outcome_at": None}
    text = " ".join(render_news("renewal", "en", **there).split())
    assert "as of Wednesday 10 June" in text
    assert "in 7 days, on 17 June 2026" in text, "18 June begins at 20:00 of the 17th there"
    well = {"is_dormant": True, "stage": "mature"}
    silent = " ".join(render_news("dormant", "en", **there, **well).split())
    assert "what changed around 14 May 2026" in silent
    passed = {"renewal_at": utc("2026-06-10 01:00").replace(tzinfo=None)}
    assert "today, on 9 June" in " ".join(render_news("renewal", "en", **there, **passed).split())


@pytest.mark.parametrize("locale", ["en", "ja"])
@pytest.mark.parametrize(
    "kind",
    [
        *("dormant", "onboarding_missed", "onboarding_at_risk", "usage_red", "usage_yellow"),
        *("satisfaction_red", "satisfaction_yellow", "renewal", "upsell"),
    ],
)
def test_every_kind_of_news_has_its_reason_and_its_look(
    tmp_path: Path, kind: str, locale: str, render_news: Callable[..., str]
) -> None:
    bare = dict.fromkeys(("last_active_at", "owner_email", "plan", "purpose"))
    batch = {"usage_health": 34.4, "usage_band": "red", "seats": 12, "p_return_28d": 0.3}
    for facts in ({}, bare, batch, {"p_return_28d": 0.01}):
        text = render_news(kind, locale, **facts)
        assert ("Look first: " if locale == "en" else "まず確認：") in text
        assert text.count("   - " if locale == "en" else "   ・") == 1
        assert "None" not in text


@pytest.fixture
def render_news(tmp_path: Path) -> Callable[..., str]:
    from lifecycle.mail.render import Renderer
    from lifecycle.planning.owner_news import by_owner
    from lifecycle.triggers.columns import account_columns

    owned = Company(tmp_path / "company")
    copytree(
        CHECKOUT / "email_templates" / "_owner_list",
        owned.folder / "email_templates" / "_owner_list",
    )
    renderer = Renderer(owned.settings)

    def render(kind: str, locale: str, **facts: object) -> str:
        row = {
            **dict.fromkeys(account_columns()),
            **A2,
            "usage_band_before": "green",
            "satisfaction_band_before": "green",
            "kind": kind,
            "urgency": 1,
            "owner_address": "mei@example.com",
            "time_zone": "Asia/Tokyo",
            "days_since_go_live": 9,
            **facts,
        }
        (news,) = by_owner([row])
        return renderer.render_list(
            send_id="0" * 32,
            locale=locale,
            owner={"name": "", "email": "mei@example.com"},
            news=news.as_values(WEDNESDAY.date()),
            date=WEDNESDAY,
        ).body

    return render
