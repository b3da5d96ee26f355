"""The benchmark's company at a tiny size, through the stages that its peer is held against."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from lifecycle import settings as settings_file
from lifecycle.sources import ledger
from lifecycle.sources.pull import PullResult, pull
from lifecycle.warehouse import context
from lifecycle.warehouse.build import build

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.long
def test_bare_duckdb_builds_the_same_marts_on_both_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from bare import bare_day
    from big_company import FIRST, NEXT, BigCompany, arrive_next_day
    from meter import Meter

    collected: list[str] = []
    BigCompany(accounts=1_000, events=20_000, days=200).write(tmp_path, collected.append)
    settings = settings_file.load(tmp_path / "lifecycle.toml")

    def one_day(as_of: datetime) -> PullResult:
        clock = {"as_of": as_of, "loaded_at": as_of}
        pulled = pull(settings, loaded_at=as_of)
        ledger.snapshot(settings)
        context.write(settings, run_id="run", **clock)
        build(settings)
        meter = Meter("start")
        bare_day(tmp_path, meter)  # compares row by row, and raises
        assert [cost.stage for cost in meter.costs] == ["start", "pull", "build"]
        assert all(cost.peak_mb > 10 for cost in meter.costs)
        return pulled

    first = one_day(FIRST)
    arrive_next_day(tmp_path)
    following = one_day(NEXT)

    assert collected == ["making 1,000 accounts", "making 20,000 events", "writing files"]
    for pulled in (first, following):
        assert not any(pulled.rejected.values())
    assert first.rows["accounts"] == 999
    assert following.rows["accounts"] == 1_000
    assert following.rows["usage_events"] == 20_000
    assert 0 < following.new_rows["usage_events"] < 500
    assert following.new_rows["survey_responses"] > 0


def test_tables_that_differ_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import duckdb
    from bare import bare_day
    from meter import Meter

    target = tmp_path / "state" / "dbt" / "target"
    target.mkdir(parents=True)
    tables = {"same": "select 1 as one", "other": "select 2 as two"}
    nodes = {
        name: {
            "name": name,
            "schema": "marts",
            "relation_name": f'"work"."marts"."{name}"',
            "resource_type": "model",
            "config": {"materialized": "table"},
        }
        for name in tables
    }
    results = [{"unique_id": name, "compiled_code": sql} for name, sql in tables.items()]
    (target / "manifest.json").write_text(json.dumps({"nodes": nodes}))
    (target / "run_results.json").write_text(json.dumps({"results": results}))
    with duckdb.connect(str(tmp_path / "state" / "work.duckdb")) as db:
        db.execute("create schema context; create schema marts")
        db.execute("create table context.run as select timestamp '2026-06-09' as loaded_at")
        db.execute("create table marts.same as select 1 as one")
        db.execute("create table marts.other as select 3 as two")
    _empty_company(tmp_path / "data")

    with pytest.raises(ValueError, match=r"not the run's: other \(2 rows\)$"):
        bare_day(tmp_path, Meter("start"))


def _empty_company(data: Path) -> None:
    from lifecycle.sources.contract import TABLES

    data.mkdir()
    for table in TABLES.values():
        (data / f"{table.name}.csv").write_text(",".join(table.column_names) + "\n")
