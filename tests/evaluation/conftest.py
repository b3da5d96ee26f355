"""What the tests of evaluation share."""

from planned import workspace

__all__ = ["workspace"]
