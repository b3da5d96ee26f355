"""Who enters, leaves and is due, and what is decided about them and why."""
