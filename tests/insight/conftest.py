"""What the tests of insight share."""

from planned import workspace

__all__ = ["workspace"]
