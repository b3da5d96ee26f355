"""The `lifecycle` command. Importing it loads no more than its help texts need."""

# In the order of `lifecycle --help`.
# isort: off
from lifecycle.cli import runs, seeing, trying, deciding, keeping
from lifecycle.cli.doorstep import app, main
# isort: on

__all__ = ["app", "deciding", "keeping", "main", "runs", "seeing", "trying"]
