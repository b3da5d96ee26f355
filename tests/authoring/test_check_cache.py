"""The cache of file checks: the outcome of the same files, and never that of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from company import Company
from lifecycle.authoring import files
from lifecycle.authoring.broken import broken_files
from lifecycle.authoring.check_cache import CheckCache
from lifecycle.authoring.suite_check import check_suites
from lifecycle.settings import CHECKOUT
from planned import WIN_BACK


@pytest.fixture
def written(tmp_path: Path) -> Company:
    company = Company(tmp_path / "company")
    company.trigger("win_back", WIN_BACK, "check_in", "case_study")
    return company


def test_files_that_did_not_change_are_not_checked_again(
    written: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = broken_files(written.settings)
    monkeypatch.setattr(files, "read_files", lambda _: pytest.fail("they were read again"))
    assert broken_files(written.settings) == first


def test_every_edit_is_seen_and_so_is_its_end(written: Company) -> None:
    settings, folder = written.settings, written.folder
    assert broken_files(settings).by_trigger == {}
    edits = {
        folder / "triggers" / "win_back.yaml": WIN_BACK.replace("is_dormant", "is_dorment", 1),
        folder / "email_templates" / "win_back" / "check_in.en.txt": "Subject: x\n\n{{ nobody }}\n",
    }
    for file, text in edits.items():
        good = file.read_text(encoding="utf-8")
        file.write_text(text, encoding="utf-8")
        (problem,) = broken_files(settings).by_trigger["win_back"]
        assert problem.file.endswith(file.name)
        assert broken_files(settings).by_trigger == {"win_back": [problem]}, "as it was kept"
        file.write_text(good, encoding="utf-8")
        assert broken_files(settings).by_trigger == {}
    (folder / "email_templates" / "win_back" / "case_study.en.txt").unlink()
    assert list(broken_files(settings).by_trigger) == ["win_back"]


def test_another_file_another_value_and_other_code_are_no_hit(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    CheckCache(tmp_path, "check", [file], "ja").write({"ok": True})
    assert CheckCache(tmp_path, "check", [file], "ja").read() == {"ok": True}
    assert CheckCache(tmp_path, "check", [file], "en").read() is None
    assert CheckCache(tmp_path, "check", [file, tmp_path / "absent"], "ja").read() is None
    file.write_text("a: 2")
    assert CheckCache(tmp_path, "check", [file], "ja").read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fingerprint": 1}', "\x00"])
def test_a_cache_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    cache = CheckCache(tmp_path, "check", [])
    cache.write(1)
    (tmp_path / "checks" / "check.json").write_text(content)
    assert cache.read() is None


def test_a_state_folder_that_cannot_be_written_keeps_none(tmp_path: Path) -> None:
    (tmp_path / "checks").write_text("a file where the folder would be")
    cache = CheckCache(tmp_path, "check", [])
    cache.write(1)
    assert cache.read() is None


def test_an_edit_of_an_expectation_is_checked(
    written: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lifecycle.warehouse.gate import suites  # Great Expectations: this test alone needs it

    suite = written.folder / "expectations" / "raw" / "accounts.yml"
    suite.parent.mkdir(parents=True)
    good = (CHECKOUT / "expectations" / "raw" / "accounts.yml").read_text(encoding="utf-8")
    suite.write_text(good, encoding="utf-8")
    assert check_suites(written.settings) == (1, [])
    suite.write_text(good.replace("severity: critical", "severity: critcal", 1), encoding="utf-8")
    _, problems = check_suites(written.settings)
    assert "critcal" in str(problems[0])
    assert check_suites(written.settings)[1] == problems, "problems are not kept"
    suite.write_text(good, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(suites, "load", lambda *_: pytest.fail("they were read again"))
        assert check_suites(written.settings) == (1, [])
    (suite.parent / "contacts.yml").write_text("key: contact_id\n", encoding="utf-8")
    assert check_suites(written.settings)[1]
