"""What the tests of whatif share."""

from planned import told

__all__ = ["told"]
