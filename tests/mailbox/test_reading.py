"""Reading a real IMAP server: nothing lost, nothing twice, and what follows at once."""

from __future__ import annotations

import itertools
import socket
import threading
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import duckdb
import pytest
from sqlalchemy import select, update

from imap_server import PASSWORD, USER, ImapServer
from lifecycle.errors import DeliveryError, GateStopped
from lifecycle.ledger import delivery, feedback, replies
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, account_holds, enrollments, messages, sends
from lifecycle.ledger.tables import replies as replies_table
from lifecycle.mail.answer_token import AnswerTokens
from lifecycle.mailbox import reading
from lifecycle.mailbox.sync import read_mailbox
from lifecycle.mailbox.taking import REPLIED
from lifecycle.planning.plan import plan
from lifecycle.settings import Settings
from mailbox_letters import complaint, letter, report, styled
from planned import Workspace
from sent import put

ANSWERING = """
audience: is_dormant and touch_model = 'tech'
recipients: role in ('admin', 'owner')
launch: existing
exit_when: not is_dormant
{more}
steps:
  - id: check_in
    after: 0d
    answers:
      "1": {{label: wants_help, then: notify}}
      2: {{label: later, then: {{hold: 90d}}}}
  - {{id: case_study, after: 5bd}}
"""


