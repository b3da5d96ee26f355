"""From a decision to a sent mail: render, wrap, and hand to a provider."""
