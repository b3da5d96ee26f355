"""The two gates of the warehouse: Great Expectations on `raw` and on `marts`."""
