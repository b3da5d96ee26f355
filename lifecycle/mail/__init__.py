"""A decision becomes a Message: rendered, wrapped, and handed to a provider."""
