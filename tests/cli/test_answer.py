"""Standard output carries the answer alone, whatever else is printed while a command works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from commands import CHECKOUT

NOISY = """
import os, subprocess, sys
import duckdb
from lifecycle.cli import answer
from lifecycle.cli.app import AsJson, app, main, show

@app.command()
def noisy(as_json: AsJson = False) -> None:
    print("a library prints")
    os.write(1, b"C code writes\\n")
    subprocess.run([sys.executable, "-c", "print('a child prints')"], check=True)
    warehouse = duckdb.connect()
    warehouse.execute("set progress_bar_time = 0")  # this draws the bar
    warehouse.execute("select sum(a.range * b.range) from range(100000) a, range(5000) b")
    answer.write_json({"name": "若竹"}) if as_json else answer.write("若竹")

main()
"""


def noisy(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "noisy.py"
    program.write_text(NOISY, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=CHECKOUT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT), "LANG": "C"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )


def test_json_is_one_object_and_nothing_else(tmp_path: Path) -> None:
    done = noisy(tmp_path, "noisy", "--json")
    assert json.loads(done.stdout) == {"name": "若竹"}
    for text in ("a library prints", "C code writes", "a child prints", "100%"):
        assert text in done.stderr


def test_text_is_the_answer_alone_too(tmp_path: Path) -> None:
    done = noisy(tmp_path, "noisy")
    assert done.stdout == "若竹\n"


def test_a_help_text_is_on_standard_output(tmp_path: Path) -> None:
    done = noisy(tmp_path, "noisy", "--help")
    assert "--json" in done.stdout


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    noisy(tmp_path, "noisy")
    command = f"{sys.executable} {tmp_path / 'noisy.py'} noisy | true"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=CHECKOUT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


BARS = """
import json, sys
from pathlib import Path
import duckdb
from sqlalchemy import create_engine
from company import Company
from lifecycle.duckdb_connection import connect
from lifecycle.sources.landing import credentials
from lifecycle.warehouse.gate.gx_duckdb import url_of
from warehouse.dbt_in_process import dbt

folder = Path(sys.argv[1])
settings = Company(folder).settings
settings.state_dir.mkdir()
asked = "select current_setting('enable_progress_bar')"
bars = {"a plain one": duckdb.connect().execute(asked).fetchone()[0]}
with connect(settings.work_db) as work:
    bars["ours"] = work.execute(asked).fetchone()[0]
with create_engine(url_of(settings.work_db)).connect() as gate:
    bars["the gate's"] = gate.exec_driver_sql(asked).fetchone()[0]
load = credentials(settings.work_db)
load.on_resolved()
bars["the load's"] = load.conn_pool.borrow_conn().execute(asked).fetchone()[0]
shown = dbt(settings, folder / "target", "show", "--inline", asked, "--output", "json")
bars["dbt's"] = shown.result.results[0].agate_table.rows[0][0]
print(json.dumps(bars))
"""


FOLDERS = (CHECKOUT, CHECKOUT / "tests", CHECKOUT / "tests" / "support")


def test_no_connection_draws_a_progress_bar(tmp_path: Path) -> None:
    """DuckDB draws it where Python has no main file: a worker, a forked process."""
    done = subprocess.run(
        [sys.executable, "-c", BARS, str(tmp_path)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    bars = json.loads(done.stdout.splitlines()[-1])
    assert bars.pop("a plain one"), "so the others are asked for nothing"
    assert bars == dict.fromkeys(("ours", "the gate's", "the load's", "dbt's"), False)


def test_every_connection_of_ours_is_opened_in_one_place() -> None:
    opened = {
        path.relative_to(CHECKOUT).as_posix()
        for folder in ("lifecycle", "flows")
        for path in (CHECKOUT / folder).rglob("*.py")
        if "duckdb.connect(" in path.read_text(encoding="utf-8")
    }
    assert opened == {"lifecycle/duckdb_connection.py"}
