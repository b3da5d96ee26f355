"""A preview as files, and as mails to oneself: real SMTP and real HTTP on this machine."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import func, select

from faults.fake_sendgrid import FakeSendGrid
from faults.fake_smtp import FakeSmtp
from lifecycle.document import as_text
from lifecycle.errors import DeliveryError, InputError
from lifecycle.ledger.suppressions import suppress
from lifecycle.ledger.tables import metadata
from lifecycle.mail.message import Message
from lifecycle.mail.preview_mail import MOST
from lifecycle.whatif.preview import Preview, colleague, preview
from lifecycle.whatif.preview_folder import write_folder
from planned import WIN_BACK, Workspace

ME = "me@example.com"
See = Callable[..., Preview]


@pytest.fixture
def see(workspace: Workspace) -> See:
    """The preview of win_back, after changes to its file."""
    workspace.publish()

    def look(*changes: tuple[str, str], every_mail: bool = False) -> Preview:
        text = WIN_BACK
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        workspace.company.trigger("win_back", text, "check_in", "case_study")
        return preview(
            workspace.settings,
            workspace.ledger,
            "win_back",
            as_of=workspace.as_of,
            every_mail=every_mail,
        )

    return look


@pytest.fixture
def relay(monkeypatch) -> Iterator[FakeSmtp]:
    """The company's relay."""
    with FakeSmtp() as fake:
        monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", "smtp")
        monkeypatch.setenv("LIFECYCLE__SMTP__HOST", "127.0.0.1")
        monkeypatch.setenv("LIFECYCLE__SMTP__PORT", str(fake.port))
        monkeypatch.setenv("LIFECYCLE__SMTP__TLS", "none")
        yield fake


def everything_kept(workspace: Workspace) -> dict[str, int]:
    """Rows of every table of the ledger."""
    with workspace.ledger.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def squeezed(seen: Preview) -> str:
    return " ".join(as_text(seen.as_document(), width=120).split())


# Who is held out. ------------------------------------------------------------------------

HALF = ("exit_when", "holdout: 50%\nexit_when")


def test_who_is_held_out_is_named_and_not_among_the_withheld(see, workspace) -> None:
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute(
            "insert into marts.account_360 select a.* replace ('B' || i as account_id, 'B ' || i"
            " as name) from marts.account_360 a, range(12) as numbers (i) where account_id = 'A1'"
        )
        db.execute(
            "insert into marts.dim_contacts select c.* replace ('B' || i as account_id, 'K' || i"
            " as contact_id, 'k' || i || '@example.com' as email, 'k' || i || '@example.com' as"
            " email_normalized) from marts.dim_contacts c, range(12) as numbers (i)"
            " where contact_id = 'C1'"
        )
    seen = see(HALF)
    told_of = seen.as_json()
    mailed = {mail["account_id"] for mail in told_of["mails"]}
    out = told_of["held_out"]
    assert mailed
    assert out
    assert not mailed & out.keys()
    assert mailed | out.keys() == set(told_of["entering"])
    assert {row["reason"] for row in told_of["withheld"]} == {"no_consent"}
    assert told_of["counts"]["held_out"] == len(out)
    assert told_of["counts"]["withheld"] == {"held_out": len(out), "no_consent": 1}
    section = squeezed(seen).partition("Held out, to compare with")[2].partition("Who does not")[0]
    assert all(name in section for name in out.values())


# A folder. -------------------------------------------------------------------------------


def test_the_folder_holds_the_mails_as_they_would_arrive(see, tmp_path: Path) -> None:
    seen = see(HALF)
    write_folder(seen, tmp_path / "out")
    (row,) = _rows(tmp_path / "out" / "index.csv")
    assert row["to"] == "C1@example.com"
    assert row["account"] == "若竹設備株式会社"
    assert row["goes"] == "Mon 2026-06-08 09:00 Asia/Tokyo"
    mail = message_from_bytes((tmp_path / "out" / row["file"]).read_bytes(), policy=policy.default)
    assert mail["To"].addresses[0].addr_spec == "C1@example.com"
    assert "Hello 佐藤 愛子, check_in." in mail.get_content()
    assert "Who gets what" in (tmp_path / "out" / "index.txt").read_text()
    to_come = message_from_bytes(
        (tmp_path / "out" / "to_come_case_study_en.eml").read_bytes(), policy=policy.default
    )
    assert to_come["Subject"] == "case_study"
    assert "case_study." in to_come.get_content()
    (against,) = _rows(tmp_path / "out" / "withheld.csv")
    assert (against["account_id"], against["reason"]) == ("A3", "no_consent")


def test_a_name_from_the_crm_is_no_formula(see, workspace, tmp_path: Path) -> None:
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute("update marts.account_360 set name = '=1+1' where account_id = 'A1'")
    write_folder(see(), tmp_path / "out")
    (row,) = _rows(tmp_path / "out" / "index.csv")
    assert row["account"] == "'=1+1"


