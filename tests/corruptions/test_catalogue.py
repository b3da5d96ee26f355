"""Every way in which we know a day's delivery to break, through the real command.

Each is a corruption of the second day's delivery, beside the clean second day: nobody is mailed
whom the clean day would not have mailed, no departure is lost, and on the third day, when the
delivery is repaired, all that the clean day sent has been sent. What stops says where and what.
`make corruptions` tries them all.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import small_export
import warm
from commands import CHECKOUT, environment
from company import Company
from corruptions.broken_files import BROKEN_FILES
from corruptions.broken_tables import BROKEN_TABLES

pytestmark = [
    pytest.mark.long,
    # A deprecated argument, and the only one there is for a schema with SQLAlchemy addresses.
    pytest.mark.filterwarnings("ignore:`schema_name` is deprecated:DeprecationWarning"),
]

DAY_1, DAY_2, DAY_3 = "2026-06-10 01:00", "2026-06-11 01:00", "2026-06-12 01:00"


@dataclass(frozen=True)
class Home:
    """A company, its export and its state, in folders of their own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def export(self) -> Path:
        return self.folder / "export"

    def deliver(self, until: str, **changes: str) -> None:
        shutil.rmtree(self.export, ignore_errors=True)
        small_export.write(self.export, until=until, **changes)

    def run(self, as_of: str) -> tuple[int, dict[str, Any], str]:
        """The status, the report and what standard error says."""
        config = str(self.folder / "lifecycle.toml")
        day = ("--as-of", as_of, "--delivered", as_of[:10])
        asked = ("--config", config, "run", *day, "--json")
        done = warm.lifecycle(*asked, env=self.env, cwd=CHECKOUT)
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr

    def reject(self, run_id: str) -> None:
        config = str(self.folder / "lifecycle.toml")
        decision = ("reject", run_id, "--by", "ann", "--why", "a broken export")
        done = warm.lifecycle("--config", config, *decision, env=self.env, cwd=CHECKOUT)
        assert done.returncode == 0, done.stderr

    def mails(self) -> set[str]:
        return {path.name for path in (self.state / "outbox").glob("*.eml")}

    def left(self) -> set[str]:
        with closing(sqlite3.connect(self.state / "ledger.db")) as ledger:
            query = "select address from departures where lifted_at is null"
            return {address for (address,) in ledger.execute(query)}

    def copied(self, folder: Path) -> Home:
        shutil.copytree(self.folder, folder)
        return Home(folder, {**self.env, "LIFECYCLE__STATE__DIR": str(folder / "state")})


@pytest.fixture(scope="module")
def good_day(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Home:
    """A state of one good day."""
    folder = tmp_path_factory.mktemp("company")
    company = Company(folder)
    company.trigger("welcome", small_export.WELCOME, "hello", "second")
    company.trigger("win_back", small_export.WIN_BACK, "check_in", "last_call")
    toml = folder / "lifecycle.toml"
    source = '[source]\nkind = "files"\npath = "export"\n[owners]\nmorning_list = false\n'
    toml.write_text(toml.read_text(encoding="utf-8") + source)
    home = Home(folder, environment(folder / "state", PREFECT_API_URL=prefect_api))
    home.deliver(DAY_1)
    status, report, result = home.run(DAY_1)
    assert status == 0, result
    assert report["accepted"] > 5
    return home


@dataclass(frozen=True)
class Clean:
    """What the second day sends where nothing is broken, and who has left by then."""

    mails: set[str]
    left: set[str]


@pytest.fixture(scope="module")
def clean(good_day: Home, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    home = good_day.copied(tmp_path_factory.mktemp("clean") / "company")
    home.deliver(DAY_2)
    status, _, result = home.run(DAY_2)
    assert status == 0, result
    assert home.mails() > good_day.mails()
    return Clean(home.mails(), home.left())


def holds(
    home: Home, clean: Clean, deliver: Callable[[], None], words: list[str], stops: bool
) -> None:
    deliver()
    status, stopped, result = home.run(DAY_2)
    assert (status in (2, 3)) == stops, result[-2000:]
    report = (home.state / "reports" / "latest.txt").read_text(encoding="utf-8")
    text = " ".join(f"{result} {report}".split())
    for word in words:
        assert word in text
    assert "Traceback" not in result
    assert "person1@" not in result, "addresses are masked"
    assert home.mails() <= clean.mails, "nobody is mailed on the word of a broken delivery"

    if home.left() - clean.left:
        # Until a person says that they did not leave, they are not mailed.
        home.reject(stopped["run_id"])
    home.deliver(DAY_3)
    status, _, result = home.run(DAY_3)
    assert status == 0, result[-2000:]
    assert home.left() >= clean.left, "no departure is lost"
    assert home.mails() >= clean.mails, "nothing is lost for ever"


@pytest.mark.parametrize("name", BROKEN_TABLES)
def test_a_broken_table(name: str, good_day: Home, clean: Clean, tmp_path: Path) -> None:
    changes, words, stops = BROKEN_TABLES[name]
    home = good_day.copied(tmp_path / "company")
    holds(home, clean, lambda: home.deliver(DAY_2, **changes), words, stops)


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file(name: str, good_day: Home, clean: Clean, tmp_path: Path) -> None:
    file, mangle, words, stops = BROKEN_FILES[name]
    home = good_day.copied(tmp_path / "company")

    def deliver() -> None:
        home.deliver(DAY_2)
        path = home.export / file
        broken = mangle(path.read_bytes())
        if broken is None:
            path.unlink()
        else:
            path.write_bytes(broken)

    holds(home, clean, deliver, words, stops)


def test_there_are_enough_of_them() -> None:
    assert len(BROKEN_TABLES) + len(BROKEN_FILES) >= 60
