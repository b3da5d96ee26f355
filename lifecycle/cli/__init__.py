"""The `lifecycle` command. Importing it loads no more than its help texts need."""

# In the order of `lifecycle --help`.
# isort: off
from lifecycle.cli import run, inspect, whatif, operate, privacy
from lifecycle.cli.app import app, main
# isort: on

__all__ = ["app", "inspect", "main", "operate", "privacy", "run", "whatif"]