def test_a_folder_with_anything_in_it_is_refused(see, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        write_folder(see(), tmp_path)
    assert [path.name for path in tmp_path.glob("*.eml")] == []
    with pytest.raises(InputError, match="is a file"):
        write_folder(see(), tmp_path / "mine.txt")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


# To oneself. -----------------------------------------------------------------------------


def test_a_mail_to_oneself_is_marked_and_reaches_nobody_else(see, workspace, relay) -> None:
    seen = see(("role in ('admin', 'owner')", "role is not null"))
    before = everything_kept(workspace)
    sent = seen.send_to(workspace.company.settings, ME)
    sent.check_sent()
    # Two people, one language: one mail of the step that is due, one of the step to come.
    (_, _, mime), (_, _, to_come) = relay.taken
    assert {(sender, reader) for sender, reader, _ in relay.taken} == {("success@example.com", ME)}
    assert Message.from_bytes(to_come).subject == "[Preview] case_study"
    mail = message_from_bytes(mime, policy=policy.default)
    assert mail["Subject"] == "[Preview] check_in"
    assert mail["X-Lifecycle-Preview"] == "yes"
    assert (str(mail["To"]), mail["Cc"], mail["Bcc"]) == (ME, None, None)
    assert "0" * 32 in mail["List-Unsubscribe"]  # a send that nobody has
    assert "Hello 佐藤 愛子, check_in." in mail.get_content()
    assert everything_kept(workspace) == before
    assert sent.as_json()["sent"][0]["state"] == "accepted"
    assert "Sent to me@example.com, marked as a preview" in squeezed(sent)


def test_who_asks_twice_gets_it_twice_and_the_run_sends_all_the_same(see, workspace, relay) -> None:
    seen = see()
    for _ in range(2):
        seen.send_to(workspace.company.settings, ME).check_sent()
    first, _, second, _ = (Message.from_bytes(mime) for *_, mime in relay.taken)
    assert first.message_id != second.message_id
    assert {first.send_id, second.send_id}.isdisjoint(send.send_id for send, _ in seen.mails)
    workspace.run()
    assert [send.send_id for send, _ in see().mails] == []
    assert everything_kept(workspace)["sends"] == 1


def test_every_mail_goes_when_asked_but_never_a_flood(see, workspace, relay) -> None:
    people = ("role in ('admin', 'owner')", "role is not null")
    seen = see(people, every_mail=True)
    seen.send_to(workspace.company.settings, ME)
    assert [reader for _, reader, _ in relay.taken] == [ME] * 3
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute(
            "insert into marts.dim_contacts select c.* replace ('X' || i as contact_id,"
            " 'x' || i || '@example.com' as email, 'x' || i || '@example.com' as email_normalized)"
            f" from marts.dim_contacts c, range({MOST}) as numbers (i) where contact_id = 'C1'"
        )
    with pytest.raises(InputError, match=r"^53 mails to .* at once, and 50 are allowed"):
        see(people, every_mail=True).send_to(workspace.company.settings, ME)
    assert len(relay.taken) == 3


def test_a_provider_that_takes_none_is_told(see, workspace, relay) -> None:
    relay.answer("RCPT", "550 5.1.1 no such user")
    sent = see().send_to(workspace.company.settings, ME)
    assert "rejected" in squeezed(sent)
    with pytest.raises(DeliveryError, match="1 of 2 mails were not taken: rejected"):
        sent.check_sent()


def test_at_sendgrid_it_counts_as_a_preview_and_not_as_the_triggers(
    see, workspace, tmp_path: Path, monkeypatch
) -> None:
    with FakeSendGrid(tmp_path / "fake", key="SG.key", record_requests=True) as fake:
        monkeypatch.setenv("LIFECYCLE__DELIVERY__PROVIDER", "sendgrid")
        monkeypatch.setenv("LIFECYCLE__SENDGRID__API_KEY", "SG.key")
        monkeypatch.setenv("LIFECYCLE__SENDGRID__BASE_URL", fake.base_url)
        see().send_to(workspace.company.settings, ME).check_sent()
        request, _ = fake.requests()
    (first,) = request["personalizations"]
    assert first["to"] == [{"email": ME}]
    assert first["headers"]["X-Lifecycle-Preview"] == "yes"
    assert request["categories"] == ["preview"]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("C1@example.com", "a customer's contact"),
        ("someone@elsewhere.example", "neither in example.com"),
        ("me@anexample.com", "neither in example.com"),
        ("me@example.com, you@example.com", "not one plain e-mail address"),
        ("me@example.com\r\nBcc: you@example.com", "not one plain e-mail address"),
        ("Me <me@example.com>", "not one plain e-mail address"),
        ("gone@example.com", "may not be mailed any more"),
    ],
)
def test_nobody_but_a_colleague_can_be_named(see, workspace, address: str, why: str) -> None:
    suppress(workspace.ledger, "gone@example.com", reason="manual", by="test")
    with pytest.raises(InputError, match=why):
        colleague(workspace.settings, workspace.ledger, address)


def test_a_colleague_is_of_the_senders_domain_or_looks_after_an_account(see, workspace) -> None:
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute("update marts.account_360 set owner_email = 'Hana@partner.example'")
    for address in ("me@example.com", " Me@Sales.Example.com ", "hana@partner.example"):
        assert colleague(workspace.settings, workspace.ledger, address) == address.strip().lower()


def test_the_words_are_shown_also_where_nobody_enters(see, workspace, relay) -> None:
    seen = see(("is_dormant and", "not is_dormant and"))
    assert seen.mails == []
    seen.send_to(workspace.company.settings, ME).check_sent()
    subjects = [Message.from_bytes(mime).subject for *_, mime in relay.taken]
    assert subjects == ["[Preview] check_in", "[Preview] case_study"]


def test_a_trigger_without_recipients_sends_nothing(see, workspace, relay) -> None:
    sent = see(("role in ('admin', 'owner')", "name = 'nobody'")).send_to(
        workspace.company.settings, ME
    )
    sent.check_sent()
    assert relay.taken == []
    assert "There is no mail to show, so none went to me@example.com." in squeezed(sent)
