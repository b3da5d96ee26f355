"""The HTTP services: unsubscribe links, the provider's events, metrics."""