@pytest.fixture(autouse=True)
def _mailbox(workspace: Workspace, imap: ImapServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE__MAILBOX__PASSWORD", PASSWORD)
    with (workspace.company.folder / "lifecycle.toml").open("a") as file:
        file.write(
            f'\n[mailbox]\nhost = "127.0.0.1"\nport = {imap.port}\ntls = "none"\n'
            f'username = "{USER}"\n'
        )
    workspace.settings = workspace.company.settings
    mailed(workspace)


def mailed(workspace: Workspace, more: str = "") -> str:
    """Two accounts are inside, their first mail went an hour ago; the id of A1's."""
    workspace.company.trigger("win_back", ANSWERING.format(more=more), "check_in", "case_study")
    workspace.publish()
    owner = "update marts.account_360 set owner_email = 'Owner@example.com', owner_name = 'Ken'"
    with duckdb.connect(workspace.settings.published_db) as marts:
        marts.execute(owner)
        marts.execute("update marts.dim_contacts set consent_basis = 'contract'")
    workspace.run()
    left = datetime.now(UTC) - timedelta(hours=1)
    went = {"state": State.ACCEPTED, "accepted_at": left, "state_at": left}
    with workspace.ledger.write() as connection:
        connection.execute(update(sends).where(sends.c.step == "check_in").values(**went))
    return send_of(workspace, "A1")


def send_of(workspace: Workspace, account: str, step: str = "check_in") -> str:
    with workspace.ledger.read() as connection:
        query = select(sends.c.send_id).where(sends.c.account_id == account, sends.c.step == step)
        return connection.execute(query).scalar_one()


def read(workspace: Workspace) -> dict[str, int]:
    counts = read_mailbox(workspace.settings, workspace.ledger)
    return {kind: n for kind, n in counts.items() if n}


def kept(ledger: Ledger) -> list:
    with ledger.read() as connection:
        return list(connection.execute(select(replies_table).order_by(replies_table.c.key)))


def suppressed(ledger: Ledger) -> dict[str, str]:
    from lifecycle.ledger.tables import suppressions

    with ledger.read() as connection:
        return {row.address: row.reason for row in connection.execute(select(suppressions))}


def ends(ledger: Ledger) -> dict[str, str | None]:
    with ledger.read() as connection:
        rows = connection.execute(select(enrollments))
        return {row.account_id: row.end_reason for row in rows}


def test_an_answer_ends_the_sequence_and_goes_to_the_owner(workspace, imap) -> None:
    a1 = send_of(workspace, "A1")
    imap.put(
        letter(
            styled("はい、金曜にお電話ください。", "becky_ja"), answers=a1, encoding="iso-2022-jp"
        )
    )
    assert read(workspace) == {"answer": 1}
    (reply,) = kept(workspace.ledger)
    assert (reply.text, reply.account_id, reply.step) == (
        *("はい、金曜にお電話ください。", "A1", "check_in"),
    )
    assert reply.matched_by == "reference"
    assert ends(workspace.ledger) == {"A1": REPLIED, "A3": None}
    with workspace.ledger.read() as connection:
        forward = connection.execute(
            select(sends, messages.c.mime)
            .join(messages, messages.c.send_id == sends.c.send_id)
            .where(sends.c.send_id == reply.forward_id)
        ).one()
    assert (forward.address, forward.state) == ("owner@example.com", "planned")
    mail = message_from_bytes(forward.mime, policy=policy.default)
    assert mail["Reply-To"] == "c1@example.com"
    assert mail["To"].addresses[0].addr_spec == "owner@example.com"
    body = mail.get_content()
    for words in (
        "はい、金曜にお電話ください。",
        "Stage: renewal",
        "Usage: red",
        "win_back/check_in",
    ):
        assert words in body
    assert imap.flags() == [("\\Seen",)]


def test_reading_again_changes_nothing(workspace, imap) -> None:
    a1 = send_of(workspace, "A1")
    imap.put(letter("Yes please", answers=a1), letter("Yes please", answers=a1))
    assert read(workspace) == {"answer": 1}  # the same message twice
    assert read(workspace) == {}
    imap.put(letter("One more thing", answers=a1, message_id="<2@client.example.com>"))
    assert read(workspace) == {"answer": 1}
    assert len(kept(workspace.ledger)) == 2


def test_new_numbers_of_the_folder_are_read_again_and_nothing_counts_twice(
    workspace, imap, monkeypatch
) -> None:
    imap.put(letter("Yes please", answers=send_of(workspace, "A1")))
    read(workspace)
    with workspace.ledger.write() as connection:
        name = f"{USER}@127.0.0.1:{imap.port}/INBOX"
        before = replies.position(connection, name)
        other = replies.Position(before.uid_validity - 1, before.last_uid + 1_000)
        replies.record_position(connection, name, other, datetime.now(UTC))
    imap.put(
        letter(
            "And more",
            answers=send_of(workspace, "A3"),
            sender="c3@example.com",
            message_id="<3@client.example.com>",
        )
    )
    assert read(workspace) == {"answer": 1}
    assert len(kept(workspace.ledger)) == 2


@pytest.mark.parametrize("more", ["on_reply: continue"])
def test_a_trigger_may_go_on_after_an_answer(workspace, imap, more) -> None:
    with workspace.ledger.write() as connection:
        from lifecycle.ledger.tables import trigger_versions

        text = ANSWERING.format(more=more)
        connection.execute(update(trigger_versions).values(content=text))
    imap.put(letter("Nice", answers=send_of(workspace, "A1")))
    assert read(workspace) == {"answer": 1}
    assert ends(workspace.ledger)["A1"] is None


def test_the_answer_that_a_step_asks_for_is_data_and_holds_the_account(workspace, imap) -> None:
    a1, a3 = send_of(workspace, "A1"), send_of(workspace, "A3")
    imap.put(
        letter(styled("２", "iphone_ja"), answers=a1),
        letter("10分後に", answers=a3, sender="c3@example.com", message_id="<b@x.example.com>"),
    )
    assert read(workspace) == {"answer": 2}
    by_account = {row.account_id: row for row in kept(workspace.ledger)}
    assert by_account["A1"].label == "later"
    assert by_account["A1"].forward_id is None  # it is done
    assert by_account["A1"].settled_by == "mailbox"
    assert by_account["A3"].label is None
    assert by_account["A3"].forward_id is not None
    with workspace.ledger.read() as connection:
        (hold,) = connection.execute(select(account_holds)).all()
    assert hold.account_id == "A1"
    days = hold.until - datetime.now(UTC)
    assert timedelta(days=89) < days <= timedelta(days=90)


def test_an_automatic_answer_ends_nothing_and_its_words_suppress_nobody(workspace, imap) -> None:
    body = "配信停止\nI am out until 20 December 2026."
    imap.put(
        letter(body, answers=send_of(workspace, "A1"), headers={"Auto-Submitted": "auto-replied"})
    )
    assert read(workspace) == {"automatic": 1}
    assert ends(workspace.ledger)["A1"] is None
    assert suppressed(workspace.ledger) == {}
    (reply,) = kept(workspace.ledger)
    assert (str(reply.return_on), reply.text) == ("2026-12-20", None)
    imap.put(
        letter(
            "back now, call me", answers=send_of(workspace, "A1"), message_id="<h@x.example.com>"
        )
    )
    assert read(workspace) == {"answer": 1}
    assert ends(workspace.ledger)["A1"] == REPLIED


def test_an_unsubscribe_by_mail_in_japanese(workspace, imap) -> None:
    imap.put(
        letter(
            styled("配信停止をお願いいたします。", "outlook_web_ja"),
            answers=send_of(workspace, "A1"),
            encoding="shift_jis base64",
        )
    )
    assert read(workspace) == {"unsubscribe": 1}
    assert suppressed(workspace.ledger) == {"c1@example.com": "unsubscribed"}


def test_a_token_in_subject_or_address_is_enough_and_a_forged_one_is_not(
    workspace, imap, monkeypatch
) -> None:
    monkeypatch.setenv("LIFECYCLE__MAILBOX__SECRET", "k" * 40)
    workspace.settings = workspace.company.settings
    token = AnswerTokens(["k" * 40]).token(send_of(workspace, "A1"))
    forged = AnswerTokens(["x" * 40]).token(send_of(workspace, "A3"))
    imap.put(
        letter("", subject=f"unsubscribe {token}", sender="someone@elsewhere.example.org"),
        letter(
            "",
            subject=f"unsubscribe {forged}",
            sender="evil@elsewhere.example.org",
            message_id="<evil@x.example.org>",
        ),
        letter(
            "hello",
            to=f"success+{token}@example.com",
            sender="assistant@example.org",
            subject="a new subject",
            message_id="<assistant@x.example.org>",
        ),
    )
    assert read(workspace) == {"unsubscribe": 1, "answer": 1}
    assert suppressed(workspace.ledger) == {"c1@example.com": "unsubscribed"}


def test_a_bounce_report_and_a_complaint_stop_the_address(workspace, imap) -> None:
    imap.put(
        report(send_of(workspace, "A1")), complaint(send_of(workspace, "A3"), "c3@example.com")
    )
    assert read(workspace) == {"bounce": 1, "complaint": 1}
    assert suppressed(workspace.ledger) == {
        "c1@example.com": "bounced",
        "c3@example.com": "complained",
    }


def test_a_soft_bounce_stops_nobody_and_a_report_settles_a_doubt(workspace, imap) -> None:
    a1 = send_of(workspace, "A1")
    with workspace.ledger.write() as connection:
        connection.execute(update(sends).where(sends.c.send_id == a1).values(state=State.UNCERTAIN))
    imap.put(report(a1, status="4.2.2", diagnosis="smtp; 452 4.2.2 full", action="failed"))
    assert read(workspace) == {"bounce": 1}
    assert suppressed(workspace.ledger) == {}
    with workspace.ledger.read() as connection:
        state = connection.scalar(select(sends.c.state).where(sends.c.send_id == a1))
    assert state == "accepted"


def test_by_its_sender_alone_a_message_is_matched_and_never_guessed(workspace, imap) -> None:
    put(
        workspace.ledger,
        71,
        State.ACCEPTED,
        address="twice@example.com",
        state_at=now(),
        accepted_at=now(),
    )
    put(
        workspace.ledger,
        72,
        State.ACCEPTED,
        address="twice@example.com",
        state_at=now(),
        accepted_at=now(),
    )
    imap.put(
        letter("hello", sender="c1@example.com", message_id="<1@x.example.com>"),
        letter("hello", sender="twice@example.com", message_id="<2@x.example.com>"),
        letter("buy this", sender="stranger@example.net", message_id="<3@x.example.com>"),
        letter("unsubscribe", sender="stranger@example.net", message_id="<4@x.example.com>"),
    )
    assert read(workspace) == {"answer": 1, "unmatched": 2}
    assert suppressed(workspace.ledger) == {}
    # What is not ours stays as it was.
    assert imap.flags() == [("\\Seen",), ("\\Seen",), (), ("\\Seen",)]


def now() -> datetime:
    return datetime.now(UTC)


def test_handled_messages_are_moved_where_the_settings_say(workspace, imap) -> None:
    with (workspace.company.folder / "lifecycle.toml").open("a") as file:
        file.write('handled_folder = "Handled"\n')
    workspace.settings = workspace.company.settings
    imap.put(
        letter("Yes", answers=send_of(workspace, "A1")),
        letter("x", sender="n@example.net", message_id="<n@x.example.com>"),
    )
    assert read(workspace) == {"answer": 1}
    assert len(imap.flags()) == 1
    assert len(imap.flags("Handled")) == 1


def test_a_crash_before_the_flag_loses_no_flag(workspace, imap, monkeypatch) -> None:
    imap.put(letter("Yes", answers=send_of(workspace, "A1")))

    def cut(*_: object) -> None:
        raise DeliveryError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(reading.Folder, "mark_handled", cut)
        with pytest.raises(DeliveryError, match="cut"):
            read(workspace)
    assert len(kept(workspace.ledger)) == 1
    assert imap.flags() == [()]
    assert read(workspace) == {}
    assert imap.flags() == [("\\Seen",)]


def test_a_loop_of_two_auto_responders_gets_no_answer(workspace, imap) -> None:
    automatic = {"Auto-Submitted": "auto-replied"}
    for number in range(5):
        message_id = f"<l{number}@x.example.com>"
        a1 = send_of(workspace, "A1")
        imap.put(letter("away", answers=a1, message_id=message_id, headers=automatic))
        read(workspace)
    with workspace.ledger.read() as connection:
        forwards = connection.execute(select(sends).where(sends.c.account_id == "")).all()
    assert forwards == []


def test_a_message_of_thirty_megabytes_costs_no_more_than_its_beginning(workspace, imap) -> None:
    big = letter("Yes, see the attachment", answers=send_of(workspace, "A1"))
    imap.put(big + b"\r\n" + b"A" * (30 << 20))
    assert read(workspace) == {"answer": 1}
    (reply,) = kept(workspace.ledger)
    assert reply.text.startswith("Yes, see the attachment")
    assert len(reply.text) <= 10_000


def test_a_connection_that_is_cut_in_the_middle_loses_nothing(workspace, imap, monkeypatch) -> None:
    monkeypatch.setattr(reading, "BATCH", 3)
    a1 = send_of(workspace, "A1")
    imap.put(
        *(letter(f"note {n}", answers=a1, message_id=f"<c{n}@x.example.com>") for n in range(10))
    )
    port = imap.port
    for allowed in itertools.count(6_000, 2_000):
        with cutting(port, after=allowed) as cut_port:
            there = workspace.settings.mailbox.model_copy(update={"port": cut_port})
            settings = workspace.settings.model_copy(update={"mailbox": there})
            monkeypatch.setattr(reading.Folder, "__init__", named_as(port))
            with suppress(DeliveryError):
                read_mailbox(settings, workspace.ledger)
                break
    assert allowed > 6_000
    assert Counter(row.text for row in kept(workspace.ledger)) == {
        f"note {n}": 1 for n in range(10)
    }
    assert imap.flags() == [("\\Seen",)] * 10


_INIT = reading.Folder.__init__


def named_as(port: int):
    def init(self, settings) -> None:
        _INIT(self, settings)
        self.name = self.name.replace(f":{settings.port}/", f":{port}/")

    return init


class cutting:  # noqa: N801
    """A way to the server that is cut once so many bytes came back."""

    def __init__(self, port: int, after: int) -> None:
        self.port, self.left = port, after

    def __enter__(self) -> int:
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self.listening.getsockname()[1]

    def __exit__(self, *_: object) -> None:
        self.listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(
                    target=self._pass, args=(client, server, False), daemon=True
                ).start()
                threading.Thread(
                    target=self._pass, args=(server, client, True), daemon=True
                ).start()

    def _pass(self, origin: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := origin.recv(1024):
                if counts:
                    self.left -= len(data)
                    if self.left < 0:
                        break
                target.sendall(data)
        for end in (origin, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
                end.close()


def test_a_wrong_password_is_named_without_it(workspace, monkeypatch) -> None:
    monkeypatch.setenv("LIFECYCLE__MAILBOX__PASSWORD", "wrong-one")
    with pytest.raises(DeliveryError, match=r"the mailbox 127\.0\.0\.1 cannot be read") as caught:
        read_mailbox(workspace.company.settings, workspace.ledger)
    assert "wrong-one" not in str(caught.value)


def test_a_mailbox_that_was_not_read_for_long_stops_live_sending(workspace) -> None:
    hour = timedelta(hours=1)
    with pytest.raises(GateStopped, match="the mailbox was never read"):
        feedback.check_fresh(workspace.ledger, "smtp", hour, now(), mailbox=True)
    read(workspace)
    feedback.check_fresh(workspace.ledger, "smtp", hour, now(), mailbox=True)
    with pytest.raises(GateStopped, match="the mailbox was last read"):
        feedback.check_fresh(workspace.ledger, "smtp", hour, now() + 2 * hour, mailbox=True)


def test_an_answer_during_a_run_stops_what_the_run_plans(workspace, imap, monkeypatch) -> None:
    later = workspace.as_of + timedelta(days=10)
    imap.put(letter("Please stop for now, we talk on Friday", answers=send_of(workspace, "A1")))
    from lifecycle.planning import plan as planning

    decide = planning.decide

    def answered_meanwhile(*args: object, **more: object):
        result = decide(*args, **more)
        read(workspace)
        return result

    monkeypatch.setattr(planning, "decide", answered_meanwhile)
    from lifecycle.ledger import runs

    runs.begin(workspace.ledger, run_id="r2", as_of=later, source="files")
    plan(workspace.settings, workspace.ledger, run_id="r2", as_of=later)
    with workspace.ledger.write() as connection:
        at = later + timedelta(days=1)
        delivery.release(connection, at)
        claims, _ = delivery.claim(connection, at, worker="w:1:0", lease=timedelta(minutes=5))
        to_a1 = [claim for claim in claims if claim.address == "c1@example.com"]
    assert to_a1 == []
    assert ends(workspace.ledger)["A1"] == REPLIED


def test_settings_refuse_a_mailbox_in_the_open(workspace) -> None:
    text = (workspace.company.folder / "lifecycle.toml").read_text()
    (workspace.company.folder / "lifecycle.toml").write_text(
        text.replace("127.0.0.1", "imap.example.com")
    )
    with pytest.raises(Exception, match="would read the mailbox"):
        assert isinstance(workspace.company.settings, Settings)
