"""Whoever looks at a trigger that cannot be used sees what is wrong, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.document import Document, as_text
from lifecycle.errors import TriggerError, UnknownName
from lifecycle.insight.explain import explain
from lifecycle.status.overview import status
from lifecycle.whatif.preview import preview
from planned import WIN_BACK, Workspace

WHY = "triggers/win_back.yaml:2: audience: account_360 has no column 'is_dormnt'"


def squeezed(document: Document) -> str:
    return " ".join(as_text(document).split())


@pytest.fixture
def file(workspace: Workspace) -> Path:
    """The trigger's file, misspelt after a run went by it."""
    workspace.publish()
    workspace.company.trigger("other", WIN_BACK, "check_in", "case_study")
    workspace.run()
    file = workspace.company.folder / "triggers" / "win_back.yaml"
    file.write_text(WIN_BACK.replace("is_dormant and", "is_dormnt and"))
    return file


def test_status_tells_of_it_before_and_after_a_run_met_it(workspace: Workspace, file: Path) -> None:
    for run_id in ("r2", "r3"):
        page = squeezed(status(workspace.settings, workspace.ledger).as_document())
        assert f"win_back waits: {WHY}" in page
        assert "Nothing ended" in page
        workspace.run(run_id)
    (first,) = status(workspace.settings, workspace.ledger).as_json()["broken"]["win_back"]
    assert (first["file"], first["line"]) == ("triggers/win_back.yaml", 2)
    file.write_text(WIN_BACK)
    now = status(workspace.settings, workspace.ledger)
    assert now.broken == {}
    assert "win_back (version" in squeezed(now.as_document()), "it waits until the next run"


def test_status_tells_what_keeps_every_run_from_beginning(workspace: Workspace) -> None:
    (workspace.company.folder / "email_templates" / "_footer.en.txt").write_text("{{ x }}\n")
    page = squeezed(status(workspace.settings, workspace.ledger).as_document())
    assert "No run begins before this is mended: email_templates/_footer.en.txt:1:" in page


def test_explain_tells_what_is_wrong_and_what_was_done_so_far(
    workspace: Workspace, file: Path
) -> None:
    page = squeezed(explain(workspace.settings, workspace.ledger, "A1").as_document())
    assert "win_back: cannot be used, and waits" in page
    assert WHY in page
    assert "check_in" in page
    assert "its file is gone" not in page
    (first,) = explain(workspace.settings, workspace.ledger, "A1", only="win_back").as_json()[
        "triggers"
    ]
    assert first["is_broken"]
    assert first["next"] == "nothing, until a run finds it mended."


def test_explain_tells_of_a_mail_that_is_wrong(workspace: Workspace, file: Path) -> None:
    file.write_text(WIN_BACK)
    mail = workspace.company.folder / "email_templates" / "win_back" / "case_study.en.txt"
    mail.write_text("Subject: x\n\n{{ account.nme }}\n")
    page = squeezed(
        explain(workspace.settings, workspace.ledger, "A1", only="win_back").as_document()
    )
    assert "email_templates/win_back/case_study.en.txt:3: there is no account.nme" in page


def test_preview_of_it_says_what_is_wrong_and_of_another_goes_on(
    workspace: Workspace, file: Path
) -> None:
    with pytest.raises(TriggerError) as caught:
        preview(workspace.settings, workspace.ledger, "win_back", as_of=workspace.as_of)
    assert str(caught.value).startswith(WHY)
    seen = preview(workspace.settings, workspace.ledger, "other", as_of=workspace.as_of)
    assert seen.trigger.name == "other"
    with pytest.raises(UnknownName):
        preview(workspace.settings, workspace.ledger, "nobody", as_of=workspace.as_of)


def test_preview_says_what_is_wrong_with_all_of_them(workspace: Workspace, file: Path) -> None:
    (workspace.company.folder / "email_templates" / "_footer.en.txt").write_text("{{ x }}\n")
    with pytest.raises(TriggerError, match=r"_footer\.en\.txt:1"):
        preview(workspace.settings, workspace.ledger, "other", as_of=workspace.as_of)
