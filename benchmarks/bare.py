"""The peer: the same tables from the same files by plain DuckDB, without anything around it.

It reads the files as they are, checks nothing, and executes the SQL that dbt compiled for the
run beside it, in dbt's order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
from meter import Meter

from lifecycle.sources.contract import FILE, LOADED_AT, TABLES, Table


def bare_day(folder: Path, meter: Meter) -> None:
    """Build the tables of a day in `folder`/bare, beside the run that has just been.

    Reads data/, what the run put into raw besides it, and the run's dbt artifacts. Raises
    ValueError when the marts are not the same.
    """
    home = folder / "bare"
    home.mkdir(exist_ok=True)
    with duckdb.connect(str(home / "work.duckdb")) as db:  # the compiled SQL says "work"
        db.execute(f"ATTACH '{folder / 'state' / 'work.duckdb'}' AS pipeline (READ_ONLY)")
        meter.stage("pull")
        _load(db, folder / "data")
        meter.stage("build")
        marts = _build(db, folder / "state" / "dbt" / "target")
        meter.stop()
        db.execute("DETACH pipeline")  # its views say "work", which is this database here
        _compare(db, marts, folder / "state" / "work.duckdb")


def _load(db: duckdb.DuckDBPyConnection, data: Path) -> None:
    for schema in ("raw", "context", "parameters", "history"):
        db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for name in _tables(db, "pipeline", schema) - set(TABLES):
            db.execute(f"CREATE OR REPLACE TABLE {schema}.{name} AS FROM pipeline.{schema}.{name}")
    db.execute("CREATE TABLE IF NOT EXISTS files_read (name VARCHAR)")
    read = {name for (name,) in db.execute("FROM files_read").fetchall()}
    there = _tables(db, "work", "raw")
    for table in TABLES.values():
        places = (f"{table.name}/*", f"{table.name}.*")
        files = sorted(str(file) for place in places for file in data.glob(place))
        new = files if table.is_snapshot else [file for file in files if file not in read]
        query = _select(table, new)
        if table.is_snapshot or table.name not in there:
            db.execute(f"CREATE OR REPLACE TABLE raw.{table.name} AS {query}")
        else:
            db.execute(
                f"INSERT INTO raw.{table.name} {query} ANTI JOIN raw.{table.name}"
                f" USING ({table.key})"
            )
        db.executemany("INSERT INTO files_read VALUES ($1)", [[file] for file in new])


def _select(table: Table, files: list[str]) -> str:
    listed = "[" + ", ".join(f"'{file}'" for file in files) + "]"
    source = f"read_parquet({listed}, filename = true)"
    if files[0].endswith(".csv"):
        types = ", ".join(f"'{column.name}': '{column.kind.sql_type}'" for column in table.columns)
        source = f"read_csv({listed}, header = true, filename = true, columns = {{{types}}})"
    names = ", ".join(table.column_names)
    loaded_at = f"(SELECT loaded_at FROM context.run) AS {LOADED_AT}"
    file = "" if table.is_snapshot else f", split_part(filename, '/data/', 2) AS {FILE}"
    return f"SELECT {names}{file}, {loaded_at} FROM {source}"


def _build(db: duckdb.DuckDBPyConnection, target: Path) -> list[str]:
    """Execute what dbt compiled; returns the names of the tables in `marts`."""
    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    nodes = json.loads((target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    marts = []
    for result in results:
        node = nodes.get(result["unique_id"], {})
        if node.get("resource_type") in ("model", "snapshot"):
            db.execute(f"CREATE SCHEMA IF NOT EXISTS {node['schema']}")
            _make(db, node, result["compiled_code"])
            if node["schema"] == "marts":
                marts.append(node["name"])
    return marts


def _make(db: duckdb.DuckDBPyConnection, node: dict[str, Any], query: str) -> None:
    relation, config = node["relation_name"], node["config"]
    is_there = node["name"] in _tables(db, "work", node["schema"])
    match config["materialized"]:
        case "view":
            db.execute(f"CREATE OR REPLACE VIEW {relation} AS {query}")
        case "incremental" if is_there:
            key = config["unique_key"]
            key = key if isinstance(key, list) else [key]
            db.execute(f"CREATE OR REPLACE TEMP TABLE arrived AS {query}")
            names = ", ".join(key)
            db.execute(f"DELETE FROM {relation} WHERE ({names}) IN (SELECT ({names}) FROM arrived)")
            db.execute(f"INSERT INTO {relation} BY NAME FROM arrived")
        case "snapshot":
            _keep_versions(db, relation, config["unique_key"], query, is_there)
        case _:
            db.execute(f"CREATE OR REPLACE TABLE {relation} AS {query}")


def _keep_versions(
    db: duckdb.DuckDBPyConnection, relation: str, key: str, query: str, is_there: bool
) -> None:
    """A version of each row, as dbt's snapshots keep them."""
    clock = "(SELECT loaded_at FROM context.run)"
    versions = f"SELECT *, {clock} AS dbt_valid_from, NULL::TIMESTAMP AS dbt_valid_to FROM"
    if not is_there:
        db.execute(f"CREATE TABLE {relation} AS {versions} ({query})")
        return
    current = f"(SELECT * EXCLUDE (dbt_valid_from, dbt_valid_to) FROM {relation}"
    current += " WHERE dbt_valid_to IS NULL)"
    db.execute(f"CREATE OR REPLACE TEMP TABLE arrived AS {query}")
    db.execute(f"CREATE OR REPLACE TEMP TABLE changed AS FROM arrived EXCEPT FROM {current}")
    db.execute(
        f"""UPDATE {relation} SET dbt_valid_to = {clock} WHERE dbt_valid_to IS NULL AND (
            {key} IN (SELECT {key} FROM changed) OR {key} NOT IN (SELECT {key} FROM arrived))"""
    )
    db.execute(f"INSERT INTO {relation} BY NAME {versions} changed")


def _compare(db: duckdb.DuckDBPyConnection, marts: list[str], run: Path) -> None:
    different = []
    for name in marts:
        with duckdb.connect(str(run)) as pipeline:
            db.register("pipeline_mart", pipeline.execute(f"FROM marts.{name}").to_arrow_table())
        ours, theirs = f"FROM marts.{name}", "FROM pipeline_mart"
        odd = db.execute(
            f"SELECT count(*) FROM (({ours} EXCEPT ALL {theirs})"
            f" UNION ALL ({theirs} EXCEPT ALL {ours}))"
        ).fetchone()
        if odd and odd[0]:
            different.append(f"{name} ({odd[0]:,} rows)")
    if different:
        raise ValueError(f"the bare tables are not the run's: {', '.join(different)}")


def _tables(db: duckdb.DuckDBPyConnection, catalog: str, schema: str) -> set[str]:
    rows = db.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2",
        [catalog, schema],
    ).fetchall()
    return {name for (name,) in rows}
