"""A trigger file becomes a checked Trigger: its conditions, its delays, its send window."""
