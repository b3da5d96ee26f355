"""The outside world → raw tables."""
