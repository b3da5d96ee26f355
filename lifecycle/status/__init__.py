"""How a state folder stands now: runs, schedules, queue, and what waits for a person."""
