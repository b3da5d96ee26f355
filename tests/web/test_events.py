"""SendGrid's signed events: only SendGrid's, at most 48 hours old, and kept before the answer."""

from __future__ import annotations

import json
import threading
import time

import pytest
from sqlalchemy import func, select

from faults.fake_sendgrid import Webhook
from lifecycle.errors import SettingsError
from lifecycle.ledger.tables import State, feedback, suppressions
from lifecycle.web.events import LARGEST_BODY
from lifecycle.web.service import service
from sent import put, put_all, send, state_of, statements
from served import answering

HOUR = 3600


def event(kind: str, number: int | None = 1, **more) -> dict:
    about = {} if number is None else {"send_id": send(number), "email": f"c{number}@example.com"}
    return {"event": kind, "timestamp": 1_781_000_000, **about, **more}


def count(served) -> int:
    with served.ledger.read() as connection:
        return connection.execute(select(func.count()).select_from(feedback)).scalar()


def suppressed(served) -> dict[str, str]:
    with served.ledger.read() as connection:
        rows = connection.execute(select(suppressions)).all()
    return {row.address: row.reason for row in rows}


def test_an_event_settles_a_doubt(served):
    put(served.ledger, 1, State.UNCERTAIN)
    assert served.post_events([event("processed", sg_event_id="e1")]).json() == {"new": 1, "odd": 0}
    assert state_of(served.ledger) == "accepted"
    assert served.post_events([event("delivered", sg_event_id="e2")]).json() == {"new": 1, "odd": 0}
    assert state_of(served.ledger) == "delivered"
    again = [event("processed", sg_event_id="e1"), event("delivered", sg_event_id="other")]
    assert served.post_events(again).json() == {"new": 0, "odd": 0}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (event("bounce", type="bounce", status="5.1.1", reason="550 no such user"), "bounced"),
        (event("bounce", reason="550 no such user"), "bounced"),
        (event("bounce", type="blocked", status="5.7.1"), None),
        (event("bounce", type="expired"), None),
        (event("bounce", type="bounce", status="4.2.2", reason="452 mailbox full"), None),
        (event("spamreport"), "complained"),
        (event("unsubscribe"), "unsubscribed"),
        (event("group_unsubscribe", asm_group_id=1), "unsubscribed"),
        (event("dropped", reason="Bounced Address"), "bounced"),
        (event("dropped", reason="Spam Reporting Address"), "complained"),
        (event("dropped", reason="Unsubscribed Address"), "unsubscribed"),
        (event("dropped", reason="Invalid"), "invalid"),
        (event("dropped", reason="Spam Content"), None),
        (event("deferred", response="400 try again later", attempt="5"), None),
        (event("open"), None),
        (event("click", url="https://example.com"), None),
    ],
    ids=lambda value: value and (value if isinstance(value, str) else value["event"]),
)
def test_what_an_event_says_of_its_address(served, fields, reason):
    put(served.ledger, 1, State.ACCEPTED)
    assert served.post_events([fields]).status_code == 200
    assert suppressed(served) == ({"c1@example.com": reason} if reason else {})


def test_an_odd_event_does_not_keep_the_others_out(served):
    put(served.ledger, 1, State.ACCEPTED)
    odd = [
        None,
        7,
        [],
        {},
        {"event": ["bounce"]},
        event("bounce", timestamp="soon"),
        event("bounce", timestamp=10**30),
        event("bounce", None),
        event("account_status_change"),
        event("bounce", send_id=5, email=None),
        event("bounce", None, send_id="x" * 33),
        event("bounce", None, email="a@" + "e" * 330),
        event("bounce", None, email="\ud83d@example.com"),
    ]
    answer = served.post_events([*odd, event("delivered")]).json()
    assert answer == {"new": 1, "odd": len(odd) - 1}  # another kind is not asked for: not odd
    assert state_of(served.ledger) == "delivered"


def test_events_of_the_same_account_that_are_not_ours_speak_of_addresses_only(served):
    answer = [event("bounce", None, email="Who@Example.com"), event("delivered", 77)]
    assert served.post_events(answer).json() == {"new": 2, "odd": 0}
    assert suppressed(served) == {"who@example.com": "bounced"}


