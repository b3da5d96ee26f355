"""What the tests of report share."""

from planned import told

__all__ = ["told"]
