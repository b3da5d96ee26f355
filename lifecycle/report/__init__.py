"""What a run did and why, for people and for machines; progress while it works."""
