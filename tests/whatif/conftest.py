"""What the tests of whatif share."""

from planned import workspace

__all__ = ["workspace"]
