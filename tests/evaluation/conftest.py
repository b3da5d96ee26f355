"""What the tests of evaluation share."""

from planned import told

__all__ = ["told"]
