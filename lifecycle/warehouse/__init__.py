"""The warehouse: one DuckDB file that a run builds in, one that everybody else reads."""
