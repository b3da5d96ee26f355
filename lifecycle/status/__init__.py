"""The present status of a state folder: runs, schedules, queue, and what waits for a person."""
