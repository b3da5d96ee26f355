"""What would go, and how things stand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import duckdb
import pytest
from sqlalchemy import func, select

from lifecycle.authoring.validate import validate
from lifecycle.document import as_text
from lifecycle.errors import UnknownName
from lifecycle.insight.explain import explain
from lifecycle.ledger import feedback
from lifecycle.ledger.states import transition
from lifecycle.ledger.tables import State, launches, sends
from lifecycle.status.overview import status
from lifecycle.whatif.preview import preview
from planned import WIN_BACK


def squeezed(shown: Any) -> str:
    return " ".join(as_text(shown.as_document(), width=120).split())


@pytest.fixture(autouse=True)
def _published(workspace) -> None:
    workspace.publish()


def test_a_preview_shows_who_gets_what_and_who_does_not(workspace) -> None:
    seen = preview(workspace.settings, workspace.ledger, "win_back", as_of=workspace.as_of)
    page = squeezed(seen)
    assert "1 account would enter" in page
    assert "若竹設備株式会社 A1 C1@example.com check_in en Mon 2026-06-08 09:00 Asia/Tokyo" in page
    assert "Oakhaven Foods Ltd A3 C3 entry no_consent" in page
    assert "Subject: check_in" in page
    assert "Hello 佐藤 愛子, check_in." in page
    (mail,) = seen.as_json()["mails"]
    assert mail["not_before"] == "2026-06-08T00:00:00+00:00"


def test_a_preview_shows_the_mails_that_nobody_would_get_now(workspace) -> None:
    seen = preview(workspace.settings, workspace.ledger, "win_back", as_of=workspace.as_of)
    shown = {(mail.step, mail.locale) for mail in seen.samples}
    steps = {step.id for step in seen.trigger.steps}
    assert {send.step for send, _ in seen.mails} < steps, "some step is to come"
    assert {step for step, _ in shown} == steps
    assert len(shown) == len(seen.samples), "one of each step and language"
    page = squeezed(seen)
    for mail in seen.to_come:
        assert f"{mail.step} ({mail.locale}), which nobody would get now" in page
        assert mail.subject in page
    assert [step["step"] for step in seen.as_json()["to_come"]] == [m.step for m in seen.to_come]


def test_a_preview_of_a_broadcast_before_its_day_shows_that_day(workspace) -> None:
    news = WIN_BACK.replace("launch: existing\nexit_when: not is_dormant", "on: 2026-06-12")
    news = news.replace("  - {id: case_study, after: 5bd}\n", "")
    workspace.company.trigger("news", news, "check_in")
    seen = preview(workspace.settings, workspace.ledger, "news", as_of=workspace.as_of)
    page = squeezed(seen)
    assert "It goes Fri 2026-06-12 00:00 Asia/Tokyo at the earliest: until then nobody" in page
    assert "1 account would enter" in page
    assert "C1@example.com check_in en Fri 2026-06-12 09:00 Asia/Tokyo" in page
    assert seen.as_json()["goes_on"] == "2026-06-11T15:00:00+00:00"
    later = preview(
        workspace.settings, workspace.ledger, "news", as_of=workspace.as_of + timedelta(days=4)
    )
    assert later.goes_on is None
    assert len(later.mails) == 1


def test_a_preview_counts_mails_in_another_language_than_their_readers(workspace) -> None:
    with duckdb.connect(workspace.settings.published_db) as db:
        db.execute("update marts.dim_contacts set locale = 'ja-JP' where contact_id = 'C1'")
    seen = preview(workspace.settings, workspace.ledger, "win_back", as_of=workspace.as_of)
    assert "Readers of ja-JP get 1 mail in en: there is none in ja-JP." in squeezed(seen)
    (workspace.company.folder / "triggers" / "win_back.yaml").write_text(WIN_BACK + "locale: en\n")
    assert not preview(
        workspace.settings, workspace.ledger, "win_back", as_of=workspace.as_of
    ).other_language


def test_a_preview_is_no_launch(workspace) -> None:
    preview(workspace.settings, workspace.ledger, "win_back", as_of=workspace.as_of)
    with workspace.ledger.read() as connection:
        for table in (launches, sends):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0


def test_a_preview_of_a_misspelt_trigger_names_the_nearest(workspace) -> None:
    with pytest.raises(UnknownName, match='did you mean "win_back"'):
        preview(workspace.settings, workspace.ledger, "winback", as_of=workspace.as_of)


def test_status_before_anything_happened(workspace) -> None:
    workspace.settings.published_db.unlink()
    page = squeezed(status(workspace.settings, workspace.ledger))
    assert "Nothing was published yet" in page


def test_status_tells_runs_queue_and_next_mail(workspace) -> None:
    workspace.run()
    status_report = status(workspace.settings, workspace.ledger)
    page = squeezed(status_report)
    assert "2026-06-08 07:00 done 1 0 1 r1" in page
    assert "trigger in sequence planned accepted" in page
    assert "win_back 1 1 0" in page
    assert set(status_report.as_json()["states"]) == set(State)
    assert "Mon 2026-06-08 09:00 Asia/Tokyo" in page
    assert status_report.as_json()["next_due"] == "2026-06-08T00:00:00+00:00"


def test_status_and_explain_tell_what_came_back(workspace) -> None:
    workspace.run()
    with workspace.ledger.write() as connection:
        (send,) = connection.execute(select(sends)).all()
        transition(connection, State.ACCEPTED, None, workspace.as_of)
        bounced = feedback.Fact(
            kind=feedback.Kind.BOUNCED,
            at=workspace.as_of,
            source="webhook",
            send_id=send.send_id,
            detail="550 no such person",
        )
        feedback.apply(connection, [bounced], workspace.as_of)
        feedback.record_sync(connection, "bounces", read_until=workspace.as_of, now=workspace.as_of)
    page = squeezed(status(workspace.settings, workspace.ledger))
    assert "Came back: 1 bounced." in page
    assert "Bounces and unsubscribes were last read Mon 2026-06-08 07:00 Asia/Tokyo." in page
    assert "never mailed: 1 bounced" in page
    story = squeezed(explain(workspace.settings, workspace.ledger, send.account_id))
    assert "check_in 佐藤 愛子 bounced Mon 2026-06-08 07:00 550 no such person" in story


def test_status_names_a_run_that_was_killed(workspace) -> None:
    from lifecycle.ledger import runs

    runs.begin(workspace.ledger, run_id="killed", as_of=workspace.as_of, source="files")
    runs.begin(workspace.ledger, run_id="next", as_of=workspace.as_of, source="files")
    page = squeezed(status(workspace.settings, workspace.ledger))
    assert "killed: it was ended from outside" in page


def test_validate_finds_a_misspelt_column_and_an_undefined_name(workspace) -> None:
    assert validate(workspace.settings).problems == ()
    folder = workspace.company.folder
    yaml = folder / "triggers" / "win_back.yaml"
    mail = folder / "email_templates" / "win_back" / "check_in.en.txt"
    mail.write_text("Subject: hi\n\n{{ account.nam }}\n")
    problems = [str(problem) for problem in validate(workspace.settings).problems]
    assert any("check_in.en.txt" in problem and "name" in problem for problem in problems)
    yaml.write_text(yaml.read_text().replace("is_dormant and", "is_dormnt and"))
    problems = [str(problem) for problem in validate(workspace.settings).problems]
    assert any("win_back.yaml" in problem and "is_dormant" in problem for problem in problems)
