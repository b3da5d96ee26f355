"""The outside world → raw tables: read, check, and only then apply.

    files → checked rows (scratch) → good rows → accounts, contacts, usage_events, …
                                   → the others → rejected_rows

Everything is read and checked before anything is applied. A process killed while it applies
leaves a warehouse that the next pull completes: the two snapshots are replaced as a whole,
rows that are there already are not added again, and what was rejected and what need not be
read again are recorded last, both at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import duckdb

from lifecycle.duckdb_connection import connect
from lifecycle.errors import GateStopped, WarehouseError
from lifecycle.ledger.departures import Departure
from lifecycle.masking import mask_addresses
from lifecycle.settings import Settings
from lifecycle.sources import checking, corrections, demo, departures, repeats
from lifecycle.sources.contract import (
    DELIVERED_COLUMNS,
    DEPARTURES,
    FILE,
    KNOWN_ACCOUNTS,
    LOADED_AT,
    LOADED_FILES,
    REJECTED_CELLS,
    REJECTED_ROWS,
    REPEATED_IDS,
    TABLES,
    Kind,
    Table,
)
from lifecycle.sources.files import File, Folder
from lifecycle.sources.landing import RAW, Landing, land
from lifecycle.sources.mapping import arrange, cleaned
from lifecycle.sources.reading import (
    Field,
    Incoming,
    first_line,
    literal,
    named,
    quoted,
    read,
    read_records,
    unreadable,
)
from lifecycle.sources.value_sql import Rules

Progress = Callable[[str], None]
Remember = Callable[[Sequence[Departure]], None]
"""Who keeps those who left, before anything of their delivery is applied."""


ADDRESS = {"email": "VARCHAR"}

ALWAYS_ALLOWED = 5
"""So many bad rows, or values, of a table never stop a run, however small the table is."""

_PERSONS = ", ".join(
    literal(column.name)
    for table in TABLES.values()
    for column in table.columns
    if column.kind is Kind.PERSON
)
"""Names that no mail greets with are named, and stop no run: strangers choose theirs."""

_ALL_OF_THEM = (
    "A row counts records: in a spreadsheet with a header it is one further. All of them:"
)


@dataclass(frozen=True)
class PullResult:
    """What a pull brought. Every dict is by table."""

    rows: dict[str, int]
    """In the raw table after the load."""
    new_rows: dict[str, int]
    """Keys that were not there before."""
    gone_rows: dict[str, int]
    """Keys that a full snapshot no longer has, not even in a rejected row."""
    rejected: dict[str, int]
    """Rows of this delivery that were rejected."""
    rejected_cells: dict[str, int]
    """Optional values of this delivery that cannot be used."""
    corrected: dict[str, int]
    """Rows of a growing table that say something else now, or are taken out."""
    corrected_accounts: int
    """Accounts whose history changed by it."""
    files_read: int
    passed_over: tuple[str, ...] = ()
    """Files in the folders of tables that are not read."""


def pull(
    settings: Settings,
    *,
    loaded_at: datetime,
    progress: Progress | None = None,
    remember: Remember | None = None,
) -> PullResult:
    """Bring the source's tables into `raw`. `loaded_at` is the clock of the load (aware).

    `remember` hears who left as soon as the contacts are read, whatever becomes of the load.

    Raises SourceError where a file or a required column is missing or unreadable: nothing of
    the load is applied then. Raises GateStopped where too many rows of a table had to be set
    aside: its good rows are loaded, and its files are read again next time.
    """
    if loaded_at.tzinfo is None:
        raise ValueError(f"{loaded_at!r} has no time zone")
    tell = progress or (lambda text: None)
    with _scratch(settings) as scratch:
        if settings.source.is_synthetic:
            tell("making the demo company")
            folder = Folder(str(demo.write(scratch / "demo", until=loaded_at)))
        else:
            folder = Folder.of(settings)
        clock = loaded_at.astimezone(UTC)
        return _Pull(settings, folder, scratch, clock, tell, remember).run()


@dataclass
class _Delivery:
    """What this pull reads of one table."""

    table: Table
    to_read: list[File] = field(default_factory=list)
    usable: dict[str, int] = field(default_factory=dict)
    """Usable rows by file."""
    good: list[Path] = field(default_factory=list)
    """Where they are: Parquet files in scratch."""
    columns: dict[str, str] = field(default_factory=dict)
    """Their columns, and each one's DuckDB type."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """File and column, for each column that a file has."""
    rejected: int = 0
    rejected_cells: int = 0
    new_rows: int = 0
    gone_rows: int = 0
    corrections: corrections.Corrections | None = None
    stops: list[str] = field(default_factory=list)
    """Why the gate stops here; empty where it does not."""


