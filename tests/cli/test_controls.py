"""What a person stops by a command, and where it is seen: status, explain and preview."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.document import as_text
from lifecycle.errors import InputError, UnknownName
from lifecycle.ledger import approvals, feed_questions, leaving
from lifecycle.ledger.departures import Departure
from lifecycle.ledger.feed_questions import ThinPart
from lifecycle.ledger.held import Which
from lifecycle.ledger.tables import State
from lifecycle.status.held_mails import held_mails
from planned import Workspace, workspace
from sent import NOW, put, state_of

__all__ = ["workspace"]
AIKO = ("--by", "aiko", "--why", "wrong offer")


@pytest.fixture(autouse=True)
def _planned(workspace: Workspace) -> None:
    workspace.publish()
    workspace.run()


def ask(workspace: Workspace, *arguments: str) -> str:
    """The answer of a command on standard output, its spaces squeezed."""
    config = str(workspace.company.folder / "lifecycle.toml")
    done = CliRunner().invoke(app, ["--config", config, *arguments], env={"COLUMNS": "140"})
    if done.exception is not None:
        raise done.exception
    return " ".join(done.stdout.split())


def as_json(workspace: Workspace, *arguments: str) -> Any:
    return json.loads(ask(workspace, *arguments, "--json"))


def test_a_pause_is_seen_everywhere_until_it_is_undone(workspace: Workspace) -> None:
    reply = ask(workspace, "pause", "win_back", *AIKO)
    assert reply == "win_back is paused: nobody enters, and its mails stay where they are."
    (trigger,) = as_json(workspace, "status")["triggers"]
    assert (trigger["stop"]["mode"], trigger["stop"]["by"]) == ("paused", "aiko")
    assert "win_back is paused since" in ask(workspace, "status")
    assert "by aiko: wrong offer" in ask(workspace, "status")
    assert "Next: nothing, until somebody resumes the trigger: paused since" in ask(
        workspace, "explain", "A1"
    )
    assert as_json(workspace, "explain", "A1")["triggers"][0]["stop"]["why"] == "wrong offer"
    preview = as_json(workspace, "preview", "win_back")
    assert preview["waiting"] == [
        "win_back is paused: its mails stay where they are (aiko: wrong offer)"
    ]
    assert as_json(workspace, "resume", "win_back", *AIKO) == {
        "trigger": "win_back",
        "was": "paused",
    }
    assert as_json(workspace, "status")["triggers"][0]["stop"] is None


def test_off_and_cancel_say_what_they_did(workspace: Workspace) -> None:
    assert "those inside finish" in ask(workspace, "off", "win_back", *AIKO)
    assert "check_in goes" in ask(workspace, "explain", "A1"), "it still does"
    reply = ask(workspace, "cancel", "win_back", *AIKO)
    assert reply == "win_back: 1 accounts left it, 1 mails were cancelled."
    assert "ended Mon 2026-06-08 07:00 Asia/Tokyo: cancelled" in ask(workspace, "explain", "A1")


def test_an_account_is_held_by_a_part_of_its_name(workspace: Workspace) -> None:
    reply = ask(workspace, "hold", "若竹", "--until", "2026-06-20", *AIKO)
    assert reply == "A1 is on hold: nothing goes to it before 2026-06-20."
    assert "On hold until Sat 2026-06-20 00:00 Asia/Tokyo" in ask(workspace, "explain", "A1")
    (held,) = as_json(workspace, "status")["holds"]
    assert (held["account_id"], held["until"]) == ("A1", "2026-06-19T15:00:00+00:00")
    assert as_json(workspace, "unhold", "A1", *AIKO) == {"account_id": "A1"}
    assert as_json(workspace, "status")["holds"] == []


@pytest.mark.parametrize(
    ("arguments", "error", "expected"),
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
    workspace: Workspace, arguments: tuple[str, ...], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        ask(workspace, *arguments, *AIKO)


def test_a_trigger_whose_file_is_gone_or_broken_can_be_stopped(workspace: Workspace) -> None:
    file = workspace.company.folder / "triggers" / "win_back.yaml"
    file.write_text("nonsense")
    ask(workspace, "pause", "win_back", *AIKO)
    file.unlink()
    assert "was paused" in ask(workspace, "resume", "win_back", *AIKO)


@pytest.mark.parametrize(("word", "state"), [("approve", "planned"), ("reject", "cancelled")])
def test_a_run_over_its_budget_is_decided_by_name(
    workspace: Workspace, word: str, state: str
) -> None:
    with workspace.ledger.write() as connection:
        approvals.mark(connection, "r1", people=9_000, over_budget="it reaches 9,000 people")
    assert "r1 9,000 1 it reaches 9,000 people" in ask(workspace, "status")
    assert "it waits for an approval of run r1" in ask(workspace, "explain", "A1")
    assert as_json(workspace, word, "r1", *AIKO)["mails"] == 1
    result = as_json(workspace, "status")
    assert result["needs_approval"] == []
    assert result["states"][state] == 1
    with pytest.raises(InputError, match="by aiko: wrong offer"):
        ask(workspace, "reject", "r1", *AIKO)


def test_who_left_in_the_crm_is_told_and_taken_back_by_delivery(workspace: Workspace) -> None:
    seen = workspace.as_of
    who = Departure("c1@example.com", None, seen, "contacts.csv", 7, "unsubscribed_at", "soon")
    leaving.record(workspace.ledger, [who], run_id="stopped")
    waiting = as_json(workspace, "status")["departures_waiting"]
    assert waiting == {"stopped": 1}
    assert "1 left by the word of run stopped's delivery" in ask(workspace, "status")
    why = as_json(workspace, "explain", "A1")["suppressed"]["c1@example.com"]
    assert why.startswith('left in the CRM without a readable date ("soon"), seen')
    assert "contacts.csv row 7, unsubscribed_at" in why
    reply = ask(workspace, "unsuppress", "--delivery", "stopped", *AIKO)
    assert reply.startswith("1 who left by the delivery of run stopped may be mailed again")
    assert as_json(workspace, "explain", "A1")["suppressed"] == {}
    with pytest.raises(InputError, match="name an address, or --delivery RUN"):
        ask(workspace, "unsuppress", *AIKO)


def test_whether_less_of_the_feed_is_normal_is_asked_until_it_is_answered(
    workspace: Workspace,
) -> None:
    thin = ThinPart("segment smb", date(2026, 6, 4), "3 events on 2026-06-08, usual are 120")
    feed_questions.ask(workspace.ledger, [thin], [], run_id="r1")
    [question] = as_json(workspace, "status")["feed_questions"]
    assert question == {"part": "segment smb", "since": "2026-06-04", "why": thin.why}
    page = ask(workspace, "status")
    assert "Less has come of the segment smb since 2026-06-04: 3 events on 2026-06-08" in page
    assert 'lifecycle normal "segment smb" --by NAME --why TEXT' in page
    reply = ask(workspace, "normal", "segment smb", *AIKO)
    assert reply == (
        "segment smb: what has come since 2026-06-04 is normal; the next run goes by it."
    )
    assert as_json(workspace, "status")["feed_questions"] == []


def test_held_mails_are_decided_many_at_a_time(workspace: Workspace) -> None:
    for number in (21, 22, 23):
        put(workspace.ledger, number, State.HELD, trigger="other" if number == 23 else "win_back")
    page = ask(workspace, "held")
    assert "3 mails may or may not have left" in page
    mails = held_mails(workspace.ledger, Which())
    assert max(map(len, as_text(mails.as_document(), width=80).split("\n"))) <= 80
    with pytest.raises(InputError, match="has to stand last"):
        ask(workspace, "decide", "--all", "resent", *AIKO)
    with pytest.raises(InputError, match="name the mails, or say which"):
        ask(workspace, "decide", "resend", *AIKO)
    assert as_json(workspace, "decide", "--trigger", "other", "give_up", *AIKO)["mails"] == 1
    assert as_json(workspace, "decide", "--older-than", "1d", "resend", *AIKO)["mails"] == 2
    assert [state_of(workspace.ledger, n) for n in (21, 22, 23)] == ["queued"] * 2 + ["cancelled"]


def test_what_was_rejected_by_mistake_is_brought_back_by_reason_and_day(
    workspace: Workspace,
) -> None:
    put(workspace.ledger, 31, State.REJECTED, detail="answered 403: the from address …")
    put(workspace.ledger, 32, State.REJECTED, detail="answered 400: no such header")
    assert "rejected" in ask(workspace, "status")
    with pytest.raises(InputError, match="say which mails"):
        ask(workspace, "retry", *AIKO)
    with pytest.raises(InputError, match="is not a day"):
        ask(workspace, "retry", "--day", "tuesday", *AIKO)
    answer = as_json(workspace, "retry", "--reason", "from address", "--day", f"{NOW:%F}", *AIKO)
    assert answer == {"mails": 1}
    assert [state_of(workspace.ledger, n) for n in (31, 32)] == ["queued", "rejected"]
