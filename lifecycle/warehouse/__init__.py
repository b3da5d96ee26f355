"""The warehouse: a run builds in one DuckDB file; everybody else reads a published copy."""
