"""The two doors of the warehouse: Great Expectations on `raw` and on `marts`."""