@pytest.mark.parametrize(
    ("age", "status"),
    [(0, 200), (47 * HOUR, 200), (49 * HOUR, 403), (-2 * 60, 200), (-10 * 60, 403)],
)
def test_a_request_is_neither_old_nor_from_the_future(served, age, status):
    answer = served.post_events([event("delivered")], at=time.time() - age)
    assert answer.status_code == status
    assert count(served) == (1 if status == 200 else 0)


def test_only_sendgrids_own_bytes_are_taken(served):
    body, signed = served.webhook.signed([event("bounce")], time.time())
    other, stranger = Webhook().signed([event("bounce")], time.time())
    stamp = "X-Twilio-Email-Event-Webhook-Timestamp"
    mark = "X-Twilio-Email-Event-Webhook-Signature"
    for content, headers in (
        (body.replace(b"bounce", b"blounce"), signed),
        (body + b" ", signed),
        (body, {**signed, stamp: str(int(signed[stamp]) + 1)}),
        (body, {**signed, stamp: ""}),
        (body, {**signed, mark: ""}),
        (body, {**signed, mark: "not base64!"}),
        (body, {**signed, mark: "AAAA"}),
        (body, {}),
        (b"\xff\xfe", signed),
        (other, stranger),
    ):
        answer = served.client.post("/events/sendgrid", content=content, headers=headers)
        assert answer.status_code == 403
    assert count(served) == 0
    assert served.client.post("/events/sendgrid", content=body, headers=signed).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'"x"', b"7"])
def test_what_sendgrid_would_not_say_is_refused(served, body, monkeypatch):
    with monkeypatch.context() as signer:
        signer.setattr(json, "dumps", lambda _: body.decode())
        content, signed = served.webhook.signed([], time.time())
    answer = served.client.post("/events/sendgrid", content=content, headers=signed)
    assert answer.status_code == 400


def test_a_body_has_a_limit_announced_or_not(served):
    large = b"x" * (LARGEST_BODY + 1)
    assert served.client.post("/events/sendgrid", content=large).status_code == 413

    def parts():
        for _ in range(LARGEST_BODY // 65_536 + 2):
            yield b"x" * 65_536

    assert served.client.post("/events/sendgrid", content=parts()).status_code == 413


def test_no_answer_comes_before_the_facts_are_kept(served):
    put(served.ledger, 1, State.ACCEPTED)
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(served.post_events([event("delivered")]))
    )
    with served.ledger.write():  # somebody else is writing
        asking.start()
        asking.join(1)
        assert not answers
        assert served.client.get(served.path(send(1))).status_code == 200
    asking.join(30)
    assert answers[0].status_code == 200
    assert count(served) == 1


def test_disorder_and_repetition_end_the_same(served):
    put_all(served.ledger, list(range(1, 101)), State.UNCERTAIN)
    answer = [
        event(kind, number, sg_event_id=f"{kind}{number}", timestamp=1_781_000_000 + after)
        for number in range(1, 101)
        for after, kind in enumerate(("processed", "deferred", "delivered"))
    ]
    for post in served.webhook.mixed(answer):
        assert served.post_events(post).status_code == 200
    assert count(served) == 300
    assert {state_of(served.ledger, number) for number in range(1, 101)} == {"delivered"}


def test_thousands_of_events_take_few_statements(served):
    put_all(served.ledger, list(range(1, 5001)), State.ACCEPTED)
    answer = [event("delivered", number, sg_event_id=f"e{number}") for number in range(1, 5001)]
    with statements(served.ledger) as executed:
        assert served.post_events(answer).json() == {"new": 5000, "odd": 0}
    assert len(executed) < len(answer) / 100, "SendGrid waits ten seconds"


def test_without_a_public_key_there_is_no_webhook(served):
    bare = served.settings.model_copy(
        update={"feedback": served.settings.feedback.model_copy(update={"sendgrid_public_key": ""})}
    )
    with answering(bare, served.ledger) as client:
        body, signed = served.webhook.signed([event("bounce")], time.time())
        assert client.post("/events/sendgrid", content=body, headers=signed).status_code == 404


def test_a_key_that_is_none_is_refused_at_the_start(served):
    odd = served.settings.feedback.model_copy(update={"sendgrid_public_key": "nonsense"})
    with pytest.raises(SettingsError, match="sendgrid_public_key"):
        service(served.settings.model_copy(update={"feedback": odd}), served.ledger)
