"""A copy of the ledger every night, and what becomes of the older ones."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from company import Company
from flows.back_up import back_up
from lifecycle.cli import app
from lifecycle.errors import LedgerError
from lifecycle.ledger.backup import restore
from lifecycle.ledger.nightly import copy_ledger
from lifecycle.ledger.store import Ledger
from planned_sends import plan, planned

NIGHT = datetime(2026, 6, 10, 17, 30, tzinfo=UTC)


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Company:
    monkeypatch.setenv("LIFECYCLE__BACKUP__KEEP", "3")
    return Company(tmp_path / "company")


def test_the_newest_copies_are_kept_and_a_persons_own_stays(
    company: Company, ledger_url: str
) -> None:
    settings = company.settings
    settings.erased_file.parent.mkdir(parents=True)
    settings.erased_file.write_text("a hash\n")
    with Ledger.open(ledger_url) as ledger:
        plan(ledger, planned(1, at=NIGHT))
        (settings.backups_dir / "ledger-before-the-move.db").parent.mkdir(parents=True)
        (settings.backups_dir / "ledger-before-the-move.db").write_text("a person's")
        for day in range(5):
            copied = copy_ledger(settings, ledger, now=NIGHT + timedelta(days=day))
    names = sorted(path.name for path in settings.backups_dir.iterdir())
    assert names == [
        "erased.txt",
        *(f"ledger-202606{day}-173000.db" for day in (12, 13, 14)),
        "ledger-before-the-move.db",
    ]
    assert [path.name for path in copied.removed] == ["ledger-20260611-173000.db"]
    assert stat.S_IMODE(copied.file.stat().st_mode) == 0o600
    new = f"sqlite:///{company.folder / 'restored.db'}"
    with Ledger.open(new) as ledger:
        restore(ledger, copied.file, by="Ann", why="a test")


def test_where_the_copy_fails_nothing_older_is_removed(company: Company) -> None:
    settings = company.settings
    with Ledger.open(settings.ledger_url) as ledger:
        for day in range(3):
            copy_ledger(settings, ledger, now=NIGHT + timedelta(days=day))
        settings.backups_dir.rename(settings.backups_dir.with_name("elsewhere"))
        settings.backups_dir.write_text("a file in its place")
        with pytest.raises(LedgerError, match=r"the backup in .* failed"):
            copy_ledger(settings, ledger, now=NIGHT + timedelta(days=3))
    assert len(list(settings.backups_dir.with_name("elsewhere").iterdir())) == 3


def test_the_flow_copies_where_the_settings_say(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFECYCLE__BACKUP__DIR", str(tmp_path / "elsewhere"))
    result = back_up.fn(config=str(company.folder / "lifecycle.toml"))
    assert Path(result["file"]).parent == tmp_path / "elsewhere"
    assert result["rows"] >= 0
    text = (company.settings.state_dir / "logs" / "lifecycle.log").read_text()
    assert f"backup: {Path(result['file']).name}" in text


def test_the_command_without_a_file_copies_among_the_nightly_ones(company: Company) -> None:
    config = str(company.folder / "lifecycle.toml")
    done = CliRunner().invoke(app, ["--config", config, "backup", "--json"])
    assert done.exit_code == 0
    (file,) = company.settings.backups_dir.glob("ledger-*.db")
    assert json.loads(done.stdout)["file"] == str(file)
