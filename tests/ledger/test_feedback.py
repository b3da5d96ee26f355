"""Facts from outside: whatever their order and however often told, the ledger ends the same.

On SQLite and on PostgreSQL.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from company import Company
from lifecycle.errors import GateStopped, InputError, UnknownName
from lifecycle.ledger import delivery, feedback, runs, suppressions
from lifecycle.ledger.feedback import Fact, Happened, Kind, reached_soft_limit
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, enrollments, messages, send_log, sends
from lifecycle.ledger.tables import feedback as feedback_table
from lifecycle.ledger.tables import suppressions as suppressions_table
from lifecycle.mail.providers.sendgrid_feedback import facts_of_events
from lifecycle.settings import Settings
from sent import NOW, put, put_all, send, state_of, statements

LATER = NOW + timedelta(minutes=30)
LEASE = timedelta(minutes=5)


@pytest.fixture
def ledger(ledger_url: str):
    with Ledger.open(ledger_url) as opened:
        runs.begin(opened, run_id="r1", as_of=NOW, source="files")
        yield opened


def fact(kind: Kind, number: int | None = 1, *, minute: int = 1, **more) -> Fact:
    at = NOW + timedelta(minutes=minute)
    of = {} if number is None else {"send_id": send(number), "address": f"c{number}@example.com"}
    return Fact(**{"source": "webhook", "kind": kind, "at": at, **of, **more})


def tell(ledger: Ledger, *facts: Fact, now: datetime = LATER, **more) -> int:
    with ledger.write() as connection:
        return feedback.apply(connection, facts, now, **more)


def suppressed(ledger: Ledger) -> dict[str, str]:
    with ledger.read() as connection:
        rows = connection.execute(select(suppressions_table)).all()
    return {row.address: row.reason for row in rows}


# What cannot be held. ---------------------------------------------------------------------

ODD_DOMAIN = "ü." * 150 + "example"  # as punycode it is longer than any address


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        ({"reason": "550 \0 no such user"}, {"c1@example.com": "bounced"}),
        ({"reason": "550 \ud83d no such user"}, {"c1@example.com": "bounced"}),
        ({"send_id": "123e4567-e89b-12d3-a456-426614174000"}, {"c1@example.com": "bounced"}),
        ({"send_id": "\0"}, {"c1@example.com": "bounced"}),
        ({"sg_event_id": "\udc00"}, {"c1@example.com": "bounced"}),
        ({"email": "a@" + "e" * 330}, {}),
        ({"email": "İ" * 200 + "@" + "e" * 100}, {}),  # longer in small letters
        ({"email": "\ud83d@example.com"}, {}),
        ({"email": f"a@{ODD_DOMAIN}"}, {f"a@{ODD_DOMAIN}": "bounced"}),
    ],
    ids=[
        *("nul in words", "half a pair in words", "long id", "nul as id", "half a pair as event"),
        *("long address", "long in small letters", "half a pair in address", "long as punycode"),
    ],
)
def test_what_no_database_can_hold_keeps_nothing_else_out(ledger, odd, kept):
    moment = {"timestamp": 1_781_000_000}
    bounce = {"event": "bounce", "email": "c1@example.com", **moment, **odd}
    leaving = {"event": "unsubscribe", "email": "b@example.com", **moment}
    tell(ledger, *facts_of_events(json.loads(json.dumps([bounce, leaving]))))
    assert suppressed(ledger) == {**kept, "b@example.com": "unsubscribed"}


# States. ----------------------------------------------------------------------------------


PROVED = (State.ACCEPTED, State.DELIVERED)


def test_whatever_was_thought_of_a_mail_the_provider_has_it(ledger):
    cases = [
        (state, kind)
        for state in State
        if state not in PROVED
        for kind in sorted(feedback.FROM_THE_PROVIDER)
    ]
    for number, (state, _) in enumerate(cases):
        put(ledger, number, state)
    tell(ledger, *(fact(kind, number) for number, (_, kind) in enumerate(cases)))
    with ledger.read() as connection:
        rows = connection.execute(select(sends).order_by(sends.c.send_id)).all()
        moves = select(send_log.c.from_state, send_log.c.to_state).order_by(send_log.c.send_id)
        log = connection.execute(moves).all()
    for (state, kind), row, move in zip(cases, rows, log, strict=True):
        assert row.state == ("delivered" if kind is Kind.DELIVERED else "accepted")
        assert row.accepted_at == NOW + timedelta(minutes=1)
        assert row.lease_owner is None
        assert move == (state, row.state)


def test_what_others_can_say_too_proves_nothing_about_a_mail(ledger):
    put(ledger, 1, State.UNCERTAIN)
    put(ledger, 2, State.HELD)
    for kind in (Kind.UNSUBSCRIBED, Kind.INVALID):
        tell(ledger, fact(kind, 1), fact(kind, 2))
    assert (state_of(ledger, 1), state_of(ledger, 2)) == ("uncertain", "held")


def test_no_fact_moves_a_mail_back(ledger):
    put(ledger, 1, State.ACCEPTED)
    tell(ledger, fact(Kind.DELIVERED, minute=5))
    for minute, kind in enumerate(Kind, start=3):
        tell(ledger, fact(kind, minute=minute))
        assert state_of(ledger) == "delivered"


def test_a_worker_that_still_holds_the_mail_hears_that_it_is_settled(ledger):
    put(ledger, 1, State.QUEUED)
    with ledger.write() as connection:
        (claimed,), _ = delivery.claim(connection, NOW, worker="w", lease=LEASE)
    tell(ledger, fact(Kind.PROCESSED))
    for outcome in (State.UNCERTAIN, State.QUEUED, State.REJECTED, State.ACCEPTED):
        with ledger.write() as connection:
            assert not delivery.settle(
                connection, claimed.send_id, outcome, "time-out", NOW, worker="w", attempt=1
            )
    assert state_of(ledger) == "accepted"
    with ledger.write() as connection:
        delivery.recover(connection, NOW)
        delivery.release(connection, NOW)
        assert delivery.claim(connection, NOW, worker="w2", lease=LEASE)[0] == []


def test_a_fact_of_an_unknown_mail_is_kept_and_moves_nothing(ledger):
    assert tell(ledger, fact(Kind.DELIVERED, 99)) == 1
    assert tell(ledger, fact(Kind.BOUNCED, 99)) == 1
    assert suppressed(ledger) == {"c99@example.com": "bounced"}


# Workspace again. ------------------------------------------------------------------------------


def test_duplicates_of_every_kind_are_one_fact(ledger):
    put(ledger, 1, State.ACCEPTED)
    first = fact(Kind.DEFERRED, event_id="e1", detail="400 later")
    assert tell(ledger, first) == 1
    assert tell(ledger, first, first) == 0
    assert tell(ledger, replace(first, event_id="e2")) == 0, "a changed event id"
    assert tell(ledger, replace(first, event_id=None, source="list")) == 0, "another teller"
    assert tell(ledger, replace(first, detail="other words", address="C1@EXAMPLE.com")) == 0
    late = replace(first, at=first.at + timedelta(seconds=5))
    assert tell(ledger, late) == 0, "the same event id at another time"
    assert tell(ledger, replace(late, event_id="e3"), replace(late, event_id="e4")) == 1


def test_facts_keep_no_address_in_their_words(ledger):
    tell(ledger, fact(Kind.BOUNCED, detail="550 <c1@example.com>: unknown user " + "x" * 9999))
    with ledger.read() as connection:
        detail = connection.execute(select(feedback_table.c.detail)).scalar_one()
    assert detail.startswith("550 <c***@example.com>: unknown")
    assert len(detail) == feedback.LONGEST_DETAIL


KINDS = st.sampled_from(list(Kind))
FACTS = st.builds(
    fact,
    KINDS,
    st.integers(1, 3),
    minute=st.integers(-5, 40),
    event_id=st.none(),
) | st.builds(
    fact,
    st.sampled_from([Kind.BLOCKED, Kind.BOUNCED, Kind.UNSUBSCRIBED, Kind.DELIVERED]),
    st.none(),
    minute=st.integers(0, 600),
    address=st.sampled_from(["c1@example.com", "c9@example.com"]),
)


def contents(ledger: Ledger) -> list[object]:
    with ledger.read() as connection:
        sent = select(sends.c.send_id, sends.c.state, sends.c.accepted_at).order_by("send_id")
        kept = select(feedback_table.c.key, feedback_table.c.kind).order_by("key")
        stopped = select(suppressions_table).order_by("address")
        return [connection.execute(query).all() for query in (sent, kept, stopped)]


@given(
    facts=st.lists(FACTS, max_size=25),
    starts=st.lists(st.sampled_from(list(State)), min_size=3, max_size=3),
    seed=st.integers(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_batches_and_repetition_do_not_matter(ledger, facts, starts, seed):
    chance = random.Random(seed)
    shuffled = facts + chance.choices(facts, k=5) if facts else []
    chance.shuffle(shuffled)
    ends = []
    for message in ([facts], [[item] for item in shuffled]):
        empty(ledger)
        for number, state in enumerate(starts, start=1):
            put(ledger, number, state)
        with ledger.write() as connection:
            for batch in message:
                feedback.apply(connection, batch, NOW + timedelta(days=1))
        ends.append(contents(ledger))
    assert ends[0] == ends[1]


def empty(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for table in (suppressions_table, feedback_table, send_log, messages, sends, enrollments):
            connection.execute(delete(table))


# Addresses. -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Kind.BOUNCED, "bounced"),
        (Kind.COMPLAINED, "complained"),
        (Kind.UNSUBSCRIBED, "unsubscribed"),
        (Kind.INVALID, "invalid"),
    ],
)
def test_an_address_is_stopped_everywhere_at_once(ledger, kind, reason):
    put(ledger, 1, State.ACCEPTED, address="shared@example.com")
    put(ledger, 2, State.PLANNED, address="shared@example.com")
    put(ledger, 3, State.QUEUED, address="shared@example.com")
    put(ledger, 4, State.QUEUED, address="other@example.com")
    put(ledger, 5, State.ATTEMPTING, address="shared@example.com")
    tell(ledger, fact(kind, address="Shared@Example.com"))
    assert suppressed(ledger) == {"shared@example.com": reason}
    assert [state_of(ledger, number) for number in range(2, 6)] == [
        "suppressed",
        "suppressed",
        "queued",
        "attempting",
    ]


def test_a_mail_that_was_decided_on_meanwhile_is_refused_at_its_claim(ledger):
    tell(ledger, fact(Kind.UNSUBSCRIBED))
    put(ledger, 1, State.QUEUED)
    with ledger.write() as connection:
        assert delivery.claim(connection, NOW, worker="w", lease=LEASE)[0] == []
    assert state_of(ledger) == "suppressed"


def test_other_facts_stop_nothing(ledger):
    put(ledger, 1, State.ACCEPTED)
    for kind in (Kind.PROCESSED, Kind.DEFERRED, Kind.DROPPED, Kind.DELIVERED):
        tell(ledger, *(fact(kind, minute=minute) for minute in range(9)))
    assert suppressed(ledger) == {}


def test_an_address_is_the_same_however_its_domain_is_written(ledger):
    put(ledger, 1, State.QUEUED, address="a@日本語.example")
    put(ledger, 2, State.QUEUED, address="b@xn--wgv71a119e.example")
    tell(ledger, fact(Kind.BOUNCED, None, address="a@xn--wgv71a119e.example"))
    tell(ledger, fact(Kind.BOUNCED, None, address="b@日本語.example"))
    assert [state_of(ledger, 1), state_of(ledger, 2)] == ["suppressed", "suppressed"]


KIND_OF = {"b": Kind.BLOCKED, "d": Kind.DELIVERED}


def soft(ledger: Ledger, *kinds: str) -> bool:
    """Tell a history: b(locked) and d(elivered), a mail and two hours each."""
    for number, kind in enumerate(kinds, start=1):
        put(ledger, number, State.ACCEPTED, address="c@example.com")
        tell(ledger, fact(KIND_OF[kind], number, minute=120 * number, address="c@example.com"))
    return suppressed(ledger) == {"c@example.com": "soft_bounced"}


@pytest.mark.parametrize(
    ("story", "stopped"),
    [("bbbb", False), ("bbbbb", True), ("bbbbdb", False), ("bdbbbbb", True), ("bbbbbd", True)],
)
def test_five_soft_bounces_in_a_row_stop_an_address(ledger, story, stopped):
    assert soft(ledger, *story) is stopped
    tell(
        ledger,
        *(
            fact(KIND_OF[kind], None, minute=60 * hour, address="list@example.com")
            for hour, kind in enumerate(story)
        ),
    )
    assert ("list@example.com" in suppressed(ledger)) is stopped


def test_a_mail_that_is_refused_again_and_again_counts_once(ledger):
    put(ledger, 1, State.ACCEPTED)
    tell(ledger, *(fact(Kind.BLOCKED, minute=minute) for minute in range(20)))
    assert suppressed(ledger) == {}


def test_a_list_and_an_event_that_tell_of_one_bounce_count_once():
    collected = []
    for number in range(4):
        at = NOW + timedelta(days=number)
        collected.append(Happened(at, Kind.BLOCKED, send(number)))
        collected.append(Happened(at + timedelta(seconds=3), Kind.BLOCKED, None))
    assert reached_soft_limit(collected) is None
    collected.append(Happened(NOW + timedelta(days=9), Kind.BLOCKED, None))
    assert reached_soft_limit(collected) == NOW + timedelta(days=9)


def test_a_mail_that_bounced_after_all_was_not_delivered():
    collected: list[Happened] = []
    for number in range(5):
        at = NOW + timedelta(days=number)
        collected.append(Happened(at, Kind.DELIVERED, send(number)))
        collected.append(Happened(at + timedelta(minutes=1), Kind.BLOCKED, send(number)))
    assert reached_soft_limit(collected) is not None


def test_a_late_delivery_between_takes_a_soft_suppression_back_and_no_other(ledger):
    assert soft(ledger, *"bbbbb")
    put(ledger, 9, State.ACCEPTED, address="c@example.com")
    between = fact(Kind.DELIVERED, 9, minute=250, address="c@example.com")
    tell(ledger, between)
    assert suppressed(ledger) == {}
    suppressions.suppress(ledger, "c@example.com", reason="manual", by="test")
    tell(ledger, replace(between, at=NOW + timedelta(minutes=251)))
    assert suppressed(ledger) == {"c@example.com": "manual"}


def test_the_heaviest_reason_is_kept(ledger):
    order = [Kind.INVALID, Kind.BOUNCED, Kind.UNSUBSCRIBED, Kind.COMPLAINED, Kind.BOUNCED]
    seen = []
    for minute, kind in enumerate(order):
        tell(ledger, fact(kind, None, minute=minute, address="c@example.com"))
        seen.append(suppressed(ledger)["c@example.com"])
    assert seen == ["invalid", "bounced", "unsubscribed", "complained", "complained"]


# Erased people. ---------------------------------------------------------------------------

KEY = "k" * 40


def erase(ledger: Ledger, address: str) -> None:
    with ledger.write() as connection:
        hashed = suppressions.digest(address, KEY)
        row = {"address": hashed, "reason": "erased", "at": NOW, "source": "test"}
        connection.execute(insert(suppressions_table).values(row))


def test_an_erased_address_stays_unmailed_and_unknown(ledger):
    put(ledger, 1, State.UNCERTAIN)
    erase(ledger, "c1@example.com")
    with ledger.read() as connection:
        asked = ["c1@example.com", "c2@example.com"]
        assert suppressions.reasons(connection, asked, KEY) == {"c1@example.com": "erased"}
        with pytest.raises(Exception, match="ERASURE_KEY"):
            suppressions.reasons(connection, asked)
    answer = [fact(Kind.BOUNCED), fact(Kind.BOUNCED, None, address="c1@example.com")]
    assert tell(ledger, *answer, erasure_key=KEY) == 1
    assert state_of(ledger) == "accepted"
    with ledger.read() as connection:
        assert connection.execute(select(feedback_table.c.address)).scalars().all() == [None]
    assert list(suppressed(ledger).values()) == ["erased"]


def test_without_erased_people_no_key_is_needed(ledger):
    tell(ledger, fact(Kind.COMPLAINED))
    with ledger.read() as connection:
        result = suppressions.reasons(connection, ["c1@example.com", "x@example.com"])
    assert result == {"c1@example.com": "complained"}


# News. ------------------------------------------------------------------------------------


def of_provider(tmp_path: Path, provider: str) -> Settings:
    result = Company(tmp_path / "company").settings
    delivery_section = result.delivery.model_copy(update={"provider": provider})
    return result.model_copy(update={"delivery": delivery_section})


def synced(ledger: Ledger, lists: Iterable[str], now: datetime) -> None:
    with ledger.write() as connection:
        for owner_list in lists:
            feedback.record_sync(connection, owner_list, read_until=now, now=now)


def test_old_news_stop_a_live_provider(ledger, tmp_path):
    limit = of_provider(tmp_path, "sendgrid").feedback.max_age
    lists = feedback.LISTS["sendgrid"]
    with pytest.raises(GateStopped, match="bounces were never read") as stopped:
        feedback.check_fresh(ledger, "sendgrid", limit, NOW)
    assert (stopped.value.exit_status, stopped.value.door) == (3, "feedback")
    synced(ledger, lists, NOW)
    feedback.check_fresh(ledger, "sendgrid", limit, NOW + limit)
    synced(ledger, lists[1:], NOW + limit)
    with pytest.raises(GateStopped, match="bounces were last read at 2026-06-10 01:00 UTC"):
        feedback.check_fresh(ledger, "sendgrid", limit, NOW + limit + timedelta(seconds=1))


def test_a_provider_without_lists_needs_no_news(ledger):
    feedback.check_fresh(ledger, "outbox", timedelta(hours=2), NOW)


def test_thousands_of_facts_take_few_statements(ledger):
    put_all(ledger, list(range(1, 5001)), State.ACCEPTED)
    kinds = (Kind.PROCESSED, Kind.DELIVERED)
    answer = [fact(kind, n, event_id=f"{kind}{n}") for n in range(1, 5001) for kind in kinds]
    with statements(ledger) as executed:
        assert tell(ledger, *answer) == 10_000
    assert len(executed) < len(answer) / 100
    assert tell(ledger, *answer) == 0
    with ledger.read() as connection:
        assert set(connection.execute(select(sends.c.state)).scalars()) == {"delivered"}


def test_what_became_of_others_stops_nobody(ledger):
    put(ledger, 1, State.PLANNED)
    tell(ledger, fact(Kind.BOUNCED, 2))
    assert state_of(ledger) == "planned"
    with ledger.write() as connection:
        connection.execute(update(sends).values(state=State.QUEUED))
        claims, _ = delivery.claim(connection, NOW, worker="w", lease=LEASE)
    assert [claim.send_id for claim in claims] == [send(1)]


def test_who_names_a_mail_is_suppressed_in_all_its_mails(ledger):
    put(ledger, 1, State.ACCEPTED, address="c1@example.com")
    put(ledger, 2, State.QUEUED, address="c1@example.com")
    asked = {"reason": "unsubscribed", "by": "Mari, from the inbox"}
    assert suppressions.suppress(ledger, f" {send(1).upper()} ", **asked)
    assert not suppressions.suppress(ledger, send(1), **asked)
    assert suppressed(ledger) == {"c1@example.com": "unsubscribed"}
    assert (state_of(ledger, 1), state_of(ledger, 2)) == ("accepted", "suppressed")
    put(ledger, 3, State.ACCEPTED, address=suppressions.digest("gone@example.com", "key"))
    assert not suppressions.suppress(ledger, send(3), **asked)  # erased: unmailed as it is
    with pytest.raises(UnknownName, match="no mail has the id"):
        suppressions.suppress(ledger, send(4), **asked)
    with pytest.raises(InputError, match="neither an e-mail address nor the id of a send"):
        suppressions.suppress(ledger, "somebody", **asked)
