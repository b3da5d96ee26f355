"""What the outside reaches by HTTP: the way out of a mail, and the provider's events."""
