"""A small table with a column of each kind, for conditions."""

from lifecycle.triggers.columns import Column, Columns

COLUMNS = Columns(
    "t",
    [
        Column("n", "bigint"),
        Column("x", "double"),
        Column("s", "varchar"),
        Column("b", "boolean"),
        Column("d", "date"),
        Column("ts", "timestamp"),
        Column("l", "varchar[]"),
    ],
)
TABLE = ", ".join(f"{column.name} {column.data_type}" for column in COLUMNS.values())
