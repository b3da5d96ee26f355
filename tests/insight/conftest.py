"""What the tests of insight share."""

from planned import told

__all__ = ["told"]
