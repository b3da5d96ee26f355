"""What a person stops by a command, and where it is seen: status, explain and preview."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.errors import InputError, UnknownName
from lifecycle.ledger import approvals, feed_questions, leaving
from lifecycle.ledger.departures import Departure
from lifecycle.ledger.feed_questions import ThinPart
from planned import Told, told

__all__ = ["told"]
AIKO = ("--by", "aiko", "--why", "wrong offer")


@pytest.fixture(autouse=True)
def _planned(told: Told) -> None:
    told.publish()
    told.run()


def ask(told: Told, *arguments: str) -> str:
    """The answer of a command on standard output, its spaces squeezed."""
    config = str(told.company.folder / "lifecycle.toml")
    done = CliRunner().invoke(app, ["--config", config, *arguments], env={"COLUMNS": "140"})
    if done.exception is not None:
        raise done.exception
    return " ".join(done.stdout.split())


def as_json(told: Told, *arguments: str) -> Any:
    return json.loads(ask(told, *arguments, "--json"))


def test_a_pause_is_seen_everywhere_until_it_is_undone(told: Told) -> None:
    said = ask(told, "pause", "win_back", *AIKO)
    assert said == "win_back is paused: nobody enters, and its mails stay where they are."
    (trigger,) = as_json(told, "status")["triggers"]
    assert (trigger["stop"]["mode"], trigger["stop"]["by"]) == ("paused", "aiko")
    assert "win_back is paused since" in ask(told, "status")
    assert "by aiko: wrong offer" in ask(told, "status")
    assert "Next: nothing, until somebody resumes the trigger: paused since" in ask(
        told, "explain", "A1"
    )
    assert as_json(told, "explain", "A1")["triggers"][0]["stop"]["why"] == "wrong offer"
    preview = as_json(told, "preview", "win_back")
    assert preview["waiting"] == [
        "win_back is paused: its mails stay where they are (aiko: wrong offer)"
    ]
    assert as_json(told, "resume", "win_back", *AIKO) == {"trigger": "win_back", "was": "paused"}
    assert as_json(told, "status")["triggers"][0]["stop"] is None


def test_off_and_cancel_say_what_they_did(told: Told) -> None:
    assert "those inside finish" in ask(told, "off", "win_back", *AIKO)
    assert "check_in goes" in ask(told, "explain", "A1"), "it still does"
    said = ask(told, "cancel", "win_back", *AIKO)
    assert said == "win_back: 1 accounts left it, 1 mails were cancelled."
    assert "ended Mon 2026-06-08 07:00 Asia/Tokyo: cancelled" in ask(told, "explain", "A1")


def test_an_account_is_held_by_a_part_of_its_name(told: Told) -> None:
    said = ask(told, "hold", "若竹", "--until", "2026-06-20", *AIKO)
    assert said == "A1 is on hold: nothing goes to it before 2026-06-20."
    assert "On hold until Sat 2026-06-20 00:00 Asia/Tokyo" in ask(told, "explain", "A1")
    (held,) = as_json(told, "status")["holds"]
    assert (held["account_id"], held["until"]) == ("A1", "2026-06-19T15:00:00+00:00")
    assert as_json(told, "unhold", "A1", *AIKO) == {"account_id": "A1"}
    assert as_json(told, "status")["holds"] == []


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("pause", "winback"), UnknownName, 'did you mean "win_back"'),
        (("resume", "win_back"), InputError, "neither paused nor off"),
        (("hold", "A1", "--until", "tomorrow"), InputError, "write it as 2026-12-01"),
        (("hold", "A1", "--until", "2026-06-08"), InputError, "has begun already"),
        (("hold", "Nobody KK", "--until", "2026-07-01"), UnknownName, "no account"),
        (("approve", "r1"), UnknownName, "no run 'r1' waits for a decision"),
    ],
)
def test_what_cannot_be_done_is_said(
    told: Told, arguments: tuple[str, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ask(told, *arguments, *AIKO)


def test_a_trigger_whose_file_is_gone_or_broken_can_be_stopped(told: Told) -> None:
    file = told.company.folder / "triggers" / "win_back.yaml"
    file.write_text("nonsense")
    ask(told, "pause", "win_back", *AIKO)
    file.unlink()
    assert "was paused" in ask(told, "resume", "win_back", *AIKO)


@pytest.mark.parametrize(("word", "state"), [("approve", "planned"), ("reject", "cancelled")])
def test_a_run_over_its_budget_is_decided_by_name(told: Told, word: str, state: str) -> None:
    with told.ledger.write() as connection:
        approvals.mark(connection, "r1", people=9_000, over_budget="it reaches 9,000 people")
    assert "r1 9,000 1 it reaches 9,000 people" in ask(told, "status")
    assert "it waits for an approval of run r1" in ask(told, "explain", "A1")
    assert as_json(told, word, "r1", *AIKO)["mails"] == 1
    found = as_json(told, "status")
    assert found["needs_approval"] == []
    assert found["states"][state] == 1
    with pytest.raises(InputError, match="by aiko: wrong offer"):
        ask(told, "reject", "r1", *AIKO)


def test_who_left_in_the_crm_is_told_and_taken_back_by_delivery(told: Told) -> None:
    seen = told.as_of
    who = Departure("c1@example.com", None, seen, "contacts.csv", 7, "unsubscribed_at", "soon")
    leaving.record(told.ledger, [who], run_id="stopped")
    waiting = as_json(told, "status")["departures_waiting"]
    assert waiting == {"stopped": 1}
    assert "1 left by the word of run stopped's delivery" in ask(told, "status")
    why = as_json(told, "explain", "A1")["suppressed"]["c1@example.com"]
    assert why.startswith('left in the CRM without a readable date ("soon"), seen')
    assert "contacts.csv row 7, unsubscribed_at" in why
    said = ask(told, "unsuppress", "--delivery", "stopped", *AIKO)
    assert said.startswith("1 who left by the delivery of run stopped may be mailed again")
    assert as_json(told, "explain", "A1")["suppressed"] == {}
    with pytest.raises(InputError, match="name an address, or --delivery RUN"):
        ask(told, "unsuppress", *AIKO)


def test_whether_less_of_the_feed_is_normal_is_asked_until_it_is_answered(told: Told) -> None:
    thin = ThinPart("segment smb", date(2026, 6, 4), "3 events on 2026-06-08, usual are 120")
    feed_questions.ask(told.ledger, [thin], [], run_id="r1")
    [question] = as_json(told, "status")["feed_questions"]
    assert question == {"part": "segment smb", "since": "2026-06-04", "why": thin.why}
    page = ask(told, "status")
    assert "Less has come of the segment smb since 2026-06-04: 3 events on 2026-06-08" in page
    assert 'lifecycle normal "segment smb" --by NAME --why TEXT' in page
    said = ask(told, "normal", "segment smb", *AIKO)
    assert said == (
        "segment smb: what has come since 2026-06-04 is normal; the next run goes by it."
    )
    assert as_json(told, "status")["feed_questions"] == []