class _Pull:
    def __init__(
        self,
        settings: Settings,
        folder: Folder,
        scratch: Path,
        loaded_at: datetime,
        tell: Progress,
        remember: Remember | None,
    ) -> None:
        self.settings = settings
        self.folders = {"": folder}
        if not settings.source.is_synthetic:
            self.folders |= Folder.more(settings)
        self.scratch = scratch
        self.loaded_at = loaded_at
        self.clock = f"TIMESTAMP {literal(str(loaded_at.replace(tzinfo=None)))}"
        self.tell = tell
        self.remember = remember

    def _rules(self, table: Table, of: str) -> Rules:
        """`of` names a source of `[sources]`; empty: `[source]`."""
        source, company = self.settings.source, self.settings.company.time_zone
        zone = source.time_zones.get(table.name) or source.time_zone or company
        if of:
            zone = self.settings.sources[of].time_zone or company
        return Rules(self.loaded_at, tuple(source.nothing), zone, company)

    def run(self) -> PullResult:
        with self._database() as db:
            deliveries = self._choose(db)
            for delivery in deliveries:
                self._read(db, delivery)
                if not delivery.table.is_snapshot:
                    delivery.corrections = corrections.find(db, delivery.table, self.scratch)
            rows = [self._good_rows(db, delivery) for delivery in deliveries]
            rows.append(self._known_accounts(db))
            for delivery in deliveries:
                self._count(db, delivery)
            books = [
                self._rejected_rows(db, deliveries),
                self._rejected_cells(db, deliveries),
                self._export(db, "departures", "FROM departures ORDER BY address", DEPARTURES),
                self._loaded_files(db, deliveries),
                self._delivered_columns(db, deliveries),
                self._repeated_ids(db, deliveries),
            ]
        self._remove_replaced(deliveries)
        self.tell("loading")
        land(self.settings, rows)
        self.tell("recording what was read")
        self._record(books)
        stops = [stop for delivery in deliveries for stop in delivery.stops]
        if stops:
            raise GateStopped("raw", stops)
        return PullResult(
            rows=self._rows_in_raw(),
            new_rows={delivery.table.name: delivery.new_rows for delivery in deliveries},
            gone_rows={
                delivery.table.name: delivery.gone_rows
                for delivery in deliveries
                if delivery.table.is_snapshot
            },
            rejected={delivery.table.name: delivery.rejected for delivery in deliveries},
            rejected_cells={
                delivery.table.name: delivery.rejected_cells for delivery in deliveries
            },
            corrected={
                delivery.table.name: delivery.corrections.rows
                for delivery in deliveries
                if delivery.corrections is not None
            },
            corrected_accounts=sum(
                delivery.corrections.accounts
                for delivery in deliveries
                if delivery.corrections is not None
            ),
            files_read=sum(len(delivery.to_read) for delivery in deliveries),
            passed_over=tuple(
                name for folder in self.folders.values() for name in folder.passed_over()
            ),
        )

    # Read and check. --------------------------------------------------------------------

    @contextmanager
    def _database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The scratch database, with the warehouse attached as `work`."""
        with connect(str(self.scratch / "scratch.duckdb")) as db:
            db.execute("SET TimeZone = 'UTC'")
            try:
                db.execute(f"ATTACH {literal(str(self.settings.work_db))} AS work")
            except duckdb.Error as error:
                raise WarehouseError(
                    f"{self.settings.work_db}: cannot be opened: {first_line(error)}"
                ) from None
            checking.prepare(db)
            departures.prepare(db)
            self._remember(db, "known", "known_accounts", KNOWN_ACCOUNTS)
            self._remember(db, "loaded", "loaded_files", LOADED_FILES)
            self._remember(db, "rejected_before", "rejected_rows", REJECTED_ROWS)
            self._remember(db, "repeated_before", "repeated_ids", REPEATED_IDS)
            self._remember(db, "cells_before", "rejected_cells", REJECTED_CELLS)
            self._remember(db, "people_before", "contacts", {"contact_id": "VARCHAR"} | ADDRESS)
            for table in TABLES.values():
                columns = [
                    column for column in table.columns if column.required and not table.is_snapshot
                ]
                kinds = {column.name: column.kind.sql_type for column in columns} | {
                    table.key: "VARCHAR"
                }
                if not table.is_snapshot:
                    kinds[FILE] = "VARCHAR"
                self._remember(db, f"before_{table.name}", table.name, kinds)
            db.execute("INSERT INTO known_accounts SELECT account_id FROM known")
            yield db

    def _remember(
        self, db: duckdb.DuckDBPyConnection, view: str, table: str, columns: Mapping[str, str]
    ) -> None:
        """A view of a raw table as it was before this pull; empty where there is none."""
        there = db.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'work'"
            " AND schema_name = $1 AND table_name = $2",
            [RAW, table],
        ).fetchone()
        if there and there[0]:
            stored = {
                name
                for (name,) in db.execute(
                    "SELECT column_name FROM duckdb_columns() WHERE database_name = 'work'"
                    " AND schema_name = $1 AND table_name = $2",
                    [RAW, table],
                ).fetchall()
            }
            names = ", ".join(
                quoted(name) if name in stored else f"NULL::{kind} AS {quoted(name)}"
                for name, kind in columns.items()
            )
            db.execute(f"CREATE VIEW {view} AS SELECT {names} FROM work.{RAW}.{table}")
        else:
            typed = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
            db.execute(f"CREATE TABLE {view} ({typed})")

    def _choose(self, db: duckdb.DuckDBPyConnection) -> list[_Delivery]:
        """Snapshots are read whole; of growing tables only files that are new or changed."""
        loaded = set(db.execute("SELECT table_name, fingerprint FROM loaded").fetchall())
        deliveries = []
        more = [folder.growing_files() for name, folder in self.folders.items() if name]
        supplied = {name for files in more for name in files}
        for name, files in self.folders[""].files(supplied).items():
            delivery = _Delivery(TABLES[name])
            for file in (*files, *(file for its in more for file in its.get(name, ()))):
                if delivery.table.is_snapshot or (name, file.fingerprint) not in loaded:
                    delivery.to_read.append(file)
            deliveries.append(delivery)
        return deliveries

    def _read(self, db: duckdb.DuckDBPyConnection, delivery: _Delivery) -> None:
        table = delivery.table
        checking.create(db, table)
        for file in delivery.to_read:
            self.tell(f"reading {file.name}")
            folder = self.folders[file.source]
            incoming, broken = read(db, folder.fetch(file, self.scratch), self.scratch)
            fields = arrange(incoming, table, folder.mapping(table), file.name)
            if file.source and table.key in fields:
                fields[table.key] = _within(file.source, fields[table.key])
            delivery.headers += [(file.name, name) for name in fields]
            try:
                delivery.usable[file.name] = self._check(
                    db, delivery, incoming, fields, file.source
                )
            except duckdb.Error as error:
                raise unreadable(file, error) from None
            checking.add_broken(db, table, file.name, broken)
            checking.add_short(db, table, file.name, incoming)
            if table.name == "contacts":
                departures.collect_broken(db, file.name, broken, incoming, fields)
        if not table.is_snapshot:
            self._try_again(db, delivery)
        if table.belongs_to_account:
            checking.name_decimals(db, table)
        delivery.columns = repeats.gather(db, table, delivery.good)
        if table.name == "contacts":
            left = departures.gather(db, self.settings, self.loaded_at)
            if self.remember is not None:
                self.remember(left)
        if not table.is_snapshot:
            self._drop_made_good(db, table)

    def _check(
        self,
        db: duckdb.DuckDBPyConnection,
        delivery: _Delivery,
        incoming: Incoming,
        fields: Mapping[str, Field],
        source: str = "",
    ) -> int:
        number = len(delivery.good)
        good = self.scratch / f"good_{delivery.table.name}_{number}.parquet"
        usable = checking.check(
            db,
            delivery.table,
            incoming,
            fields,
            rules=self._rules(delivery.table, source),
            delivered=number,
            good=good,
        )
        if usable:
            delivery.good.append(good)
        return usable

    def _try_again(self, db: duckdb.DuckDBPyConnection, delivery: _Delivery) -> None:
        """Rows rejected earlier: their account may be known by now, their time may have come."""
        relation = (
            f"(SELECT * FROM rejected_before WHERE table_name = {literal(delivery.table.name)}"
            f" AND column_name IS NOT NULL AND {self._not_read_now(delivery)})"
        )
        incoming = read_records(db, relation, file="file", row="row_number", first_at="loaded_at")
        self._check(db, delivery, incoming, {item.header: item for item in incoming.fields})

    def _drop_made_good(self, db: duckdb.DuckDBPyConnection, table: Table) -> None:
        """A row that also arrived in order, now or before, is no longer missing."""
        key = _key_of("_record", table)
        is_bad = f"{table.key} IN (SELECT {key} FROM aside_{table.name} WHERE _column IS NOT NULL)"
        db.execute(
            f"""DELETE FROM aside_{table.name} WHERE _column IS NOT NULL AND {key} IN (
                    SELECT {table.key} FROM good_{table.name} WHERE {is_bad}
                    UNION ALL SELECT {table.key} FROM before_{table.name} WHERE {is_bad})"""
        )

    def _not_read_now(self, delivery: _Delivery) -> str:
        names = ", ".join(literal(file.name) for file in delivery.to_read)
        return f"file NOT IN ({names})" if names else "true"

    # What goes into the warehouse. ------------------------------------------------------

    def _good_rows(self, db: duckdb.DuckDBPyConnection, delivery: _Delivery) -> Landing:
        table, columns = delivery.table, delivery.columns
        good = f"good_{table.name} g"
        is_new = (
            f"NOT EXISTS (SELECT 1 FROM before_{table.name} b WHERE b.{table.key} = g.{table.key})"
        )
        place = ""
        if not table.is_snapshot:
            is_new += f" OR g.{table.key} IN (SELECT key FROM replaced_{table.name})"
            place = f", {FILE}"
        landing = self._export(
            db,
            table.name,
            f"""SELECT {", ".join(map(quoted, columns))}{place}, {self.clock} AS {LOADED_AT}
                FROM {good} WHERE {"true" if table.is_snapshot else is_new}""",
            {**columns, **({FILE: "VARCHAR"} if place else {}), LOADED_AT: "TIMESTAMP"},
            disposition="replace" if table.is_snapshot else "append",
        )
        delivery.new_rows = landing.row_count
        if not table.is_snapshot:
            replaced = f"SELECT count(*) FROM replaced_{table.name} WHERE new_account IS NOT NULL"
            delivery.new_rows -= _one(db, replaced)
        if table.is_snapshot:
            delivery.new_rows = _one(db, f"SELECT count(*) FROM {good} WHERE {is_new}")
            set_aside = _key_of("a._record", table)
            delivery.gone_rows = _one(
                db,
                f"""SELECT count(*) FROM before_{table.name} b
                    ANTI JOIN good_{table.name} g ON g.{table.key} = b.{table.key}
                    ANTI JOIN aside_{table.name} a ON {set_aside} = b.{table.key}""",
            )
        return landing

    def _known_accounts(self, db: duckdb.DuckDBPyConnection) -> Landing:
        return self._export(
            db,
            "known_accounts",
            f"""SELECT account_id, {self.clock} AS first_loaded_at FROM known_accounts
                WHERE account_id NOT IN (SELECT account_id FROM known)""",
            KNOWN_ACCOUNTS,
            disposition="append",
        )

    def _rejected_rows(self, db: duckdb.DuckDBPyConnection, deliveries: list[_Delivery]) -> Landing:
        parts = []
        for delivery in deliveries:
            table = delivery.table
            parts.append(
                f"""SELECT {literal(table.name)} AS table_name, _file AS file, _row AS row_number,
                        _column AS column_name, _value AS value, _reason AS reason,
                        _record AS record, {_key_of("_record", table)} AS key,
                        coalesce(_first_at, {self.clock}) AS loaded_at
                    FROM aside_{table.name}"""
            )
            if not table.is_snapshot:
                parts.append(
                    f"""SELECT * FROM rejected_before WHERE table_name = {literal(table.name)}
                        AND column_name IS NULL AND {self._not_read_now(delivery)}"""
                )
        query = " UNION ALL BY NAME ".join(parts)
        return self._export(
            db,
            "rejected_rows",
            f"""SELECT {", ".join(REJECTED_ROWS)} FROM ({query})
                ORDER BY table_name, file, row_number""",
            REJECTED_ROWS,
        )

    def _rejected_cells(
        self, db: duckdb.DuckDBPyConnection, deliveries: list[_Delivery]
    ) -> Landing:
        parts = []
        for delivery in deliveries:
            table = delivery.table
            parts.append(
                f"""SELECT {literal(table.name)} AS table_name, _file AS file, _row AS row_number,
                        _column AS column_name, _value AS value, _reason AS reason, _key AS key,
                        {self.clock} AS loaded_at
                    FROM cells_{table.name}"""
            )
            if not table.is_snapshot:
                parts.append(
                    f"""SELECT * FROM cells_before WHERE table_name = {literal(table.name)}
                        AND {self._not_read_now(delivery)}"""
                )
        query = " UNION ALL BY NAME ".join(parts)
        return self._export(
            db,
            "rejected_cells",
            f"""SELECT {", ".join(REJECTED_CELLS)} FROM ({query})
                ORDER BY table_name, file, row_number, column_name""",
            REJECTED_CELLS,
        )

    def _loaded_files(self, db: duckdb.DuckDBPyConnection, deliveries: list[_Delivery]) -> Landing:
        """The files of a table that the gate stopped are left out: they are read again."""
        db.execute("CREATE TABLE loaded_now AS FROM loaded")
        for delivery in deliveries:
            table = delivery.table
            db.execute(
                f"""DELETE FROM loaded_now WHERE table_name = {literal(table.name)}
                    AND NOT {self._not_read_now(delivery)}"""
            )
            if table.is_snapshot or delivery.stops:
                continue
            for file in delivery.to_read:
                if file.fingerprint:
                    db.execute(
                        f"INSERT INTO loaded_now VALUES ($1, $2, $3, $4, {self.clock})",
                        [table.name, file.name, file.fingerprint, delivery.usable[file.name]],
                    )
        return self._export(db, "loaded_files", "FROM loaded_now", LOADED_FILES)

    def _delivered_columns(
        self, db: duckdb.DuckDBPyConnection, deliveries: list[_Delivery]
    ) -> Landing:
        create = ", ".join(f"{name} {kind}" for name, kind in DELIVERED_COLUMNS.items())
        db.execute(f"CREATE TABLE delivered_columns ({create})")
        for delivery in deliveries:
            for file, column in delivery.headers:
                db.execute(
                    "INSERT INTO delivered_columns VALUES ($1, $2, $3)",
                    [delivery.table.name, file, column],
                )
        return self._export(db, "delivered_columns", "FROM delivered_columns", DELIVERED_COLUMNS)

    def _repeated_ids(self, db: duckdb.DuckDBPyConnection, deliveries: list[_Delivery]) -> Landing:
        """Before this load, and in it: an id that comes again may say something else."""
        parts = ["FROM repeated_before"]
        for delivery in deliveries:
            table = delivery.table
            if table.is_snapshot or not delivery.to_read:
                continue
            others = [
                column.name
                for column in table.columns
                if column.required and column.name != table.key
            ]
            differs = " OR ".join(f"g.{name} IS DISTINCT FROM b.{name}" for name in others)
            parts.append(
                f"""SELECT {literal(table.name)} AS table_name,
                        {repeats.STREAM.format(f"g.{FILE}")} AS stream, count(*) AS repeats,
                        count(*) FILTER ({differs}) AS other_content,
                        array_to_string(
                            (list(g.{table.key} ORDER BY g.{table.key}) FILTER ({differs}))[:3],
                            ', ') AS examples,
                        {self.clock} AS loaded_at
                    FROM good_{table.name} g JOIN before_{table.name} b USING ({table.key})
                    GROUP BY stream"""
            )
        return self._export(db, "repeated_ids", " UNION ALL BY NAME ".join(parts), REPEATED_IDS)

    def _export(
        self,
        db: duckdb.DuckDBPyConnection,
        table: str,
        query: str,
        columns: Mapping[str, str],
        disposition: Literal["append", "replace"] = "replace",
    ) -> Landing:
        path = self.scratch / f"{table}.parquet"
        count = _one(db, f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet)")
        return Landing(table, columns, [path], count, disposition)

    def _remove_replaced(self, deliveries: Sequence[_Delivery]) -> None:
        """A process killed after it reads these files again: they are not recorded yet."""
        with connect(str(self.settings.work_db)) as work:
            for delivery in deliveries:
                if delivery.corrections is not None:
                    corrections.remove(work, delivery.table, delivery.corrections)

    def _record(self, books: list[Landing]) -> None:
        """One transaction: a file taken for read before its bad rows are kept would lose them."""
        with connect(str(self.settings.work_db)) as db, db.cursor() as work:
            work.begin()
            for book in books:
                files = ", ".join(named(path) for path in book.files)
                table = f"{RAW}.{book.table}"
                rows = f"read_parquet([{files}], hive_partitioning = false)"
                work.execute(f"CREATE OR REPLACE TABLE {table} AS FROM {rows}")
            work.commit()

    # What is told of it. ----------------------------------------------------------------

    def _count(self, db: duckdb.DuckDBPyConnection, delivery: _Delivery) -> None:
        """How many rows and values cannot be used, and whether they are too many."""
        name, gate = delivery.table.name, self.settings.gate
        aside = f"FROM aside_{name} WHERE _first_at IS NULL"
        delivery.rejected = _one(db, f"SELECT count(*) {aside}")
        delivery.rejected_cells = _one(db, f"SELECT count(*) FROM cells_{name}")
        counted = f"FROM cells_{name} WHERE _value IS NULL OR _column NOT IN ({_PERSONS})"
        bad_cells = _one(db, f"SELECT count(*) {counted}")
        total = sum(delivery.usable.values()) + delivery.rejected
        if delivery.rejected > max(ALWAYS_ALLOWED, gate.max_rejected_share * total):
            delivery.stops.append(
                f"{name}: {delivery.rejected:,} of {total:,} rows were rejected, more than the "
                f"{gate.max_rejected_share:.1%} that [gate] max_rejected_share allows: "
                f"{_examples(db, aside)}. {_ALL_OF_THEM} raw.rejected_rows in "
                f"{self.settings.work_db.name}"
            )
        if bad_cells > max(ALWAYS_ALLOWED, gate.max_rejected_cells_share * total):
            delivery.stops.append(
                f"{name}: {bad_cells:,} values of {total:,} rows cannot be used, "
                f"more than the {gate.max_rejected_cells_share:.1%} that [gate] "
                f"max_rejected_cells_share allows: {_examples(db, counted)}. "
                f"{_ALL_OF_THEM} raw.rejected_cells in {self.settings.work_db.name}"
            )

    def _rows_in_raw(self) -> dict[str, int]:
        with connect(str(self.settings.work_db)) as db:
            return {name: _one(db, f"SELECT count(*) FROM {RAW}.{name}") for name in TABLES}


def _within(source: str, key: Field) -> Field:
    """The key of a source of `[sources]`: its ids count within it."""
    prefix = literal(f"{source}/")
    return Field(key.header, f"({prefix} || {cleaned(key)})", "VARCHAR")


def _key_of(record: str, table: Table) -> str:
    """SQL: the key of a rejected row; a line that is no record has none."""
    key = f"json_extract_string({record}, {literal('/' + table.key)})"
    return f"CASE WHEN json_valid({record}) THEN {key} END"


def _examples(db: duckdb.DuckDBPyConnection, of: str) -> str:
    """Three of those that cannot be used, one of each column first."""
    examples = db.execute(
        f"""SELECT _file, _row, _reason {of}
            ORDER BY row_number() OVER (PARTITION BY _column ORDER BY _file, _row), _file, _row
            LIMIT 3"""
    ).fetchall()
    return "; ".join(
        f"{file} row {row}: {mask_addresses(reason)}" for file, row, reason in examples
    )


def _one(db: duckdb.DuckDBPyConnection, query: str) -> int:
    row = db.execute(query).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """An empty folder for the time of a pull. What a killed one left is thrown away first."""
    scratch = settings.state_dir / "pull"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
