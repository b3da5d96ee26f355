"""What the tests of report share."""

from planned import workspace

__all__ = ["workspace"]
