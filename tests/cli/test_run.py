"""The frame of a run: its clock, its lock, its record, and whom it tells."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import select

from lifecycle.clock import delivery_clock, parse_as_of
from lifecycle.errors import (
    AlreadyRunning,
    ClockError,
    GateStopped,
    InputError,
    SourceError,
    WarehouseError,
)
from lifecycle.ledger import commands
from lifecycle.ledger.runs import newest_decision
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import runs
from lifecycle.run import Run
from lifecycle.settings import load
from lifecycle.sources.demo_clock import DEMO_CLOCK

CONFIG = str(Path(__file__).parents[2] / "lifecycle.toml")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("LIFECYCLE__STATE__DIR", str(folder))
    monkeypatch.setenv("LIFECYCLE_CONFIG", CONFIG)
    return folder


def rows(state: Path) -> list[tuple[str, datetime]]:
    with Ledger.open(f"sqlite:///{state / 'ledger.db'}") as ledger, ledger.read() as connection:
        result = connection.execute(select(runs).order_by(runs.c.started_at)).all()
    return [(row.status, row.as_of) for row in result]


def finish(**asked: str | bool) -> None:
    with Run.begin(**asked) as run:  # type: ignore[arg-type]
        run.conclude()


def test_a_run_is_recorded_as_a_command_and_a_dry_run_is_not(state: Path) -> None:
    finish(dry_run=True)
    assert commands_of(state) == {}
    finish()
    with pytest.raises(GateStopped), Run.begin():
        raise GateStopped("raw", ["contacts vanished"])
    result = commands_of(state)
    assert (result["lifecycle-run"].outcome, result["lifecycle-run"].due) == ("stopped", None)


def commands_of(state: Path) -> dict[str, commands.CommandRun]:
    with Ledger.open(f"sqlite:///{state / 'ledger.db'}") as ledger, ledger.read() as connection:
        return commands.read(connection).started


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2011-12-09 13:00 UTC", "2011-12-09T13:00+00:00"),
        ("2011-06-01 10:00", "2011-06-01T10:00+00:00"),
        ("2026-06-10T10:00+09:00", "2026-06-10T01:00+00:00"),
        ("2026-06-10T01:00:30Z", "2026-06-10T01:00:30+00:00"),
        ("2026-06-10 10:00 Asia/Tokyo", "2026-06-10T01:00+00:00"),
        (" 2026-06-10 ", "2026-06-10T00:00+00:00"),
    ],
)
def test_an_as_of_is_read(text: str, moment: str) -> None:
    read = parse_as_of(text)
    assert read == datetime.fromisoformat(moment)
    assert read.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-06-31 10:00", "10:00", "2026-06-10 10:00 Mars/X"]
)
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ClockError, match="2011-12-09 13:00 UTC"):
        parse_as_of(text)


def test_the_demo_has_a_clock_of_its_own_and_as_of_goes_before_it() -> None:
    with Run.begin() as run:
        assert run.as_of == run.loaded_at == run.now() == DEMO_CLOCK
    with Run.begin(as_of="2026-07-01") as run:
        assert run.as_of == run.loaded_at == datetime(2026, 7, 1, tzinfo=UTC)


def test_files_go_by_the_wall_clock_unless_told() -> None:
    with Run.begin(source="files") as run:
        assert abs(run.as_of - datetime.now(UTC)) < timedelta(minutes=1)
        assert run.now() > run.as_of  # it goes on while the run does


def test_a_replay_of_files_is_loaded_now_and_its_clock_stands() -> None:
    with Run.begin(source="files", as_of="2011-06-01 10:00") as run:
        assert run.now() == run.as_of == datetime(2011, 6, 1, 10, tzinfo=UTC)
        assert run.loaded_at > datetime(2020, 1, 1, tzinfo=UTC)


def test_files_have_no_future() -> None:
    with pytest.raises(ClockError, match="future"):
        finish(source="files", as_of="2999-01-01")


def test_the_same_as_of_may_be_run_again_and_an_older_one_may_not(state: Path) -> None:
    finish()
    finish()
    with pytest.raises(ClockError, match=r"2026-06-10 01:00 UTC.*LIFECYCLE__STATE__DIR"):
        finish(as_of="2026-06-10 00:59")
    assert [status for status, _ in rows(state)] == ["done", "done"]


def test_a_run_that_decided_nothing_does_not_bar_the_way(state: Path) -> None:
    with pytest.raises(SourceError), Run.begin(as_of="2027-01-01") as run, run.stage("pull"):
        raise SourceError("accounts.csv: no such file")
    finish()
    assert rows(state) == [("failed", datetime(2027, 1, 1, tzinfo=UTC)), ("done", DEMO_CLOCK)]


@pytest.mark.parametrize("first_is_dry", [False, True])
def test_sources_do_not_mix_in_one_state_folder(first_is_dry: bool) -> None:
    finish(dry_run=first_is_dry)
    with pytest.raises(InputError, match=r"'demo'.*'files'"):
        finish(source="files")


def test_a_dry_run_leaves_no_trace_in_the_ledger(state: Path) -> None:
    finish(dry_run=True)
    assert rows(state) == []
    assert len(list((state / "reports").glob("*.json"))) == 1
    assert not (state / "reports" / "latest.json").exists()


def test_one_run_at_a_time() -> None:
    with Run.begin(), pytest.raises(AlreadyRunning, match="process"):
        finish()
    finish()


def test_a_killed_run_gives_its_lock_back_and_is_recorded_as_failed(state: Path) -> None:
    program = (
        "import sys, time\n"
        "from lifecycle.run import Run\n"
        "with Run.begin() as run:\n"
        "    print('begun', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        with pytest.raises(AlreadyRunning, match=str(process.pid)):
            finish()
        process.send_signal(signal.SIGKILL)
    finish()
    assert [status for status, _ in rows(state)] == ["failed", "done"]


def test_a_stopped_run_is_recorded_and_reported(state: Path) -> None:
    failure = "raw.accounts: account_id is not unique, e.g. A0001"
    with pytest.raises(GateStopped), Run.begin() as run, run.stage("gate_raw"):
        raise GateStopped("raw", [failure])
    assert [status for status, _ in rows(state)] == ["stopped"]
    written = json.loads((state / "reports" / "latest.json").read_text())
    assert written["status"] == "stopped"
    assert written["stopped"]["stage"] == "gate_raw"
    assert written["stopped"]["door"] == "raw"
    assert written["stopped"]["exit_status"] == 3
    assert written["stopped"]["failures"] == [failure]
    text = (state / "reports" / "latest.txt").read_text()
    assert failure in text.replace("\n  ", " ")
    assert "nothing was sent" in text


def test_what_is_raised_in_a_stage_carries_no_address() -> None:
    with pytest.raises(WarehouseError) as caught, Run.begin() as run, run.stage("build"):
        raise WarehouseError("duplicate key aiko.sato@example.com")
    assert "aiko" not in str(caught.value)
    assert "@example.com" in str(caught.value)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    heard: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/hook"
    monkeypatch.setenv("LIFECYCLE__NOTIFY__WEBHOOK_URL", address)
    yield heard
    server.shutdown()


def test_a_daily_run_that_stops_tells_somebody(webhook: list[str]) -> None:
    with pytest.raises(GateStopped), Run.begin():
        raise GateStopped("marts", ["account_360: half of the accounts are gone"])
    (answer,) = webhook
    assert "half of the accounts are gone" in answer


def test_what_somebody_watches_is_not_told(webhook: list[str]) -> None:
    for asked in ({"dry_run": True}, {"as_of": "2026-06-11"}):
        with pytest.raises(WarehouseError), Run.begin(**asked):  # type: ignore[arg-type]
            raise WarehouseError("locked")
    assert webhook == []


def test_mails_wait_by_the_clock_of_the_demo_and_of_a_replay(state: Path) -> None:
    settings = load(CONFIG)
    with Ledger.open(settings.ledger_url) as ledger:
        assert abs(delivery_clock(settings, ledger) - datetime.now(UTC)) < timedelta(minutes=1)
        finish()
        assert newest_decision(ledger) == delivery_clock(settings, ledger) == DEMO_CLOCK
        chosen = delivery_clock(settings, ledger, "2026-06-11 00:00")
        assert chosen == datetime(2026, 6, 11, tzinfo=UTC)


def test_mails_of_a_live_company_wait_by_the_wall_clock() -> None:
    settings = load(CONFIG, source={"kind": "files"})
    finish(source="files")
    with Ledger.open(settings.ledger_url) as ledger:
        assert abs(delivery_clock(settings, ledger) - datetime.now(UTC)) < timedelta(minutes=1)
