"""What happened, what would happen, and why: for people and for machines."""
