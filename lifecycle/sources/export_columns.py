"""Which columns an export has, before any of it is loaded."""

from __future__ import annotations

from lifecycle.duckdb_connection import connect
from lifecycle.settings import Settings, SourceTable
from lifecycle.sources.contract import TABLES
from lifecycle.sources.files import Folder
from lifecycle.sources.mapping import arrange
from lifecycle.sources.reading import read
from lifecycle.temporary_folders import temporary_folder


def exported_columns(settings: Settings, table: SourceTable) -> set[str]:
    """The columns of all files of a table of the contract, as they will be called in `raw`.

    Reads every file of it: ask only about a column that the contract does not name.
    Raises SourceError where the source cannot be read.
    """
    folder = Folder.of(settings)
    names: set[str] = set()
    with temporary_folder(settings.state_dir, "columns") as scratch, connect() as db:
        for file in folder.files()[table]:
            incoming, _ = read(db, folder.fetch(file, scratch), scratch)
            mapping = folder.mapping(TABLES[table])
            names |= arrange(incoming, TABLES[table], mapping, file.name).keys()
    return names
