"""A file of a source costs in line with its size; what is too large is refused or set aside."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import GateStopped, SourceError
from sources.delivery import ACCOUNTS, COMPANY, World

MANY = {f"extra_{number}": "x" for number in range(2_000)}
HUGE = "x" * 3_000_000


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_of_too_many_columns_is_refused_with_the_limit(world: World, kind: str) -> None:
    rows = [{**account, **MANY} for account in ACCOUNTS]
    (world.data / "accounts.csv").unlink()
    if kind == "csv":
        world.csv("accounts", rows)
    elif kind == "jsonl":
        world.jsonl("accounts", rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), world.data / "accounts.parquet")
    with pytest.raises(SourceError, match=rf"accounts\.{kind}: it has 2,0\d\d columns.*1,000"):
        world.pull()


def test_the_limit_is_a_setting(world: World) -> None:
    world.csv("accounts", [{**account, "extra": "x"} for account in ACCOUNTS])
    width = len(ACCOUNTS[0]) + 1
    world.config(COMPANY.replace("[source]", f"[source]\nmax_columns = {width - 1}"))
    with pytest.raises(SourceError, match="max_columns"):
        world.pull()
    world.config(COMPANY.replace("[source]", f"[source]\nmax_columns = {width}"))
    assert world.pull().rows["accounts"] == len(ACCOUNTS)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_huge_cell_is_set_aside_and_not_lost(world: World, kind: str) -> None:
    rows = [{**ACCOUNTS[0], "background": HUGE}, *ACCOUNTS[1:]]
    (world.data / "accounts.csv").unlink()
    (world.csv if kind == "csv" else world.jsonl)("accounts", rows)
    with suppress(GateStopped):
        world.pull()
    held = world.ask(
        "SELECT count(*) FROM (SELECT record AS r FROM raw.rejected_rows WHERE table_name ="
        " 'accounts' UNION ALL SELECT account_id FROM raw.accounts)"
    )
    assert held == [(len(ACCOUNTS),)]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_line_that_nothing_reads_is_refused_with_its_place(world: World, kind: str) -> None:
    rows = [*ACCOUNTS[1:], {**ACCOUNTS[0], "background": "x" * (17 << 20)}]
    (world.data / "accounts.csv").unlink()
    (world.csv if kind == "csv" else world.jsonl)("accounts", rows)
    line = len(ACCOUNTS) + (kind == "csv")
    with pytest.raises(SourceError, match=rf"accounts\.{kind}, line {line}: it is over 16 MB"):
        world.pull()


def test_a_record_that_nests_without_end_is_set_aside(world: World) -> None:
    (world.data / "accounts.csv").unlink()
    file = world.jsonl("accounts", ACCOUNTS)
    deep = json.dumps({**ACCOUNTS[0], "background": "deep"}).replace('"deep"', "[" * 50_000)
    file.write_text(f"{file.read_text()}{deep}\n", encoding="utf-8")
    world.pull()
    assert len(world.rejected()) == 1
    assert world.ask("SELECT count(*) FROM raw.accounts") == [(len(ACCOUNTS),)]
