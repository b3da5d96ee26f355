"""Two commits of a company's files, and what the second one does to the people of today."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from company import Company, Marts, utc
from lifecycle.cli import app
from lifecycle.document import as_text
from lifecycle.errors import InputError, TriggerError
from lifecycle.ledger import runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import sends
from lifecycle.planning.plan import plan
from lifecycle.whatif.diff_report import Diff, diff
from lifecycle.whatif.git_ref import variant_at
from lifecycle.whatif.variant import Variant

AS_OF = utc("2026-06-10 01:00")
"""10:00 in Tokyo, a Wednesday."""

WIN_BACK = """
audience: is_dormant and touch_model = 'tech'
recipients: role = 'admin'
launch: existing
exit_when: not is_dormant
steps:
  - {id: check_in, after: 0d}
  - {id: last_call, after: 7d}
"""


class Repository:
    """A company in a git checkout, with published marts and a ledger."""

    def __init__(self, folder: Path) -> None:
        self.company = Company(folder / "company")
        self.company.trigger("win_back", WIN_BACK, "check_in", "last_call")
        self.git("init", "-q", "-b", "main")
        self.commit()
        settings = self.company.settings
        settings.state_dir.mkdir()
        with duckdb.connect(settings.published_db) as db:
            marts = Marts(db)
            marts.accounts(
                [
                    {"account_id": "a1", "name": "Oak", "touch_model": "tech"},
                    {"account_id": "a2", "name": "Elm | Co", "touch_model": "low"},
                    {"account_id": "a3", "name": "Ash", "touch_model": "tech", "seats": 3},
                ]
            )
            marts.contacts(
                [{"contact_id": f"c{n}", "account_id": f"a{n}"} for n in (1, 2, 3)]
                + [{"contact_id": "boss", "account_id": "a1", "role": "owner"}]
            )
            db.execute("create table marts.published as select timestamp '2026-06-10 01:00' as_of")
        self.ledger = Ledger.open(settings.ledger_url)

    def git(self, *arguments: str) -> None:
        author = {
            f"GIT_{who}_{what}": "test@example.com"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        command = ["git", "-C", str(self.company.folder), *arguments]
        subprocess.run(command, check=True, env={**os.environ, **author}, capture_output=True)

    def commit(self) -> None:
        (self.company.folder / ".gitignore").write_text(".lifecycle\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "files", "--allow-empty")

    @property
    def trigger(self) -> Path:
        return self.company.folder / "triggers" / "win_back.yaml"

    def mail(self, step: str, locale: str = "en") -> Path:
        return self.company.folder / "email_templates" / "win_back" / f"{step}.{locale}.txt"

    def change(self, old: str, new: str, file: Path | None = None) -> None:
        file = file or self.trigger
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def run(self) -> None:
        """What a daily run did with the files as they are."""
        settings = self.company.settings
        runs.begin(self.ledger, run_id="r1", as_of=AS_OF, source="files")
        plan(settings, self.ledger, run_id="r1", as_of=AS_OF)
        runs.finish(self.ledger, run_id="r1", status="done", report={})

    def diff(self, ref: str = "main") -> Diff:
        settings = self.company.settings
        with variant_at(ref, settings, settings.root / "lifecycle.toml") as before:
            return diff(settings, self.ledger, before, Variant.of_working_tree(settings))

    def win_back(self) -> dict[str, Any]:
        (result,) = (
            trigger
            for trigger in self.diff().as_json()["triggers"]
            if trigger["name"] == "win_back"
        )
        return result


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    result = Repository(tmp_path)
    yield result
    result.ledger.close()


def ids(named: list[dict[str, str]]) -> list[str]:
    return [name["account_id"] for name in named]


def page(difference: Diff) -> str:
    return " ".join(as_text(difference.as_document(), width=140).split())


def test_without_a_change_nobody_is_concerned(repository: Repository) -> None:
    comparison = repository.diff()
    assert comparison.changed == []
    assert "Nobody's audience or mail of today changes." in page(comparison)
    assert "the marts that the last run published" in page(comparison)


def test_a_changed_audience_names_who_comes_and_who_goes(repository: Repository) -> None:
    repository.change("touch_model = 'tech'", "coalesce(seats, 1) = 1")
    comparison = repository.win_back()
    assert comparison["parts"] == ["audience"]
    assert (comparison["audience"]["before"], comparison["audience"]["after"]) == (2, 2)
    for place in (comparison["audience"], comparison["sequence"]):
        assert ids(place["enters"]) == ["a2"]
    assert (
        ids(comparison["audience"]["leaves"])
        == ids(comparison["sequence"]["enters_no_more"])
        == ["a3"]
    )
    assert [(mail["to"], mail["step"]) for mail in comparison["mails"]["new"]] == [
        ("c***@example.com", "check_in")
    ]
    assert [mail["account_id"] for mail in comparison["mails"]["gone"]] == ["a3"]
    assert comparison["mails"]["changed"] == []
    shown = page(repository.diff())
    assert "2 accounts of today are concerned" in shown
    assert "Elm | Co a2 comes into the audience, enters now" in shown


@pytest.mark.parametrize(
    ("old", "new", "file", "what"),
    [
        (
            "Subject: check_in",
            "Subject: Hello",
            "email_templates/win_back/check_in.en.txt",
            "subject",
        ),
        ("check_in.", "how are you?", "email_templates/win_back/check_in.en.txt", "body"),
        ("Leave:", "Go away:", "email_templates/_footer.en.txt", "body"),
        ('name = "Sakura Works"', 'name = "Ume Works"', "lifecycle.toml", "body"),
        ("steps:", "send_window: {from: '11:30'}\nsteps:", "triggers/win_back.yaml", "time"),
        ("role = 'admin'", "role = 'owner'", "triggers/win_back.yaml", "recipient"),
    ],
)
def test_a_changed_mail_says_what_differs(
    repository: Repository, old: str, new: str, file: str, what: str
) -> None:
    repository.change(old, new, repository.company.folder / file)
    changed = repository.win_back()["mails"]["changed"]
    assert [row["what"] for row in changed if row["after"]["account_id"] == "a1"] == [[what]]


def test_a_new_language_reaches_who_speaks_it(repository: Repository) -> None:
    with duckdb.connect(repository.company.settings.published_db) as db:
        db.execute("update marts.dim_contacts set locale = 'ja' where contact_id = 'c1'")
    for step in ("check_in", "last_call"):
        repository.mail(step, "ja").write_text(f"Subject: {step}\n\n{{{{ contact.name }}}} 様\n")
    comparison = repository.win_back()
    assert comparison["files"] == ["check_in.ja (new)", "last_call.ja (new)"]
    assert [row["what"] for row in comparison["mails"]["changed"]] == [["body", "language"]]


def test_a_mail_that_no_one_gets_today_is_named_all_the_same(repository: Repository) -> None:
    repository.change("last_call.", "farewell.", repository.mail("last_call"))
    comparison = repository.diff()
    assert comparison.with_effect == []
    assert "last_call.en (changed)" in page(comparison)
    assert "+Hello {{ contact.name or 'there' }}, farewell." in comparison.as_markdown()
    assert list(comparison.as_json()["triggers"][0]["words"]) == ["last_call.en.txt"]


def test_a_changed_rule_is_shown_line_by_line(repository: Repository) -> None:
    repository.change("touch_model = 'tech'", "touch_model = 'low'")
    lines = repository.win_back()["words"]["win_back.yaml"].splitlines()
    (gone,) = (line for line in lines[2:] if line.startswith("-"))
    (come,) = (line for line in lines[2:] if line.startswith("+"))
    assert gone.replace("'tech'", "'low'")[1:] == come[1:]


def test_words_that_change_are_shown_line_by_line(repository: Repository) -> None:
    repository.change("Hello", "Good morning", repository.mail("check_in"))
    shown = repository.diff().as_markdown()
    assert "-Hello Aiko Sato, check_in." in shown
    assert "+Good morning Aiko Sato, check_in." in shown
    assert "check_in.en (changed)" in shown


def test_markdown_has_no_address_and_keeps_its_tables_whole(repository: Repository) -> None:
    repository.change("touch_model = 'tech'", "touch_model = 'low'")
    repository.change("Hello", "Write to help@example.com,", repository.mail("check_in"))
    shown = repository.diff().as_markdown()
    assert "c***@example.com" in shown
    for whole in ("c1@", "c2@", "c3@", "help@"):
        assert whole not in shown
    assert "Elm \\| Co" in shown
    assert "| trigger | files | audience | enter | leave | mails | changed | withheld |" in shown
    assert "| win_back | changed | 2 → 1 | +1 -2 | 0 | +1 -2 | 0 | 0 |" in shown


def test_who_is_newly_withheld_is_told_with_the_reason(repository: Repository) -> None:
    repository.change("role = 'admin'", "role = 'owner'")
    comparison = repository.win_back()
    kept = [(entry["account_id"], entry["reason"]) for entry in comparison["withheld"]["new"]]
    assert kept == [("a3", "no_recipient")]
    assert "Ash a3 – entry newly no_recipient" in page(repository.diff())


def test_a_new_and_a_removed_trigger_are_named(repository: Repository) -> None:
    repository.run()
    repository.trigger.rename(repository.trigger.with_name("wake.yaml"))
    mails = repository.company.folder / "email_templates"
    (mails / "win_back").rename(mails / "wake")
    wake, win_back = repository.diff().as_json()["triggers"]
    assert (wake["name"], wake["state"]) == ("wake", "new")
    assert ids(wake["sequence"]["enters"]) == ["a1", "a3"]
    assert (win_back["state"], win_back["sequence"]["inside"]) == ("removed", 2)
    assert {leave["reason"] for leave in win_back["sequence"]["leaves"]} == {"trigger_removed"}
    gone = win_back["mails"]["gone"]
    assert [mail["account_id"] for mail in gone] == ["a1", "a3"], "what waits would be cancelled"


def test_an_exit_that_comes_sooner_reaches_those_inside_where_they_migrate(
    repository: Repository,
) -> None:
    repository.run()
    sooner = "exit_when: coalesce(seats, 1) > 1"
    repository.change("exit_when: not is_dormant", sooner)
    assert repository.win_back()["sequence"]["leaves"] == [], "they finish what they entered"
    repository.change(sooner, f"{sooner}\nmigrate: true")
    comparison = repository.win_back()
    assert ids(comparison["sequence"]["migrated"]) == ["a1"]
    left = [(leave["account_id"], leave["reason"]) for leave in comparison["sequence"]["leaves"]]
    assert left == [("a3", "exit")]
    assert [mail["account_id"] for mail in comparison["mails"]["gone"]] == ["a3"]
    assert comparison["sequence"]["enters"] == []


def test_nothing_is_written(repository: Repository) -> None:
    repository.run()
    repository.change("touch_model = 'tech'", "touch_model = 'low'")
    with repository.ledger.read() as connection:
        before = connection.execute(sends.select()).all()
    repository.diff()
    with repository.ledger.read() as connection:
        assert connection.execute(sends.select()).all() == before
    names = {path.name for path in repository.company.settings.state_dir.iterdir()}
    assert {name.split("-")[0] for name in names} == {"published.duckdb", "ledger.db"}


def test_a_broken_file_at_the_ref_is_reported_and_the_rest_compared(
    repository: Repository,
) -> None:
    repository.company.trigger("other", WIN_BACK, "check_in", "last_call")
    repository.change("is_dormant and", "is_dormnt and")
    repository.commit()
    repository.git("tag", "broken")
    repository.change("is_dormnt and", "is_dormant and")
    comparison = repository.diff("broken")
    assert {row.name: row.state for row in comparison.changed} == {"win_back": "unreadable"}
    assert "is_dormnt" in page(comparison)
    assert "Wrong at broken" in page(comparison)


def test_settings_that_cannot_be_read_at_the_ref_are_reported(repository: Repository) -> None:
    toml = repository.company.folder / "lifecycle.toml"
    toml.write_text(toml.read_text() + "\n[helth]\ngreen_from = 60\n")
    repository.commit()
    repository.change("[helth]\ngreen_from = 60\n", "", toml)
    shown = page(repository.diff())
    assert 'did you mean "health"' in shown
    assert "the present settings stand in" in shown


def test_broken_files_here_are_an_error(repository: Repository) -> None:
    repository.change("is_dormant and", "is_dormnt and")
    with pytest.raises(TriggerError, match="is_dormnt"):
        repository.diff()


def test_a_ref_that_git_does_not_know_gets_the_nearest_name(repository: Repository) -> None:
    with pytest.raises(InputError, match='did you mean "main"'):
        repository.diff("mian")
    with pytest.raises(InputError, match="shallow"):
        repository.diff("0123456789abcdef")
    with pytest.raises(InputError, match="knows no commit"):
        repository.diff("--output=/dev/null")


def test_outside_a_checkout_and_without_git_it_is_said(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Company(tmp_path / "elsewhere").settings
    with (
        pytest.raises(InputError, match=r"elsewhere: not a git repository"),
        variant_at("main", settings, settings.root / "lifecycle.toml"),
    ):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="git is not installed"):
        repository.diff()


def test_the_command_prints_markdown_or_json_alone(repository: Repository) -> None:
    repository.change("touch_model = 'tech'", "touch_model = 'low'")
    config = str(repository.company.folder / "lifecycle.toml")
    for option, begins in (("--markdown", "## main → the files here"), ("--json", "{")):
        done = CliRunner().invoke(app, ["--config", config, "diff", "main", option])
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith(begins)
    assert json.loads(done.stdout)["triggers"][0]["audience"]["after"] == 1
    done = CliRunner().invoke(app, ["--config", config, "diff", "main", "--json", "--markdown"])
    assert isinstance(done.exception, InputError)
