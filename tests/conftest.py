"""What every test needs."""

from hypothesis import settings

# These machines are shared: a slow example says nothing about the code.
settings.register_profile("lifecycle", deadline=None)
settings.load_profile("lifecycle")
